// SPDX-License-Identifier: Apache-2.0

import ClientKit
import Glibc
import HostIO
import HostInventory
import HostSystem
import LibvirtProtocol
import LibvirtRPC
import LibvirtService
import LocalSockets
import MachineDriver
import ManagementCore
import ManagementModel
import NetworkFilters
import SecretStore
import ServiceTestKit
import StateStore
import StorageBackends
import StorageTestKit
import Testing
import VirtualNetworks
import XDRCoding

/// The whole management service in a folder of its own, with an emulator that only says what it has.
final class TestService: Sendable {
    let folder: String
    let core: ManagementCore
    private let server: RPCServer

    init() throws {
        folder = "/tmp/roost-service-\(UniqueID.random())"
        try StateFiles.makeFolder(folder)
        try ScriptedEmulator.install(at: folder + "/emulator")
        core = try Self.makeCore(folder)
        let table = ServiceTable.make()
        let streams = try EventLoop()
        _ = try HostThread(name: "streams") { streams.run() }
        var limits = RPCServer.Limits()
        limits.loops = 1
        limits.workers = 2
        server = try RPCServer(limits: limits) { [core] in
            ServiceConnection(core: core, table: table, connection: $0, streamLoop: streams)
        }
        server.listen(on: try LocalSocket.listen(path: folder + "/socket", mode: 0o700), readOnly: false)
        server.listen(on: try LocalSocket.listen(path: folder + "/socket-ro", mode: 0o700), readOnly: true)
        try server.start()
    }

    deinit { _ = run("rm -rf '\(folder)'") }

    private static func makeCore(_ folder: String) throws -> ManagementCore {
        let events = EventHub()
        let facts = try ScriptedEmulator.facts(folder + "/emulator")
        let folders = MachineFolders(
            configuration: folder + "/etc", state: folder + "/lib", runtime: folder + "/run", logs: folder + "/log")
        return ManagementCore(
            capabilities: Capabilities(host: HostFacts(), emulator: facts),
            machines: try MachineDriver(folders: folders, emulator: facts, imageTool: "/bin/false", events: events) {
                _ in throw ManagementError(.noNetwork, "none here", from: .network)
            },
            pools: try PoolDriver(folder: folder + "/etc/storage", imageTool: "/bin/false", events: events),
            networks: try NetworkDriver(
                folder: folder + "/etc/networks", runtime: folder + "/run/network", state: folder + "/lib/dnsmasq",
                events: events),
            secrets: try SecretDriver(folder: folder + "/etc/secrets", events: events),
            filters: try FilterDriver(folder: folder + "/etc/nwfilter"), events: events, isSystem: false)
    }

    /// A client that has opened the driver.
    func client(readOnly: Bool = false) throws -> ServerConnection {
        let client = try ServerConnection(path: folder + (readOnly ? "/socket-ro" : "/socket"))
        try client.open("qemu:///session", readOnly: readOnly)
        return client
    }

    /// A client that sends bytes which nobody checked.
    func rawClient(readOnly: Bool = false) throws -> RawClient {
        let client = try RawClient(folder + (readOnly ? "/socket-ro" : "/socket"))
        let opened = try client.call(.remote, 1) { Message<String?, UInt32>(nil, 0).encode(to: &$0) }
        #expect(opened.header.status == 0)
        return client
    }

    static func domain(_ name: String, uuid: UniqueID = .random(), inside: String = "") -> String {
        """
        <domain type='qemu'><name>\(name)</name><uuid>\(uuid)</uuid><memory unit='MiB'>64</memory>
        <vcpu current='1'>4</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>\(inside)</domain>
        """
    }

    /// A pool of a folder that runs.
    func startPool(_ client: ServerConnection, _ name: String = "p") throws -> PoolHandle {
        let text = "<pool type='dir'><name>\(name)</name><target><path>\(folder)/\(name)</path></target></pool>"
        let pool = try client.call(Procedures.storagePoolDefineXML, Message(text, 0)).fields
        _ = try client.call(Procedures.storagePoolBuild, Message(pool, 0))
        _ = try client.call(Procedures.storagePoolCreate, Message(pool, 0))
        return pool
    }
}

/// A client whose frames are written by hand.
struct RawClient: ~Copyable {
    private let socket: FileDescriptor

    init(_ path: String) throws { socket = try LocalSocket.connect(path: path) }

    /// Sends a call and waits for its reply; whatever else comes in between is dropped.
    func call(
        _ program: WireProgram, _ number: Int32, _ body: (inout XDRWriter) -> Void = { _ in }
    ) throws -> (header: FrameHeader, body: XDRReader) {
        let header = FrameHeader(program: program.rawValue, procedure: number, type: .call, serial: 1)
        try socket.writeAll(header.frame(body))
        while true {
            let length = Int(try word(receive(4)))
            var reader = XDRReader(try receive(length - 4))
            let header = try FrameHeader(from: &reader)
            if header.type == FrameType.reply.rawValue, header.procedure == number { return (header, reader) }
        }
    }

    private func word(_ bytes: [UInt8]) throws -> UInt32 {
        var reader = XDRReader(bytes)
        return try reader.word()
    }

    private func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var none: [Int32] = []
        while bytes.count < count {
            let got = try LocalSocket.receive(
                socket.number, limit: count - bytes.count, into: &bytes, descriptors: &none)
            guard got > 0 else { throw Errno(ECONNRESET) }
        }
        return bytes
    }
}

/// The code of the error that a call ends with; nil when it succeeds.
func refusal(_ body: () throws -> Void) -> Int32? {
    do {
        try body()
        return nil
    } catch ClientError.refused(let code, _) {
        return code
    } catch {
        Issue.record("no answer: \(error)")
        return -1
    }
}
