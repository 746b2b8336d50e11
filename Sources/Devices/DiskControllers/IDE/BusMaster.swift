// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import MachineModel

/// One channel's half of the bus master registers ("Programming Interface for Bus Master IDE Controller", 1.0).
final class BusMaster {
    /// What a saved machine keeps.
    struct State: Equatable, Sendable, Codable {
        var command: UInt8 = 0
        var status: UInt8 = 0
        /// Guest-physical address of the table of regions.
        var table: UInt32 = 0
    }
    private enum Command { static let start: UInt8 = 1, toMemory: UInt8 = 8 }
    enum Status {
        static let active: UInt8 = 1, error: UInt8 = 2, interrupt: UInt8 = 4
        static let capable: UInt8 = 0x60
    }
    /// A region's count of 0 means 64 KiB; the table ends with the entry that says so, or after 64 KiB.
    private static let entrySize: UInt64 = 8, entryLimit = 8192, largestRegion = 65536
    private static let endOfTable: UInt32 = 1 << 31

    var state = State()
    private let memory: GuestMemory
    /// The guest lets the controller reach memory.
    var isBusMaster: () -> Bool = { true }
    /// The drive that waits for the transfer.
    private weak var waiting: ATADrive?

    init(memory: GuestMemory) { self.memory = memory }

    func reset() {
        state = State()
        waiting = nil
    }

    private var isStarted: Bool { state.command & Command.start != 0 }

    /// A drive wants to move data.
    func begin(_ drive: ATADrive) {
        waiting = drive
        startIfReady()
    }

    /// The drive of a saved machine that waits for the guest to start the transfer.
    func expect(_ drive: ATADrive?) { waiting = drive }

    private func startIfReady() {
        guard isStarted, let drive = waiting else { return }
        waiting = nil
        state.status |= Status.active
        // A guest that set the direction against the command's sense gets nothing moved.
        let matches = (state.command & Command.toMemory != 0) != drive.dmaIsWrite
        drive.startDMA(matches && isBusMaster() ? regions(upTo: drive.dmaByteCount) : [])
    }

    private func regions(upTo wanted: Int) -> [GuestSegment] {
        var found: [GuestSegment] = []
        var total = 0
        var place = UInt64(state.table & ~3)
        for _ in 0..<Self.entryLimit where total < wanted {
            guard let base = try? memory.load(UInt32.self, at: place),
                let control = try? memory.load(UInt32.self, at: place &+ 4)
            else { break }
            let size = Int(control & 0xFFFE)
            let count = size == 0 ? Self.largestRegion : size
            found.append(GuestSegment(address: UInt64(base & ~1), count: count))
            total += count
            if control & Self.endOfTable != 0 { break }
            place &+= Self.entrySize
        }
        return found
    }

    /// The transfer ended.
    func end(failed: Bool) {
        state.status &= ~Status.active
        if failed { state.status |= Status.error }
    }

    /// The drive asserted its interrupt.
    func noteInterrupt() { state.status |= Status.interrupt }

    func read(_ register: Int) -> UInt8 {
        switch register {
        case 0: state.command
        case 2: state.status
        case 4...7: UInt8(truncatingIfNeeded: state.table >> UInt32((register - 4) * 8))
        default: 0xFF
        }
    }

    func write(_ register: Int, _ value: UInt8) {
        switch register {
        case 0:
            let wasStarted = isStarted
            state.command = value & (Command.start | Command.toMemory)
            if !isStarted {
                state.status &= ~Status.active
            } else if !wasStarted {
                startIfReady()
            }
        case 2:
            state.status =
                value & Status.capable | state.status & Status.active
                | state.status & ~value & (Status.error | Status.interrupt)
        case 4...7:
            let shift = UInt32((register - 4) * 8)
            state.table = state.table & ~(0xFF << shift) | UInt32(value) << shift
            if register == 4 { state.table &= ~3 }
        default: break
        }
    }
}
