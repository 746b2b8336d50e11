// SPDX-License-Identifier: Apache-2.0

import LibvirtProtocol
import Synchronization
import Testing
import XDRCoding

import HostSystem
import LibvirtRPC
import LocalSockets
import ManagementModel
import RPCTestKit

/// What connections of the tests answer with.
private final class Echo: ConnectionHandler, @unchecked Sendable {
    private let table: CallTable<Echo>
    private let connection: ClientConnection
    let closes: Counter

    init(_ table: CallTable<Echo>, _ connection: ClientConnection, _ closes: Counter) {
        self.table = table
        self.connection = connection
        self.closes = closes
    }

    func received(_ frame: Frame, on connection: ClientConnection) {
        table.dispatch(frame, on: connection, context: self) { facts in
            if facts.access == .write { throw ManagementError(.operationDenied, facts.name, from: .none) }
        }
    }

    func closed() { closes.add() }
}

/// The arguments of a call without any.
private typealias Nothing = Message<>

private final class Counter: Sendable {
    private let count = Atomic(0)
    func add() { count.add(1, ordering: .relaxed) }
    var value: Int { count.load(ordering: .relaxed) }
}

@Suite struct RPCServerTests {
    private let path: String
    private let server: RPCServer
    private let closes = Counter()

    init() throws {
        path = "/tmp/roost-rpc-\(UniqueID.random())"
        let table = CallTable<Echo>()
        table.answer(Procedures.connectGetHostname) { _, _ in "here" }
        table.answer(Procedures.domainLookupByName, .blocking) { _, _, name in
            throw ManagementError(.noDomain, name)
        }
        table.answer(Procedures.domainDefineXML) { _, _, _ in DomainHandle(name: "", uuid: .random(), id: -1) }
        var limits = RPCServer.Limits()
        limits.clients = 2
        let closes = closes
        server = try RPCServer(limits: limits) { Echo(table, $0, closes) }
        server.listen(on: try LocalSocket.listen(path: path, mode: 0o700), readOnly: false)
        try server.start()
    }

    @Test func aCallIsAnswered() throws {
        let client = try WireClient(path)
        try client.call(Procedures.connectGetHostname, Nothing(), serial: 7)
        var reply = try #require(try client.receive())
        #expect(reply.header.serial == 7 && reply.header.type == 1 && reply.header.status == 0)
        #expect(try String(from: &reply.body) == "here")
    }

    @Test func errorsCarryCodesAndWords() throws {
        let client = try WireClient(path)
        try client.call(Procedures.domainLookupByName, Message("m"))
        var reply = try #require(try client.receive())
        #expect(reply.header.status == 1)
        let error = try WireError(from: &reply.body)
        #expect(error.code == 42 && error.message == "Domain not found: m")
        try client.call(Procedures.domainDefineXML, Message("x"))
        reply = try #require(try client.receive())
        #expect(try WireError(from: &reply.body).code == ErrorCode.operationDenied.number)
    }

    @Test func unknownCallsAndProgramsGetAnError() throws {
        let client = try WireClient(path)
        for (program, number) in [(WireProgram.remote.rawValue, Int32(9999)), (1234, 1)] {
            try client.send(FrameHeader(program: program, procedure: number, type: .call, serial: 1).frame())
            var reply = try #require(try client.receive())
            #expect(try WireError(from: &reply.body).code == ErrorCode.rpc.number)
        }
    }

    @Test func truncatedArgumentsGetAnError() throws {
        let client = try WireClient(path)
        let header = FrameHeader(program: WireProgram.remote.rawValue, procedure: 23, type: .call, serial: 1)
        try client.send(header.frame { $0.word(99) })
        var reply = try #require(try client.receive())
        #expect(try WireError(from: &reply.body).message == "Unable to decode message payload")
    }

    @Test func aPingIsAnswered() throws {
        let client = try WireClient(path)
        try client.send(
            FrameHeader(program: WireProgram.keepalive.rawValue, procedure: 1, type: .message, serial: 0).frame())
        #expect(try client.receive()?.header.procedure == 2)
    }

    @Test(arguments: [[0, 0, 0, 3], [0x7f, 0, 0, 0], [0, 0, 0, 27]] as [[UInt8]])
    func lengthsThatCannotBeEndTheConnection(_ bytes: [UInt8]) throws {
        let client = try WireClient(path)
        try client.send(bytes)
        #expect(try client.receive() == nil)
        // Others are served.
        let other = try WireClient(path)
        try other.call(Procedures.connectGetHostname, Nothing())
        #expect(try other.receive() != nil)
    }

    @Test func clientsBeyondTheLimitAreTurnedAway() throws {
        let first = try WireClient(path)
        let second = try WireClient(path)
        try first.call(Procedures.connectGetHostname, Nothing())
        try second.call(Procedures.connectGetHostname, Nothing())
        #expect(try first.receive() != nil)
        #expect(try second.receive() != nil)
        let third = try WireClient(path)
        #expect(try third.receive() == nil)
    }
}
