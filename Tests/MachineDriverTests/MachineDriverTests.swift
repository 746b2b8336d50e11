// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostInventory
import HostSystem
import MachineDriver
import ManagementModel
import ServiceTestKit
import StateStore
import Testing

/// A driver in a folder of its own, with an emulator that only says what it has.
struct Workshop {
    let folder: String
    let machines: MachineDriver
    let events = EventHub()

    init() throws {
        folder = "/tmp/roost-machines-\(UniqueID.random())"
        try StateFiles.makeFolder(folder)
        try ScriptedEmulator.install(at: folder + "/emulator")
        machines = try Self.open(folder, events)
    }

    static func open(_ folder: String, _ events: EventHub = EventHub()) throws -> MachineDriver {
        let folders = MachineFolders(
            configuration: folder + "/etc", state: folder + "/lib", runtime: folder + "/run", logs: folder + "/log")
        return try MachineDriver(
            folders: folders, emulator: try ScriptedEmulator.facts(folder + "/emulator"), imageTool: "/bin/false",
            events: events
        ) { _ in throw ManagementError(.noNetwork, "none here", from: .network) }
    }

    func define(_ name: String = "m", devices: String = "", system: String = "") throws -> UniqueID {
        try machines.define(
            """
            <domain type='qemu'><name>\(name)</name><memory unit='MiB'>64</memory><vcpu current='1'>4</vcpu>
            <os><type arch='x86_64' machine='pc'>hvm</type>\(system)</os><devices>\(devices)</devices></domain>
            """
        ).uuid
    }

    func document(_ uuid: UniqueID) throws -> String { try machines.document(uuid, []) }
}

private let configuration = ProcessorScope(live: false, configuration: true, maximum: false)
private let disk = "<disk type='file'><source file='/x.img'/><target dev='vda' bus='virtio'/></disk>"

private func code(_ error: any Error) -> ErrorCode? { (error as? ManagementError)?.code }

