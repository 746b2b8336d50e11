// SPDX-License-Identifier: Apache-2.0

// What lockstep mode looks at and puts back: the state that instructions without system effects change.

/// A copy of that state.
package struct ComparedState {
    /// `byteCount` bytes, aligned to 64; freed by `deallocate` alone.
    package let bytes: UnsafeMutableRawPointer

    /// Offsets: general registers, then words, then the vector registers and the x87 unit.
    package static let rip = 128, flags = 136, mxcsr = 144, fpuIP = 152, fpuDP = 160, fpuOpcode = 168
    /// Without the units.
    package static let integerBytes = 176
    static let vectors = 192, vectorBytes = 512, fpu = vectors + vectorBytes, fpuBytes = 160
    /// Bytes with the vector registers and the x87 unit.
    package static let byteCount = fpu + fpuBytes

    /// A copy of all zeros.
    package init() {
        bytes = .allocate(byteCount: Self.byteCount, alignment: 64)
        bytes.initializeMemory(as: UInt8.self, repeating: 0, count: Self.byteCount)
    }

    /// Gives the memory back; the copy may not be used after.
    package func deallocate() { bytes.deallocate() }

    /// A word by its offset.
    package subscript(_ offset: Int) -> UInt64 {
        get { bytes.load(fromByteOffset: offset, as: UInt64.self) }
        nonmutating set { bytes.storeBytes(of: newValue, toByteOffset: offset, as: UInt64.self) }
    }

    /// Whether two copies agree, but for the flags. Of the x87 image the instruction's and operand's addresses do not
    /// count: those that do are kept beside it.
    package func agrees(with other: ComparedState, units: Bool) -> Bool {
        guard same(other, 0, Self.flags) else { return false }
        guard units else { return true }
        let control = 6, registers = Self.fpu + 32
        return same(other, Self.mxcsr, Self.integerBytes) && same(other, Self.vectors, Self.fpu + control)
            && same(other, registers, Self.byteCount)
    }

    private func same(_ other: ComparedState, _ start: Int, _ end: Int) -> Bool {
        for offset in stride(from: start, to: end & ~7, by: 8) where self[offset] != other[offset] { return false }
        for offset in max(start, end & ~7)..<max(end, end & ~7) where byte(offset) != other.byte(offset) {
            return false
        }
        return true
    }

    private func byte(_ offset: Int) -> UInt8 { bytes.load(fromByteOffset: offset, as: UInt8.self) }

    /// Lines for people, of what differs from another copy only.
    package func differences(from other: ComparedState, units: Bool) -> [String] {
        var lines: [String] = []
        let names = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"] + (8..<16).map { "r\($0)" }
        let words = names + ["rip", "flags"] + (units ? ["mxcsr", "fip", "fdp", "fop"] : [])
        for (index, name) in words.enumerated() where self[index * 8] != other[index * 8] {
            lines.append("\(name): \(hexadecimal(self[index * 8])), \(hexadecimal(other[index * 8]))")
        }
        guard units else { return lines }
        for offset in stride(from: Self.vectors, to: Self.byteCount, by: 8) where self[offset] != other[offset] {
            let name =
                offset < Self.fpu
                ? "ymm\((offset - Self.vectors) / 32)[\((offset - Self.vectors) / 8 & 3)]"
                : "fxsave+\(offset - Self.fpu)"
            lines.append("\(name): \(hexadecimal(self[offset])), \(hexadecimal(other[offset]))")
        }
        return lines
    }

    /// All registers in lines for people.
    package var description: String {
        let names = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"] + (8..<16).map { "r\($0)" }
        return (names + ["rip", "flags"]).enumerated().map { index, name in
            "\(name)=\(hexadecimal(self[index * 8]))" + (index % 4 == 3 ? "\n" : " ")
        }.joined()
    }

    private func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}

