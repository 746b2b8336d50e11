// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface

/// The registers that GDB sees, in the order of its numbers; the target description is made from the same table.
///
/// The description is always the one of x86-64: the client chooses `set architecture` where it debugs real-mode code.
enum DebuggerRegisters {
    struct Register {
        let name: String
        /// 32, 64, 80 or 128.
        let bits: Int
        /// GDB's name for the type.
        let type: String
        let feature: String
    }

    private static let core = "org.gnu.gdb.i386.core", sse = "org.gnu.gdb.i386.sse"
    private static let segments = "org.gnu.gdb.i386.segments", avx = "org.gnu.gdb.i386.avx"
    private static let system = "org.roost.x86.system"

    static let all: [Register] = {
        func group(_ names: [String], _ bits: Int, _ type: String, _ feature: String) -> [Register] {
            names.map { Register(name: $0, bits: bits, type: type, feature: feature) }
        }
        return group(["rax", "rbx", "rcx", "rdx", "rsi", "rdi"], 64, "int64", core)
            + group(["rbp", "rsp"], 64, "data_ptr", core) + group((8...15).map { "r\($0)" }, 64, "int64", core)
            + group(["rip"], 64, "code_ptr", core) + group(["eflags"], 32, "int32", core)
            + group(["cs", "ss", "ds", "es", "fs", "gs"], 32, "int32", core)
            + group((0...7).map { "st\($0)" }, 80, "i387_ext", core)
            + group(["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"], 32, "int32", core)
            + group((0...15).map { "xmm\($0)" }, 128, "uint128", sse) + group(["mxcsr"], 32, "int32", sse)
            + group(["fs_base", "gs_base"], 64, "int64", segments)
            + group(["k_gs_base", "cr0", "cr2", "cr3", "cr4", "cr8", "efer"], 64, "int64", system)
            + group((0...15).map { "ymm\($0)h" }, 128, "uint128", avx)
    }()

    /// The document that `qXfer:features:read:target.xml` gives.
    static let targetDescription: String = {
        var text = "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
        text += "<target><architecture>i386:x86-64</architecture>\n"
        var feature = ""
        for (number, register) in all.enumerated() {
            if register.feature != feature {
                text += (feature.isEmpty ? "" : "</feature>\n") + "<feature name=\"\(register.feature)\">\n"
                feature = register.feature
            }
            text +=
                "<reg name=\"\(register.name)\" bitsize=\"\(register.bits)\" type=\"\(register.type)\" "
                + "regnum=\"\(number)\"/>\n"
        }
        return text + "</feature>\n</target>\n"
    }()

    /// RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP by their places in the order of encoding.
    private static let generalPlaces = [0, 3, 1, 2, 6, 7, 5, 4]
    private static let longModeActive: UInt64 = 1 << 10, longCode: UInt32 = 1 << 13

    private static func is64Bit(_ registers: X86Registers) -> Bool {
        registers.efer & longModeActive != 0 && registers.cs.attributes & longCode != 0
    }