@Suite struct MachineDriverTests {
    @Test func aDefinitionIsFoundAgain() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        try shop.machines.setAutostart(uuid, true)
        let again = try Workshop.open(shop.folder)
        again.recover()
        #expect(try again.document(uuid, []) == shop.document(uuid))
        #expect(try again.facts(uuid).startsWithService)
    }

    @Test func devicesAreAddedFoundAndRemoved() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        try shop.machines.attachDevice(uuid, disk, configuration)
        #expect(try shop.document(uuid).contains("<source file='/x.img'/>"))
        #expect { try shop.machines.attachDevice(uuid, disk, configuration) } throws: { code($0) == .operationInvalid }
        try shop.machines.detachDevice(uuid, "<disk><target dev='vda'/></disk>", configuration)
        #expect(try !shop.document(uuid).contains("/x.img"))
        #expect { try shop.machines.detachDevice(uuid, disk, configuration) } throws: { code($0) == .deviceMissing }
    }

    @Test func aDeviceIsReplacedInItsPlace() throws {
        let shop = try Workshop()
        let uuid = try shop.define(devices: disk)
        let address = try #require(try shop.document(uuid).split(separator: "\n").first { $0.contains("type='pci'") })
        try shop.machines.updateDevice(
            uuid, "<disk type='file'><source file='/y.img'/><target dev='vda' bus='virtio'/></disk>", configuration,
            force: false)
        let text = try shop.document(uuid)
        #expect(text.contains("/y.img") && !text.contains("/x.img") && text.contains(address))
    }

    @Test func variablesOfFirmwareGoOnlyWhenTheyMay() throws {
        let shop = try Workshop()
        let system = "<loader readonly='yes' type='pflash'>/code.fd</loader>"
        let uuid = try shop.define(system: system)
        let store = shop.folder + "/lib/qemu/nvram/m_VARS.fd"
        #expect(try shop.document(uuid).contains("<nvram>\(store)</nvram>"))
        try StateFiles.write(store, "variables")
        #expect { try shop.machines.undefine(uuid, []) } throws: { code($0) == .operationInvalid }
        try shop.machines.undefine(uuid, [.keepsVariables])
        #expect(StateFiles.exists(store))
        try shop.machines.undefine(try shop.define(system: system), [.variables])
        #expect(!StateFiles.exists(store))
    }

    @Test func liveChangesNeedAMachineThatRuns() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let live = ProcessorScope(live: true, configuration: false, maximum: false)
        for body: (MachineDriver) throws -> Void in [
            { try $0.attachDevice(uuid, disk, live) }, { try $0.save(uuid, to: shop.folder + "/save") },
            { try $0.managedSave(uuid) }, { try $0.abortJob(uuid) }, { _ = try $0.screenshot(uuid, screen: 0) },
            { try $0.sendKeys(uuid, [30], set: 0, milliseconds: 0) }, { _ = try $0.guestTime(uuid) },
            { try $0.pin(uuid, processor: 0, [1], live) }, { try $0.setTuning(uuid, .memory, [], live) },
            { try $0.pullDisk(uuid, "vda", base: nil, bandwidth: 0) },
        ] {
            #expect { try body(shop.machines) } throws: { code($0) == .operationInvalid }
        }
    }

    @Test func whatNobodyKnowsIsKeptOrRefused() throws {
        let shop = try Workshop()
        func text(_ more: String, _ name: String = "v") -> String {
            """
            <domain type='qemu'><name>\(name)</name><memory unit='MiB'>64</memory>
            <os><type arch='x86_64' machine='pc'>hvm</type></os>\(more)</domain>
            """
        }
        for more in ["<strange/>", "<devices><disk odd='1'/></devices>", "<features><wings/></features>"] {
            #expect { try shop.machines.define(text(more), validates: true) } throws: { code($0) == .xmlInvalidSchema }
        }
        let uuid = try shop.machines.define(text("<strange/>")).uuid
        #expect(try shop.document(uuid).contains("<strange/>"))
        let good = "<metadata><a:b xmlns:a='u'/></metadata><cpu mode='custom'><model>qemu64</model></cpu>"
        _ = try shop.machines.define(text(good, "w"), validates: true)
    }

    @Test func aMachineIsRenamed() throws {
        let shop = try Workshop()
        let uuid = try shop.define("old")
        _ = try shop.define("other")
        #expect { try shop.machines.rename(uuid, to: "other") } throws: { code($0) == .operationInvalid }
        try shop.machines.rename(uuid, to: "new")
        #expect(try shop.machines.find(named: "new").uuid == uuid)
        #expect { try shop.machines.find(named: "old") } throws: { code($0) == .noDomain }
        #expect(!StateFiles.exists(shop.folder + "/etc/qemu/old.xml"))
    }

    @Test func limitsThatTheKernelDoesNotTakeAreRefused() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let refused: [TypedParameter] = [
            TypedParameter("vcpu_period", .ulong(999)), TypedParameter("emulator_period", .ulong(1_000_001)),
            TypedParameter("vcpu_quota", .long(999)), TypedParameter("global_quota", .long(.max)),
        ]
        for parameter in refused {
            #expect {
                try shop.machines.setTuning(
                    uuid, .scheduler, [TypedParameter("cpu_shares", .ulong(7)), parameter], configuration)
            } throws: { code($0) == .invalidArg }
        }
        #expect(try !shop.document(uuid).contains("cputune"))
        // Less than nothing stands for no limit.
        try shop.machines.setTuning(uuid, .scheduler, [TypedParameter("vcpu_quota", .long(-1))], configuration)
        #expect(try shop.document(uuid).contains("<quota>-1</quota>"))
    }

    @Test func nodesOfMemoryAreStrictUnlessTheySayOtherwise() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        try shop.machines.setTuning(uuid, .numa, [TypedParameter("numa_nodeset", .text("0"))], configuration)
        #expect(try shop.document(uuid).contains("<memory mode='strict' nodeset='0'/>"))
    }

    @Test func limitsAreKeptInTheDocument() throws {
        let shop = try Workshop()
        let uuid = try shop.define(devices: disk)
        try shop.machines.setTuning(
            uuid, .scheduler,
            [TypedParameter("cpu_shares", .ulong(2048)), TypedParameter("vcpu_quota", .long(5000))], configuration)
        let list = try shop.machines.tuning(uuid, .scheduler, configuration)
        #expect(list.first { $0.name == "cpu_shares" }?.value == .ulong(2048))
        #expect(list.first { $0.name == "vcpu_quota" }?.value == .long(5000))
        try shop.machines.setTuning(
            uuid, .block, [TypedParameter("device_weight", .text("/dev/a,500,/dev/b,600"))], configuration)
        let weights = try shop.machines.tuning(uuid, .block, configuration).first { $0.name == "device_weight" }
        #expect(weights?.value == .text("/dev/a,500,/dev/b,600"))
        try shop.machines.setDiskLimits(uuid, "vda", [TypedParameter("total_bytes_sec", .ulong(7))], configuration)
        try shop.machines.setDiskLimits(uuid, "vda", [TypedParameter("read_bytes_sec", .ulong(8))], configuration)
        let limits = try shop.machines.diskLimits(uuid, "vda", configuration)
        #expect(limits.first { $0.name == "read_bytes_sec" }?.value == .ulong(8))
        #expect(limits.first { $0.name == "total_bytes_sec" }?.value == .ulong(0))
        #expect {
            try shop.machines.setTuning(uuid, .memory, [TypedParameter("x", .int(1))], configuration)
        } throws: { code($0) == .invalidArg }
    }

    @Test func processorsAreBound() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        try shop.machines.pin(uuid, processor: 2, [0b101], configuration)
        #expect(try shop.document(uuid).contains("<vcpupin vcpu='2' cpuset='0,2'/>"))
        let maps = try shop.machines.pinning(uuid, configuration, hostProcessors: 4, length: 1)
        #expect(maps == [[0b1111], [0b1111], [0b101], [0b1111]])
        #expect { try shop.machines.pin(uuid, processor: 9, [1], configuration) } throws: { code($0) == .invalidArg }
        #expect { try shop.machines.pin(uuid, processor: 0, [0], configuration) } throws: { code($0) == .invalidArg }
    }

    @Test func aMemoryImageThatIsNoneIsRefused() throws {
        let shop = try Workshop()
        let path = shop.folder + "/image"
        try StateFiles.write(path, "LibvirtQemudSave")
        #expect { try shop.machines.restore(path, document: nil, wake: .asSaved) } throws: {
            code($0) == .operationFailed
        }
        try StateFiles.write(path, String(repeating: "x", count: 200))
        #expect { try shop.machines.savedDocument(path, secure: true) } throws: { code($0) == .operationFailed }
        // A document longer than any is.
        try StateFiles.write(
            path, "LibvirtQemudSave" + "\u{2}\0\0\0" + "\u{7f}\u{7f}\u{7f}\u{7f}" + String(repeating: "\0", count: 80))
        #expect { try shop.machines.savedDocument(path, secure: true) } throws: { code($0) == .operationFailed }
    }
}

