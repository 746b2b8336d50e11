// SPDX-License-Identifier: Apache-2.0

internal import CLinux
public import CPUInterface
internal import HostSystem

extension KVMProcessor {
    /// All registers, copied from and to the kernel. A failure of the kernel leaves what it did not say at its default.
    public var registers: X86Registers {
        get {
            var result = X86Registers()
            var general = kvm_regs()
            var special = kvm_sregs()
            var debug = kvm_debugregs()
            // Each call fills the struct on this frame that its number names.
            _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_REGS, &general)
            _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_SREGS, &special)
            _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_DEBUGREGS, &debug)
            result.general = [
                general.rax, general.rcx, general.rdx, general.rbx, general.rsp, general.rbp, general.rsi, general.rdi,
                general.r8, general.r9, general.r10, general.r11, general.r12, general.r13, general.r14, general.r15,
            ]
            result.rip = general.rip
            result.rflags = general.rflags
            result.load(special)
            result.debug = [debug.db.0, debug.db.1, debug.db.2, debug.db.3, 0, 0, debug.dr6, debug.dr7]
            let image = extendedState
            result.fxsave = Array(image[..<ExtendedState.legacyCount])
            if image[ExtendedState.featuresOffset] & ExtendedState.vectors != 0 {
                result.ymmHigh = Array(image[ExtendedState.vectorRange])
            }
            result.kernelGSBase = modelSpecificRegister(Self.kernelGSBase) ?? 0
            return result
        }
        set {
            let values = newValue.general
            var general = kvm_regs()
            general.rax = values[0]
            general.rcx = values[1]
            general.rdx = values[2]
            general.rbx = values[3]
            general.rsp = values[4]
            general.rbp = values[5]
            general.rsi = values[6]
            general.rdi = values[7]
            general.r8 = values[8]
            general.r9 = values[9]
            general.r10 = values[10]
            general.r11 = values[11]
            general.r12 = values[12]
            general.r13 = values[13]
            general.r14 = values[14]
            general.r15 = values[15]
            general.rip = newValue.rip
            general.rflags = newValue.rflags
            var special = kvm_sregs()
            var debug = kvm_debugregs()
            debug.db = (newValue.debug[0], newValue.debug[1], newValue.debug[2], newValue.debug[3])
            debug.dr6 = newValue.debug[6]
            debug.dr7 = newValue.debug[7]
            // Read first for what X86Registers does not hold (the APIC's base, pending interrupts).
            _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_SREGS, &special)
            newValue.store(into: &special)
            // Each call copies from this frame.
            _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_SREGS, &special)
            _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_REGS, &general)
            _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_DEBUGREGS, &debug)
            setFloatingPoint(newValue)
            setModelSpecificRegister(Self.kernelGSBase, newValue.kernelGSBase)
        }
    }

    private static let kernelGSBase: UInt32 = 0xC000_0102
    // MARK: model-specific registers

    /// One register, or nil where the kernel does not know it.
    func modelSpecificRegister(_ number: UInt32) -> UInt64? {
        var buffer = Self.registerList(number, 0)
        // A header of 8 bytes that counts one entry, and the entry of 16 bytes.
        let done = unsafe buffer.withUnsafeMutableBytes {
            unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_MSRS, $0.baseAddress!)
        }
        return done == 1 ? buffer[2] : nil
    }

    /// Sets one register; false where the kernel refuses it.
    @discardableResult
    func setModelSpecificRegister(_ number: UInt32, _ value: UInt64) -> Bool {
        var buffer = Self.registerList(number, value)
        // As above.
        return unsafe buffer.withUnsafeMutableBytes {
            unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_MSRS, $0.baseAddress!)
        } == 1
    }

    private static func registerList(_ number: UInt32, _ value: UInt64) -> [UInt64] { [1, UInt64(number), value] }
}

extension X86Registers {
    mutating func load(_ special: kvm_sregs) {
        es = X86Segment(special.es)
        cs = X86Segment(special.cs)
        ss = X86Segment(special.ss)
        ds = X86Segment(special.ds)
        fs = X86Segment(special.fs)
        gs = X86Segment(special.gs)
        ldtr = X86Segment(special.ldt)
        tr = X86Segment(special.tr)
        gdtr = X86DescriptorTable(base: special.gdt.base, limit: special.gdt.limit)
        idtr = X86DescriptorTable(base: special.idt.base, limit: special.idt.limit)
        cr0 = special.cr0
        cr2 = special.cr2
        cr3 = special.cr3
        cr4 = special.cr4
        cr8 = special.cr8
        efer = special.efer
    }

    func store(into special: inout kvm_sregs) {
        special.es = es.kernelForm
        special.cs = cs.kernelForm
        special.ss = ss.kernelForm
        special.ds = ds.kernelForm
        special.fs = fs.kernelForm
        special.gs = gs.kernelForm
        special.ldt = ldtr.kernelForm
        special.tr = tr.kernelForm
        special.gdt = kvm_dtable(base: gdtr.base, limit: gdtr.limit, padding: (0, 0, 0))
        special.idt = kvm_dtable(base: idtr.base, limit: idtr.limit, padding: (0, 0, 0))
        special.cr0 = cr0
        special.cr2 = cr2
        special.cr3 = cr3
        special.cr4 = cr4
        special.cr8 = cr8
        special.efer = efer
        special.interrupt_bitmap = (0, 0, 0, 0)
    }
}

extension X86Segment {
    private static let unusable: UInt32 = 1 << 16

    init(_ kernel: kvm_segment) {
        let low =
            UInt32(kernel.type & 15) | UInt32(kernel.s) << 4 | UInt32(kernel.dpl) << 5 | UInt32(kernel.present) << 7
        let high = UInt32(kernel.avl) << 12 | UInt32(kernel.l) << 13 | UInt32(kernel.db) << 14 | UInt32(kernel.g) << 15
        self.init(
            selector: kernel.selector, base: kernel.base, limit: kernel.limit,
            attributes: low | high | (kernel.unusable != 0 ? Self.unusable : 0))
    }

    var kernelForm: kvm_segment {
        var kernel = kvm_segment()
        kernel.selector = selector
        kernel.base = base
        kernel.limit = limit
        kernel.type = UInt8(attributes & 15)
        kernel.s = UInt8(attributes >> 4 & 1)
        kernel.dpl = UInt8(attributes >> 5 & 3)
        kernel.present = UInt8(attributes >> 7 & 1)
        kernel.avl = UInt8(attributes >> 12 & 1)
        kernel.l = UInt8(attributes >> 13 & 1)
        kernel.db = UInt8(attributes >> 14 & 1)
        kernel.g = UInt8(attributes >> 15 & 1)
        kernel.unusable = attributes & Self.unusable != 0 ? 1 : 0
        return kernel
    }
}
