// SPDX-License-Identifier: Apache-2.0

internal import XDRCoding
internal import CharacterStreams
internal import ClientKit
internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import LibvirtProtocol

/// This terminal as a machine's serial console.
enum ConsoleLink {
    /// Ctrl-].
    private static let leaveKey: UInt8 = 0x1D
    private static let chunk = 4096

    /// Connects the terminal until the machine ends or Ctrl-] is typed.
    static func attach(to machine: DomainHandle, of service: Service) throws {
        guard try service.state(machine).isActive else {
            throw UserError("\(machine.name) does not run", remedy: "start it with: roost start \(machine.name)")
        }
        let stream = try service.server.openStream(Procedures.domainOpenConsole, Message(machine, nil, 0))
        try FileDescriptor.writeAll(Array("Connected to \(machine.name). Ctrl-] leaves.\n".utf8), to: STDERR_FILENO)
        TerminalMode.enterRaw(signals: false)
        defer { TerminalMode.restore() }
        try relay(stream, service.server)
    }

    private static func relay(_ stream: ClientStream, _ server: ServerConnection) throws {
        var readsKeyboard = true
        while true {
            if server.hasWaiting { if try !show(stream) { return } else { continue } }
            var wanted = [
                pollfd(fd: server.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: readsKeyboard ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
            ]
            // Two entries, which live for the call.
            _ = try retrying { unsafe poll(&wanted, 2, -1) }
            if wanted[0].revents != 0, try !show(stream) { return }
            guard wanted[1].revents != 0 else { continue }
            let typed = readKeyboard()
            if typed.isEmpty { readsKeyboard = false }
            let rest = typed.prefix { $0 != leaveKey }
            try stream.send(Array(rest))
            if rest.count < typed.count { return try stream.abort() }
        }
    }

    /// Shows what the machine wrote; false at the end.
    private static func show(_ stream: ClientStream) throws -> Bool {
        switch try stream.receive() {
        case .data(let bytes): try FileDescriptor.writeAll(bytes, to: STDOUT_FILENO)
        case .hole: break
        case .end: return false
        }
        return true
    }

    private static func readKeyboard() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: chunk)
        // The array lives for the call.
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(STDIN_FILENO, $0.baseAddress!, $0.count) }
        return Array(bytes.prefix(max(0, count)))
    }
}
