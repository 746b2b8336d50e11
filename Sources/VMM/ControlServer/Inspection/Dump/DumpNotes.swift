// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import CPUInterface

/// The notes of a dump: each processor's registers as a core file of Linux has them, and then as QEMU's own note has them.
enum DumpNotes {
    static func bytes(_ processors: [X86Registers]) -> [UInt8] {
        processors.enumerated().flatMap { status($0.offset, $0.element) } + processors.flatMap(system)
    }

    private static func note(_ name: String, _ type: UInt32, _ content: [UInt8]) -> [UInt8] {
        var bytes = ByteBuilder()
        bytes.append(UInt32(name.utf8.count + 1))
        bytes.append(UInt32(content.count))
        bytes.append(type)
        var text = Array(name.utf8) + [0]
        while text.count % 4 != 0 { text.append(0) }
        var padded = content
        while padded.count % 4 != 0 { padded.append(0) }
        return bytes.bytes + text + padded
    }

    /// `elf_prstatus` of x86-64: the general registers as ptrace has them.
    private static func status(_ index: Int, _ cpu: X86Registers) -> [UInt8] {
        let identifierPlace = 32, registerPlace = 112, size = 336, type: UInt32 = 1
        // R15...R12, RBP, RBX, R11...R8, RAX, RCX, RDX, RSI, RDI in the order of instruction encoding.
        let order = [15, 14, 13, 12, 5, 3, 11, 10, 9, 8, 0, 1, 2, 6, 7]
        var values = order.map { cpu.general[$0] }
        values += [0, cpu.rip, UInt64(cpu.cs.selector), cpu.rflags, cpu.general[4], UInt64(cpu.ss.selector)]
        values += [cpu.fs.base, cpu.gs.base]
        values += [cpu.ds, cpu.es, cpu.fs, cpu.gs].map { UInt64($0.selector) }
        var bytes = [UInt8](repeating: 0, count: size)
        func store(_ value: UInt64, _ count: Int, at place: Int) {
            for byte in 0..<count { bytes[place + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8)) }
        }
        store(UInt64(index + 1), 4, at: identifierPlace)
        for (number, value) in values.enumerated() { store(value, 8, at: registerPlace + number * 8) }
        return note("CORE", type, bytes)
    }

    /// QEMU's own note: what a debugger needs to find its way through page tables and descriptors.
    private static func system(_ cpu: X86Registers) -> [UInt8] {
        let version: UInt32 = 1, size: UInt32 = 440
        var bytes = ByteBuilder()
        bytes.append(version)
        bytes.append(size)
        for index in [0, 3, 1, 2, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15] { bytes.append(cpu.general[index]) }
        bytes.append(cpu.rip)
        bytes.append(cpu.rflags)
        func segment(_ selector: UInt16, _ limit: UInt32, _ attributes: UInt32, _ base: UInt64) {
            bytes.append(UInt32(selector))
            bytes.append(limit)
            bytes.append(attributes << 8)
            bytes.append(UInt32(0))
            bytes.append(base)
        }
        for part in [cpu.cs, cpu.ds, cpu.es, cpu.fs, cpu.gs, cpu.ss, cpu.ldtr, cpu.tr] {
            segment(part.selector, part.limit, part.attributes & 0xFFFF, part.base)
        }
        for table in [cpu.gdtr, cpu.idtr] { segment(0, UInt32(table.limit), 0, table.base) }
        for value in [cpu.cr0, 0, cpu.cr2, cpu.cr3, cpu.cr4, cpu.kernelGSBase] { bytes.append(value) }
        return note("QEMU", 0, bytes.bytes)
    }
}
