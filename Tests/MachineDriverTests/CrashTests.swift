// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostInventory
import HostSystem
import MachineDriver
import ManagementModel
import StateStore
import Testing

private let devices =
    "<disk type='file'><source file='/dev/null'/><target dev='vdb' bus='virtio'/></disk>"
private let configuration = ProcessorScope(live: false, configuration: true, maximum: false)

/// What a folder of definitions says to a service that starts.
private struct Findings: Equatable {
    var documents: [String: String] = [:]
    var autostart: Set<String> = []
    var snapshots: [String: [String]] = [:]
    var checkpoints: [String: [String]] = [:]
}

private func facts(_ path: String) -> EmulatorFacts {
    var facts = EmulatorFacts(
        path: path, version: 7_002_000, machines: [], processorModels: [], devices: [], hasKVM: false)
    facts.machines = [.init(name: "pc", canonical: "pc-i440fx-7.2", maximumProcessors: 255)]
    return facts
}

private func open(_ folder: String) throws -> MachineDriver {
    let folders = MachineFolders(
        configuration: folder + "/etc", state: folder + "/lib", runtime: folder + "/run", logs: folder + "/log")
    return try MachineDriver(
        folders: folders, emulator: facts("/nowhere"), imageTool: "/bin/false", events: EventHub()
    ) { _ in throw ManagementError(.noNetwork, "none here", from: .network) }
}

private func findings(_ folder: String) throws -> Findings {
    let driver = try open(folder)
    driver.recover()
    var found = Findings()
    for facts in driver.all {
        found.documents[facts.name] = try driver.document(facts.uuid, [])
        if facts.startsWithService { found.autostart.insert(facts.name) }
        found.snapshots[facts.name] = try driver.snapshotNames(facts.uuid, below: nil, 0)
        found.checkpoints[facts.name] = try driver.checkpointNames(facts.uuid, below: nil, 0)
    }
    return found
}

private func document(_ name: String, _ uuid: String, memory: Int = 64) -> String {
    """
    <domain type='qemu'><name>\(name)</name><uuid>\(uuid)</uuid><memory unit='MiB'>\(memory)</memory>
    <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>
    """
}

private let identity = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
private let snapshot =
    "<domainsnapshot><name>s</name><state>shutoff</state><creationTime>5</creationTime></domainsnapshot>"

private func checkpoint(_ name: String) -> String {
    """
    <domaincheckpoint><name>\(name)</name><creationTime>5</creationTime>\(document("m", identity))</domaincheckpoint>
    """
}

/// Something that a client asks for, of a machine called `m`.
private struct Operation: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let run: @Sendable (MachineDriver, UniqueID) throws -> Void
}

