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

    private struct Request {
        let device: PCIDevice
        let bar: PCIBaseAddress
        /// Ranges of memory take whole pages.
        var size: UInt64 { bar.kind == .io ? bar.size : max(bar.size, 4096) }
    }

    /// Assigns all of a bus's functions and enables their decoders.
    /// - Throws: a range finds no room.
    public func apply(to bus: PCIBus) throws(PCIBusError) {
        var requests: [Request] = []
        for device in bus.devices {
            requests += device.baseAddresses.compactMap { $0.map { Request(device: device, bar: $0) } }
        }
        requests = requests.enumerated().sorted {
            ($1.element.size, $0.offset) < ($0.element.size, $1.offset)
        }.map(\.element)
        try placePorts(requests.filter { $0.bar.kind == .io })
        try placeMemory(requests.filter { $0.bar.kind != .io })
        for device in bus.devices { finish(device) }
    }

    private func finish(_ device: PCIDevice) {
        if device.interruptPin != 0 {
            let index = interrupt(device.address.slot, device.interruptPin - 1)
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
            assign(base, to: request)
            next = base + request.size
        }
    }

    private func placeMemory(_ requests: [Request]) throws(PCIBusError) {
        let registers = requests.filter { !$0.bar.isPrefetchable }
        var prefetchable = requests.filter { $0.bar.isPrefetchable }
        let registersBase = try blockBase(registers, below: memory.upperBound)
        if blockFits(prefetchable, below: registersBase) == nil {
            var next = highMemory
            for request in prefetchable where request.bar.kind == .memory64 {
                next = align(next, request.size)
                assign(next, to: request)
                next += request.size
            }
            prefetchable.removeAll { $0.bar.kind == .memory64 }
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
            assign(next, to: request)
            next += request.size
        }
    }

    private func align(_ address: UInt64, _ size: UInt64) -> UInt64 { (address + size - 1) & ~(size - 1) }

    private func assign(_ address: UInt64, to request: Request) {
        let register = request.bar.register
        request.device.writeConfig(offset: register, size: 4, value: UInt32(truncatingIfNeeded: address))
        if request.bar.kind == .memory64 {
            request.device.writeConfig(offset: register + 4, size: 4, value: UInt32(truncatingIfNeeded: address >> 32))
        }
    }

    private func noRoom(_ request: Request) -> PCIBusError {
        let space = request.bar.kind == .io ? "ports" : "bytes of memory below 4 GiB"
        return PCIBusError(
            "PCI: no room for \(request.bar.size) \(space) of \(request.device.name) at \(request.device.address)")
    }
}
