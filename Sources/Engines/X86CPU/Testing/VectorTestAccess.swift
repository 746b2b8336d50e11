// SPDX-License-Identifier: Apache-2.0

/// What tests need of the floating-point and vector state.
extension SoftCPU {
    /// Sets the control bits with which vector and x87 instructions run.
    package func enableVectors() {
        state.pointee.cr0 &= ~(VectorControl.emulation | VectorControl.taskSwitched)
        state.pointee.cr0 |= VectorControl.numericError | VectorControl.monitorCoprocessor
        state.pointee.cr4 |= VectorControl.osFXSR | VectorControl.osXMMExceptions | VectorControl.osXSAVE
        state.pointee.xcr0 = XSaveLayout.supported
    }

    /// CR0 and CR4 as they stand; changing them here has no effect on paging.
    package var controlRegisters: (cr0: UInt64, cr4: UInt64) {
        get { (state.pointee.cr0, state.pointee.cr4) }
        set { (state.pointee.cr0, state.pointee.cr4) = newValue }
    }

    /// XCR0: which state XSAVE keeps; bits that are not supported are dropped.
    package var vectorComponents: UInt64 {
        get { state.pointee.xcr0 }
        set { state.pointee.xcr0 = newValue & XSaveLayout.supported }
    }

    /// The 32 bytes of a YMM register.
    package subscript(vector index: Int) -> SIMD4<UInt64> {
        get { state.ymm(UInt8(index & 15)) }
        set { state.setYMM(UInt8(index & 15), newValue) }
    }

    /// MXCSR without the reserved bits, which LDMXCSR would refuse.
    package var mxcsr: UInt32 {
        get { state.pointee.mxcsr }
        set { state.pointee.mxcsr = newValue & MXCSR.writable }
    }

    /// x87, MXCSR and XMM as FXSAVE64 stores them: 512 bytes.
    package var fxsaveImage: [UInt8] {
        get { state.exportFXSAVE() }
        set { state.importFXSAVE(newValue) }
    }
}

/// The host's extensions that native instructions use, by name, for tests that need one.
package enum NativeSupport {
    /// The host can run 256-bit floating point, so tests of it make sense.
    package static var hasAVX: Bool { HostFeatures.host.contains(.avx) }
    /// The host can run 256-bit integers, so tests of them make sense.
    package static var hasAVX2: Bool { HostFeatures.host.contains(.avx2) }
    /// The host allows executable memory, without which no native instruction runs.
    package static var isUsable: Bool { NativeLibrary.shared.isUsable }

    /// Every feature name of the vector tables is known.
    package static var tablesAreSound: Bool {
        let unknown = HostFeatures(rawValue: 1 << 31)
        return VectorForm.all.allSatisfy { form in
            [form.legacyFeatures, form.vex128Features, form.vex256Features].allSatisfy {
                $0.map { !$0.contains(unknown) } ?? true
            }
        }
    }

    /// Bytes of code if every form were used with every immediate, register and memory operand.
    package static var worstCaseCodeBytes: Int {
        VectorForm.all.reduce(0) { total, form in
            var encodings = 0
            if form.legacyFeatures != nil { encodings += 1 }
            if form.vex128Features != nil { encodings += 1 }
            if form.vex256Features != nil { encodings += 1 }
            let immediates = form.operands.contains(.immediate) ? 256 : 1
            // Register and memory, W clear and set.
            return total + encodings * immediates * 4 * worstThunkBytes
        }
    }

    /// More than the longest thunk, alignment included.
    private static let worstThunkBytes = 128

    /// Length of the longest thunk of all forms.
    package static var longestThunkBytes: Int {
        VectorForm.all.reduce(0) { longest, form in
            let isVEX = form.legacyFeatures == nil || form.vex128Features != nil
            let encoding = VectorEncoding(
                form: form, isVEX: isVEX, is256: form.vex256Features != nil, wide: true, isMemory: false, immediate: 0)
            return max(longest, encoding.assemble().count)
        }
    }

    /// Runs code from fresh code memory; for tests of the memory and the assembler.
    package static func call(_ code: [UInt8], _ pointer: UnsafeMutableRawPointer) -> UInt64? {
        guard var memory = try? CodeMemory(capacity: 4096), let place = memory.append(code) else { return nil }
        let function = unsafeBitCast(place, to: NativeCode.self)
        return function(pointer, pointer, pointer, pointer, pointer)
    }

    /// The code for `mov rax, [rdi + 8]; mov [rsi], rax; ret`.
    package static var copyingCode: [UInt8] {
        var assembler = Assembler()
        assembler.load(.rax, .rdi, 8)
        assembler.store(.rax, .rsi)
        assembler.ret()
        return assembler.code
    }

    /// How many pieces of a size fit into code memory of one page.
    package static func pieces(of size: Int) -> Int? {
        guard var memory = try? CodeMemory(capacity: 4096) else { return nil }
        var count = 0
        while memory.append([UInt8](repeating: 0xCC, count: size)) != nil { count += 1 }
        return count
    }
}

extension SoftCPU {
    /// What CR2 becomes with the page fault that stopped the processor.
    package var faultAddress: UInt64 { state.pointee.faultAddress }
}

extension SoftCPU {
    /// 16-bit code at CPL 3 in protected mode, with segments of 64 KiB; after `setFlatMode(bits: 32)`.
    package func setSegments16(code: UInt64, data: UInt64) {
        state.pointee.codeWidth = .bits16
        state.pointee.stackWidth = 1
        state.pointee.isFlat = false
        for index in 0..<6 {
            let segment = state.segment(index)
            segment.pointee.base = index == SegmentRegister.cs ? code : data
            segment.pointee.limit = 0xFFFF
            segment.pointee.attributes &= ~(SegmentAttribute.big | SegmentAttribute.granularity)
            segment.pointee.attributes |= 3 << SegmentAttribute.privilegeShift
        }
        state.forgetFetches()
    }
}
