// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import HostSystem
import MachineModel
import X86CPU
import X86Translator

/// One processor in flat 64- or 32-bit mode whose every block is translated at once, beside one that interprets.
struct TranslatedMachine {
    static let origin: UInt64 = 0x1000, stackTop: UInt64 = 0x9000, memorySize: UInt64 = 4 << 20

    let memory = GuestMemory()
    let cpu: SoftCPU

    /// - Parameter translates: false for the interpreter.
    init(
        _ code: [UInt8], translates: Bool = true, cacheBytes: Int = 4 << 20, bits: Int = 64, isLockstep: Bool = false,
        model: String = "max", cachesEverywhere: Bool = true
    ) throws {
        try memory.addRegion(name: "ram", start: 0, count: Self.memorySize)
        let lock = Lock()
        cpu = try SoftCPU(
            index: 0,
            environment: .init(
                memory: memory, ports: AddressSpace(machineLock: lock), devices: AddressSpace(machineLock: lock),
                model: try CPUModel(named: model, capabilities: SoftCPU.capabilities())))
        if isLockstep {
            try Translator.installInLockstep(on: cpu, cacheBytes: cacheBytes)
        } else if translates {
            try Translator.install(on: cpu, cacheBytes: cacheBytes, threshold: -1, cachesEverywhere: cachesEverywhere)
        }
        cpu.setFlatMode(bits: bits)
        cpu.enableVectors()
        for register in 0..<16 { cpu[general: register] = 0 }
        cpu[general: 4] = Self.stackTop
        try memory.write(code + [0xF4], at: Self.origin)
        cpu.instructionPointer = Self.origin
    }

    /// Runs to HLT or an exception.
    @discardableResult
    func run() -> ExecutionStop { cpu.execute(limit: 1_000_000) }

    var statistics: TranslatorStatistics { Translator.statistics(of: cpu) ?? TranslatorStatistics() }
}
