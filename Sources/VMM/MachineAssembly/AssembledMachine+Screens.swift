// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CharacterStreams
internal import CommandLineKit
internal import ControlServer
internal import Diagnostics
internal import DisplaySurfaces
internal import Glibc
internal import HostSystem
internal import JSONCoding
internal import MachineRuntime
internal import MachineSpec
internal import TransportSecurity
internal import VNCServer

/// What a machine without a display adapter shows.
private final class DarkScreen: DisplaySource {
    func draw(into image: inout DisplayImage) { image.resize(width: 640, height: 480) }
}

extension AssembledMachine: CredentialKeeping {
    func credentials(_ name: String, isServer: Bool) throws(UserError) -> TLSCredentials {
        let found: TLSCredentials
        do throws(BlockError) { found = try objects.credentials(name) } catch { throw UserError(error.description) }
        guard (found.role == .server) == isServer else {
            throw UserError("Expected TLS credentials for a \(isServer ? "server" : "client") endpoint")
        }
        return found
    }
}

extension AssembledMachine: ScreenServing {
    /// Makes the VNC servers of the description.
    func makeScreenServers() throws(UserError) {
        for server in spec.display.vncServers {
            do throws(UserError) { try add(server) } catch { throw error.at("-vnc") }
        }
        if spec.display.isDefault, let place = screenServers.first?.endpoints.first {
            let host = place.family == "ipv6" ? "[\(place.host)]" : place.host
            // A closed standard output leaves nobody to tell.
            try? FileDescriptor.writeAll(Array("VNC server running on \(host):\(place.service)\n".utf8), to: 1)
        }
    }

    private func add(_ spec: VNCServerSpec) throws(UserError) {
        var settings = VNCSettings(identifier: spec.identifier, addresses: Self.addresses(spec.address, spec))
        settings.webAddresses = spec.webAddress.map { Self.addresses($0, spec) } ?? []
        settings.needsPassword = spec.needsPassword
        settings.sharePolicy = VNCSharePolicy(rawValue: spec.sharePolicy) ?? .allowExclusive
        settings.allowsPowerControl = spec.allowsPowerControl
        settings.title = self.spec.identity.name.map { "QEMU (\($0))" } ?? "QEMU"
        if let name = spec.passwordSecret { settings.password = try secret(name) }
        if let name = spec.credentials { settings.credentials = try credentials(name) }
        let server = try VNCServer(settings, console: console(for: spec.display), router: input, loop: loop)
        server.eventHandler = { [weak self, unowned server] event in self?.control?.emit(event, of: server) }
        server.powerHandler = { [runner] button in
            switch button {
            case .shutdown: runner.performPowerdown()
            case .reboot, .reset: runner.performReset(.hostQMPSystemReset)
            }
        }
        screenServers.append(server)
    }

    private func console(for display: String?) -> DisplayConsole {
        if let display, let found = consoles.first(where: { $0.identifier == display }) { return found }
        if let first = consoles.first { return first }
        let dark = DarkScreen()
        kept.append(dark)
        return DisplayConsole(name: "none", source: dark, machineLock: lock)
    }

    private static func addresses(_ address: VNCServerSpec.Address, _ spec: VNCServerSpec) -> [StreamAddress] {
        switch address {
        case .none: []
        case .unix(let path): [.unix(path: path, isAbstract: false)]
        case .tcp(let host, let first, let last):
            (first...max(first, last)).compactMap { port in
                UInt16(exactly: port).map { .tcp(host: host, port: $0, ipv4: spec.ipv4, ipv6: spec.ipv6) }
            }
        }
    }

    func reloadCertificates(of server: VNCServer) throws(UserError) {
        guard let spec = spec.display.vncServers.first(where: { $0.identifier == server.settings.identifier }),
            let name = spec.credentials
        else { throw UserError("TLS is not used by this server") }
        server.reload(try credentials(name))
    }

    private func credentials(_ name: String) throws(UserError) -> TLSCredentials {
        do throws(BlockError) { return try objects.credentials(name) } catch {
            throw UserError(error.description, place: "-object tls-creds-x509,id=\(name)")
        }
    }

    /// The bytes of a secret object.
    func secret(_ name: String) throws(UserError) -> [UInt8] {
        do throws(BlockError) { return try objects.secret(name) } catch { throw UserError(error.description) }
    }
}

extension AssembledMachine: ObjectKeeping {
    func addObject(_ options: JSONObject) throws(UserError) {
        let object = try MachineArguments.object(try OptionList(options))
        switch object.kind {
        case .secret, .certificates, .hostRandom, .builtinRandom: break
        case .memory, .memoryFile, .memoryDescriptor, .ioThread:
            throw UserError("objects of this type are made at the start only", remedy: "use -object")
        }
        try objects.add(object)
        spec.objects.append(object)
    }

    func removeObject(_ name: String) throws(UserError) {
        guard let object = spec.objects.first(where: { $0.identifier == name }) else {
            throw UserError("object '\(name)' not found")
        }
        switch object.kind {
        case .secret, .certificates: break
        default: throw UserError("object '\(name)' is in use, can not be deleted")
        }
        objects.remove(name)
        spec.objects.removeAll { $0.identifier == name }
    }
}
