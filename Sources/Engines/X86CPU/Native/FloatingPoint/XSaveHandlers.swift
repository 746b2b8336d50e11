// SPDX-License-Identifier: Apache-2.0

/// XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR and XRSTORS (SDM vol. 1, sections 13.7 to 13.12).
enum XSaveHandlers {
    private enum Variant {
        case plain, optimized, compacted, supervisor
        var isCompacted: Bool { self == .compacted || self == .supervisor }
    }

    static let xsave: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in try save(state, instruction, .plain) }
    }
    static let xsaveopt: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in try save(state, instruction, .optimized) }
    }
    static let xsavec: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in try save(state, instruction, .compacted) }
    }
    static let xsaves: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in try save(state, instruction, .supervisor) }
    }
    static let xrstor: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try restore(state, instruction, isSupervisor: false)
        }
    }
    static let xrstors: Handler = { state, instruction in
        handle(state, instruction) { state, instruction throws(CPUFault) in
            try restore(state, instruction, isSupervisor: true)
        }
    }

    /// The checks that all have in common; gives back the requested components.
    private static func begin(_ state: State, isSupervisor: Bool) throws(CPUFault) -> UInt64 {
        guard state.pointee.cr4 & VectorControl.osXSAVE != 0 else { throw state.fault(Vector.invalidOpcode) }
        if state.pointee.cr0 & VectorControl.taskSwitched != 0 { throw state.fault(Vector.deviceNotAvailable) }
        if isSupervisor, state.pointee.cpl != 0 { throw state.generalProtection() }
        let low = state[register: Register.rax] & 0xFFFF_FFFF
        let asked = state[register: Register.rdx] << 32 | low
        return asked & (state.pointee.xcr0 | (isSupervisor ? state.pointee.xss : 0))
    }

    private static func save(
        _ state: State, _ instruction: UnsafePointer<Instruction>, _ variant: Variant
    ) throws(CPUFault) -> Outcome {
        let asked = try begin(state, isSupervisor: variant == .supervisor)
        let size =
            variant.isCompacted ? XSaveLayout.compactedSize(asked) : XSaveLayout.standardSize(state.pointee.xcr0)
        let address = try state.vectorAddress(
            instruction, size: size, alignmentMask: XSaveLayout.alignmentMask, isWrite: true)
        var used = state.componentsInUse & asked
        if variant.isCompacted, asked & XSaveLayout.sse != 0, state.pointee.mxcsr != FXImage.initialMXCSR {
            used |= XSaveLayout.sse
        }
        let written = variant == .plain ? asked : used
        let header = address &+ UInt64(XSaveLayout.headerOffset)
        var stateBits = used
        if !variant.isCompacted { stateBits |= try state.load(header, as: UInt64.self) & ~asked }
        // Every byte that may be written is checked before the first one is.
        try state.probeWrite(address, size: size)
        let control =
            variant.isCompacted
            ? written & XSaveLayout.sse != 0 : asked & (XSaveLayout.sse | XSaveLayout.avx) != 0
        try write(
            state, address, components: written, layout: asked, mxcsr: control, isCompacted: variant.isCompacted,
            wide: instruction.pointee.operandSize == 3)
        try state.store(header, stateBits)
        if variant.isCompacted { try state.store(header &+ 8, asked | XSaveLayout.compacted) }
        return .next
    }

    private static func write(
        _ state: State, _ address: UInt64, components: UInt64, layout: UInt64, mxcsr: Bool, isCompacted: Bool,
        wide: Bool
    ) throws(CPUFault) {
        let image = state.saveImage
        let count = state.vectorRegisterCount
        func put(_ offset: Int, _ length: Int) throws(CPUFault) {
            try state.slowStoreBytes(address &+ UInt64(offset), count: length, from: image + offset)
        }
        if components & XSaveLayout.x87 != 0 {
            state.exportX87(to: image, wide: wide)
            try put(0, FXImage.mxcsr)
            try put(FXImage.registers, FXImage.xmm - FXImage.registers)
        }
        if mxcsr {
            state.exportMXCSR(to: image)
            try put(FXImage.mxcsr, 8)
        }
        if components & XSaveLayout.sse != 0 {
            state.exportXMM(to: image, count: count)
            try put(FXImage.xmm, Int(count) * 16)
        }
        if components & XSaveLayout.avx != 0 {
            let offset = XSaveLayout.offset(0, isCompacted: isCompacted, components: layout)
            state.exportYMMHigh(to: image + offset, count: count)
            try put(offset, Int(count) * 16)
        }
        if components & XSaveLayout.pkru != 0 {
            let offset = XSaveLayout.offset(1, isCompacted: isCompacted, components: layout)
            try state.store(address &+ UInt64(offset), UInt64(state.pointee.pkru))
        }
    }

    private static func restore(
        _ state: State, _ instruction: UnsafePointer<Instruction>, isSupervisor: Bool
    ) throws(CPUFault) -> Outcome {
        let asked = try begin(state, isSupervisor: isSupervisor)
        let address = try state.vectorAddress(
            instruction, size: XSaveLayout.legacyBytes, alignmentMask: XSaveLayout.alignmentMask)
        let image = state.saveImage
        let headerPlace = XSaveLayout.headerOffset
        try state.slowLoadBytes(
            address &+ UInt64(headerPlace), count: XSaveLayout.headerBytes, into: image + headerPlace)
        let stateBits = image.load(fromByteOffset: headerPlace, as: UInt64.self)
        let layout = image.load(fromByteOffset: headerPlace + 8, as: UInt64.self)
        let isCompacted = layout & XSaveLayout.compacted != 0
        let allowed = state.pointee.xcr0 | (isSupervisor ? state.pointee.xss : 0)
        guard isHeaderValid(image + headerPlace, allowed: allowed, mustBeCompacted: isSupervisor) else {
            throw state.generalProtection()
        }
        let loaded = stateBits & asked
        let mxcsr =
            isCompacted ? loaded & XSaveLayout.sse != 0 : asked & (XSaveLayout.sse | XSaveLayout.avx) != 0
        try read(state, address, components: loaded, layout: layout, mxcsr: mxcsr, isCompacted: isCompacted)
        let control = image.load(fromByteOffset: FXImage.mxcsr, as: UInt32.self)
        if mxcsr, control & ~MXCSR.writable != 0 { throw state.generalProtection() }
        if mxcsr {
            state.pointee.mxcsr = control
        } else if isCompacted, asked & XSaveLayout.sse != 0 {
            state.pointee.mxcsr = FXImage.initialMXCSR
        }
        let pkruBefore = state.pointee.pkru
        apply(
            state, asked: asked, loaded: loaded, layout: layout, isCompacted: isCompacted,
            wide: instruction.pointee.operandSize == 3)
        guard state.pointee.pkru != pkruBefore else { return .next }
        state.protectionKeysChanged()
        state.pointee.rip = state.nextIP(instruction)
        return .exit
    }

    private static func isHeaderValid(_ header: UnsafeRawPointer, allowed: UInt64, mustBeCompacted: Bool) -> Bool {
        func word(_ index: Int) -> UInt64 { header.load(fromByteOffset: index * 8, as: UInt64.self) }
        let stateBits = word(0)
        let layout = word(1)
        guard layout & XSaveLayout.compacted != 0 else {
            return !mustBeCompacted && stateBits & ~allowed == 0 && layout == 0 && word(2) == 0
        }
        let components = layout & ~XSaveLayout.compacted
        return components & ~allowed == 0 && stateBits & ~components == 0 && (2..<8).allSatisfy { word($0) == 0 }
    }

    /// Copies what is needed of the area into the image, so that faults come before any change.
    private static func read(
        _ state: State, _ address: UInt64, components: UInt64, layout: UInt64, mxcsr: Bool, isCompacted: Bool
    ) throws(CPUFault) {
        let image = state.saveImage
        func get(_ offset: Int, _ length: Int) throws(CPUFault) {
            try state.slowLoadBytes(address &+ UInt64(offset), count: length, into: image + offset)
        }
        if components & XSaveLayout.x87 != 0 {
            try get(0, FXImage.mxcsr)
            try get(FXImage.registers, FXImage.xmm - FXImage.registers)
        }
        if mxcsr { try get(FXImage.mxcsr, 8) }
        if components & XSaveLayout.sse != 0 { try get(FXImage.xmm, Int(state.vectorRegisterCount) * 16) }
        for place in XSaveLayout.extended.indices where components >> UInt64(XSaveLayout.extended[place].bit) & 1 != 0 {
            let offset = XSaveLayout.offset(place, isCompacted: isCompacted, components: layout)
            try get(offset, XSaveLayout.extended[place].size)
        }
    }

    private static func apply(
        _ state: State, asked: UInt64, loaded: UInt64, layout: UInt64, isCompacted: Bool, wide: Bool
    ) {
        let image = state.saveImage
        let count = state.vectorRegisterCount
        if asked & XSaveLayout.x87 != 0 {
            if loaded & XSaveLayout.x87 != 0 {
                state.importX87(from: image, wide: wide)
            } else {
                state.resetX87Component()
            }
        }
        if asked & XSaveLayout.sse != 0 {
            state.importXMM(from: loaded & XSaveLayout.sse != 0 ? UnsafeRawPointer(image) : nil, count: count)
        }
        if asked & XSaveLayout.avx != 0 {
            let offset = XSaveLayout.offset(0, isCompacted: isCompacted, components: layout)
            let data = UnsafeRawPointer(image) + offset
            state.importYMMHigh(from: loaded & XSaveLayout.avx != 0 ? data : nil, count: count)
        }
        if asked & XSaveLayout.pkru != 0 {
            let offset = XSaveLayout.offset(1, isCompacted: isCompacted, components: layout)
            let isLoaded = loaded & XSaveLayout.pkru != 0
            state.pointee.pkru = isLoaded ? image.loadUnaligned(fromByteOffset: offset, as: UInt32.self) : 0
        }
    }

    static func register(_ table: inout OpcodeTableBuilder) {
        func add(_ name: String, _ opcode: UInt8, _ digit: UInt8, _ flags: RowFlags, _ handler: @escaping Handler) {
            table.add(
                name, .map0F, opcode, prefix: .none, digit: digit, mod: .memory, size: .doubleOrQuad,
                flags.union(.modRM), run: handler)
        }
        add("XSAVE", 0xAE, 4, .system, xsave)
        add("XRSTOR", 0xAE, 5, .system, xrstor)
        add("XSAVEOPT", 0xAE, 6, .system, xsaveopt)
        add("XRSTORS", 0xC7, 3, .system, xrstors)
        add("XSAVEC", 0xC7, 4, .system, xsavec)
        add("XSAVES", 0xC7, 5, .system, xsaves)
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// PKRU changed: translations of user pages that were looked up with the old one no longer count.
    func protectionKeysChanged() {
        flushAllTranslations()
    }
}
