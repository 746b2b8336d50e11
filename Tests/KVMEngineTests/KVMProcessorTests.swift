// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import HostSystem
import KVMEngine
import MachineModel
import StateCoding
import Testing

/// Records what the guest writes, and ends the run on a write to offset 1.
private final class Recorder: RegisterWindow {
    var written: [UInt64] = []
    var answers: UInt64 = 0x5A
    var end: () -> Void = {}
    func read(offset: UInt64, size: Int) -> UInt64 { answers }
    func write(offset: UInt64, size: Int, value: UInt64) {
        written.append(value)
        if offset == 1 { end() }
    }
}

/// The engine here, or nil with the reason printed: hand-made code also runs on a nested KVM without hardware.
private func usableKVM() -> KVMSystem? {
    do throws(KVMUnusable) { return try KVMSystem(allowNested: true) } catch {
        print("skipped: \(error)")
        return nil
    }
}

@Suite(.serialized) struct KVMProcessorTests {
    /// Runs real-mode code from the reset vector until it writes port 0xF5.
    private func run(
        _ code: [UInt8], before: (KVMProcessor) -> Void = { _ in },
        prepare: (KVMMachine, GuestMemory) throws -> Void = { _, _ in }
    ) throws -> (Recorder, Recorder, KVMProcessor)? {
        guard let system = usableKVM() else { return nil }
        let lock = Lock()
        let memory = GuestMemory()
        try memory.addRegion(name: "ram", start: 0, count: 0xA0000)
        try memory.addRegion(name: "rom", start: 0xFFFF_0000, count: 0x10000, isReadOnly: true)
        try memory.write(code, at: 0xFFFF_0000, force: true)
        // The reset vector: a near jump to offset 0.
        try memory.write([0xE9, 0x0D, 0x00], at: 0xFFFF_FFF0, force: true)
        let ports = AddressSpace(machineLock: lock)
        let devices = AddressSpace(machineLock: lock)
        let port = Recorder()
        let device = Recorder()
        ports.map(port, at: 0xF4, count: 2, name: "recorder")
        devices.map(device, at: 0xB8000, count: 0x1000, name: "recorder")
        let machine = try KVMMachine(system: system, memory: memory, hasTimer: false)
        try machine.commitRoutes()
        let processor = try KVMProcessor(
            machine: machine, index: 0, features: try system.supportedFeatures(), ports: ports, devices: devices)
        processor.reset()
        port.end = { processor.kick() }
        before(processor)
        try prepare(machine, memory)
        #expect(processor.run() == .kicked)
        return (port, device, processor)
    }

    @Test func portsAndRegisters() throws {
        // mov ax, 0x1234; out 0xF4, ax; in al, 0xF4; mov bl, al; out 0xF5, al; jmp self
        let code: [UInt8] = [0xB8, 0x34, 0x12, 0xE7, 0xF4, 0xE4, 0xF4, 0x88, 0xC3, 0xE6, 0xF5, 0xEB, 0xFE]
        guard let (port, _, processor) = try run(code) else { return }
        #expect(port.written == [0x1234, 0x5A])
        #expect(processor.registers.general[3] & 0xFF == 0x5A)
        #expect(processor.registers.rip == 11)
    }

