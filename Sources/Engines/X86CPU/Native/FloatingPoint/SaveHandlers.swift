// SPDX-License-Identifier: Apache-2.0

/// FXSAVE, FXRSTOR, LDMXCSR and STMXCSR.
enum SaveHandlers {
    /// XMM registers are part of the image only where the system said that it knows of them.
    private static func savedXMMCount(_ state: State) -> UInt8 {
        state.pointee.cr4 & VectorControl.osFXSR != 0 ? state.vectorRegisterCount : 0
    }

    static let fxsave: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPUWithoutWait()
            let address = try state.vectorAddress(
                instruction, size: FXImage.byteCount, alignmentMask: 15, isWrite: true)
            let image = state.saveImage
            let count = savedXMMCount(state)
            state.exportX87(to: image, wide: instruction.pointee.operandSize == 3)
            state.exportMXCSR(to: image)
            state.exportXMM(to: image, count: count)
            // The whole area must be writable, though its end is left to software.
            try state.probeWrite(address, size: FXImage.byteCount)
            try state.slowStoreBytes(address, count: FXImage.xmm + Int(count) * 16, from: image)
            return .next
        }
    }

    static let fxrstor: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireFPUWithoutWait()
            let address = try state.vectorAddress(instruction, size: FXImage.byteCount, alignmentMask: 15)
            let image = state.saveImage
            let count = savedXMMCount(state)
            try state.slowLoadBytes(address, count: FXImage.byteCount, into: image)
            let mxcsr = image.load(fromByteOffset: FXImage.mxcsr, as: UInt32.self)
            guard mxcsr & ~MXCSR.writable == 0 else { throw state.generalProtection() }
            state.importX87(from: image, wide: instruction.pointee.operandSize == 3)
            state.pointee.mxcsr = mxcsr
            state.importXMM(from: image, count: count)
            return .next
        }
    }

    static let ldmxcsr: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            let value: UInt32 = try state.load(try state.address(instruction, size: 4))
            guard value & ~MXCSR.writable == 0 else { throw state.generalProtection() }
            state.pointee.mxcsr = value
            return .next
        }
    }

    static let stmxcsr: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireVector(instruction)
            try state.store(try state.address(instruction, size: 4, isWrite: true), state.pointee.mxcsr)
            return .next
        }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        func add(_ name: String, _ digit: UInt8, _ handler: @escaping Handler) {
            table.add(
                name, .map0F, 0xAE, prefix: .none, digit: digit, mod: .memory, size: .doubleOrQuad, .modRM, run: handler
            )
        }
        add("FXSAVE", 0, fxsave)
        add("FXRSTOR", 1, fxrstor)
        add("LDMXCSR", 2, ldmxcsr)
        add("STMXCSR", 3, stmxcsr)
        guard HostFeatures.host.contains(.avx) else { return }
        let short = VEXForm(l: .zero, usesV: false)
        table.add(
            "VLDMXCSR", .map0F, 0xAE, prefix: .none, digit: 2, mod: .memory, vex: short, size: .fixed(2), .modRM,
            run: ldmxcsr)
        table.add(
            "VSTMXCSR", .map0F, 0xAE, prefix: .none, digit: 3, mod: .memory, vex: short, size: .fixed(2), .modRM,
            run: stmxcsr)
    }
}
