// SPDX-License-Identifier: Apache-2.0

public import StateCoding

extension PIC8259 {
    /// Why this cannot be the chip's state; nil when it can.
    fileprivate func problem(isPrimary: Bool) -> String? {
        guard isPrimary == self.isPrimary, levelWritable == PIC8259(isPrimary: isPrimary).levelWritable,
            highestPriority < 8
        else { return "it is not of an interrupt controller of this machine" }
        return nil
    }
}

extension DualPIC.State: SavedState {
    /// Refuses a controller of the other kind, and priorities over 7.
    public func problem(replacing current: DualPIC.State) -> String? {
        primary.problem(isPrimary: true) ?? secondary.problem(isPrimary: false)
    }
}
extension DualPIC: PlainlyStateful {}

extension IOAPIC.State: SavedState {
    /// Refuses another number of entries.
    public func problem(replacing current: IOAPIC.State) -> String? {
        entries.count == IOAPIC.pinCount ? nil : "it has \(entries.count) inputs"
    }
}
extension IOAPIC: PlainlyStateful {}

extension LocalAPIC.State: SavedState {
    /// Refuses vector tables and pins of another number.
    public func problem(replacing current: LocalAPIC.State) -> String? {
        guard vectors.count == current.vectors.count, pins.count == current.pins.count else {
            return "its tables have other lengths"
        }
        return nil
    }
}
extension LocalAPIC: PlainlyStateful {}
