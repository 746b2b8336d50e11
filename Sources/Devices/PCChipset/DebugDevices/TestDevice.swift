// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// QEMU's pc-testdev, against which kvm-unit-tests run: an echo port, interrupt lines, a page to unmap and a bit of
/// memory behind a device.
public final class TestDevice: Device {
    /// QEMU's name, for `-device`, `info qtree` and logs.
    public let name = "pc-testdev"

    /// Where each part is.
    public enum Place {
        /// The port that gives back what was written to it.
        public static let echoPort: UInt64 = 0xE0
        /// The port that takes the address of a page whose host mapping is to be dropped.
        public static let flushPort: UInt64 = 0xE4
        /// The first of the ports that set an interrupt line each.
        public static let interruptPorts: UInt64 = 0x2000
        /// How many interrupt lines there are.
        public static let interruptCount: UInt64 = 24
        /// Where the memory window begins.
        public static let memory: UInt64 = 0xFF00_0000
        /// The memory window's size in bytes.
        public static let memoryCount: UInt64 = 0x1_0000
    }

    /// Everything that a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// What the echo port holds.
        public internal(set) var echo: UInt32 = 0
        /// What the memory window holds.
        public internal(set) var memory = [UInt8](repeating: 0, count: Int(Place.memoryCount))
    }

    /// What a saved machine keeps.
    public var state = State()
    private let lines: [InterruptLine]
    private let flush: (UInt64) -> Void

    /// - Parameters:
    ///   - lines: one for each ISA interrupt and further GSI, up to 24; missing ones do nothing.
    ///   - flush: drops and restores the host's mapping of the page that was asked for; nothing to do where pages are
    ///     not mapped by a second level of page tables.
    public init(lines: [InterruptLine], flush: @escaping (UInt64) -> Void = { _ in }) {
        self.lines = lines
        self.flush = flush
    }

    /// Puts the ports and the window in their places.
    public func map(ports: AddressSpace, memory: AddressSpace) {
        ports.map(
            WordWindow(read: { [self] in readEcho($0, $1) }, write: { [self] in writeEcho($0, $1, $2) }),
            at: Place.echoPort, count: 4, name: "pc-testdev-ioport")
        ports.map(
            WordWindow(read: { _, _ in 0 }, write: { [flush] _, _, value in flush(value) }), at: Place.flushPort,
            count: 4, name: "pc-testdev-flush-page")
        ports.map(
            WordWindow(
                read: { _, _ in 0 },
                write: { [lines] offset, _, value in
                    if offset < UInt64(lines.count) { lines[Int(offset)].set(value != 0) }
                }),
            at: Place.interruptPorts, count: Place.interruptCount, name: "pc-testdev-irq-line")
        memory.map(
            WordWindow(read: { [self] in readMemory($0, $1) }, write: { [self] in writeMemory($0, $1, $2) }),
            at: Place.memory, count: Place.memoryCount, name: "pc-testdev-iomem")
    }

    /// Clears the echo and the memory, and takes all lines back.
    public func reset() {
        state = State()
        for line in lines { line.set(false) }
    }

    private func readEcho(_ offset: UInt64, _ size: Int) -> UInt64 { UInt64(state.echo) >> ((offset & 3) * 8) }

    private func writeEcho(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        let shift = UInt32(offset & 3) * 8
        let mask = (size >= 4 ? UInt32.max : (1 << UInt32(max(size, 0) * 8)) - 1) << shift
        state.echo = state.echo & ~mask | UInt32(truncatingIfNeeded: value) << shift & mask
    }

    private func readMemory(_ offset: UInt64, _ size: Int) -> UInt64 {
        var result: UInt64 = 0
        for index in 0..<UInt64(max(0, min(size, 8))) where offset &+ index < Place.memoryCount {
            result |= UInt64(state.memory[Int(offset &+ index)]) << (index * 8)
        }
        return result
    }

    private func writeMemory(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        for index in 0..<UInt64(max(0, min(size, 8))) where offset &+ index < Place.memoryCount {
            state.memory[Int(offset &+ index)] = UInt8(truncatingIfNeeded: value >> (index * 8))
        }
    }
}
