// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import GuestMemory

/// An x86 ELF executable, 32- or 64-bit (System V ABI, chapters 4 and 5).
struct ELFImage {
    /// A loadable part.
    struct Segment: Equatable {
        let fileOffset: UInt64
        let physicalAddress: UInt64
        let virtualAddress: UInt64
        let fileCount: UInt64
        let memoryCount: UInt64
    }
    private struct ProgramHeader {
        let type: UInt32
        let segment: Segment
    }
    private enum Constant {
        static let magic: UInt32 = 0x464C_457F
        static let class32: UInt8 = 1, class64: UInt8 = 2, littleEndian: UInt8 = 1
        static let executable: UInt16 = 2, sharedObject: UInt16 = 3
        static let machine386: UInt16 = 3, machine64: UInt16 = 62
        static let load: UInt32 = 1, note: UInt32 = 4
        static let maximumHeaders = 1024
        static let maximumNotes = 1 << 20
        static let physicalEntryNote: UInt32 = 18
        static let noteOwner: [UInt8] = Array("Xen\0".utf8)
    }

    let file: BootFile
    let is64Bit: Bool
    /// The entry point in the header: a virtual address.
    let entry: UInt64
    let segments: [Segment]
    private let notes: [Segment]

    static func isPresent(in head: [UInt8]) -> Bool { head.load(UInt32.self, at: 0) == Constant.magic }

    init(parsing file: BootFile) throws(BootError) {
        func corrupt(_ what: String) -> BootError { BootError("'\(file.name)' is a corrupt ELF: \(what)") }
        self.file = file
        let head = try file.bytes(at: 0, count: 64)
        guard Self.isPresent(in: head), let sort: UInt8 = head.load(at: 4), let order: UInt8 = head.load(at: 5),
            let type: UInt16 = head.load(at: 16), let machine: UInt16 = head.load(at: 18)
        else { throw corrupt("its header is cut off") }
        guard sort == Constant.class32 || sort == Constant.class64, order == Constant.littleEndian,
            machine == Constant.machine386 || machine == Constant.machine64
        else { throw BootError("'\(file.name)' is an ELF for another processor, not for x86") }
        guard type == Constant.executable || type == Constant.sharedObject else {
            throw BootError("'\(file.name)' is an ELF, but not an executable; it was not linked")
        }
        is64Bit = sort == Constant.class64
        let wide = is64Bit
        func word(_ bytes: [UInt8], _ at32: Int, _ at64: Int) -> UInt64? {
            wide ? bytes.load(UInt64.self, at: at64) : bytes.load(UInt32.self, at: at32).map(UInt64.init)
        }
        guard let entry = word(head, 24, 24), let tableOffset = word(head, 28, 32),
            let size: UInt16 = head.load(at: wide ? 54 : 42), let count: UInt16 = head.load(at: wide ? 56 : 44)
        else { throw corrupt("its header is cut off") }
        self.entry = entry
        guard size >= (wide ? 56 : 32), count <= Constant.maximumHeaders, tableOffset <= UInt64(file.count),
            Int(size) * Int(count) <= file.count - Int(tableOffset)
        else { throw corrupt("its program headers lie outside of the file") }
        let table = try file.bytes(at: Int(tableOffset), count: Int(size) * Int(count))
        var headers: [ProgramHeader] = []
        for index in 0..<Int(count) {
            let bytes = Array(table[(index * Int(size))..<((index + 1) * Int(size))])
            guard let type: UInt32 = bytes.load(at: 0), let offset = word(bytes, 4, 8),
                let virtual = word(bytes, 8, 16),
                let physical = word(bytes, 12, 24), let fileCount = word(bytes, 16, 32),
                let memoryCount = word(bytes, 20, 40)
            else { throw corrupt("a program header is cut off") }
            headers.append(
                ProgramHeader(
                    type: type,
                    segment: Segment(
                        fileOffset: offset, physicalAddress: physical, virtualAddress: virtual, fileCount: fileCount,
                        memoryCount: memoryCount)))
        }
        segments = headers.filter { $0.type == Constant.load && $0.segment.memoryCount > 0 }.map(\.segment)
        notes = headers.filter { $0.type == Constant.note }.map(\.segment)
        for segment in segments { try check(segment) }
        guard !segments.isEmpty else { throw corrupt("it has nothing to load") }
    }

    private func check(_ segment: Segment) throws(BootError) {
        let count = UInt64(file.count)
        guard segment.fileOffset <= count, segment.fileCount <= count - segment.fileOffset else {
            throw BootError(
                "'\(file.name)' is truncated: a segment of \(segment.fileCount) bytes at \(hex(segment.fileOffset)) "
                    + "ends after the file's \(file.count) bytes")
        }
        guard segment.fileCount <= segment.memoryCount,
            !segment.physicalAddress.addingReportingOverflow(segment.memoryCount).overflow
        else { throw BootError("'\(file.name)' is a corrupt ELF: a segment's sizes contradict each other") }
    }

    /// Addresses from the first loaded byte to the last.
    var extent: Range<UInt64> {
        let start = segments.map(\.physicalAddress).min() ?? 0
        return start..<(segments.map { $0.physicalAddress + $0.memoryCount }.max() ?? start)
    }

    /// Puts the segments at their physical addresses.
    func loadSegments(into memory: GuestMemory, map: [MemoryMapEntry]) throws(BootError) {
        for segment in segments {
            let end = segment.physicalAddress + segment.memoryCount
            guard map.contains(where: { $0.kind == .usable && $0.start <= segment.physicalAddress && end <= $0.end })
            else {
                throw BootError(
                    "'\(file.name)' wants \(hex(segment.physicalAddress))...\(hex(end - 1)), which is not memory of the "
                        + "machine; give it more with -m")
            }
            try file.load(
                from: Int(segment.fileOffset), count: Int(segment.fileCount), into: memory,
                at: segment.physicalAddress, as: "segment")
            try memory.clear(
                at: segment.physicalAddress + segment.fileCount, count: segment.memoryCount - segment.fileCount,
                as: "uninitialised data of the kernel")
        }
    }

    /// The entry of Xen's PVH protocol; nil without the note.
    func physicalEntry() throws(BootError) -> UInt64? {
        for segment in notes {
            guard segment.fileOffset <= UInt64(file.count), segment.fileCount <= UInt64(Constant.maximumNotes) else {
                continue
            }
            let bytes = try file.bytes(at: Int(segment.fileOffset), count: Int(segment.fileCount))
            if let entry = Self.findEntry(in: bytes) { return entry }
        }
        return nil
    }

    /// Walks notes: name length, descriptor length, type, name and descriptor, both padded to 4 bytes.
    private static func findEntry(in bytes: [UInt8]) -> UInt64? {
        var place = 0
        while let nameCount: UInt32 = bytes.load(at: place), let dataCount: UInt32 = bytes.load(at: place + 4),
            let type: UInt32 = bytes.load(at: place + 8)
        {
            let name = place + 12
            let data = name + (Int(nameCount) + 3) & ~3
            if type == Constant.physicalEntryNote, bytes.bytes(at: name, count: Int(nameCount)) == Constant.noteOwner {
                if dataCount >= 8, let entry: UInt64 = bytes.load(at: data) { return entry }
                if dataCount == 4, let entry: UInt32 = bytes.load(at: data) { return UInt64(entry) }
            }
            place = data + (Int(dataCount) + 3) & ~3
        }
        return nil
    }
}