    /// The bytes of one register, little-endian; nil for a number that does not exist.
    static func read(_ number: Int, _ registers: X86Registers) -> [UInt8]? {
        guard all.indices.contains(number) else { return nil }
        let count = all[number].bits / 8
        let area = registers.fxsave.count >= 512 ? registers.fxsave : [UInt8](repeating: 0, count: 512)
        switch number {
        case 24...31:
            let start = 32 + 16 * (number - 24)
            return Array(area[start..<start + 10])
        case 40...55:
            let start = 160 + 16 * (number - 40)
            return Array(area[start..<start + 16])
        case 66...81:
            let start = 16 * (number - 66)
            guard registers.ymmHigh.count >= start + 16 else { return [UInt8](repeating: 0, count: 16) }
            return Array(registers.ymmHigh[start..<start + 16])
        default:
            let value = integer(number, registers, area)
            return (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
        }
    }

    private static func integer(_ number: Int, _ registers: X86Registers, _ area: [UInt8]) -> UInt64 {
        func field(_ place: Int, _ count: Int) -> UInt64 {
            area[place..<place + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        switch number {
        case 0...15:
            let value = registers.general[number < 8 ? generalPlaces[number] : number]
            // Outside 64-bit code the upper halves are not architectural.
            return is64Bit(registers) ? value : value & 0xFFFF_FFFF
        case 16: return registers.rip
        case 17: return registers.rflags & 0xFFFF_FFFF
        case 18: return UInt64(registers.cs.selector)
        case 19: return UInt64(registers.ss.selector)
        case 20: return UInt64(registers.ds.selector)
        case 21: return UInt64(registers.es.selector)
        case 22: return UInt64(registers.fs.selector)
        case 23: return UInt64(registers.gs.selector)
        case 32: return field(0, 2)
        case 33: return field(2, 2)
        case 34: return (0..<8).reduce(0) { $0 | (area[4] >> UInt8($1) & 1 == 0 ? 3 : 0) << UInt64($1 * 2) }
        case 36: return field(8, 4)
        case 38: return field(16, 4)
        case 39: return field(6, 2)
        case 56: return field(24, 4)
        case 57: return registers.fs.base
        case 58: return registers.gs.base
        case 59: return registers.kernelGSBase
        case 60: return registers.cr0
        case 61: return registers.cr2
        case 62: return registers.cr3
        case 63: return registers.cr4
        case 64: return registers.cr8
        case 65: return registers.efer
        default: return 0
        }
    }

    /// Changes one register.
    /// - Returns: false for a number that does not exist, a wrong length, or a change that a debugger cannot make: a
    ///   selector in protected mode stands for a whole descriptor.
    static func write(_ number: Int, _ bytes: [UInt8], to registers: inout X86Registers) -> Bool {
        guard let current = read(number, registers), current.count == bytes.count else { return false }
        if current == bytes { return true }
        let value = bytes.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch number {
        case 0...15: registers.general[number < 8 ? generalPlaces[number] : number] = value
        case 16: registers.rip = value
        case 17: registers.rflags = registers.rflags & ~0xFFFF_FFFF | value | 2
        case 18...23: return writeSelector(number, UInt16(truncatingIfNeeded: value), &registers)
        case 24...31: replace(&registers.fxsave, at: 32 + 16 * (number - 24), bytes)
        case 32: replace(&registers.fxsave, at: 0, Array(bytes.prefix(2)))
        case 33: replace(&registers.fxsave, at: 2, Array(bytes.prefix(2)))
        case 40...55: replace(&registers.fxsave, at: 160 + 16 * (number - 40), bytes)
        case 56: replace(&registers.fxsave, at: 24, bytes)
        case 57: registers.fs.base = value
        case 58: registers.gs.base = value
        case 59: registers.kernelGSBase = value
        case 66...81: replace(&registers.ymmHigh, at: 16 * (number - 66), bytes)
        // Control registers are shown, not changed: a wrong one would take the machine down.
        default: return false
        }
        return true
    }

    private static func replace(_ area: inout [UInt8], at place: Int, _ bytes: [UInt8]) {
        guard place + bytes.count <= area.count else { return }
        area.replaceSubrange(place..<place + bytes.count, with: bytes)
    }

    private static func writeSelector(_ number: Int, _ value: UInt16, _ registers: inout X86Registers) -> Bool {
        guard registers.cr0 & 1 == 0 else { return false }
        func load(_ segment: inout X86Segment) {
            segment.selector = value
            segment.base = UInt64(value) << 4
        }
        switch number {
        case 18: load(&registers.cs)
        case 19: load(&registers.ss)
        case 20: load(&registers.ds)
        case 21: load(&registers.es)
        case 22: load(&registers.fs)
        default: load(&registers.gs)
        }
        return true
    }
}