private let operations = [
    Operation(testDescription: "define") { driver, _ in
        _ = try driver.define(document("new", "11111111-2222-3333-4444-555555555555"))
    },
    Operation(testDescription: "define again") { driver, _ in
        _ = try driver.define(document("m", identity, memory: 128))
    },
    Operation(testDescription: "rename") { driver, uuid in try driver.rename(uuid, to: "renamed") },
    Operation(testDescription: "undefine") { driver, uuid in
        try driver.undefine(uuid, [.savedMemory, .snapshots, .checkpoints])
    },
    Operation(testDescription: "autostart off") { driver, uuid in try driver.setAutostart(uuid, false) },
    Operation(testDescription: "attach") { driver, uuid in try driver.attachDevice(uuid, devices, configuration) },
    Operation(testDescription: "detach") { driver, uuid in
        try driver.detachDevice(uuid, "<disk><target dev='vda'/></disk>", configuration)
    },
    Operation(testDescription: "update") { driver, uuid in
        try driver.updateDevice(
            uuid, "<disk type='file'><source file='/z.img'/><target dev='vda' bus='virtio'/></disk>", configuration,
            force: false)
    },
    Operation(testDescription: "title") { driver, uuid in
        try driver.setMetadata(uuid, 1, "a title", key: nil, uri: nil, live: false, configuration: true)
    },
    Operation(testDescription: "memory") { driver, uuid in try driver.setMemory(uuid, 32768, configuration) },
    Operation(testDescription: "processors") { driver, uuid in
        try driver.setProcessors(uuid, 3, ProcessorScope(live: false, configuration: true, maximum: true))
    },
    Operation(testDescription: "binding") { driver, uuid in
        try driver.pin(uuid, processor: 0, [1], configuration)
    },
    Operation(testDescription: "limits") { driver, uuid in
        try driver.setDiskLimits(uuid, "vda", [TypedParameter("total_bytes_sec", .ulong(7))], configuration)
    },
    Operation(testDescription: "action") { driver, uuid in
        try driver.setLifecycleAction(uuid, event: 0, action: 1, configuration)
    },
    Operation(testDescription: "delete a snapshot") { driver, uuid in
        try driver.deleteSnapshot(uuid, "old", [.metadataOnly])
    },
    Operation(testDescription: "checkpoint") { driver, uuid in
        _ = try driver.createCheckpoint(uuid, checkpoint("new"), [.redefine])
    },
    Operation(testDescription: "delete a checkpoint") { driver, uuid in
        try driver.deleteCheckpoint(uuid, "oldpoint", [.metadataOnly])
    },
    Operation(testDescription: "snapshot") { driver, uuid in
        _ = try driver.createSnapshot(uuid, snapshot, [.redefine, .makeCurrent])
    },
]

@Suite struct CrashTests {
    /// A folder with a machine that starts with the service.
    private func prepare() throws -> (folder: String, driver: MachineDriver, uuid: UniqueID) {
        let folder = "/tmp/roost-crash-\(UniqueID.random())"
        let driver = try open(folder)
        let uuid = try driver.define(document("m", identity)).uuid
        try driver.setAutostart(uuid, true)
        try driver.attachDevice(
            uuid, "<disk type='file'><source file='/a.img'/><target dev='vda' bus='virtio'/></disk>", configuration)
        _ = try driver.createSnapshot(
            uuid,
            "<domainsnapshot><name>old</name><state>shutoff</state><creationTime>4</creationTime></domainsnapshot>",
            [.redefine])
        _ = try driver.createCheckpoint(uuid, checkpoint("oldpoint"), [.redefine])
        return (folder, driver, uuid)
    }

    /// Files that a write left behind.
    private func leftovers(_ folder: String) -> [String] {
        ["/etc/qemu", "/run/qemu", "/lib/qemu/save"].flatMap { StateFiles.names(in: folder + $0, suffix: ".new") }
            + StateFiles.hiddenNames(in: folder + "/etc/qemu", prefix: ".renaming-")
            + StateFiles.hiddenNames(in: folder + "/etc/qemu", prefix: ".undefining-")
    }

    @Test(arguments: operations) private func aKilledServiceLosesNothing(_ operation: Operation) throws {
        try strike(operation, .killed)
    }

    @Test(arguments: operations) private func aFullDiskLosesNothing(_ operation: Operation) throws {
        try strike(operation, .full)
    }

