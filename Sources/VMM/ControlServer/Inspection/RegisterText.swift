// SPDX-License-Identifier: Apache-2.0

public import CPUInterface

/// The registers of a processor as `info registers` shows them.
public struct RegisterText {
    private let registers: X86Registers
    private let isHalted: Bool

    private static let protection: UInt64 = 1
    private static let longModeActive: UInt64 = 1 << 10
    private static let present: UInt32 = 1 << 15, system: UInt32 = 1 << 12, isCode: UInt32 = 1 << 11
    private static let conforming: UInt32 = 1 << 10, readable: UInt32 = 1 << 9, accessed: UInt32 = 1 << 8
    private static let big: UInt32 = 1 << 22, long: UInt32 = 1 << 21, granular: UInt32 = 1 << 23

    /// - Parameter isHalted: shown as HLT.
    public init(_ registers: X86Registers, isHalted: Bool) {
        self.registers = registers
        self.isHalted = isHalted
    }

    private var isLong: Bool { registers.efer & Self.longModeActive != 0 }
    private var is64Bit: Bool { isLong && Self.flags(registers.cs) & Self.long != 0 }

    /// Many lines, each with its end.
    public var text: String { general + segments + control + floatingPoint }

    private func number(_ value: UInt64) -> String {
        is64Bit ? hex(value, 16) : hex(UInt32(truncatingIfNeeded: value), 8)
    }

    private var general: String {
        let names =
            is64Bit
            ? ["RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP"]
            : ["EAX", "EBX", "ECX", "EDX", "ESI", "EDI", "EBP", "ESP"]
        // The order of instruction encoding is A, C, D, B, SP, BP, SI, DI.
        let places = [0, 3, 1, 2, 6, 7, 5, 4]
        var text = ""
        for (column, place) in places.enumerated() {
            text += "\(names[column])=\(number(registers.general[place]))" + (column % 4 == 3 ? "\n" : " ")
        }
        if is64Bit {
            for place in 8..<16 {
                let name = place < 10 ? "R\(place) " : "R\(place)"
                text += "\(name)=\(number(registers.general[place]))" + (place % 4 == 3 ? "\n" : " ")
            }
        }
        let flags = registers.rflags
        let letters: [(UInt64, Character)] = [
            (1 << 10, "D"), (1 << 11, "O"), (1 << 7, "S"), (1 << 6, "Z"), (1 << 4, "A"), (1 << 2, "P"), (1, "C"),
        ]
        let shown = String(letters.map { flags & $0.0 != 0 ? $0.1 : "-" })
        let level = registers.cr0 & Self.protection == 0 ? 0 : Int(Self.flags(registers.ss) >> 13 & 3)
        let names2 = is64Bit ? ("RIP", "RFL") : ("EIP", "EFL")
        return text + "\(names2.0)=\(number(registers.rip)) \(names2.1)=\(hex(UInt32(truncatingIfNeeded: flags), 8)) "
            + "[\(shown)] CPL=\(level) II=0 A20=1 SMM=0 HLT=\(isHalted ? 1 : 0)\n"
    }

    /// The descriptor's upper half as it stands in memory, without the base.
    private static func flags(_ segment: X86Segment) -> UInt32 {
        let attributes = segment.attributes << 8 & 0x00F0_FF00
        let limit = attributes & granular != 0 ? segment.limit >> 12 : segment.limit
        return attributes | limit & 0xF_0000
    }

    private var segments: String {
        let list: [(String, X86Segment)] = [
            ("ES ", registers.es), ("CS ", registers.cs), ("SS ", registers.ss), ("DS ", registers.ds),
            ("FS ", registers.fs), ("GS ", registers.gs), ("LDT", registers.ldtr), ("TR ", registers.tr),
        ]
        var text = list.map { line($0.0, $0.1) }.joined()
        for (name, table) in [("GDT", registers.gdtr), ("IDT", registers.idtr)] {
            text += "\(name)=     \(number(table.base)) \(hex(table.limit, 8))\n"
        }
        return text
    }

