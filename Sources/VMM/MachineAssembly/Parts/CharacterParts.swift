// SPDX-License-Identifier: Apache-2.0

internal import CharacterStreams
internal import ControlServer
internal import Diagnostics
internal import HostIO
internal import HostSystem
internal import MachineRuntime
internal import MachineSpec

/// The machine's character devices by identifier.
struct CharacterParts {
    private(set) var backends: [(identifier: String, backend: any CharacterBackend)] = []
    /// The same, for the monitors.
    let listed = CharacterDevices()
    private var multiplexers: [String: Multiplexer] = [:]

    /// Opens all of the description.
    mutating func open(
        _ spec: MachineSpec, loop: EventLoop, messages: Console, runner: MachineRunner
    ) throws(UserError) {
        for device in spec.characterDevices {
            try add(
                device, escape: spec.process.terminalEscape, loop: loop, messages: messages, runner: runner)
        }
    }

    /// Opens one more.
    mutating func add(
        _ device: CharacterDeviceSpec, escape: UInt8, loop: EventLoop, messages: Console, runner: MachineRunner
    ) throws(UserError) {
        let original = try Self.make(device, loop: loop, messages: messages)
        let stream = try Self.logged(original, device)
        backends.append((device.identifier, stream))
        listed.add(original)
        if device.isMultiplexed {
            let multiplexer = Multiplexer(stream: stream) { [runner] in
                runner.requestExit(status: 0, cause: .hostUI)
            }
            multiplexer.escape = escape
            multiplexers[device.identifier] = multiplexer
        }
    }

    /// The stream for one more front end: the device itself, or an end of its multiplexer.
    func frontEnd(_ identifier: String) throws(UserError) -> any CharacterBackend {
        if let multiplexer = multiplexers[identifier] { return multiplexer.makeBackend() }
        guard let found = backends.first(where: { $0.identifier == identifier }) else {
            throw UserError("Property 'chardev' can't find value '\(identifier)'")
        }
        return found.backend
    }

    func closeAll() {
        for entry in backends { entry.backend.close() }
    }

    /// The stream with its copy of the output, if one is asked for.
    private static func logged(
        _ stream: any CharacterBackend, _ device: CharacterDeviceSpec
    ) throws(UserError) -> any CharacterBackend {
        guard let path = device.logFile else { return stream }
        do throws(Errno) { return try LoggedStream(stream, path: path, appends: device.logAppends) } catch {
            throw UserError("Could not create '\(path)'", because: error, place: "-chardev \(device.identifier)")
        }
    }

    private static func make(
        _ device: CharacterDeviceSpec, loop: EventLoop, messages: Console
    ) throws(UserError) -> any CharacterBackend {
        let label = device.identifier
        do {
            switch device.backend {
            case .null: return NullStream(label: label)
            case .stdio(let signals):
                return try StandardStream(label: label, signals: signals && !device.isMultiplexed, loop: loop)
            case .file(let path, let input, let appends):
                return try FileStream(label: label, path: path, input: input, appends: appends, loop: loop)
            case .pipe(let path): return try PipeStream(label: label, path: path, loop: loop)
            case .pty(let path):
                let terminal = try PseudoTerminalStream(label: label, link: path, loop: loop)
                messages.info("char device redirected to \(terminal.path) (label \(label))")
                return terminal
            case .ringBuffer(let bytes): return RingStream(label: label, capacity: bytes)
            case .socket(let socket): return try makeSocket(label, socket, loop: loop, messages: messages)
            case .terminal(let path): return try PipeStream(label: label, path: path, loop: loop)
            case .udp(let host, let port, let localHost, let localPort):
                let local = localPort.map { (host: localHost ?? "", port: $0) }
                return try DatagramStream(
                    label: label, remote: (host, port), local: local ?? localHost.map { ($0, 0) }, loop: loop)
            }
        } catch let error as Errno {
            throw UserError(failure(of: device.backend), because: error, place: "-chardev \(label)")
        } catch let error as UserError {
            throw error.at("-chardev \(label)")
        } catch {
            throw UserError("\(error)", place: "-chardev \(label)")
        }
    }

    /// What could not be done with what.
    private static func failure(of backend: CharacterBackendSpec) -> String {
        switch backend {
        case .file(let path, _, _), .pipe(let path), .terminal(let path): "could not open '\(path)'"
        case .pty(let path?): "could not make a pseudo-terminal with the link '\(path)'"
        case .pty(nil): "could not make a pseudo-terminal"
        case .stdio: "could not use the terminal"
        case .null, .socket, .udp, .ringBuffer: "could not be made"
        }
    }

    private static func makeSocket(
        _ label: String, _ socket: CharacterSocketSpec, loop: EventLoop, messages: Console
    ) throws -> any CharacterBackend {
        let address: StreamAddress
        switch socket.address {
        case .unix(let path, let isAbstract): address = .unix(path: path, isAbstract: isAbstract)
        case .tcp(let host, let port, let ipv4, let ipv6):
            address = .tcp(host: host, port: port, ipv4: ipv4, ipv6: ipv6)
        case .descriptor(let text):
            guard let number = Int32(text) else { throw UserError("'\(text)' is no file descriptor's number") }
            return try SocketStream(
                label: label, descriptor: FileDescriptor(owning: number), isServer: socket.isServer, loop: loop)
        }
        var options = SocketStream.Options(address: address)
        options.isServer = socket.isServer
        options.waits = socket.waits
        options.isTelnet = socket.isTelnet
        options.noDelay = socket.noDelay
        options.reconnectSeconds = socket.reconnectSeconds
        return try SocketStream(label: label, options: options, loop: loop) { messages.info($0) }
    }
}
