// SPDX-License-Identifier: Apache-2.0

/// VMASKMOV, VPMASKMOV and the gathers: each element is a memory access of its own that happens or not.
/// `operandSize` is log2 of an element's bytes; for gathers `detail` is the index register.
enum MaskedVectors {
    static let load: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireAVX()
            var result = SIMD4<UInt64>.zero
            let start = try state.address(instruction, size: vectorBytes(instruction))
            for element in 0..<count(instruction) where isChosen(state, instruction, element) {
                let place = start &+ UInt64(element) << UInt64(instruction.pointee.operandSize)
                try insert(state, instruction, place, element, &result)
            }
            state.setYMM(instruction.pointee.reg, result)
            return .next
        }
    }

    static let store: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireAVX()
            let start = try state.address(instruction, size: vectorBytes(instruction), isWrite: true)
            let size = 1 << Int(instruction.pointee.operandSize)
            let chosen = (0..<count(instruction)).filter { isChosen(state, instruction, $0) }
            for element in chosen { try state.probeWrite(start &+ UInt64(element * size), size: size) }
            let source = state.vector(instruction.pointee.reg)
            for element in chosen {
                let place = start &+ UInt64(element * size)
                if size == 8 {
                    try state.store(place, source.load(fromByteOffset: element * 8, as: UInt64.self))
                } else {
                    try state.store(place, source.load(fromByteOffset: element * 4, as: UInt32.self))
                }
            }
            return .next
        }
    }

    /// Elements that are done when one faults stay done, with their mask cleared.
    static let gather: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try state.requireAVX()
            let is64 = instruction.pointee.operandSize == 3
            let hasQuadIndex = instruction.pointee.opcode & 1 != 0
            let perVector = instruction.pointee.prefixes.contains(.vexL) ? 32 : 16
            let count = perVector / (is64 || hasQuadIndex ? 8 : 4)
            let mask = state.vector(instruction.pointee.vvvv)
            let indices = state.vector(instruction.pointee.detail)
            for element in 0..<count {
                if isChosen(state, instruction, element) {
                    let index: Int64 =
                        hasQuadIndex
                        ? indices.load(fromByteOffset: element * 8, as: Int64.self)
                        : Int64(indices.load(fromByteOffset: element * 4, as: Int32.self))
                    let scaled = UInt64(bitPattern: index) &<< UInt64(instruction.pointee.scale)
                    let place = try state.elementAddress(instruction, scaled, size: is64 ? 8 : 4)
                    var target = state.ymm(instruction.pointee.reg)
                    try insert(state, instruction, place, element, &target)
                    state.setYMM(instruction.pointee.reg, target)
                }
                if is64 {
                    mask.storeBytes(of: 0, toByteOffset: element * 8, as: UInt64.self)
                } else {
                    mask.storeBytes(of: 0, toByteOffset: element * 4, as: UInt32.self)
                }
            }
            let bytes = count * (is64 ? 8 : 4)
            let target = state.vector(instruction.pointee.reg)
            (target + bytes).initializeMemory(as: UInt8.self, repeating: 0, count: 32 - bytes)
            state.setYMM(instruction.pointee.vvvv, .zero)
            return .next
        }
    }

    private static func vectorBytes(_ instruction: UnsafePointer<Instruction>) -> Int {
        instruction.pointee.prefixes.contains(.vexL) ? 32 : 16
    }

    private static func count(_ instruction: UnsafePointer<Instruction>) -> Int {
        vectorBytes(instruction) >> Int(instruction.pointee.operandSize)
    }

    /// The mask is vvvv; the top bit of an element chooses.
    private static func isChosen(_ state: State, _ instruction: UnsafePointer<Instruction>, _ element: Int) -> Bool {
        let size = 1 << Int(instruction.pointee.operandSize)
        let top = state.vector(instruction.pointee.vvvv).load(fromByteOffset: (element + 1) * size - 1, as: UInt8.self)
        return top & 0x80 != 0
    }

    private static func insert(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _ place: UInt64, _ element: Int,
        _ vector: inout SIMD4<UInt64>
    ) throws(CPUFault) {
        if instruction.pointee.operandSize == 3 {
            vector[element] = try state.load(place)
            return
        }
        let value: UInt32 = try state.load(place)
        let shift = UInt64((element & 1) * 32)
        vector[element >> 1] = vector[element >> 1] & ~(0xFFFF_FFFF << shift) | UInt64(value) << shift
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        let host = HostFeatures.host
        guard host.contains(.avx) else { return }
        func add(
            _ name: String, _ opcode: UInt8, _ w: VEXForm.Bit, element: UInt8, _ handler: @escaping Handler
        ) {
            table.add(
                name, .map0F38, opcode, prefix: .x66, mod: .memory, vex: VEXForm(w: w), size: .fixed(element), .modRM,
                run: handler)
        }
        add("VMASKMOVPS", 0x2C, .zero, element: 2, load)
        add("VMASKMOVPD", 0x2D, .zero, element: 3, load)
        add("VMASKMOVPS", 0x2E, .zero, element: 2, store)
        add("VMASKMOVPD", 0x2F, .zero, element: 3, store)
        guard host.contains(.avx2) else { return }
        add("VPMASKMOVD", 0x8C, .zero, element: 2, load)
        add("VPMASKMOVQ", 0x8C, .one, element: 3, load)
        add("VPMASKMOVD", 0x8E, .zero, element: 2, store)
        add("VPMASKMOVQ", 0x8E, .one, element: 3, store)
        for (opcode, name) in [(UInt8(0x90), "VPGATHERD"), (0x91, "VPGATHERQ"), (0x92, "VGATHERD"), (0x93, "VGATHERQ")]
        {
            let suffixes = opcode < 0x92 ? ("D", "Q") : ("PS", "PD")
            addGather(&table, name + suffixes.0, opcode, .zero, element: 2)
            addGather(&table, name + suffixes.1, opcode, .one, element: 3)
        }
    }

    private static func addGather(
        _ table: inout OpcodeTableBuilder, _ name: String, _ opcode: UInt8, _ w: VEXForm.Bit, element: UInt8
    ) {
        table.add(
            name, .map0F38, opcode, prefix: .x66, mod: .memory, vex: VEXForm(w: w), size: .fixed(element),
            [.modRM, .vectorIndex]
        ) { instruction, _ in
            let index = instruction.index
            let registers = [instruction.reg, instruction.vvvv, index]
            guard index < 16, Set(registers).count == registers.count else { return nil }
            // The handler adds the index itself.
            instruction.detail = index
            instruction.index = Instruction.noRegister
            return gather
        }
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The linear address of an element at a distance from the memory operand.
    fileprivate func elementAddress(
        _ instruction: UnsafePointer<Instruction>, _ distance: UInt64, size: Int
    ) throws(CPUFault) -> UInt64 {
        let offset = (effectiveOffset(instruction) &+ distance) & instruction.pointee.addressMask
        let index = Int(instruction.pointee.segment)
        if !instruction.pointee.prefixes.contains(.checkedSegment) { return segment(index).pointee.base &+ offset }
        return try checkedAddress(index, offset, size: size, isWrite: false)
    }
}
