// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface

/// Bits of DR6.
enum DebugStatus {
    static let breakpoints: UInt64 = 0xF, registerAccess: UInt64 = 1 << 13, singleStep: UInt64 = 1 << 14
    static let taskSwitch: UInt64 = 1 << 15
    /// Bits that read as 1.
    static let fixed: UInt64 = 0xFFFF_0FF0
    /// Bits that software may change: the rest are fixed, or 0.
    static let writable: UInt64 = 0xE00F
}

/// Fields of DR7.
enum DebugControl {
    static let generalDetect: UInt64 = 1 << 13
    static let fixed: UInt64 = 1 << 10
    /// L0...L3 and LE, which a task switch clears.
    static let local: UInt64 = 0x155
    static let writable: UInt64 = 0xFFFF_2BFF

    enum Kind: UInt64 { case execute = 0, write = 1, port = 2, access = 3 }

    static func kind(_ value: UInt64, _ index: Int) -> Kind { Kind(rawValue: value >> UInt64(16 + index * 4) & 3)! }
    /// Bytes.
    static func length(_ value: UInt64, _ index: Int) -> UInt64 {
        switch value >> UInt64(18 + index * 4) & 3 {
        case 0: 1
        case 1: 2
        case 2: 8
        default: 4
        }
    }
    /// Locally or globally.
    static func isEnabled(_ value: UInt64, _ index: Int) -> Bool { value >> UInt64(index * 2) & 3 != 0 }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// To be called after DR0...DR3, DR7 or the debugger's points changed.
    func updateWatches() {
        let control = pointee.debug[7]
        var watches: [Watch] = []
        var executes = false
        for index in 0..<4 where DebugControl.isEnabled(control, index) {
            let kind = DebugControl.kind(control, index)
            switch kind {
            case .execute: executes = true
            case .port: break
            case .write, .access:
                let length = DebugControl.length(control, index)
                watches.append(
                    Watch(
                        address: pointee.debug[index] & ~(length - 1), count: length, onRead: kind == .access,
                        onWrite: true, register: index))
            }
        }
        for watch in cpu.debugPoints.watchpoints {
            watches.append(
                Watch(
                    address: watch.address, count: UInt64(max(watch.count, 1)), onRead: watch.onRead,
                    onWrite: watch.onWrite))
        }
        let hadWatches = pointee.mmu.pointee.hasWatches
        pointee.mmu.pointee.watches = watches
        pointee.mmu.pointee.hasWatches = !watches.isEmpty
        pointee.hasInstructionBreakpoints = executes
        if hadWatches || !watches.isEmpty { flushAllTranslations() }
    }

    /// DR6 bits of the instruction breakpoints at the next instruction.
    func instructionBreakpoints() -> UInt64 {
        let place = codeLinear((is64Bit ? 0 : segment(SegmentRegister.cs).pointee.base) &+ pointee.rip)
        var bits: UInt64 = 0
        for index in 0..<4
        where pointee.debug[index] == place && DebugControl.isEnabled(pointee.debug[7], index)
            && DebugControl.kind(pointee.debug[7], index) == .execute
        {
            bits |= 1 << UInt64(index)
        }
        return bits
    }
}

/// MOV DR.
enum DebugInstructions {
    /// The register's number, after the checks that both directions share.
    private static func number(_ state: State, _ instruction: UnsafePointer<Instruction>) throws(CPUFault) -> Int {
        var number = Int(instruction.pointee.reg)
        guard number < 8 else { throw state.fault(Vector.invalidOpcode) }
        if number == 4 || number == 5 {
            guard state.pointee.cr4 & ControlRegister4.debuggingExtensions == 0 else {
                throw state.fault(Vector.invalidOpcode)
            }
            number += 2
        }
        try state.requireSupervisor()
        if state.pointee.debug[7] & DebugControl.generalDetect != 0 {
            state.pointee.faultDebugBits = DebugStatus.registerAccess
            throw state.fault(Vector.debug)
        }
        return number
    }

    static let read: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let value = state.pointee.debug[try number(state, instruction)]
            state.writeRegister(instruction.pointee.rm, value, size: state.is64Bit ? 3 : 2)
            return .next
        }
    }

    static let write: Handler = {
        handle($0, $1) { state, instruction throws(CPUFault) in
            let number = try number(state, instruction)
            let raw = state[register: Int(instruction.pointee.rm)]
            let value = state.is64Bit ? raw : raw & 0xFFFF_FFFF
            if number >= 6, value >> 32 != 0 { throw state.generalProtection() }
            switch number {
            case 6: state.pointee.debug[6] = value & DebugStatus.writable | DebugStatus.fixed
            case 7: state.pointee.debug[7] = value & DebugControl.writable | DebugControl.fixed
            default: state.pointee.debug[number] = value
            }
            if number != 6 { state.updateWatches() }
            return state.end(instruction)
        }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        table.add("MOV", .map0F, 0x21, [.modRM, .registerAlways, .system], run: read)
        table.add("MOV", .map0F, 0x23, [.modRM, .registerAlways, .system], run: write)
    }
}
