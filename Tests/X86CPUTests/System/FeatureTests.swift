// SPDX-License-Identifier: Apache-2.0

import CPUInterface
import GuestMemory
import Testing
import X86CPU

/// Instructions that a model does not show are what their bytes were before them, or undefined.
@Suite struct FeatureTests {
    private func machine(_ model: String, _ changes: [(String, Bool)] = []) throws -> SystemMachine {
        try SystemMachine(
            model: try CPUModel(
                named: model, changes: changes.map { (feature: $0.0, isOn: $0.1) },
                capabilities: SoftCPU.capabilities()))
    }

    @Test(
        arguments: [
            ("popcnt", [0xF3, 0x48, 0x0F, 0xB8, 0xC0]), ("movbe", [0x0F, 0x38, 0xF0, 0x04, 0x24]),
            ("adx", [0x66, 0x0F, 0x38, 0xF6, 0xC0]), ("sse4.2", [0xF2, 0x0F, 0x38, 0xF1, 0xC0]),
            ("bmi1", [0xC4, 0xE2, 0x78, 0xF2, 0xC0]), ("bmi2", [0xC4, 0xE3, 0x7B, 0xF0, 0xC0, 0x01]),
            ("ssse3", [0x66, 0x0F, 0x38, 0x00, 0xC0]), ("aes", [0x66, 0x0F, 0x38, 0xDC, 0xC0]),
            ("cx16", [0x48, 0x0F, 0xC7, 0x0C, 0x24]), ("lahf-lm", [0x9F]), ("clwb", [0x66, 0x0F, 0xAE, 0x34, 0x24]),
            ("clflushopt", [0x66, 0x0F, 0xAE, 0x3C, 0x24]), ("sha-ni", [0x0F, 0x38, 0xC9, 0xC0]),
        ] as [(String, [UInt8])])
    func hiddenIsUndefined(feature: String, code: [UInt8]) throws {
        let hidden = try machine("max", [(feature, false)])
        try hidden.run(code)
        #expect(try hidden.frame()?.vector == 6, "\(feature)")
        guard SoftCPU.capabilities().features.contains(feature) else { return }
        let shown = try machine("max")
        try shown.run(code)
        #expect(try shown.frame() == nil, "\(feature)")
    }

    @Test func countsBecomeScans() throws {
        // mov ecx, 0x100; tzcnt eax, ecx; lzcnt edx, ecx
        let code: [UInt8] = [0xB9, 0x00, 0x01, 0x00, 0x00, 0xF3, 0x0F, 0xBC, 0xC1, 0xF3, 0x0F, 0xBD, 0xD1]
        let old = try machine("qemu64")
        try old.run(code)
        #expect(old.cpu.registers.general[0] == 8 && old.cpu.registers.general[2] == 8)
        let new = try machine("max")
        try new.run(code)
        #expect(new.cpu.registers.general[0] == 8 && new.cpu.registers.general[2] == 23)
    }

    @Test func wideVectorsNeedTheirOwnFeature() throws {
        guard SoftCPU.capabilities().features.contains("avx2") else { return }
        let machine = try machine("max", [("avx2", false)])
        machine.set { $0.cr4 |= 1 << 18 }
        // xor ecx, ecx; mov eax, 7; xor edx, edx; xsetbv; vpaddb xmm0, xmm0, xmm0
        let enable: [UInt8] = [0x31, 0xC9, 0xB8, 7, 0, 0, 0, 0x31, 0xD2, 0x0F, 0x01, 0xD1]
        try machine.run(enable + [0xC5, 0xF9, 0xFC, 0xC0])
        #expect(try machine.frame() == nil)
        // vpaddb ymm0, ymm0, ymm0
        try machine.run([0xC5, 0xFD, 0xFC, 0xC0])
        #expect(try machine.frame()?.vector == 6)
    }

    /// XCR0 is what was written, whatever components hold.
    @Test func extendedControlReadsBack() throws {
        let machine = try machine("max")
        machine.set { $0.cr4 |= 1 << 18 }
        try machine.run([0x31, 0xC9, 0xB8, 3, 0, 0, 0, 0x31, 0xD2, 0x0F, 0x01, 0xD1, 0x31, 0xC0, 0x0F, 0x01, 0xD0])
        #expect(machine.cpu.registers.general[0] == 3)
    }

    /// SYSENTER belongs to Intel's long mode, SYSCALL outside 64-bit mode to AMD.
    @Test func vendorsDiffer() throws {
        let amd = try machine("max")
        try amd.run([0x0F, 0x34])
        #expect(try amd.frame()?.vector == 6)
        let intel = try machine("Haswell")
        try intel.run([0x0F, 0x34])
        // Without a selector in SYSENTER_CS.
        #expect(try intel.frame()?.vector == 13)
    }

    @Test func controllerModesByModel() throws {
        let machine = try machine("qemu64")
        // wrmsr IA32_APIC_BASE with x2APIC
        try machine.run([0xB9, 0x1B, 0, 0, 0, 0xB8, 0, 0x0D, 0xE0, 0xFE, 0x31, 0xD2, 0x0F, 0x30])
        #expect(try machine.frame()?.vector == 13)
    }

    @Test func machineCheckBanks() throws {
        let machine = try machine("max")
        let cpu = machine.cpu
        #expect(cpu.setModelSpecificRegister(0x400, to: .max) && cpu.modelSpecificRegister(0x400) == .max)
        #expect(cpu.setModelSpecificRegister(0x410, to: ~(1 << 10)))
        #expect(!cpu.setModelSpecificRegister(0x400, to: 0x1234))
        #expect(cpu.setModelSpecificRegister(0x401, to: 0) && !cpu.setModelSpecificRegister(0x401, to: 1))
        #expect(cpu.setModelSpecificRegister(0x402, to: 0x1234) && cpu.modelSpecificRegister(0x402) == 0x1234)
        // HWCR.McStatusWrEn
        #expect(cpu.setModelSpecificRegister(0xC001_0015, to: 1 << 18) && cpu.setModelSpecificRegister(0x401, to: 1))
        #expect(cpu.setModelSpecificRegister(0xC001_0004, to: 5) && cpu.modelSpecificRegister(0xC001_0004) == 0)
    }

    @Test func addressWidthOfTheModel() throws {
        var model = try CPUModel(named: "max", capabilities: SoftCPU.capabilities())
        try model.set(property: "phys-bits", to: "36")
        let machine = try SystemMachine(model: model)
        // mov rax, 1 << 36; mov cr3, rax
        try machine.run([0x48, 0xB8, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x0F, 0x22, 0xD8])
        #expect(try machine.frame()?.vector == 13)
    }
}
