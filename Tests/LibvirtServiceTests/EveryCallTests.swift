// SPDX-License-Identifier: Apache-2.0

import ClientKit
import LibvirtProtocol
import LibvirtRPC
import LibvirtService
import ManagementModel
import RandomKit
import Testing
import WireTestKit
import XDRCoding

/// Properties of every call that the service answers.
@Suite struct EveryCallTests {
    private static let answered: [WireProbe] = {
        let table = ServiceTable.make()
        let numbers = [WireProgram.remote: Set(table.numbers(of: .remote)), .qemu: Set(table.numbers(of: .qemu))]
        return EveryMessage.procedures.filter { numbers[$0.program]?.contains($0.number) ?? false }
    }()

    private func error(_ reply: (header: FrameHeader, body: XDRReader)) throws -> WireError? {
        guard reply.header.status == FrameStatus.error.rawValue else { return nil }
        var body = reply.body
        return try WireError(from: &body)
    }

    @Test func readersMayNotChangeAnything() throws {
        let service = try TestService()
        let bySocket = try service.rawClient(readOnly: true)
        let byChoice = try RawClient(service.folder + "/socket")
        _ = try byChoice.call(.remote, 1) { Message<String?, UInt32>(nil, 1).encode(to: &$0) }
        let changes = Self.answered.filter { $0.access == .write }
        #expect(changes.count > 100)
        for call in changes {
            for error in [
                try error(bySocket.call(call.program, call.number)),
                try error(byChoice.call(call.program, call.number)),
            ] {
                #expect(error?.code == ErrorCode.operationDenied.number, "\(call)")
                #expect(error?.message == "operation forbidden: read only access prevents \(call.name)")
            }
        }
    }

    @Test func nothingWorksBeforeTheConnectionIsOpen() throws {
        let service = try TestService()
        let client = try RawClient(service.folder + "/socket")
        let early: Set<Int32> = [1, 2, 60, 66, 67, 68, 69, 70]
        for call in Self.answered where !(call.program == .remote && early.contains(call.number)) {
            let error = try error(client.call(call.program, call.number))
            #expect(error?.message == "internal error: connection not open", "\(call)")
        }
    }

    /// These look first for a descriptor that comes with the message.
    private static let takesFiles: Set<String> = ["virDomainOpenGraphics", "virDomainOpenGraphicsFD"]

    /// Calls of a machine, a pool, a secret... that is not there say so. Some look at their other arguments first.
    @Test func whatIsNotThereIsSaidToBeAbsent() throws {
        let service = try TestService()
        let client = try service.rawClient()
        let kinds: [(prefix: String, handle: any XDRValue, code: ErrorCode)] = [
            ("virDomain", DomainHandle(name: "x", uuid: .random(), id: -1), .noDomain),
            ("virStoragePool", PoolHandle(name: "x", uuid: .random()), .noStoragePool),
            ("virStorageVol", VolumeHandle(pool: "x", name: "y", key: "/z"), .noStoragePool),
            ("virSecret", SecretHandle(uuid: .random(), usageType: 1, usageID: "/z"), .noSecret),
            ("virNWFilter", NWFilterHandle(name: "x", uuid: .random()), .noNwfilter),
            ("virNetwork", NetworkHandle(name: "x", uuid: .random()), .noNetwork),
            ("virNodeDevice", NodeDeviceHandle(name: "x"), .noNodeDevice),
        ]
        let otherFaults: [ErrorCode] = [
            .invalidArg, .argumentUnsupported, .xmlError, .xmlDetail, .operationUnsupported, .configUnsupported,
            .noSupport,
        ]
        var (random, absent, others) = (SeededGenerator(seed: 7), 0, 0)
        for kind in kinds {
            var writer = XDRWriter()
            kind.handle.encode(to: &writer)
            for call in Self.answered where call.name.hasPrefix(kind.prefix) && !Self.takesFiles.contains(call.name) {
                guard var bytes = call.arguments.sample(using: &random, after: writer.bytes),
                    bytes.starts(with: writer.bytes)
                else { continue }
                // Flags that nobody knows would be refused first.
                if FlagRules.numbers.contains(call.number), bytes.count > writer.bytes.count {
                    bytes = bytes.dropLast(4) + [0, 0, 0, 0]
                }
                guard let error = try error(client.call(call.program, call.number, { $0.raw(bytes) })) else {
                    // Calls that take no handle at all, such as the opening of a file, may succeed.
                    continue
                }
                if error.code == kind.code.number {
                    absent += 1
                } else {
                    others += 1
                    #expect(
                        otherFaults.contains { $0.number == error.code } || call.name.contains("Lookup")
                            || call.name.contains("Create") || call.name.contains("Define"),
                        "\(call): \(error.code) \(error.message ?? "")")
                }
            }
        }
        #expect(absent > 150 && others < absent / 4)
    }

    /// What would change this host, end the connection or wait for a machine's process.
    private static let notTried: Set<String> = [
        "virConnectOpen", "virConnectClose", "virNodeSuspendForDuration", "virNodeSetMemoryParameters",
        "virDomainCreate", "virDomainCreateWithFlags",
    ]

    /// A client may say anything: each call ends in a reply, and the service lives on.
    @Test func anyArgumentsGetAnAnswer() throws {
        let service = try TestService()
        let friend = try service.client()
        let domain = try friend.call(Procedures.domainDefineXML, Message(TestService.domain("m"))).fields
        let pool = try service.startPool(friend)
        let text = "<volume><name>v</name><capacity>5000</capacity></volume>"
        let volume = try friend.call(Procedures.storageVolCreateXML, Message(pool, text, 0)).fields
        let secret = try friend.call(Procedures.secretDefineXML, Message("<secret/>", 0)).fields
        var starts: [[UInt8]] = [[]]
        for value in [domain, SnapshotHandle(name: "s", domain: domain), pool, volume, secret] as [any XDRValue] {
            var writer = XDRWriter()
            value.encode(to: &writer)
            starts.append(writer.bytes)
        }
        let client = try service.rawClient()
        for (place, call) in Self.answered.enumerated() where !Self.notTried.contains(call.name) {
            var random = SeededGenerator(seed: UInt64(place))
            for start in starts {
                guard let bytes = call.arguments.sample(using: &random, after: start), bytes.starts(with: start) else {
                    continue
                }
                _ = try client.call(call.program, call.number) { $0.raw(bytes) }
            }
        }
        #expect(try friend.call(Procedures.connectGetType, Message()).fields == "QEMU")
    }

    @Test func argumentsThatAreCutShortAreRefused() throws {
        let service = try TestService()
        let client = try service.rawClient()
        var random = SeededGenerator(seed: 3)
        for call in Self.answered where !Self.notTried.contains(call.name) {
            guard let bytes = call.arguments.sample(using: &random), bytes.count > 4 else { continue }
            let error = try error(client.call(call.program, call.number, { $0.raw(bytes.dropLast(4)) }))
            // What stands at the end may be taken for flags that nobody knows.
            #expect(
                error?.message == "Unable to decode message payload"
                    || error?.message?.contains("unsupported flags") ?? false, "\(call)")
        }
    }
}
