// SPDX-License-Identifier: Apache-2.0

import ClientKit
import HostSystem
import LibvirtProtocol
import LocalSockets
import ManagementModel
import Testing
import XDRCoding

/// A server that answers one connection with prepared frames, one batch for each frame that it gets.
private final class ScriptedServer: Sendable {
    let path: String

    init(_ answers: [[UInt8]]) throws {
        path = "/tmp/roost-client-\(UInt64.random(in: 0 ... .max)).sock"
        let listener = try LocalSocket.listen(path: path, mode: 0o700).release()
        _ = try HostThread(name: "server") {
            let listener = FileDescriptor(owning: listener)
            while true {
                guard let socket = try? LocalSocket.accept(listener.number) else { continue }
                try? socket.setNonBlocking(false)
                for answer in answers {
                    var bytes: [UInt8] = []
                    var none: [Int32] = []
                    guard
                        (try? LocalSocket.receive(socket.number, limit: 65536, into: &bytes, descriptors: &none)) ?? 0
                            > 0
                    else { return }
                    try? socket.writeAll(answer)
                }
                return
            }
        }
    }
}

@Suite("Calls of a client")
struct ServerConnectionTests {
    private func frame(
        _ type: FrameType, _ serial: UInt32 = 1, procedure: Int32 = 273, status: FrameStatus = .ok,
        program: WireProgram = .remote, _ body: (inout XDRWriter) -> Void = { _ in }
    ) -> [UInt8] {
        FrameHeader(program: program.rawValue, procedure: procedure, type: type, serial: serial, status: status)
            .frame(body)
    }

    private func connection(_ answers: [UInt8]...) throws -> ServerConnection {
        try ServerConnection(path: try ScriptedServer(answers).path)
    }

    private let machine = DomainHandle(name: "web", uuid: .random(), id: 3)

    @Test("a reply is the call's result")
    func reply() throws {
        let server = try connection(frame(.reply) { Message([machine], UInt32(1)).encode(to: &$0) })
        #expect(try server.call(Procedures.connectListAllDomains, Message(1, 0)).fields.0 == [machine])
    }

    @Test("an error is thrown with the server's number and words")
    func refusal() throws {
        let error = WireError(ManagementError(.noDomain, "no domain with matching name 'x'"))
        let server = try connection(frame(.reply, status: .error) { error.encode(to: &$0) })
        #expect(throws: ClientError.refused(code: 42, message: error.message ?? "")) {
            try server.call(Procedures.connectListAllDomains, Message(1, 0))
        }
    }

    @Test("messages that come before a reply are kept, pings are answered")
    func messages() throws {
        let event = frame(.message, 0, procedure: EventMessages.domainEventCallbackLifecycle.number) {
            Message(Int32(7), Message(machine, Int32(2), Int32(0))).encode(to: &$0)
        }
        let ping = frame(.message, 0, procedure: 1, program: .keepalive)
        let server = try connection(ping + event, frame(.reply) { Message([machine], UInt32(1)).encode(to: &$0) })
        _ = try server.call(Procedures.connectListAllDomains, Message(1, 0))
        #expect(server.hasWaiting)
        let body = try server.nextMessage().body(of: EventMessages.domainEventCallbackLifecycle)
        #expect(body?.fields.0 == 7)
        #expect(body?.fields.1.fields.0 == machine)
    }

    @Test("a stream carries data and holes until its end")
    func stream() throws {
        let packets =
            frame(.reply) + frame(.stream, status: .more) { $0.raw([1, 2, 3]) }
            + frame(.streamHole, status: .more) { Message(Int64(4096), UInt32(0)).encode(to: &$0) } + frame(.stream)
        let server = try connection(packets)
        let volume = VolumeHandle(pool: "p", name: "v", key: "k")
        let stream = try server.openStream(Procedures.storageVolDownload, Message(volume, 0, 0, 1))
        #expect(try stream.receive() == .data([1, 2, 3]))
        #expect(try stream.receive() == .hole(4096))
        #expect(try stream.receive() == .end)
    }

    @Test("what is no frame ends in an error, and so does an end in the middle")
    func malformed() throws {
        for bytes in [[0, 0, 0, 3], [0xFF, 0xFF, 0xFF, 0xFF], frame(.reply).dropLast(2), frame(.reply, 9)].map(
            Array.init)
        {
            let server = try connection(bytes)
            #expect(throws: ClientError.self) { try server.call(Procedures.connectListAllDomains, Message(1, 0)) }
        }
    }

    @Test("nobody at the socket")
    func unreachable() {
        #expect(throws: ClientError.unreachable(path: "/nonexistent/s", .noEntry)) {
            try ServerConnection(path: "/nonexistent/s")
        }
    }

    @Test(
        "URIs",
        arguments: [
            ("qemu:///system", "qemu:///system", "/run/libvirt/libvirt-sock"),
            ("qemu+unix:///system", "qemu:///system", "/run/libvirt/libvirt-sock"),
            ("qemu:///session?socket=/a/b", "qemu:///session", "/a/b"),
        ])
    func addresses(typed: String, uri: String, socket: String) {
        let address = ServerAddress(uri: typed)
        #expect(address?.uri == uri && address?.socket == socket)
        #expect(ServerAddress(uri: "xen:///") == nil)
    }
}
