// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import CPUInterface
internal import GuestMemory
internal import HostSystem

/// A machine as an ELF core file: its memory by physical address, and a note with each processor's registers, which tools
/// such as crash and gdb read.
struct CoreDump {
    /// One range of guest-physical memory in the file.
    struct Piece: Equatable {
        var address: UInt64, count: UInt64
    }

    /// What goes into the file, in order.
    let pieces: [Piece]
    private let registers: [X86Registers]

    private static let headerCount = 64, programHeaderCount = 56
    private static let loads: UInt32 = 1, notes: UInt32 = 4
    private static let core: UInt16 = 4, x86: UInt16 = 62
    private static let chunk: UInt64 = 1 << 20

    /// - Parameter range: the guest-physical part that is wanted; nil for all.
    init(_ memory: GuestMemory, _ registers: [X86Registers], range: Range<UInt64>? = nil) {
        self.registers = registers
        pieces = memory.regions.filter { !$0.isReadOnly && $0.isMapped }.compactMap { region in
            let whole = region.start..<region.end
            let part = range.map { whole.clamped(to: $0) } ?? whole
            return part.isEmpty ? nil : Piece(address: part.lowerBound, count: UInt64(part.count))
        }.sorted { $0.address < $1.address }
    }

    /// Bytes of memory in the file.
    var total: UInt64 { pieces.reduce(0) { $0 + $1.count } }

    /// Everything in front of the memory.
    var head: [UInt8] {
        let note = registers.enumerated().flatMap { Self.status($0.offset, $0.element) + Self.system($0.element) }
        let headers = Self.headerCount + (pieces.count + 1) * Self.programHeaderCount
        var bytes = ByteBuilder()
        bytes.append(bytes: [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        bytes.append(Self.core)
        bytes.append(Self.x86)
        bytes.append(UInt32(1))
        bytes.append(UInt64(0))
        bytes.append(UInt64(Self.headerCount))
        bytes.append(UInt64(0))
        bytes.append(UInt32(0))
        for value in [Self.headerCount, Self.programHeaderCount, pieces.count + 1, 0, 0, 0] {
            bytes.append(UInt16(truncatingIfNeeded: value))
        }
        func header(_ type: UInt32, offset: UInt64, address: UInt64, count: UInt64) {
            bytes.append(type)
            bytes.append(UInt32(0))
            for value in [offset, 0, address, count, count, 0] { bytes.append(value) }
        }
        header(Self.notes, offset: UInt64(headers), address: 0, count: UInt64(note.count))
        var offset = UInt64(headers + note.count)
        for piece in pieces {
            header(Self.loads, offset: offset, address: piece.address, count: piece.count)
            offset += piece.count
        }
        return bytes.bytes + note
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

    /// Writes all of it.
    func write(_ memory: GuestMemory, to file: borrowing FileDescriptor) throws(Errno) {
        try file.writeAll(head)
        for piece in pieces {
            var done: UInt64 = 0
            while done < piece.count {
                let count = min(Self.chunk, piece.count - done)
                // A region that moved meanwhile reads as zeroes.
                let bytes = try? memory.read(at: piece.address &+ done, count: Int(count))
                try file.writeAll(bytes ?? [UInt8](repeating: 0, count: Int(count)))
                done += count
            }
        }
    }
}
