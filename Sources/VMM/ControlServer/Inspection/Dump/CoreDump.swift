// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import CPUInterface
internal import GuestMemory
internal import HostSystem

/// A kind of file that a stopped machine's memory is written into.
protocol GuestDump: Sendable {
    /// Bytes of memory in the file.
    var total: UInt64 { get }
    /// Writes all of it, in order.
    /// - Parameter progress: told how many bytes of memory are done.
    func write(to file: borrowing FileDescriptor, progress: (UInt64) -> Void) throws(Errno)
}

/// One range of guest-physical memory in a dump.
struct DumpPiece: Equatable {
    var address: UInt64, count: UInt64

    /// All RAM in ascending order.
    /// - Parameter range: the guest-physical part that is wanted; nil for all.
    static func all(of memory: GuestMemory, in range: Range<UInt64>? = nil) -> [DumpPiece] {
        memory.regions.filter { !$0.isReadOnly && $0.isMapped }.compactMap { region in
            let whole = region.start..<region.end
            let part = range.map { whole.clamped(to: $0) } ?? whole
            return part.isEmpty ? nil : DumpPiece(address: part.lowerBound, count: UInt64(part.count))
        }.sorted { $0.address < $1.address }
    }
}

/// A machine as an ELF core file, which tools such as crash and gdb read: its memory by physical address, or by the addresses
/// that its page tables give it, and notes with the processors' registers.
struct CoreDump: GuestDump {
    /// What goes into the file, in order.
    let pieces: [DumpPiece]
    private let memory: GuestMemory
    private let registers: [X86Registers]
    /// How the memory is shown; the same bytes may be seen in several places.
    private let segments: [LinearMapping]

    private static let headerCount = 64, programHeaderCount = 56, sectionHeaderCount = 64
    private static let loads: UInt32 = 1, notes: UInt32 = 4
    private static let core: UInt16 = 4, x86: UInt16 = 62
    /// The header's count says that the true one is in the first section header (ELF, "PN_XNUM").
    private static let mostHeaders = 0xFFFF
    private static let chunk: UInt64 = 1 << 20

    /// - Parameters:
    ///   - range: the guest-physical part that is wanted; nil for all.
    ///   - mappings: where the guest sees it; nil for physical addresses alone.
    init(
        _ memory: GuestMemory, _ registers: [X86Registers], range: Range<UInt64>? = nil,
        mappings: [LinearMapping]? = nil
    ) {
        self.memory = memory
        self.registers = registers
        let pieces = DumpPiece.all(of: memory, in: range)
        self.pieces = pieces
        guard let mappings else {
            segments = pieces.map { LinearMapping(linear: $0.address, physical: $0.address, count: $0.count) }
            return
        }
        segments = mappings.compactMap { mapping in
            guard let range else { return mapping }
            let start = max(mapping.physical, range.lowerBound)
            let end = min(mapping.physical &+ mapping.count, range.upperBound)
            guard start < end else { return nil }
            return LinearMapping(
                linear: mapping.linear &+ (start - mapping.physical), physical: start, count: end - start)
        }
    }

    /// Bytes of memory in the file.
    var total: UInt64 { pieces.reduce(0) { $0 + $1.count } }

    /// Everything in front of the memory.
    var head: [UInt8] {
        let note = DumpNotes.bytes(registers)
        let count = segments.count + 1, isLong = count >= Self.mostHeaders
        let sections = isLong ? Self.headerCount + count * Self.programHeaderCount : 0
        let headers = Self.headerCount + count * Self.programHeaderCount + (isLong ? Self.sectionHeaderCount : 0)
        var bytes = ByteBuilder()
        bytes.append(bytes: [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        bytes.append(Self.core)
        bytes.append(Self.x86)
        bytes.append(UInt32(1))
        bytes.append(UInt64(0))
        bytes.append(UInt64(Self.headerCount))
        bytes.append(UInt64(sections))
        bytes.append(UInt32(0))
        let sectionWords = isLong ? [Self.sectionHeaderCount, 1, 0] : [0, 0, 0]
        for value in [Self.headerCount, Self.programHeaderCount, min(count, Self.mostHeaders)] + sectionWords {
            bytes.append(UInt16(truncatingIfNeeded: value))
        }
        func header(_ type: UInt32, offset: UInt64, _ mapping: LinearMapping, stored: UInt64) {
            bytes.append(type)
            bytes.append(UInt32(0))
            for value in [offset, mapping.linear, mapping.physical, stored, mapping.count, 0] { bytes.append(value) }
        }
        let length = UInt64(note.count)
        header(
            Self.notes, offset: UInt64(headers), LinearMapping(linear: 0, physical: 0, count: length), stored: length)
        let content = UInt64(headers) + length
        for segment in segments {
            let (offset, stored) = place(of: segment)
            header(Self.loads, offset: stored > 0 ? content + offset : 0, segment, stored: stored)
        }
        if isLong {
            // Name, type, flags, address, offset, size, link, then the number of program headers.
            bytes.append(bytes: [UInt8](repeating: 0, count: 44))
            bytes.append(UInt32(truncatingIfNeeded: count))
            bytes.append(bytes: [UInt8](repeating: 0, count: Self.sectionHeaderCount - 48))
        }
        return bytes.bytes + note
    }

    /// Where the memory of a segment begins in the file's content, and how much of the segment is there.
    private func place(of segment: LinearMapping) -> (offset: UInt64, stored: UInt64) {
        var offset: UInt64 = 0
        for piece in pieces {
            if segment.physical >= piece.address, segment.physical - piece.address < piece.count {
                let skipped = segment.physical - piece.address
                return (offset + skipped, min(segment.count, piece.count - skipped))
            }
            offset += piece.count
        }
        return (0, 0)
    }

    /// Writes all of it.
    func write(to file: borrowing FileDescriptor, progress: (UInt64) -> Void) throws(Errno) {
        try file.writeAll(head)
        for piece in pieces {
            var done: UInt64 = 0
            while done < piece.count {
                let count = min(Self.chunk, piece.count - done)
                // A region that moved meanwhile reads as zeroes.
                let bytes = try? memory.read(at: piece.address &+ done, count: Int(count))
                try file.writeAll(bytes ?? [UInt8](repeating: 0, count: Int(count)))
                done += count
                progress(count)
            }
        }
    }
}
