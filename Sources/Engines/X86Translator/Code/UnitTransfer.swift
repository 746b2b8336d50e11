// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Moves the vector registers with MXCSR and the x87 unit between the host and the state.
struct UnitTransfer {
    /// Bits of `TranslationState.loadedUnits`.
    static let vectors: UInt8 = 1, fpu: UInt8 = 2

    let hasAVX: Bool

    /// With the vectors' place in scratch0.
    private func each(_ emitter: inout Emitter, isStore: Bool) {
        for number in UInt8(0)..<16 {
            emitter.instruction(
                Encoding(map: 1, vex: hasAVX ? (0, true) : nil), isStore ? 0x11 : 0x10, reg: number,
                .memory(Host.scratch0, Int32(number) * 32))
        }
    }

    /// LDMXCSR (2), STMXCSR (3), FXSAVE64 (0) and FXRSTOR64 (1).
    private func control(_ emitter: inout Emitter, _ digit: UInt8, _ place: Place) {
        emitter.instruction(Encoding(isWide: digit < 2, map: 1), 0xAE, reg: digit, place)
    }

    /// Tests bits of a byte in memory and jumps where they are clear.
    private func skip(_ emitter: inout Emitter, unless bit: UInt8, _ place: Place)
        -> UnsafeMutablePointer<UInt8>
    {
        emitter.instruction(Encoding(), 0xF6, reg: 0, place)
        emitter.byte(bit)
        return emitter.jump(if: Emitter.ifEqual)
    }

    private func mark(_ emitter: inout Emitter, _ bit: UInt8) {
        emitter.op(0x83, 1, Self.aboveReturn(StateLayout.loadedUnits), wide: false)
        emitter.byte(bit)
    }

    /// A field of the state, which lies directly above the return address.
    private static func aboveReturn(_ offset: Int32) -> Place { .memory(Host.rsp, offset + 8) }

    private func loadVectorRegisters(_ emitter: inout Emitter) {
        emitter.load(Host.scratch0, Self.aboveReturn(StateLayout.vectors))
        each(&emitter, isStore: false)
        control(&emitter, 2, Self.aboveReturn(StateLayout.mxcsr))
    }

    /// Called with the state directly above the return address.
    func emitLoadVectors(_ emitter: inout Emitter) {
        loadVectorRegisters(&emitter)
        mark(&emitter, Self.vectors)
        emitter.byte(0xC3)
    }

    /// As above. FXRSTOR loads the vectors and MXCSR as well, so that those of the guest step aside.
    func emitLoadFPU(_ emitter: inout Emitter) {
        emitter.load(Host.scratch1, Self.aboveReturn(StateLayout.fxsave))
        let unused = skip(&emitter, unless: Self.vectors, Self.aboveReturn(StateLayout.loadedUnits))
        emitter.load(Host.scratch0, Self.aboveReturn(StateLayout.vectors))
        each(&emitter, isStore: true)
        control(&emitter, 3, Self.aboveReturn(StateLayout.mxcsr))
        control(&emitter, 1, .memory(Host.scratch1))
        loadVectorRegisters(&emitter)
        mark(&emitter, Self.fpu)
        emitter.byte(0xC3)
        emitter.linkHere(unused)
        control(&emitter, 1, .memory(Host.scratch1))
        mark(&emitter, Self.fpu)
        emitter.byte(0xC3)
    }

    /// As above: loads again what is marked as loaded. Changes scratch0 and RFLAGS alone.
    func emitReload(_ emitter: inout Emitter) {
        let noFPU = skip(&emitter, unless: Self.fpu, Self.aboveReturn(StateLayout.loadedUnits))
        emitter.load(Host.scratch0, Self.aboveReturn(StateLayout.fxsave))
        control(&emitter, 1, .memory(Host.scratch0))
        emitter.linkHere(noFPU)
        let noVectors = skip(&emitter, unless: Self.vectors, Self.aboveReturn(StateLayout.loadedUnits))
        loadVectorRegisters(&emitter)
        emitter.linkHere(noVectors)
        emitter.byte(0xC3)
    }

    /// Stores what is marked as loaded, and leaves the units as host code expects them. RBX: the state.
    func emitSave(_ emitter: inout Emitter) {
        let units = Place.memory(Host.rbx, StateLayout.loadedUnits)
        let noVectors = skip(&emitter, unless: Self.vectors, units)
        emitter.load(Host.scratch0, .memory(Host.rbx, StateLayout.vectors))
        each(&emitter, isStore: true)
        control(&emitter, 3, .memory(Host.rbx, StateLayout.mxcsr))
        control(&emitter, 2, .memory(Host.scratch0, StateLayout.hostControl))
        if hasAVX { emitter.bytes(0xC5, 0xF8, 0x77) }
        emitter.linkHere(noVectors)
        let noFPU = skip(&emitter, unless: Self.fpu, units)
        emitter.load(Host.scratch0, .memory(Host.rbx, StateLayout.fxsave))
        control(&emitter, 0, .memory(Host.scratch0))
        // The instruction's and operand's addresses would be the host's; the guest's are kept beside.
        for offset: Int32 in [8, 16] {
            emitter.op(0xC7, 0, .memory(Host.scratch0, offset), wide: true)
            emitter.long(0)
            if offset == 16 { control(&emitter, 3, .memory(Host.scratch0, 24)) }
        }
        emitter.bytes(0xDB, 0xE3)
        emitter.linkHere(noFPU)
        emitter.byte(0xC3)
    }
}
