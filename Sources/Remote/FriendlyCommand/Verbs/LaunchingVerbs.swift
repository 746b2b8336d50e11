// SPDX-License-Identifier: Apache-2.0

internal import XDRCoding
internal import ClientKit
internal import Diagnostics
internal import Glibc
internal import LibvirtProtocol
internal import ManagementModel
internal import XMLTree

extension Verbs {
    private static let sizes = [
        VerbOption("memory", "SIZE", "its memory (2G)"), VerbOption("cpus", "N", "its processors (2)"),
        VerbOption("disk-size", "SIZE", "its disk, at least the image's size"),
    ]

    static let launching: [Verb] = [
        Verb(
            "up", [.required("NAME")],
            options: [
                VerbOption("image", "FILE", "a cloud image: its content becomes the machine's own disk"),
                VerbOption("user-data", "FILE", "cloud-init's settings; without it your SSH keys let you in"),
            ] + sizes + [
                VerbOption("network", "NETWORK", "a network of the server (root: default; you: user networking)"),
                VerbOption("timeout", "SECONDS", "how long to wait for an answer (300)"),
                VerbOption("no-wait", nil, "do not wait"),
            ], "make a machine from a cloud image, start it, and say how to reach it", run: up),
        Verb(
            "run",
            options: [
                VerbOption("image", "FILE", "an image to start from; what is written is thrown away"),
                VerbOption("kernel", "FILE", "a Linux kernel to start"),
                VerbOption("initrd", "FILE", "its first file system"),
                VerbOption("append", "TEXT", "its command line (console=ttyS0)"),
                VerbOption("name", "NAME", "what to call the machine"),
            ] + sizes, "run a machine on this terminal and forget it when it ends; Ctrl-] ends it", run: run),
    ]

    private static let usualMemory: UInt64 = 2 << 30

    /// Whether the server's machines can have KVM.
    private static func hasKVM(_ service: Service) throws -> Bool {
        let capabilities = try XMLParser.parse(
            try service.server.call(Procedures.connectGetCapabilities, Message()).fields)
        return capabilities.all("guest").contains { guest in
            guest[child: "arch"]?["name"] == "x86_64"
                && guest[child: "arch"]?.all("domain").contains { $0["type"] == "kvm" } == true
        }
    }

    private static func common(_ invocation: Invocation, _ name: String, _ service: Service) throws -> MachineDocument {
        MachineDocument(
            name: name, memory: try invocation.size("memory", default: usualMemory),
            cpus: try invocation.number("cpus", in: 1...255, default: 2), usesKVM: try hasKVM(service))
    }

    // MARK: up

    private static func up(_ invocation: Invocation) throws {
        guard let image = invocation["image"] else {
            throw UserError(
                "roost up needs --image FILE",
                remedy: "take a cloud image, say Debian's from https://cloud.debian.org/images/cloud/")
        }
        let name = invocation.words[0]
        let service = try Service(invocation.settings)
        guard try !service.machines().contains(where: { $0.name == name }) else {
            throw UserError(
                "there is a machine '\(name)' already", remedy: "start it with: roost start \(name)")
        }
        let source = try DiskSource(image)
        let identity = UniqueID.random()
        let seed = try CloudSeed(
            machine: name, instance: identity.description, userDataPath: invocation["user-data"])
        var document = try common(invocation, name, service)
        document.user = invocation.has("user-data") ? CloudSeed.firstUser(seed.userData) : CloudSeed.usualUser
        try setNetwork(&document, invocation, service)
        let pool = try FolderPool.usual(on: service)
        let size = invocation.has("disk-size") ? try invocation.size("disk-size", default: 0) : nil
        var made: [String] = []
        let machine: DomainHandle
        do {
            made.append(try source.makeDisk("\(name).qcow2", size: size, in: pool, on: service))
            made.append(try UploadedVolume.make("\(name)-seed.iso", seed.image, in: pool, on: service))
            (document.disk, document.disc, document.ownedFiles) = (made[0], made[1], made)
            machine = try service.server.call(Procedures.domainDefineXML, Message(document.xml)).fields
        } catch {
            // Nothing is left behind of a machine that could not be made; the first error is what matters.
            for path in made { try? UploadedVolume.remove(path, on: service) }
            throw error
        }
        _ = try service.server.call(Procedures.domainCreateWithFlags, Message(machine, 0))
        guard !invocation.has("no-wait") else { return try Output.say("\(name) runs", invocation.settings) }
        let address = try waitForAnswer(
            machine, service, seconds: try invocation.number("timeout", in: 1...86400, default: 300))
        try Output.say("\(name) is up. Reach it with: roost ssh \(name), or \(address)", invocation.settings)
    }

