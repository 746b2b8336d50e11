// SPDX-License-Identifier: Apache-2.0

internal import MachineModel

/// Gives the functions addresses and interrupt numbers the way PC firmware does, for a kernel that starts without one.
///
/// Ports go upwards from 0xC000. Below 4 GiB, memory goes downwards from the I/O APIC: the registers in one block, the
/// prefetchable ranges in another below it; larger ranges first, so that all are aligned without gaps. 64-bit
/// prefetchable ranges that find no room there go above 4 GiB.
public struct PCIResourceAssignment {
    /// ISA interrupts of PIRQA...PIRQD, and of PIRQE...PIRQH.
    public static let isaInterrupts: [UInt8] = [10, 10, 11, 11]
    /// The ISA interrupts above as a mask, as the edge/level registers hold them.
    public static let levelTriggeredInterrupts: UInt16 = 1 << 10 | 1 << 11

    /// Ports that may be given out.
    public var ports: Range<UInt64> = 0xC000..<0x1_0000
    /// Memory below 4 GiB that may be given out.
    public var memory: Range<UInt64>
    /// The first address above 4 GiB that is free.
    public var highMemory: UInt64
    /// Which of `isaInterrupts` a slot's pin (0...3) is on.
    public var interrupt: (_ slot: Int, _ pin: Int) -> Int

    /// q35 with RAM up to `lowMemoryEnd` below 4 GiB and `highMemoryEnd` above.
    public static func q35(highMemoryEnd: UInt64) -> PCIResourceAssignment {
        PCIResourceAssignment(
            memory: 0xC000_0000..<0xFEC0_0000, highMemory: max(highMemoryEnd, 1 << 32),
            interrupt: { slot, pin in slot < 25 ? (slot + pin) % 4 : pin })
    }

    /// pc with RAM up to `lowMemoryEnd` below 4 GiB and `highMemoryEnd` above.
    public static func pc(lowMemoryEnd: UInt64, highMemoryEnd: UInt64) -> PCIResourceAssignment {
        PCIResourceAssignment(
            memory: max(lowMemoryEnd, 0x8000_0000)..<0xFEC0_0000, highMemory: max(highMemoryEnd, 1 << 32),
            interrupt: { slot, pin in (slot + pin + 3) % 4 })
    }

    /// A range that somebody needs: a base address register, or the window of a port.
    private struct Request {
        let device: PCIDevice
        /// A power of two, and the alignment.
        let size: UInt64
        let isPort: Bool
        var isPrefetchable = false
        var canBeHigh = false
        let assign: (UInt64) -> Void
    }

    /// What the windows of a port begin and end on.
    private static let portWindow: UInt64 = 4096, memoryWindow: UInt64 = 1 << 20

    /// Assigns all of a bus's functions and enables their decoders.
    /// - Throws: a range finds no room.
    public func apply(to bus: PCIBus) throws(PCIBusError) {
        let windows = PortWindows()
        let requests = Self.largestFirst(
            bus.devices.flatMap { device in Self.ranges(of: device) + Self.windows(of: device, into: windows) })
        try placePorts(requests.filter(\.isPort))
        try placeMemory(requests.filter { !$0.isPort })
        for device in bus.devices { finish(device, slot: device.address.slot, turn: 0) }
        var number: UInt8 = 1
        for port in bus.rootPorts {
            port.configureAsFirmware(
                busNumber: number, memory: windows.memory[port.address] ?? 0..<0,
                ports: windows.ports[port.address] ?? 0..<0)
            number &+= 1
            for device in port.secondaryBus.devices {
                finish(device, slot: port.address.slot, turn: device.address.slot)
            }
        }
    }

    /// Where the windows of ports came to lie.
    private final class PortWindows {
        var memory: [PCIAddress: Range<UInt64>] = [:]
        var ports: [PCIAddress: Range<UInt64>] = [:]
    }

    private static func largestFirst(_ requests: [Request]) -> [Request] {
        requests.enumerated().sorted { ($1.element.size, $0.offset) < ($0.element.size, $1.offset) }.map(\.element)
    }

    private static func ranges(of device: PCIDevice) -> [Request] {
        device.baseAddresses.compactMap { bar in
            guard let bar else { return nil }
            // Ranges of memory take whole pages.
            let size = bar.kind == .io ? bar.size : max(bar.size, 4096)
            return Request(
                device: device, size: size, isPort: bar.kind == .io, isPrefetchable: bar.isPrefetchable,
                canBeHigh: bar.kind == .memory64
            ) { address in assign(address, to: bar, of: device) }
        }
    }

