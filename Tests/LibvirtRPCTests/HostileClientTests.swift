// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostSystem
import LibvirtProtocol
import LibvirtRPC
import LocalSockets
import ManagementModel
import RandomKit
import RPCTestKit
import Testing
import XDRCoding

/// Answers everything.
private final class Willing: ConnectionHandler, @unchecked Sendable {
    private let table: CallTable<Willing>
    init(_ table: CallTable<Willing>) { self.table = table }
    func received(_ frame: Frame, on connection: ClientConnection) {
        table.dispatch(frame, on: connection, context: self) { _ in }
    }
    func closed() {}
}

/// A server whose bounds are so small that a test reaches them.
private struct SmallServer {
    let path = "/tmp/roost-hostile-\(UniqueID.random())"
    let server: RPCServer

    init(_ change: (inout RPCServer.Limits) -> Void = { _ in }) throws {
        let table = CallTable<Willing>()
        let long = String(repeating: "x", count: 100_000)
        table.answer(Procedures.connectGetHostname) { _, _ in "here" }
        table.answer(Procedures.connectGetCapabilities) { _, _ in long }
        table.answer(Procedures.domainDefineXML, .blocking) { _, _, _ in
            DomainHandle(name: "", uuid: .random(), id: -1)
        }
        var limits = RPCServer.Limits()
        limits.memory = 4 << 20
        limits.descriptors = 64
        limits.keepaliveInterval = 100_000_000
        change(&limits)
        server = try RPCServer(limits: limits) { _ in Willing(table) }
        server.listen(on: try LocalSocket.listen(path: path, mode: 0o700), readOnly: false)
        try server.start()
    }

    /// Another client gets its answer.
    func serves() throws -> Bool {
        let client = try WireClient(path)
        return try client.error(Procedures.connectGetHostname, Message()) == nil
    }

    /// The head of a message of `length` bytes that defines a machine.
    static func head(_ length: UInt32) -> [UInt8] {
        var bytes = FrameHeader(program: WireProgram.remote.rawValue, procedure: 11, type: .call, serial: 1).frame()
        for place in 0..<4 { bytes[place] = UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32(place))) }
        return bytes
    }
}

/// Connections that stay open without being used.
private final class HeldClients {
    private var numbers: [Int32] = []
    func hold(_ client: borrowing WireClient) { numbers.append(dup(client.socket.number)) }
    func dropLast() { if let number = numbers.popLast() { close(number) } }
    deinit { for number in numbers { close(number) } }
}

/// Waits until a socket takes more, for some milliseconds at most.
private func isWritable(_ number: Int32, within milliseconds: Int32) -> Bool {
    var wanted = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
    // The request lives on this frame.
    return unsafe poll(&wanted, 1, milliseconds) > 0
}

/// Raises the number of descriptors of this process as far as it may.
private func descriptorLimit() -> Int {
    var limit = rlimit()
    // The limit lives on this frame.
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
    limit.rlim_cur = limit.rlim_max
    _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int(clamping: limit.rlim_cur)
}

@Suite(.serialized) struct HostileClientTests {
    @Test func partsOfLargeMessagesStayWithinTheBudget() throws {
        let small = try SmallServer()
        let part = [UInt8](repeating: 1, count: 1 << 20)
        let clients = HeldClients()
        var dropped = 0
        for _ in 0..<8 {
            let client = try WireClient(small.path)
            do {
                try client.send(SmallServer.head(32 << 20))
                try client.send(part)
                try client.send(part)
            } catch { dropped += 1 }
            // Its descriptor stays open: the message never ends.
            clients.hold(client)
        }
        #expect(try small.serves())
        #expect(small.server.memory.used <= small.server.memory.limit)
        #expect(dropped > 0)
    }

