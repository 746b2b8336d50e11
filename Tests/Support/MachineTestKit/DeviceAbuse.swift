// SPDX-License-Identifier: Apache-2.0

public import Diagnostics
internal import GuestMemory
internal import MachineAssembly
internal import MachineModel
internal import MachineRuntime
internal import PCIBus
internal import RandomKit

/// A whole machine whose processors stand still while something else, with nothing but rubbish in mind, reads and writes
/// its ports, registers, configuration space and memory: for tests and for the fuzz target.
public final class DeviceAbuse {
    let machine: MachineUnderTest
    let arguments: [String]
    var random: SeededGenerator
    private static let configAddress: UInt64 = 0xCF8, configData: UInt64 = 0xCFC
    private static let configEnable: UInt64 = 1 << 31
    /// What was reached so far: accesses by the name of the window.
    public private(set) var accesses: [String: Int] = [:]

    /// Builds the machine of a command line and lets its time pass.
    /// - Throws: what roost-vmm would say of it.
    public init(_ arguments: [String], seed: UInt64) throws(UserError) {
        self.arguments = arguments
        random = SeededGenerator(seed: seed)
        machine = try MachineUnderTest(arguments)
    }

    /// Does that many accesses, with the events that they cause.
    public func run(_ count: Int) {
        for step in 0..<count {
            switch random.below(16) {
            case 0...4: touch(machine.spaces.ports)
            case 5...9: touch(machine.spaces.registers)
            case 10...12: touchConfiguration()
            case 13...14: fillMemory()
            default: if random.below(64) == 0 { machine.runner.performReset(.guestReset) }
            }
            let eventInterval = 16
            if step % eventInterval == 0 { machine.handleEvents() }
        }
        // A machine that was switched off or stopped goes on, as after `cont`.
        machine.handleEvents()
        if machine.runner.state == .shutdown { machine.runner.performReset(.guestReset) }
        machine.runner.resume()
    }

    /// The firmware's configuration, so that base addresses and controllers are in use.
    public func configure() { machine.configure() }

    private func touch(_ space: AddressSpace) {
        guard !space.mappings.isEmpty else { return }
        let mapping = space.mappings[random.below(space.mappings.count)]
        accesses[mapping.name, default: 0] += 1
        let isNear = random.below(4) != 0
        let reach = isNear ? min(mapping.count, 0x100) : mapping.count
        let address = mapping.base &+ random.next() % max(reach, 1)
        let size = 1 << random.below(4)
        if random.below(3) == 0 {
            _ = space.read(address, size: size)
        } else {
            space.write(address, size: size, value: value())
        }
    }

    /// Small numbers, single bits, addresses in memory, and noise.
    func value() -> UInt64 {
        switch random.below(5) {
        case 0: UInt64(random.below(16))
        case 1: 1 << UInt64(random.below(64))
        case 2: random.next() % machine.memoryBytes & ~0xFFF
        case 3: UInt64(random.below(256)) &* 0x0101_0101_0101_0101
        default: random.next()
        }
    }

    private func touchConfiguration() {
        let functions = machine.functions
        guard !functions.isEmpty else { return }
        let function = functions[random.below(functions.count)]
        accesses["config \(function.name)", default: 0] += 1
        let offset = random.below(256)
        machine.spaces.ports.write(
            Self.configAddress, size: 4,
            value: Self.configEnable | UInt64(function.address.packed) << 8 | UInt64(offset & 0xFC))
        let size = 1 << random.below(3), port = Self.configData + UInt64(offset & 3)
        if random.below(2) == 0 {
            _ = machine.spaces.ports.read(port, size: size)
        } else {
            machine.spaces.ports.write(port, size: size, value: value() & 0xFFFF_FFFF)
        }
    }

    /// Rings, descriptors, command lists: whatever a device takes the bytes for.
    private func fillMemory() {
        let bytes = (0..<(1 << random.below(8))).flatMap { _ in
            let word = value()
            return (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
        }
        let place = random.next() % machine.memoryBytes & ~0x3F
        // Where no memory is, nothing is written.
        try? machine.memory.write(bytes, at: place)
    }
}
