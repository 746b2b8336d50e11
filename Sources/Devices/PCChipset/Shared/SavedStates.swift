// SPDX-License-Identifier: Apache-2.0

public import StateCoding

/// What is said of a table of another length than the device has.
private func lengths(_ areRight: Bool) -> String? { areRight ? nil : "its tables have other lengths" }

extension HighPrecisionTimer.State: SavedState {
    /// Refuses another number of comparators.
    public func problem(replacing current: HighPrecisionTimer.State) -> String? {
        lengths(comparators.count == current.comparators.count)
    }
}
extension HighPrecisionTimer: PlainlyStateful {}

extension TestDevice.State: SavedState {}
extension TestDevice: PlainlyStateful {}

extension DMAController.State: SavedState {
    /// Refuses another number of controllers, channels or page registers.
    public func problem(replacing current: DMAController.State) -> String? {
        lengths(
            pages.count == current.pages.count && controllers.count == current.controllers.count
                && controllers.allSatisfy { $0.channels.count == current.controllers[0].channels.count })
    }
}
extension DMAController: PlainlyStateful {}

extension KeyboardController.State: SavedState {
    /// Refuses memory of another length and queues that are too long.
    public func problem(replacing current: KeyboardController.State) -> String? {
        lengths(memory.count == current.memory.count && replies.count <= PS2Queue.capacity)
    }
}
extension KeyboardController: PlainlyStateful {}

extension PS2Keyboard.State: SavedState {
    /// Refuses a queue that is too long.
    public func problem(replacing current: PS2Keyboard.State) -> String? { lengths(queue.isBounded) }
}
extension PS2Keyboard: PlainlyStateful {}

extension PS2Mouse.State: SavedState {
    /// Refuses movements that would overflow, and queues that are too long.
    public func problem(replacing current: PS2Mouse.State) -> String? {
        guard PS2Mouse.isReachable(x), PS2Mouse.isReachable(y), PS2Mouse.isReachable(wheel) else {
            return "its movement is out of range"
        }
        return lengths(queue.isBounded && knock.count == current.knock.count)
    }
}
extension PS2Mouse: PlainlyStateful {}

extension IntervalTimer.State: SavedState {
    /// Refuses another number of counters, and modes and counts that do not exist.
    public func problem(replacing current: IntervalTimer.State) -> String? {
        lengths(channels.count == current.channels.count)
            ?? (channels.allSatisfy(\.isPossible) ? nil : "a counter's mode or count is out of range")
    }
}
extension IntervalTimer: PlainlyStateful {}

extension IntervalChannel {
    fileprivate var isPossible: Bool { mode < 6 && (1...0x10000).contains(reload) }
}

extension GenericEventDevice.State: SavedState {}
extension GenericEventDevice: PlainlyStateful {}

extension Watchdog.State: SavedState {
    /// Refuses another number of words.
    public func problem(replacing current: Watchdog.State) -> String? { lengths(words.count == current.words.count) }
}
extension Watchdog: PlainlyStateful {}

extension PowerManagement.State: SavedState {}
extension PowerManagement: PlainlyStateful {}

extension ResetControl.State: SavedState {}
extension ResetControl: PlainlyStateful {}

extension FirmwareConfig.State: SavedState {
    /// Refuses an offset beyond any item.
    public func problem(replacing current: FirmwareConfig.State) -> String? {
        offset <= UInt64(UInt32.max) ? nil : "its offset is out of range"
    }
}
extension FirmwareConfig: PlainlyStateful {}

extension UART16550.State: SavedState {}
extension UART16550: PlainlyStateful {}

extension SMBusHost.State: SavedState {
    /// Refuses a data buffer of another length.
    public func problem(replacing current: SMBusHost.State) -> String? { lengths(data.count == current.data.count) }
}
extension SMBusHost: PlainlyStateful {}

extension RealTimeClock.State: SavedState {
    /// Refuses memory of another length and an address outside it.
    public func problem(replacing current: RealTimeClock.State) -> String? {
        lengths(memory.count == current.memory.count) ?? (index < 128 ? nil : "its address is out of range")
    }
}
extension RealTimeClock: PlainlyStateful {}
