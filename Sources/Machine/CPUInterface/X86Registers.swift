// SPDX-License-Identifier: Apache-2.0

/// A segment register with its hidden part (SDM vol. 3, "Segment Descriptors").
public struct X86Segment: Equatable, Sendable, Codable {
    /// The visible part, with the table and the privilege in bits 2:0.
    public var selector: UInt16 = 0
    /// The linear address of offset 0; in real mode selector * 16.
    public var base: UInt64 = 0
    /// The last valid offset, in bytes (granularity applied).
    public var limit: UInt32 = 0xFFFF
    /// Descriptor bits 40...55 as they stand in the upper half shifted right by 8: type 3:0, S 4, DPL 6:5, P 7,
    /// AVL 12, L 13, D/B 14, G 15; bit 16 is set for an unusable (null) segment.
    public var attributes: UInt32 = 0

    /// A real-mode segment at 0, of no type.
    public init() {}
    /// A segment with all of its hidden part.
    public init(selector: UInt16, base: UInt64, limit: UInt32, attributes: UInt32) {
        self.selector = selector
        self.base = base
        self.limit = limit
        self.attributes = attributes
    }
}

/// GDTR or IDTR.
public struct X86DescriptorTable: Equatable, Sendable, Codable {
    /// The linear address of the table.
    public var base: UInt64 = 0
    /// The last valid offset, in bytes.
    public var limit: UInt16 = 0xFFFF
    /// A table; the limit is that of real mode unless given.
    public init(base: UInt64 = 0, limit: UInt16 = 0xFFFF) {
        self.base = base
        self.limit = limit
    }
}

/// The registers of one vCPU as the loader, the monitor and the debugger see them.
public struct X86Registers: Equatable, Sendable, Codable {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8...R15: the order of instruction encoding.
    public var general = [UInt64](repeating: 0, count: 16)
    /// The offset in CS; FFF0h after reset.
    public var rip: UInt64 = 0xFFF0
    /// Bit 1 is always set.
    public var rflags: UInt64 = 2
    /// The first three in the order of instruction encoding.
    public var es = X86Segment(), cs = X86Segment(), ss = X86Segment()
    /// The other three in the order of instruction encoding.
    public var ds = X86Segment(), fs = X86Segment(), gs = X86Segment()
    /// System segments: the local table's and the task's.
    public var ldtr = X86Segment(), tr = X86Segment()
    /// The tables of descriptors and of gates.
    public var gdtr = X86DescriptorTable(), idtr = X86DescriptorTable()
    /// CD, NW and ET after reset.
    public var cr0: UInt64 = 0x6000_0010
    /// CR8 is the task priority, bits 3:0.
    public var cr2: UInt64 = 0, cr3: UInt64 = 0, cr4: UInt64 = 0, cr8: UInt64 = 0
    /// IA32_EFER; LMA in bit 10 follows LME and paging.
    public var efer: UInt64 = 0
    /// DR0...DR3, then DR6 and DR7 at 6 and 7; 4 and 5 are unused.
    public var debug: [UInt64] = [0, 0, 0, 0, 0, 0, 0xFFFF_0FF0, 0x400]
    /// The x87 and SSE state as FXSAVE64 lays it out: 512 bytes.
    public var fxsave = [UInt8](repeating: 0, count: 512)
    /// The upper halves of YMM0...YMM15: 256 bytes.
    public var ymmHigh = [UInt8](repeating: 0, count: 256)
    /// IA32_KERNEL_GS_BASE, which SWAPGS exchanges.
    public var kernelGSBase: UInt64 = 0
    /// All segments at 0; `atReset` has what a processor begins with.
    public init() {}

    /// The state after RESET (SDM vol. 3, "Processor State After Reset"): real mode at FFFF:FFF0 below 4 GiB.
    public static var atReset: X86Registers {
        var registers = X86Registers()
        let data = X86Segment(selector: 0, base: 0, limit: 0xFFFF, attributes: 0x93)
        registers.cs = X86Segment(selector: 0xF000, base: 0xFFFF_0000, limit: 0xFFFF, attributes: 0x9B)
        registers.es = data
        registers.ss = data
        registers.ds = data
        registers.fs = data
        registers.gs = data
        registers.ldtr = X86Segment(selector: 0, base: 0, limit: 0xFFFF, attributes: 0x82)
        registers.tr = X86Segment(selector: 0, base: 0, limit: 0xFFFF, attributes: 0x8B)
        // The stepping that EDX holds: any family 6 or 15 value; software only prints it.
        registers.general[2] = 0x663
        return registers
    }
}
