// SPDX-License-Identifier: Apache-2.0

import DaemonAssembly
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
import RPCTestKit
import SecretStore
import ServiceTestKit
import StateStore
import StorageBackends
import Testing
import XDRCoding

/// A service with one machine, pool, filter and secret, whose emulator only says what it has.
struct PrivateService {
    let folder = "/tmp/roost-service-\(UniqueID.random())"
    let core: ManagementCore
    let machine: UniqueID
    private let server: RPCServer

    init() throws {
        try StateFiles.makeFolder(folder + "/pool")
        let program = folder + "/emulator"
        try ScriptedEmulator.install(at: program)
        let options = try DaemonOptions([
            "--socket", folder + "/sock", "--state", folder + "/state", "--emulator", program,
        ])
        core = try DaemonProgram.makeCore(options, try ScriptedEmulator.facts(program))
        machine = try core.machines.define(
            """
            <domain type='qemu'><name>m</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
            <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='file'><source file='\(folder)/pool/a'/>
            <target dev='vda' bus='virtio'/></disk><graphics type='vnc' passwd='hidden'/></devices></domain>
            """
        ).uuid
        try StateFiles.write(folder + "/pool/a", String(repeating: "x", count: 4096))
        let pool = try core.pools.add(
            "<pool type='dir'><name>p</name><target><path>\(folder)/pool</path></target></pool>", persistent: true)
        try core.pools.start(pool.uuid, builds: false)
        _ = try core.filters.define("<filter name='f'/>")
        _ = try core.secrets.define(
            "<secret ephemeral='no' private='no'><usage type='ceph'><name>s</name></usage></secret>")
        let table = ServiceTable.make()
        let loop = try EventLoop()
        _ = try HostThread(name: "streams") { loop.run() }
        let core = core
        server = try RPCServer { ServiceConnection(core: core, table: table, connection: $0, streamLoop: loop) }
        for isReadOnly in [false, true] {
            let path = isReadOnly ? folder + "/sock-ro" : folder + "/sock"
            server.listen(on: try LocalSocket.listen(path: path, mode: 0o700), readOnly: isReadOnly)
        }
        try server.start()
    }

    /// An opened connection.
    func connect(readOnly: Bool) throws -> WireClient {
        let client = try WireClient(folder + (readOnly ? "/sock-ro" : "/sock"))
        #expect(try client.error(Procedures.connectOpen, Message("qemu:///system", 0)) == nil)
        return client
    }

    /// Names and contents of all files.
    func files() throws -> [String: String] {
        var found: [String: String] = [:]
        var pending = [folder]
        while let place = pending.popLast() {
            for name in StateFiles.names(in: place, suffix: "") {
                let path = place + "/" + name
                var information = stat()
                // lstat copies the path and fills the struct on this frame.
                guard unsafe lstat(path, &information) == 0 else { continue }
                switch information.st_mode & S_IFMT {
                case S_IFDIR:
                    pending.append(path)
                    found[path] = "folder"
                case S_IFREG: found[path] = try StateFiles.read(path) ?? ""
                default: found[path] = "other"
                }
            }
        }
        return found
    }
}

@Suite struct ReadOnlyTests {
    /// Arguments for any call: the machine's handle, then words of one kind.
    private func payloads(_ service: PrivateService) -> [[UInt8]] {
        var handle = XDRWriter()
        DomainHandle(name: "m", uuid: service.machine, id: -1).encode(to: &handle)
        let zeros = [UInt8](repeating: 0, count: 4096)
        let ones = (0..<1024).flatMap { _ in [0, 0, 0, 1] as [UInt8] }
        var path = XDRWriter()
        (service.folder + "/pool/a").encode(to: &path)
        return [
            [], zeros, ones, handle.bytes + zeros, handle.bytes + ones, path.bytes + zeros,
            handle.bytes + path.bytes + zeros,
        ]
    }

    @Test func noCallOfAReadOnlyConnectionChangesAnything() throws {
        let service = try PrivateService()
        let table = ServiceTable.make()
        let before = try service.files()
        var refused = 0
        // Closing would end the walk; streams and events have answers of their own.
        let skipped: [Int32] = [2]
        for program in [WireProgram.remote, .qemu] {
            for number in table.numbers(of: program) where program == .qemu || !skipped.contains(number) {
                let header = FrameHeader(program: program.rawValue, procedure: number, type: .call, serial: 77)
                let facts = try #require(table.facts(of: header))
                let client = try service.connect(readOnly: true)
                for payload in payloads(service) {
                    try client.send(header.frame { $0.raw(payload) })
                    var reply = try #require(try client.receive(), "\(facts.name) ended the connection")
                    while reply.header.serial != 77 || reply.header.type != FrameType.reply.rawValue {
                        reply = try #require(try client.receive())
                    }
                    guard facts.access == .write else { continue }
                    #expect(reply.header.status == FrameStatus.error.rawValue, "\(facts.name)")
                    let error = try WireError(from: &reply.body)
                    #expect(error.code == ErrorCode.operationDenied.number, "\(facts.name): \(error.message ?? "")")
                    refused += 1
                }
            }
        }
        #expect(refused > 500)
        #expect(try service.files() == before)
        #expect(try service.core.machines.facts(service.machine).isPersistent)
    }

    @Test func secretsOfDocumentsAreNotShown() throws {
        let service = try PrivateService()
        let handle = DomainHandle(name: "m", uuid: service.machine, id: -1)
        let client = try service.connect(readOnly: true)
        let secure: UInt32 = 1
        #expect(
            try client.error(Procedures.domainGetXMLDesc, Message(handle, secure))?.code
                == ErrorCode.operationDenied.number)
        try client.call(Procedures.domainGetXMLDesc, Message(handle, 0))
        var reply = try #require(try client.receive())
        #expect(try !String(from: &reply.body).contains("hidden"))
    }

    @Test func whoOpenedForReadingChangesNothingOnTheOtherSocketEither() throws {
        let service = try PrivateService()
        let client = try WireClient(service.folder + "/sock")
        #expect(try client.error(Procedures.connectOpen, Message(nil, 1)) == nil)
        let handle = DomainHandle(name: "m", uuid: service.machine, id: -1)
        #expect(
            try client.error(Procedures.domainUndefine, Message(handle))?.code == ErrorCode.operationDenied.number)
    }

    @Test func callsBeforeOpeningAreRefused() throws {
        let service = try PrivateService()
        let table = ServiceTable.make()
        let client = try WireClient(service.folder + "/sock")
        for number in table.numbers(of: .remote) {
            let header = FrameHeader(program: WireProgram.remote.rawValue, procedure: number, type: .call, serial: 5)
            guard try #require(table.facts(of: header)).worksUnopened == false else { continue }
            try client.send(header.frame())
            let reply = try #require(try client.receive())
            #expect(reply.header.status == FrameStatus.error.rawValue, "\(number)")
        }
    }
}