    /// One window of each kind around all that is behind a port.
    private static func windows(of device: PCIDevice, into windows: PortWindows) -> [Request] {
        guard let port = device as? PCIExpressRootPort else { return [] }
        let behind = largestFirst(port.secondaryBus.devices.flatMap(ranges(of:)))
        func request(_ members: [Request], _ unit: UInt64, isPort: Bool) -> [Request] {
            guard !members.isEmpty else { return [] }
            let total = max(unit, members.reduce(UInt64(0)) { $0 + $1.size })
            let size = total.nonzeroBitCount == 1 ? total : 1 << UInt64(64 - total.leadingZeroBitCount)
            return [
                Request(device: device, size: size, isPort: isPort) { address in
                    var next = address
                    for member in members {
                        member.assign(next)
                        next += member.size
                    }
                    if isPort {
                        windows.ports[port.address] = address..<address + size
                    } else {
                        windows.memory[port.address] = address..<address + size
                    }
                }
            ]
        }
        return request(behind.filter { !$0.isPort }, memoryWindow, isPort: false)
            + request(behind.filter(\.isPort), portWindow, isPort: true)
    }

    /// - Parameter turn: by how many places a port turns the pin.
    private func finish(_ device: PCIDevice, slot: Int, turn: Int) {
        if device.interruptPin != 0 {
            let index = interrupt(slot, (device.interruptPin - 1 + turn) % 4)
            device.writeConfig(
                offset: PCIRegister.interruptLine, size: 1, value: UInt32(Self.isaInterrupts[index % 4]))
        }
        let command =
            device.command | PCICommand.ioSpace | PCICommand.memorySpace | PCICommand.systemErrorEnable
        device.writeConfig(offset: PCIRegister.command, size: 2, value: UInt32(command))
    }

    private func placePorts(_ requests: [Request]) throws(PCIBusError) {
        var next = ports.lowerBound
        for request in requests {
            let base = align(next, request.size)
            guard base + request.size <= ports.upperBound else { throw noRoom(request) }
            request.assign(base)
            next = base + request.size
        }
    }

    private func placeMemory(_ requests: [Request]) throws(PCIBusError) {
        let registers = requests.filter { !$0.isPrefetchable }
        var prefetchable = requests.filter(\.isPrefetchable)
        let registersBase = try blockBase(registers, below: memory.upperBound)
        if blockFits(prefetchable, below: registersBase) == nil {
            var next = highMemory
            for request in prefetchable where request.canBeHigh {
                next = align(next, request.size)
                request.assign(next)
                next += request.size
            }
            prefetchable.removeAll(where: \.canBeHigh)
        }
        place(registers, from: registersBase)
        place(prefetchable, from: try blockBase(prefetchable, below: registersBase))
    }

    /// The first address of a block that ends at or before `end`; aligned for its largest member.
    private func blockFits(_ requests: [Request], below end: UInt64) -> UInt64? {
        guard let largest = requests.first else { return end }
        let total = requests.reduce(UInt64(0)) { $0 + $1.size }
        guard total <= end - memory.lowerBound else { return nil }
        let base = (end - total) & ~(largest.size - 1)
        return base >= memory.lowerBound ? base : nil
    }

    private func blockBase(_ requests: [Request], below end: UInt64) throws(PCIBusError) -> UInt64 {
        guard let base = blockFits(requests, below: end) else {
            throw noRoom(requests[0])
        }
        return base
    }

    /// Largest first: each size divides those before it, so there are no gaps.
    private func place(_ requests: [Request], from base: UInt64) {
        var next = base
        for request in requests {
            request.assign(next)
            next += request.size
        }
    }

    private func align(_ address: UInt64, _ size: UInt64) -> UInt64 { (address + size - 1) & ~(size - 1) }

    private static func assign(_ address: UInt64, to bar: PCIBaseAddress, of device: PCIDevice) {
        device.writeConfig(offset: bar.register, size: 4, value: UInt32(truncatingIfNeeded: address))
        if bar.kind == .memory64 {
            device.writeConfig(offset: bar.register + 4, size: 4, value: UInt32(truncatingIfNeeded: address >> 32))
        }
    }

    private func noRoom(_ request: Request) -> PCIBusError {
        let space = request.isPort ? "ports" : "bytes of memory below 4 GiB"
        return PCIBusError(
            "PCI: no room for \(request.size) \(space) of \(request.device.name) at \(request.device.address)")
    }
}