extension SoftCPU {
    /// Copies the state out.
    /// - Parameter units: the vector registers and the x87 unit as well.
    package func capture(_ copy: ComparedState, units: Bool) {
        copy.bytes.copyMemory(from: UnsafeRawPointer(state), byteCount: ComparedState.rip)
        copy[ComparedState.rip] = state.pointee.rip
        copy[ComparedState.flags] = state.arithmeticFlags
        guard units else { return }
        copy[ComparedState.mxcsr] = UInt64(state.pointee.mxcsr)
        copy[ComparedState.fpuIP] = state.pointee.fpuIP
        copy[ComparedState.fpuDP] = state.pointee.fpuDP
        copy[ComparedState.fpuOpcode] = UInt64(state.pointee.fpuOpcode)
        (copy.bytes + ComparedState.vectors).copyMemory(
            from: state.pointee.ymm, byteCount: ComparedState.vectorBytes)
        (copy.bytes + ComparedState.fpu).copyMemory(from: state.pointee.fxsave, byteCount: ComparedState.fpuBytes)
    }

    /// Puts a copy back, the flags too.
    package func restore(_ copy: ComparedState, units: Bool) {
        UnsafeMutableRawPointer(state).copyMemory(from: copy.bytes, byteCount: ComparedState.rip)
        state.pointee.rip = copy[ComparedState.rip]
        state.setArithmeticFlags(copy[ComparedState.flags])
        guard units else { return }
        state.pointee.mxcsr = UInt32(truncatingIfNeeded: copy[ComparedState.mxcsr])
        state.pointee.fpuIP = copy[ComparedState.fpuIP]
        state.pointee.fpuDP = copy[ComparedState.fpuDP]
        state.pointee.fpuOpcode = UInt16(truncatingIfNeeded: copy[ComparedState.fpuOpcode])
        state.pointee.ymm.copyMemory(
            from: copy.bytes + ComparedState.vectors, byteCount: ComparedState.vectorBytes)
        state.pointee.fxsave.copyMemory(from: copy.bytes + ComparedState.fpu, byteCount: ComparedState.fpuBytes)
    }

    /// The linear address of an instruction's memory operand.
    /// - Parameter blockIP: what `instruction.offset` counts from.
    package func linearAddress(of instruction: UnsafePointer<Instruction>, blockIP: UInt64) -> UInt64 {
        state.pointee.blockIP = blockIP
        let segment = state.segment(Int(instruction.pointee.segment))
        return state.codeLinear(segment.pointee.base &+ state.effectiveOffset(instruction))
    }

    /// A linear address by the offset in a segment.
    package func linearAddress(segment: Int, offset: UInt64) -> UInt64 {
        let is64 = state.is64Bit
        return state.codeLinear((is64 ? 0 : state.segment(segment).pointee.base) &+ offset)
    }

    /// Where bytes at a linear address that lie in one page are in the host; nil for anything but RAM that may be accessed
    /// so now. Sets accessed and dirty bits as the access does.
    package func hostPlace(of linear: UInt64, size: Int, isWrite: Bool) -> UnsafeMutableRawPointer? {
        if isWrite, let place = state.writablePointer(linear, size: size) { return place }
        if !isWrite, let place = state.readablePointer(linear, size: size) {
            return UnsafeMutableRawPointer(mutating: place)
        }
        guard !state.isLongMode || state.isCanonical(linear),
            let found = try? state.translate(linear, isWrite ? .write : .read, state.pointee.accessClass),
            let page = state.hostPage(found.physical), !(isWrite && page.isReadOnly),
            found.physical & ~4095 != state.pointee.mmu.pointee.controllerPage
        else { return nil }
        return page.host + Int(found.physical & 4095)
    }

    /// The arithmetic flags in the form of `TranslationState.savedFlags`, at their places in RFLAGS.
    package static func flagsImage(ofSaved saved: UInt64) -> UInt64 {
        saved >> 8 & (Flag.arithmetic & 0xFF) | (saved & 1 != 0 ? Flag.overflow : 0)
    }
    /// The six arithmetic flags in RFLAGS, and AF, which some instructions leave undefined.
    package static let arithmeticFlagBits = Flag.arithmetic, auxiliaryFlagBit = Flag.auxiliary
}
