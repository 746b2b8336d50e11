// SPDX-License-Identifier: Apache-2.0

// V86 mode with CR4.VME (SDM vol. 3, "Interrupt and Exception Handling in Virtual-8086 Mode"): an interrupt flag of its own
// for the 8086 program, and its software interrupts through its own table.
extension UnsafeMutablePointer where Pointee == CPUState {
    /// PUSHF, POPF and IRET in V86 mode work on VIF instead of IF.
    /// - Parameter width: log2 of the operand's bytes.
    /// - Throws: #GP(0) where they are not allowed.
    func usesVirtualFlags(_ width: UInt8) throws(CPUFault) -> Bool {
        guard isVirtual8086, ioPrivilege < 3 else { return false }
        guard width == 1, pointee.cr4 & ControlRegister4.virtual8086 != 0 else { throw generalProtection() }
        return true
    }

    /// The flags as the 8086 program sees them: VIF in the place of IF, and IOPL 3.
    var virtualFlags: UInt64 {
        let image = flags & ~(Flag.virtual8086 | Flag.resume | Flag.interrupt) | Flag.ioPrivilege
        return pointee.systemFlags & Flag.virtualInterrupt != 0 ? image | Flag.interrupt : image
    }

    /// #GP(0) for flags that the monitor wants to hear of: TF, and IF while an interrupt waits.
    func checkVirtualFlags(_ image: UInt64) throws(CPUFault) {
        let isPending = pointee.systemFlags & Flag.virtualInterruptPending != 0
        if image & Flag.trap != 0 || isPending && image & Flag.interrupt != 0 { throw generalProtection() }
    }

    /// Loads 16 bits of flags, IF into VIF.
    func setVirtualFlags(_ image: UInt64) {
        let virtual = image & Flag.interrupt != 0 ? Flag.virtualInterrupt : 0
        let mask = Flag.arithmetic | Flag.trap | Flag.direction | Flag.nestedTask
        setFlags(image & mask | virtual, mask: mask | Flag.virtualInterrupt)
    }

    /// Whether the TSS sends a software interrupt of V86 mode to the 8086 program's own handler.
    func isRedirected(_ vector: UInt8) throws(CPUFault) -> Bool {
        let task = segment(SegmentRegister.tr).pointee
        let mapPlace: UInt64 = 0x66
        let mapBytes: UInt64 = 32
        guard task.attributes & SegmentAttribute.unusable == 0, task.attributes & 8 != 0,
            UInt64(task.limit) > mapPlace
        else { throw generalProtection() }
        return try asSupervisor { () throws(CPUFault) in
            let map = UInt64(try load(task.base &+ mapPlace, as: UInt16.self))
            let offset = map &- mapBytes &+ UInt64(vector >> 3)
            guard map >= mapBytes, offset <= UInt64(task.limit) else { throw generalProtection() }
            return try load(task.base &+ offset, as: UInt8.self) >> (vector & 7) & 1 == 0
        }
    }

    /// Starts the 8086 program's own handler, by the table at linear address 0, in V86 mode.
    func deliverVirtual8086(_ event: PendingEvent) throws(CPUFault) {
        let isVirtual = ioPrivilege < 3
        let entry: UInt32 = try load(UInt64(event.vector) &* 4)
        var stack = FrameStack(self, size: 2)
        try stack.push(self, isVirtual ? virtualFlags : flags)
        try stack.push(self, UInt64(segment(SegmentRegister.cs).pointee.selector))
        try stack.push(self, event.returnIP)
        stack.commit(self)
        loadRealSegment(SegmentRegister.cs, UInt16(truncatingIfNeeded: entry >> 16))
        pointee.rip = UInt64(entry & 0xFFFF)
        pointee.systemFlags &= ~(Flag.trap | Flag.nestedTask | (isVirtual ? Flag.virtualInterrupt : Flag.interrupt))
    }
}
