// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import HostSystem
import MachineModel
import X86CPU

/// One processor with RAM from 0 to 4 MiB, empty port and device spaces, and code at `FlatMachine.origin`.
struct FlatMachine {
    static let origin: UInt64 = 0x1000
    static let memorySize: UInt64 = 4 << 20
    /// Where the stack grows down from.
    static let stackTop: UInt64 = 0x9000

    let memory = GuestMemory()
    let ports: AddressSpace
    let devices: AddressSpace
    let cpu: SoftCPU

    /// - Parameters:
    ///   - bits: width of the code: 16, 32 or 64.
    ///   - code: bytes for `origin`; HLT follows them.
    ///   - memorySize: bytes of RAM.
    ///   - model: what CPUID shows; "max" without.
    init(bits: Int = 64, _ code: [UInt8] = [], memorySize: UInt64 = Self.memorySize, model: CPUModel? = nil) throws {
        try memory.addRegion(name: "ram", start: 0, count: memorySize)
        let lock = Lock()
        ports = AddressSpace(machineLock: lock)
        devices = AddressSpace(machineLock: lock)
        cpu = try SoftCPU(
            index: 0,
            environment: .init(
                memory: memory, ports: ports, devices: devices,
                model: try model ?? CPUModel(named: "max", capabilities: SoftCPU.capabilities())))
        cpu.setFlatMode(bits: bits)
        // RESET leaves the processor's signature in RDX.
        for register in 0..<16 { cpu[general: register] = 0 }
        cpu[general: 4] = Self.stackTop
        try load(code + [0xF4])
    }

    /// Puts code at an address and the instruction pointer on it.
    func load(_ code: [UInt8], at address: UInt64 = origin) throws {
        try memory.write(code, at: address)
        cpu.instructionPointer = address
    }

    /// Runs to HLT, an exception or the limit.
    @discardableResult
    func run(limit: UInt64 = 100_000) -> ExecutionStop { cpu.execute(limit: limit) }
}