    @Test func aMessageThatIsWithinTheBudgetArrives() throws {
        let small = try SmallServer { $0.memory = 16 << 20 }
        let client = try WireClient(small.path)
        let text = String(repeating: "x", count: 3 << 20)
        for _ in 0..<4 { #expect(try client.error(Procedures.domainDefineXML, Message(text)) == nil) }
        // All of it is given back when the call is done; the reply may come a moment earlier.
        for _ in 0..<1000 where small.server.memory.used > 0 { sched_yield() }
        #expect(try small.serves())
    }

    @Test func aMessageWhoseRestDoesNotComeEndsTheConnection() throws {
        let small = try SmallServer { $0.connection.partialPatience = 200_000_000 }
        let client = try WireClient(small.path)
        try client.send(SmallServer.head(1 << 20))
        try client.send([UInt8](repeating: 1, count: 200_000))
        #expect(try client.receive() == nil)
        #expect(try small.serves())
    }

    @Test func aClientThatNeverReadsIsNotServedOnAndOn() throws {
        let small = try SmallServer { $0.memory = 64 << 20 }
        let client = try WireClient(small.path)
        try client.socket.setNonBlocking(true)
        let header = FrameHeader(program: WireProgram.remote.rawValue, procedure: 7, type: .call, serial: 1)
        let calls = Array(repeating: header.frame(), count: 10000).flatMap { $0 }
        // Sent until nobody has taken any of it for a while.
        var offset = 0
        while offset < calls.count, isWritable(client.socket.number, within: 500) {
            do throws(Errno) { offset += try LocalSocket.send(client.socket.number, calls, from: offset) } catch {
                guard error == .wouldBlock else { break }
            }
        }
        #expect(try small.serves())
        // One window and the answer that went beyond it.
        #expect(small.server.memory.used < 2 << 20)
    }

    @Test func manyWhoNeverReadShareTheBudget() throws {
        let small = try SmallServer()
        let header = FrameHeader(program: WireProgram.remote.rawValue, procedure: 7, type: .call, serial: 1)
        let calls = Array(repeating: header.frame(), count: 100).flatMap { $0 }
        let clients = HeldClients()
        for _ in 0..<40 {
            let client = try WireClient(small.path)
            try client.send(calls)
            clients.hold(client)
        }
        #expect(try small.serves())
        // Beyond the budget goes at most one answer of each.
        #expect(small.server.memory.used <= small.server.memory.limit + 40 * 110_000)
    }

    @Test func passedDescriptorsAreBounded() throws {
        let small = try SmallServer()
        var ended = 0
        let clients = HeldClients()
        for _ in 0..<20 {
            let client = try WireClient(small.path)
            for _ in 0..<20 {
                // The first bytes of a length that never ends, each with a descriptor.
                do throws(Errno) {
                    _ = try LocalSocket.send(client.socket.number, [0], passing: client.socket.number)
                } catch {
                    ended += 1
                    break
                }
            }
            clients.hold(client)
        }
        #expect(try small.serves())
        #expect(small.server.descriptors.used <= small.server.descriptors.limit)
    }

    @Test func aHalfClosedClientGetsWhatItAskedFor() throws {
        let small = try SmallServer()
        let client = try WireClient(small.path)
        try client.call(Procedures.connectGetHostname, Message())
        shutdown(client.socket.number, Int32(SHUT_WR))
        #expect(try client.receive() != nil)
        #expect(try client.receive() == nil)
        #expect(try small.serves())
    }

    @Test func aMessageByteByByteIsAMessage() throws {
        let small = try SmallServer()
        let client = try WireClient(small.path)
        let header = FrameHeader(program: WireProgram.remote.rawValue, procedure: 59, type: .call, serial: 3)
        for byte in header.frame() { try client.send([byte]) }
        #expect(try client.receive()?.header.serial == 3)
    }

    @Test func fiveThousandClientsAreServed() throws {
        let room = (descriptorLimit() - 500) / 2
        let count = min(5000, room)
        guard count >= 500 else {
            print("fiveThousandClientsAreServed: skipped: this process may have too few descriptors (ulimit -n)")
            return
        }
        let small = try SmallServer { $0.clients = count }
        let clients = HeldClients()
        let call = FrameHeader(program: WireProgram.remote.rawValue, procedure: 59, type: .call, serial: 9).frame()
        for _ in 0..<count {
            let client = try WireClient(small.path)
            try client.send(call)
            #expect(try client.receive()?.header.serial == 9)
            clients.hold(client)
        }
        #expect(small.server.clientCount == count)
        // One more is turned away, and a place that becomes free is given again.
        let late = try WireClient(small.path)
        try? late.send(call)
        #expect(try late.receive() == nil)
        clients.dropLast()
        var served = false
        for _ in 0..<1000 where !served {
            let next = try WireClient(small.path)
            try? next.send(call)
            served = try next.receive() != nil
        }
        #expect(served)
    }

    @Test func rubbishOfAllKindsLeavesOthersServed() throws {
        let small = try SmallServer()
        var numbers = SeededGenerator(seed: 7)
        let call = FrameHeader(program: WireProgram.remote.rawValue, procedure: 11, type: .call, serial: 9)
        let frame = call.frame { String(repeating: "<a/>", count: 50).encode(to: &$0) }
        for _ in 0..<300 {
            let client = try WireClient(small.path)
            for _ in 0..<4 { try? client.send(Damage.bytes(frame, &numbers)) }
        }
        #expect(try small.serves())
    }
}
