// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// The TCO watchdog of the ICH9 (I/O Controller Hub 9 datasheet, 13.9): counts down in steps of 0.6 s and expires when
/// it ran out a second time without a reload.
///
/// It stands until the guest reloads it for the first time.
public final class Watchdog {
    /// Where its registers are in the ACPI block.
    static let ports: Range<UInt64> = 0x60..<0x80
    /// Nanoseconds of a step.
    private static let step: UInt64 = 600_000_000

    private enum Register {
        static let reload = 0x00
        static let status1 = 0x04
        static let status2 = 0x06
        static let control1 = 0x08
        static let timer = 0x12
        /// Data, message and software-interrupt bytes that only keep what is written.
        static let kept: Set<Int> = [0x02, 0x0C, 0x0E, 0x10]
    }
    private enum Bits {
        static let timeout: UInt16 = 1 << 3
        static let secondTimeout: UInt16 = 1 << 1
        static let boot: UInt16 = 1 << 2
        static let halted: UInt16 = 1 << 11
        static let locked: UInt16 = 1 << 12
        static let count: UInt16 = 0x3FF
    }

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// Sixteen registers of two bytes.
        public internal(set) var words: [UInt16] = {
            var words = [UInt16](repeating: 0, count: 16)
            words[Register.timer / 2] = 4
            return words
        }()
        /// Machine time at which the count reaches 0; nil while it stands.
        public internal(set) var end: UInt64?
    }

    private var current = State()
    private let clock: any MachineClock
    private let expired: (() -> Void)?
    private var timer: (any MachineTimer)?

    init(clock: any MachineClock, expired: (() -> Void)?) {
        self.clock = clock
        self.expired = expired
        timer = clock.makeTimer { [unowned self] in ranOut() }
    }

    func reset() {
        current = State()
        timer?.cancel()
    }

    /// What a saved machine keeps; setting it arms the timer anew.
    public var state: State {
        get { current }
        set {
            current = newValue
            if current.words.count != 16 { current.words = State().words }
            if let end = current.end { timer?.arm(at: end) } else { timer?.cancel() }
        }
    }

    private subscript(register: Int) -> UInt16 {
        get { current.words[register / 2] }
        set { current.words[register / 2] = newValue }
    }

    private func reload() {
        guard self[Register.control1] & Bits.halted == 0 else { return }
        // Counts below 2 make no timer (13.9.13).
        let steps = UInt64(max(self[Register.timer] & Bits.count, 2))
        let end = clock.now.addingClamped(steps * Self.step)
        current.end = end
        timer?.arm(at: end)
    }

    private func ranOut() {
        if self[Register.status1] & Bits.timeout != 0 {
            self[Register.status2] |= Bits.secondTimeout | Bits.boot
            current.end = nil
            expired?()
        } else {
            self[Register.status1] |= Bits.timeout
            reload()
        }
    }

    func read(offset: UInt64, size: Int) -> UInt64 {
        var result: UInt64 = 0
        for index in 0..<UInt64(max(0, min(size, 8))) where offset &+ index < 32 {
            let place = Int(offset &+ index)
            let word = readWord(place & ~1)
            result |= UInt64(place & 1 == 0 ? word & 0xFF : word >> 8) << (index * 8)
        }
        return result
    }

    private func readWord(_ register: Int) -> UInt16 {
        guard register == Register.reload else { return self[register] }
        guard let end = current.end, end > clock.now else { return self[Register.timer] & Bits.count }
        return UInt16(truncatingIfNeeded: (end - clock.now) / Self.step) & Bits.count
    }

    func write(offset: UInt64, size: Int, value: UInt64) {
        guard size > 1 else {
            let place = Int(offset & 31)
            let other = readWord(place & ~1)
            let byte = UInt16(truncatingIfNeeded: value & 0xFF)
            // A byte of a write-one-to-clear register clears nothing in the other half.
            let clears = place & ~1 == Register.status1 || place & ~1 == Register.status2
            let kept = clears ? 0 : other
            return writeWord(place & ~1, place & 1 == 0 ? kept & 0xFF00 | byte : kept & 0x00FF | byte << 8)
        }
        for index in stride(from: UInt64(0), to: UInt64(min(size, 8)), by: 2) where offset &+ index < 32 {
            writeWord(Int(offset &+ index) & ~1, UInt16(truncatingIfNeeded: value >> (index * 8)))
        }
    }

    private func writeWord(_ register: Int, _ value: UInt16) {
        switch register {
        case Register.reload: reload()
        case Register.status1, Register.status2:
            self[register] &= ~value
        case Register.control1: writeControl(value)
        case Register.timer: self[register] = value & Bits.count
        case let other where Register.kept.contains(other): self[register] = value
        default: break
        }
    }

    private func writeControl(_ value: UInt16) {
        let old = self[Register.control1]
        // Once locked, the lock and the halt bit stay as they are.
        let new = old & Bits.locked != 0 ? value & ~Bits.halted | Bits.locked | old & Bits.halted : value
        self[Register.control1] = new
        if new & Bits.halted != 0 {
            current.end = nil
            timer?.cancel()
        } else if old & Bits.halted != 0 {
            reload()
        }
    }
}
