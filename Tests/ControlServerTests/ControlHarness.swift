// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import CharacterStreams
import ControlProtocol
import ControlServer
import Diagnostics
import GuestMemory
import HostIO
import HostSystem
import JSONCoding
import MachineModel
import MachineRuntime
import StreamTestKit
import Testing

/// A vCPU that never runs: its registers are what the test sets, linear addresses are physical ones + `offset`.
final class StillCPU: VirtualCPU, @unchecked Sendable {
    let index: Int
    var registers = X86Registers()
    var debugPoints = DebugPoints()
    var isHalted = false
    let hostThreadIdentifier = 4242
    var offset: UInt64 = 0
    private let lock = Lock()
    private var kicked = false
    /// What `run` does: nil waits for a kick.
    var onRun: ((StillCPU) -> CPUExit)?

    init(index: Int) { self.index = index }

    func run() -> CPUExit {
        if let onRun { return onRun(self) }
        return lock.withLock {
            while !kicked { lock.wait() }
            kicked = false
            return .kicked
        }
    }

    func kick() {
        lock.withLock {
            kicked = true
            lock.broadcast()
        }
    }

    func reset() {}
    func physicalAddress(ofLinear address: UInt64) -> UInt64? { address >> 40 == 0 ? address &+ offset : nil }
}

/// A machine of still processors and a little memory.
final class SmallMachine: BlockReporting, PCIReporting, NetworkReporting, BalloonControlling {
    let loop: EventLoop
    let runner: MachineRunner
    var facts = MachineFacts(machineType: "pc-q35-7.2", accelerator: "tcg")
    let memory = GuestMemory()
    let memoryDevices: AddressSpace?
    let ports: AddressSpace?
    let characterDevices = CharacterDevices()
    let processors: [StillCPU]
    var blocks: [BlockDeviceReport] = []
    var functions: [PCIFunctionReport] = []
    var links: [String: Bool] = ["net0": true]
    var balloonActualBytes: UInt64?
    var nonMaskableInterrupts = 0
    var migrationSettings = MigrationSettings()
    var startsOnceFilled = true
    var announced: [AnnouncementSettings] = []
    private(set) var server: ControlServer!

    init(processors count: Int = 1) throws {
        let lock = Lock()
        loop = try EventLoop()
        runner = MachineRunner(lock: lock, loop: loop, clock: RuntimeClock(loop: loop, machineLock: lock))
        memoryDevices = AddressSpace(machineLock: lock)
        ports = AddressSpace(machineLock: lock)
        processors = (0..<count).map { StillCPU(index: $0) }
        try memory.addRegion(name: "pc.ram", start: 0, count: 0x10000)
        for processor in processors { try runner.add(processor: processor) }
        facts.isKVMPresent = true
        facts.memoryBytes = 0x10000
        server = ControlServer(machine: self, now: { 1_500_000_123_456 })
    }

    func deviceReports() -> [DeviceReport] {
        var device = DeviceReport(typeName: "virtio-rng-pci", identifier: "rng0", bus: "pcie.0", busType: "PCIE")
        device.properties = [("vectors", "4 (0x4)")]
        return [device]
    }
    func injectNonMaskableInterrupt() { nonMaskableInterrupts += 1 }
    func blockReports() -> [BlockDeviceReport] { blocks }
    func pciReports() -> [PCIFunctionReport] { functions }
    func networkReports() -> [NetworkReport] {
        [
            NetworkReport(name: "nic0", type: "nic", information: "model=virtio-net-pci,macaddr=52:54:00:12:34:56"),
            NetworkReport(name: "net0", type: "user", information: "net=10.0.2.0,restrict=off", peer: "nic0"),
        ]
    }
    func setLink(_ name: String, isUp: Bool) -> Bool {
        guard links[name] != nil else { return false }
        links[name] = isUp
        return true
    }
    func setBalloon(target bytes: UInt64) { balloonActualBytes = bytes }

    /// Handles what was posted to the event loop.
    func pump() { loop.runOnce(timeoutMilliseconds: 0) }
}

/// Moves are only asked for.
extension SmallMachine: MigrationControlling, SelfAnnouncing {
    func beginMigration(to uri: String, descriptors: (String) -> Int32?) throws(UserError) {
        throw UserError("Parameter 'uri' expects a valid migration protocol")
    }
    func cancelMigration() {}
    func continueMigration() throws(UserError) { throw UserError("Migration not in expected state: none") }
    func beginIncoming(from uri: String, descriptors: (String) -> Int32?) throws(UserError) {
        throw UserError("'-incoming' was not specified on the command line")
    }
    var migrationState: MigrationState? { nil }
    func announce(_ settings: AnnouncementSettings) { announced.append(settings) }
}