    private func line(_ name: String, _ segment: X86Segment) -> String {
        let flags = Self.flags(segment)
        let text =
            "\(name)=\(hex(segment.selector, 4)) \(number(segment.base)) \(hex(segment.limit, 8)) \(hex(flags, 8))"
        guard registers.cr0 & Self.protection != 0, flags & Self.present != 0 else { return text + "\n" }
        let level = " DPL=\(flags >> 13 & 3) "
        guard flags & Self.system != 0 else {
            let types = isLong ? Self.longTypes : Self.types
            return text + level + types[Int(flags >> 8 & 15)] + "\n"
        }
        let used = flags & Self.accessed != 0 ? "A" : "-"
        if flags & Self.isCode != 0 {
            let size = flags & Self.long != 0 ? "CS64" : flags & Self.big != 0 ? "CS32" : "CS16"
            let letters = (flags & Self.conforming != 0 ? "C" : "-") + (flags & Self.readable != 0 ? "R" : "-")
            return text + level + "\(size) [\(letters)\(used)]\n"
        }
        let size = flags & Self.big != 0 || isLong ? "DS  " : "DS16"
        let letters = (flags & Self.conforming != 0 ? "E" : "-") + (flags & Self.readable != 0 ? "W" : "-")
        return text + level + "\(size) [\(letters)\(used)]\n"
    }

    /// System descriptor types (SDM vol. 3, table 3-2).
    private static let types = [
        "Reserved", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16", "TaskGate", "IntGate16", "TrapGate16", "Reserved",
        "TSS32-avl", "Reserved", "TSS32-busy", "CallGate32", "Reserved", "IntGate32", "TrapGate32",
    ]
    private static let longTypes = [
        "<hiword>", "Reserved", "LDT", "Reserved", "Reserved", "Reserved", "Reserved", "Reserved", "Reserved",
        "TSS64-avl", "Reserved", "TSS64-busy", "CallGate64", "Reserved", "IntGate64", "TrapGate64",
    ]

    private var control: String {
        let narrow = { (value: UInt64) in hex(UInt32(truncatingIfNeeded: value), 8) }
        var text =
            "CR0=\(narrow(registers.cr0)) CR2=\(number(registers.cr2)) CR3=\(number(registers.cr3)) "
            + "CR4=\(narrow(registers.cr4))\n"
        for place in 0..<4 { text += "DR\(place)=\(hex(registers.debug[place], 16)) " }
        return text + "\nDR6=\(hex(registers.debug[6], 16)) DR7=\(hex(registers.debug[7], 16))\n"
            + "EFER=\(hex(registers.efer, 16))\n"
    }

    private var floatingPoint: String {
        let area = registers.fxsave
        guard area.count >= 512 else { return "" }
        func field(_ place: Int, _ count: Int) -> UInt64 {
            area[place..<place + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        let status = field(2, 2)
        let top = Int(status >> 11 & 7)
        // QEMU shows a set bit for an empty register, FXSAVE stores one for a full register.
        let empty = UInt8(truncatingIfNeeded: ~field(4, 1))
        var text =
            "FCW=\(hex(field(0, 2), 4)) FSW=\(hex(status, 4)) [ST=\(top)] FTW=\(hex(~empty, 2)) "
            + "MXCSR=\(hex(field(24, 4), 8))\n"
        for place in 0..<8 {
            let start = 32 + 16 * ((place - top) & 7)
            text +=
                "FPR\(place)=\(hex(field(start, 8), 16)) \(hex(field(start + 8, 2), 4))" + (place % 2 == 1 ? "\n" : " ")
        }
        for place in 0..<(is64Bit ? 16 : 8) {
            let start = 160 + 16 * place
            text +=
                "XMM\(place < 10 ? "0" : "")\(place)=\(hex(field(start + 8, 8), 16)) \(hex(field(start, 8), 16))"
                + (place % 2 == 1 ? "\n" : " ")
        }
        return text
    }
}