    private func strike(_ operation: Operation, _ kind: StateFaults.Kind) throws {
        let start = try prepare()
        let before = try findings(start.folder)
        try operation.run(start.driver, start.uuid)
        let after = try findings(start.folder)
        var step = 0
        while true {
            let (folder, driver, uuid) = try prepare()
            let faults = StateFaults(kind, from: step)
            var failed = false
            StateFaults.$current.withValue(faults) {
                do { try operation.run(driver, uuid) } catch { failed = true }
            }
            guard faults.struck else { break }
            let found = try findings(folder)
            let what = "\(operation.testDescription), \(kind) at step \(step)"
            #expect(found == before || found == after, "\(what): \(found.documents.keys.sorted())")
            // A client that was told of success finds what it asked for.
            if !failed { #expect(found == after, "\(what): success was reported") }
            #expect(leftovers(folder).isEmpty, "\(what): \(leftovers(folder))")
            if kind == .full && failed {
                // The service that goes on knows what the files say.
                let live = try driver.document(uuid, [])
                #expect(found.documents.values.contains(live), "\(what): the service and its files differ")
            }
            step += 1
        }
        #expect(step > 0)
    }
}

@Suite(.serialized) struct DyingEmulatorTests {
    /// A driver with the emulator of the tests; nil with a sentence where it was not built.
    private func workshop() throws -> (folder: String, driver: MachineDriver, uuid: UniqueID)? {
        var text = [UInt8](repeating: 0, count: 4096)
        let count = unsafe text.withUnsafeMutableBytes { buffer in
            unsafe readlink("/proc/self/exe", buffer.baseAddress!.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        let built =
            String(decoding: text.prefix(max(0, count)), as: UTF8.self).split(separator: "/").dropLast()
            .reduce(into: "") { $0 += "/" + $1 } + "/fake-emulator"
        guard StateFiles.exists(built) else {
            print("skipped: fake-emulator is not built")
            return nil
        }
        let folder = "/tmp/roost-dying-\(UniqueID.random())"
        try StateFiles.makeFolder(folder)
        let emulator = folder + "/emulator"
        try StateFiles.link(emulator, to: built)
        let folders = MachineFolders(
            configuration: folder + "/etc", state: folder + "/lib", runtime: folder + "/run", logs: folder + "/log")
        let driver = try MachineDriver(
            folders: folders, emulator: facts(emulator), imageTool: "/bin/false", events: EventHub()
        ) { _ in throw ManagementError(.noNetwork, "none here", from: .network) }
        let uuid = try driver.define(document("m", identity)).uuid
        return (folder, driver, uuid)
    }

    private func traces(_ folder: String) -> [String] {
        StateFiles.names(in: folder + "/run/qemu", suffix: ".xml")
            + StateFiles.names(in: folder + "/lib/qemu", suffix: "")
            .filter { $0.hasPrefix("domain-") }
    }

    /// Waits until the service has noticed that the emulator is gone, and has cleared away what it had.
    private func settle(_ driver: MachineDriver, _ uuid: UniqueID, _ folder: String) throws -> Bool {
        for _ in 0..<5000 {
            if try !driver.facts(uuid).isActive, traces(folder).isEmpty { return true }
            usleep(1000)
        }
        return false
    }

    /// Lets `.fault` or `.refuse` strike at every command of an operation, until it comes through.
    private func strike(
        _ suffix: String, after prelude: (MachineDriver, UniqueID) throws -> Void,
        _ body: (MachineDriver, UniqueID) throws -> Void
    ) throws {
        var reached = 0
        for number in 0..<60 {
            guard let (folder, driver, uuid) = try workshop() else { return }
            try StateFiles.write(folder + "/emulator" + suffix, "\(number)")
            defer { if (try? driver.facts(uuid).isActive) ?? false { try? driver.destroy(uuid) } }
            do { try prelude(driver, uuid) } catch {
                // It struck before the operation: what a start that fails leaves is looked at as well.
                #expect(try settle(driver, uuid, folder))
                #expect(traces(folder).isEmpty, "\(number): \(traces(folder))")
                continue
            }
            do {
                try body(driver, uuid)
                if reached > 0 { return }
            } catch {
                reached += 1
                let isGone = suffix == ".fault"
                if isGone { #expect(try settle(driver, uuid, folder), "\(number): \(error)") }
                if try !driver.facts(uuid).isActive { #expect(traces(folder).isEmpty, "\(number): \(traces(folder))") }
            }
            #expect(try driver.facts(uuid).isPersistent)
        }
    }

    @Test(arguments: [".fault", ".refuse"]) func duringAStart(_ suffix: String) throws {
        try strike(suffix, after: { _, _ in }) { driver, uuid in _ = try driver.start(uuid, paused: false) }
    }

    @Test(arguments: [".fault", ".refuse"]) func duringASave(_ suffix: String) throws {
        try strike(suffix, after: { _ = try $0.start($1, paused: false) }) { driver, uuid in
            try driver.managedSave(uuid)
        }
    }

    @Test(arguments: [".fault", ".refuse"]) func whileADeviceIsAdded(_ suffix: String) throws {
        let live = ProcessorScope(live: true, configuration: false, maximum: false)
        try strike(suffix, after: { _ = try $0.start($1, paused: false) }) { driver, uuid in
            try driver.attachDevice(uuid, devices, live)
        }
    }

    /// Whatever the emulator refuses of a change of a medium: the drive has the one or the other, and the document says
    /// which.
    @Test func aMediumThatDoesNotGoInLeavesTheOldOne() throws {
        let live = ProcessorScope(live: true, configuration: false, maximum: false)
        var failures = 0
        for number in 0..<30 {
            guard let (folder, driver, uuid) = try workshop() else { return }
            for name in ["old", "new"] { try StateFiles.write(folder + "/\(name).iso", name) }
            func drive(_ name: String) -> String {
                "<disk type='file' device='cdrom'><source file='\(folder)/\(name).iso'/><target dev='hda' bus='ide'/></disk>"
            }
            try driver.attachDevice(uuid, drive("old"), configuration)
            try StateFiles.write(folder + "/emulator.refuse", "\(number)")
            defer { if (try? driver.facts(uuid).isActive) ?? false { try? driver.destroy(uuid) } }
            guard (try? driver.start(uuid, paused: false)) != nil else { continue }
            do {
                try driver.updateDevice(uuid, drive("new"), live, force: false)
                #expect(try driver.document(uuid, []).contains("/new.iso"))
            } catch {
                failures += 1
                let text = try driver.document(uuid, [])
                #expect(text.contains("/old.iso") && !text.contains("/new.iso"), "\(number): \(error)")
            }
        }
        // At least: what nodes there are, the two of the new image, the tray, and putting it in.
        #expect(failures >= 5)
    }

    @Test func aMediumThatIsNotThereIsNotAskedFor() throws {
        guard let (folder, driver, uuid) = try workshop() else { return }
        try StateFiles.write(folder + "/old.iso", "old")
        try driver.attachDevice(
            uuid,
            "<disk type='file' device='cdrom'><source file='\(folder)/old.iso'/><target dev='hda' bus='ide'/></disk>",
            configuration)
        _ = try driver.start(uuid, paused: false)
        defer { try? driver.destroy(uuid) }
        let live = ProcessorScope(live: true, configuration: false, maximum: false)
        for device in [
            "<disk type='file' device='cdrom'><source file='/nope'/><target dev='hda' bus='ide'/></disk>",
            "<disk type='file'><source file='/nope'/><target dev='vdc' bus='virtio'/></disk>",
        ] {
            #expect {
                if device.contains("cdrom") {
                    try driver.updateDevice(uuid, device, live, force: false)
                } else {
                    try driver.attachDevice(uuid, device, live)
                }
            } throws: { ($0 as? ManagementError)?.code == .systemError }
        }
        #expect {
            try driver.attachDevice(
                uuid, "<disk type='file'><source file='\(folder)/old.iso'/><target dev='hdb' bus='ide'/></disk>", live)
        } throws: { ($0 as? ManagementError)?.code == .operationUnsupported }
    }

    @Test func actionsThatNobodyHasAreRefused() throws {
        guard let (_, driver, uuid) = try workshop() else { return }
        let (reboot, renameRestart): (UInt32, UInt32) = (1, 2)
        #expect {
            try driver.setLifecycleAction(uuid, event: reboot, action: renameRestart, configuration)
        } throws: { ($0 as? ManagementError)?.code == .configUnsupported }
    }

    @Test func aMachineIsFoundAgainAndOneThatEndedIsCleanedUp() throws {
        guard let (folder, driver, uuid) = try workshop() else { return }
        _ = try driver.start(uuid, paused: false)
        let again = try open(folder)
        again.recover()
        #expect(try again.facts(uuid).isActive)
        try again.destroy(uuid)
        #expect(try settle(again, uuid, folder))
        #expect(traces(folder).isEmpty)
    }
}