    private static func setNetwork(
        _ document: inout MachineDocument, _ invocation: Invocation, _ service: Service
    ) throws {
        let asked = invocation["network"]
        if let network = asked ?? (service.address.uri == "qemu:///system" ? "default" : nil),
            try asked != nil || service.networks().contains(where: { $0.name == network })
        {
            let handle = try service.network(network)
            if try service.server.call(Procedures.networkIsActive, Message(handle)).fields == 0 {
                _ = try service.server.call(Procedures.networkCreate, Message(handle))
            }
            document.network = network
        } else {
            document.sshPort = try FreePort.find()
        }
    }

    private static func waitForAnswer(
        _ machine: DomainHandle, _ service: Service, seconds: Int
    ) throws -> MachineAddress {
        let document = try XMLParser.parse(try service.document(machine))
        let reach = MachineReach(service)
        var progress = Progress(machine.name)
        defer { progress.end() }
        while progress.elapsed < Double(seconds) {
            let address = try reach.find(machine, document)
            if let address, address.answers() { return address }
            guard try service.state(machine).isActive else {
                throw UserError(
                    "\(machine.name) has stopped while it started", remedy: "see why with: roost logs \(machine.name)")
            }
            progress.waiting(address == nil ? "waiting for its address" : "waiting for its SSH server")
            usleep(500_000)
        }
        throw UserError(
            "\(machine.name) runs, but does not answer after \(seconds) seconds",
            remedy: "look at its console with: roost console \(machine.name)")
    }

    // MARK: run

    /// The machine ends with the connection that made it (VIR_DOMAIN_START_AUTODESTROY).
    private static let endsWithConnection: UInt32 = 2

    private static func run(_ invocation: Invocation) throws {
        guard invocation.has("image") || invocation.has("kernel") else {
            throw UserError(
                "roost run needs --image FILE or --kernel FILE", remedy: "usage: \(invocation.verb.synopsis)")
        }
        let service = try Service(invocation.settings)
        let name = invocation["name"] ?? "run-\(getpid())"
        var document = try common(invocation, name, service)
        document.kernel = invocation["kernel"].map(ProgramFiles.absolute)
        document.initrd = invocation["initrd"].map(ProgramFiles.absolute)
        document.commandLine = invocation["append"] ?? "console=ttyS0"
        if let image = invocation["image"] {
            let size = invocation.has("disk-size") ? try invocation.size("disk-size", default: 0) : nil
            document.disk = try DiskSource(image).makeDisk(
                "\(name).qcow2", size: size, in: try FolderPool.usual(on: service), on: service)
        }
        let result: Swift.Result<Void, any Error> = .init {
            let machine = try service.server.call(
                Procedures.domainCreateXML, Message(document.xml, endsWithConnection)
            ).fields
            try ConsoleLink.attach(to: machine, of: service)
            if try service.machines().contains(where: { $0.uuid == machine.uuid }) {
                _ = try service.server.call(Procedures.domainDestroy, Message(machine))
            }
        }
        if let disk = document.disk { try UploadedVolume.remove(disk, on: service) }
        try result.get()
    }
}

/// Ports of this host that nobody uses.
enum FreePort {
    /// One that is free now.
    static func find() throws(UserError) -> UInt16 {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw UserError("cannot find a free port") }
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        // Loopback, and any port.
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The address is on this frame, passed with its own size as the sockaddr that both calls take.
        let isBound = unsafe withUnsafeMutablePointer(to: &address) { place in
            unsafe place.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(socket, $0, length) == 0 && getsockname(socket, $0, &length) == 0
            }
        }
        guard isBound else { throw UserError("cannot find a free port") }
        return UInt16(bigEndian: address.sin_port)
    }
}