@Suite struct SnapshotTests {
    private func snapshot(_ name: String, parent: String? = nil, time: Int = 5) -> String {
        let above = parent.map { "<parent><name>\($0)</name></parent>" } ?? ""
        return
            "<domainsnapshot><name>\(name)</name><state>shutoff</state>\(above)<creationTime>\(time)</creationTime></domainsnapshot>"
    }

    @Test func aTreeIsKeptAcrossRestarts() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let machines = shop.machines
        _ = try machines.createSnapshot(uuid, snapshot("a", time: 1), [.redefine])
        _ = try machines.createSnapshot(uuid, snapshot("b", parent: "a", time: 2), [.redefine])
        _ = try machines.createSnapshot(uuid, snapshot("c", parent: "b", time: 3), [.redefine, .makeCurrent])
        let again = try Workshop.open(shop.folder)
        again.recover()
        #expect(try again.snapshotNames(uuid, below: nil, 0) == ["a", "b", "c"])
        #expect(try again.currentSnapshot(uuid) == "c")
        #expect(try again.parentSnapshot(uuid, "c") == "b")
        #expect(try again.facts(uuid).snapshotCount == 3)
        let (roots, leaves): (UInt32, UInt32) = (1, 4)
        #expect(try again.snapshotNames(uuid, below: nil, roots) == ["a"])
        #expect(try again.snapshotNames(uuid, below: nil, leaves) == ["c"])
        #expect(try again.snapshotNames(uuid, below: "a", 0) == ["b"])
        #expect(try Set(again.snapshotNames(uuid, below: "a", 1)) == ["b", "c"])
    }

    @Test func whatHungBelowHangsHigher() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let machines = shop.machines
        _ = try machines.createSnapshot(uuid, snapshot("a"), [.redefine])
        _ = try machines.createSnapshot(uuid, snapshot("b", parent: "a"), [.redefine, .makeCurrent])
        _ = try machines.createSnapshot(uuid, snapshot("c", parent: "b"), [.redefine])
        try machines.deleteSnapshot(uuid, "b", [.metadataOnly])
        #expect(try machines.parentSnapshot(uuid, "c") == "a")
        #expect(try machines.currentSnapshot(uuid) == "a")
        try machines.deleteSnapshot(uuid, "a", [.children, .metadataOnly])
        #expect(try machines.snapshotNames(uuid, below: nil, 0).isEmpty)
    }

    @Test func circlesAndStrangeNamesAreRefused() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let machines = shop.machines
        _ = try machines.createSnapshot(uuid, snapshot("a"), [.redefine])
        _ = try machines.createSnapshot(uuid, snapshot("b", parent: "a"), [.redefine])
        for text in [
            snapshot("a", parent: "b"), snapshot("x", parent: "x"), snapshot("y", parent: "nobody"), snapshot("../z"),
            "<x/>",
        ] {
            #expect(throws: ManagementError.self) { try machines.createSnapshot(uuid, text, [.redefine]) }
        }
        #expect { try machines.undefine(uuid, []) } throws: { code($0) == .operationInvalid }
        try machines.undefine(uuid, [.snapshots])
        #expect { try machines.facts(uuid) } throws: { code($0) == .noDomain }
    }
}