    /// ioeventfd: a watched write signals and does nothing else; another value takes the usual way.
    @Test func watchedWritesSignal() throws {
        // mov al, 0x42; out 0xF4, al; mov al, 0x43; out 0xF4, al; out 0xF5, al; jmp self
        let code: [UInt8] = [0xB0, 0x42, 0xE6, 0xF4, 0xB0, 0x43, 0xE6, 0xF4, 0xE6, 0xF5, 0xEB, 0xFE]
        let event = try EventFile()
        let write = WatchedWrite(address: 0xF4, count: 1, value: 0x42, isPort: true)
        guard
            let (port, _, processor) = try run(
                code, before: { #expect($0.machine.watch(write, signalling: event)) })
        else { return }
        #expect(event.take())
        #expect(!event.take())
        #expect(port.written == [0x43, 0x43])
        processor.machine.unwatch(write, signalling: event)
    }

    /// irqfd: routes take messages, and numbers that were given back are used again.
    @Test func messageRoutes() throws {
        guard let machine = try processors(1)?.first?.machine else { return }
        for round in 0..<3 {
            let routes = (0..<100).compactMap { _ in machine.makeMessageRoute() }
            #expect(routes.count == 100)
            for (number, route) in routes.enumerated() {
                #expect(route.setMessage(address: 0xFEE0_0000, data: UInt32(0x20 + number % 200 + round)))
                route.signal()
            }
        }
    }

    @Test func deviceMemory() throws {
        // mov ax, 0xB800; mov ds, ax; mov [0x10], ax; mov al, [0x20]; out 0xF5, al; jmp self
        let code: [UInt8] = [
            0xB8, 0x00, 0xB8, 0x8E, 0xD8, 0xA3, 0x10, 0x00, 0xA0, 0x20, 0x00, 0xE6, 0xF5, 0xEB, 0xFE,
        ]
        guard let (port, device, _) = try run(code) else { return }
        #expect(device.written == [0xB800])
        #expect(port.written == [0x5A])
    }

    @Test func registersSurviveTheKernel() throws {
        guard let system = usableKVM() else { return }
        let memory = GuestMemory()
        try memory.addRegion(name: "ram", start: 0, count: 0x10000)
        let spaces = AddressSpace(machineLock: Lock())
        let machine = try KVMMachine(system: system, memory: memory, hasTimer: false)
        let processor = try KVMProcessor(
            machine: machine, index: 0, features: try system.supportedFeatures(), ports: spaces, devices: spaces)
        processor.reset()
        var registers = processor.registers
        #expect(registers.cs.base == 0xFFFF_0000 && registers.rip == 0xFFF0)
        registers.general = (0..<16).map { 0x1111_1111_1111_1111 &* UInt64($0) }
        registers.fxsave[32] = 0xAB
        registers.fxsave[160] = 0xCD
        registers.gdtr = X86DescriptorTable(base: 0x1000, limit: 0x3F)
        processor.registers = registers
        let read = processor.registers
        #expect(read.general == registers.general)
        #expect(read.gdtr == registers.gdtr && read.cs == registers.cs)
        #expect(read.fxsave[160] == 0xCD)
    }

    private func isDirty(_ page: Int, of memory: GuestMemory) -> Bool {
        // The region has a flag byte for each of its pages.
        unsafe memory.regions[0].pageFlags[page] & GuestMemory.PageFlags.dirty.rawValue != 0
    }

    /// What the guest writes is in the log once, and only while there is one.
    @Test func writtenPagesAreLogged() throws {
        // mov byte [0x5000], 1; out 0xF5, al; mov byte [0x7000], 1; out 0xF5, al; jmp self
        let code: [UInt8] = [
            0xC6, 0x06, 0x00, 0x50, 0x01, 0xE6, 0xF5, 0xC6, 0x06, 0x00, 0x70, 0x01, 0xE6, 0xF5, 0xEB, 0xFE,
        ]
        var kept: (machine: KVMMachine, memory: GuestMemory)?
        func collect(_ machine: KVMMachine, _ memory: GuestMemory) throws -> [Int] {
            try machine.collectDirtyPages()
            let found = (0..<0xA0).filter { isDirty($0, of: memory) }
            // As above.
            for page in found { unsafe memory.regions[0].pageFlags[page] &= ~GuestMemory.PageFlags.dirty.rawValue }
            return found
        }
        let ran = try run(
            code,
            prepare: { machine, memory in
                try machine.setDirtyLogging(true)
                _ = try collect(machine, memory)
                kept = (machine, memory)
            })
        guard let (_, _, processor) = ran, let (machine, memory) = kept else { return }
        #expect(try collect(machine, memory) == [5])
        #expect(try collect(machine, memory) == [])
        #expect(processor.run() == .kicked)
        #expect(try collect(machine, memory) == [7])
        try machine.setDirtyLogging(false)
        #expect(throws: KVMUnusable.self) { try machine.collectDirtyPages() }
    }

    /// What one processor saves another one takes, with its model-specific registers.
    @Test func stateGoesToAnotherProcessor() throws {
        guard let first = try processors(1)?.first, let second = try processors(1)?.first else { return }
        var registers = first.registers
        registers.general = (0..<16).map { 0x0101_0101_0101_0101 &* UInt64($0) }
        registers.fxsave[160] = 0x3C
        registers.kernelGSBase = 0xFFFF_8000_1234_5000
        first.registers = registers
        let record = try first.saveState(as: "cpu0")
        let restore = try second.checkState(record)
        #expect(second.registers.general != registers.general)
        restore()
        #expect(second.registers == first.registers)
        var foreign = record
        foreign.payload.removeLast(9)
        #expect(throws: StateError.self) { try second.checkState(foreign) }
    }

    @Test func aKickBeforeTheRunIsNotLost() throws {
        // jmp self
        guard let (_, _, processor) = try run([0xE6, 0xF5, 0xEB, 0xFE]) else { return }
        processor.kick()
        #expect(processor.run() == .kicked)
    }

    /// A machine of real-mode memory with `count` vCPUs that have been reset.
    private func processors(_ count: Int) throws -> [KVMProcessor]? {
        guard let system = usableKVM() else { return nil }
        let memory = GuestMemory()
        try memory.addRegion(name: "ram", start: 0, count: 0x10000)
        let spaces = AddressSpace(machineLock: Lock())
        let machine = try KVMMachine(system: system, memory: memory, hasTimer: false)
        let features = try system.supportedFeatures()
        return try (0..<count).map {
            let processor = try KVMProcessor(
                machine: machine, index: $0, features: features, ports: spaces, devices: spaces)
            processor.reset()
            return processor
        }
    }

    @Test func resetPutsEverythingBack() throws {
        guard let processor = try processors(1)?.first else { return }
        let fresh = processor.registers
        var changed = fresh
        changed.general[0] = 0x1234
        changed.cs.base = 0
        changed.rip = 0x100
        changed.debug[0] = 0x5000
        changed.fxsave[0] = 0x7E
        changed.fxsave[161] = 0xAA
        changed.kernelGSBase = 0xFFFF_8000_0000_0000
        processor.registers = changed
        #expect(processor.registers != fresh)
        processor.reset()
        #expect(processor.registers == fresh)
        #expect(processor.registers.general[2] != 0)
    }

    @Test func theStateOfResetHasTheUsualFloatingPointControls() throws {
        guard let processor = try processors(1)?.first else { return }
        let image = processor.registers.fxsave
        #expect(Array(image[0..<2]) == [0x7F, 0x03])
        #expect(Array(image[24..<28]) == [0x80, 0x1F, 0, 0])
        #expect(processor.registers.ymmHigh == [UInt8](repeating: 0, count: 256))
    }

    @Test func upperVectorHalvesSurviveTheKernel() throws {
        guard let processor = try processors(1)?.first else { return }
        var registers = processor.registers
        registers.ymmHigh = (0..<256).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 1) }
        processor.registers = registers
        let read = processor.registers.ymmHigh
        // A host without AVX keeps none of it.
        #expect(read == registers.ymmHigh || read.allSatisfy { $0 == 0 })
    }

    @Test func onlyTheFirstProcessorRunsAfterReset() throws {
        guard let pair = try processors(2) else { return }
        #expect(!pair[0].isHalted)
        #expect(pair[1].isHalted)
    }
}
