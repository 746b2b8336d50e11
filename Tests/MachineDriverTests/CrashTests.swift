// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostInventory
import HostSystem
import MachineDriver
import ManagementModel
import StateStore
import Testing

private let devices =
    "<disk type='file'><source file='/x.img'/><target dev='vdb' bus='virtio'/></disk>"
private let configuration = ProcessorScope(live: false, configuration: true, maximum: false)

/// What a folder of definitions says to a service that starts.
private struct Findings: Equatable {
    var documents: [String: String] = [:]
    var autostart: Set<String> = []
    var snapshots: [String: [String]] = [:]
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
        try driver.undefine(uuid, [.savedMemory, .snapshots])
    },
    Operation(testDescription: "autostart off") { driver, uuid in try driver.setAutostart(uuid, false) },
    Operation(testDescription: "attach") { driver, uuid in try driver.attachDevice(uuid, devices, configuration) },
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
        return (folder, driver, uuid)
    }

    /// Files that a write left behind.
    private func leftovers(_ folder: String) -> [String] {
        ["/etc/qemu", "/run/qemu", "/lib/qemu/save"].flatMap { StateFiles.names(in: folder + $0, suffix: ".new") }
            + StateFiles.hiddenNames(in: folder + "/etc/qemu", prefix: ".renaming-")
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
