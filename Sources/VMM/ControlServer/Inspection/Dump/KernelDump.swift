// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import Compression
internal import CPUInterface
internal import GuestMemory
internal import HostSystem

/// A machine as a compressed dump of kdump's kind, in makedumpfile's flattened form, which needs no seeking: crash and
/// makedumpfile read it.
///
///     header | second header, notes | bitmap of RAM | the same as bitmap of what is stored | page descriptors | pages
struct KernelDump: GuestDump {
    private let memory: GuestMemory
    private let registers: [X86Registers]
    private let pieces: [DumpPiece]

    private static let page: UInt64 = 4096
    private static let subheaderCount = 104, descriptorCount = 24
    private static let version: UInt32 = 6, level: UInt32 = 1
    /// The pages' content is packed with zlib: of the file, and of one page.
    private static let packed: UInt32 = 1
    private static let nameCount = 65

    init(_ memory: GuestMemory, _ registers: [X86Registers]) {
        self.memory = memory
        self.registers = registers
        pieces = DumpPiece.all(of: memory)
    }

    var total: UInt64 { pieces.reduce(0) { $0 + $1.count } }

    private var pageCount: UInt64 { total / Self.page }
    /// The number behind the last page of RAM.
    private var pageBound: UInt64 { (pieces.last.map { $0.address + $0.count } ?? 0) / Self.page }
    /// Blocks of one bitmap.
    private var bitmapBlocks: UInt64 { blocks((pageBound + 7) / 8) }

    private func blocks(_ bytes: UInt64) -> UInt64 { (bytes + Self.page - 1) / Self.page }

    func write(to file: borrowing FileDescriptor, progress: (UInt64) -> Void) throws(Errno) {
        let notes = DumpNotes.bytes(registers)
        let subBlocks = blocks(UInt64(Self.subheaderCount + notes.count))
        var output = FlattenedFile()
        try output.begin(file)
        try output.put(header(subBlocks: subBlocks), at: 0, file)
        try output.put(subheader(notes), at: Self.page, file)
        let bitmaps = Self.page * (1 + subBlocks)
        try putBitmaps(at: bitmaps, &output, file)
        try putPages(descriptorsAt: bitmaps + 2 * bitmapBlocks * Self.page, &output, file, progress)
        try output.end(file)
    }

    private func header(subBlocks: UInt64) -> [UInt8] {
        var bytes = ByteBuilder()
        bytes.append(bytes: Array("KDUMP   ".utf8))
        bytes.append(Self.version)
        // System, node, release, version, machine, domain: nobody knows more than the machine.
        for name in ["", "", "", "", "x86_64", ""] {
            bytes.append(bytes: Array(name.utf8) + [UInt8](repeating: 0, count: Self.nameCount - name.utf8.count))
        }
        let timeStamp = 22
        bytes.append(bytes: [UInt8](repeating: 0, count: timeStamp))
        let words = [
            UInt64(Self.packed), Self.page, subBlocks, 2 * bitmapBlocks, min(pageBound, UInt64(UInt32.max)), 0, 0, 0, 0,
            UInt64(registers.count),
        ]
        for word in words { bytes.append(UInt32(truncatingIfNeeded: word)) }
        return bytes.bytes
    }

    private func subheader(_ notes: [UInt8]) -> [UInt8] {
        var bytes = ByteBuilder()
        bytes.append(UInt64(0))
        bytes.append(Self.level)
        bytes.append(UInt32(0))
        let noteOffset = Self.page + UInt64(Self.subheaderCount)
        // First and last page, the kernel's own information, the notes, what was erased, then the pages again.
        for value in [0, 0, 0, 0, noteOffset, UInt64(notes.count), 0, 0, 0, 0, pageBound] { bytes.append(value) }
        return bytes.bytes + notes
    }

    private func putBitmaps(
        at place: UInt64, _ output: inout FlattenedFile, _ file: borrowing FileDescriptor
    ) throws(Errno) {
        var bits = [UInt8](repeating: 0, count: Int(bitmapBlocks * Self.page))
        for piece in pieces {
            for page in piece.address / Self.page..<(piece.address + piece.count) / Self.page {
                bits[Int(page >> 3)] |= 1 << UInt8(page & 7)
            }
        }
        try output.put(bits, at: place, file)
        try output.put(bits, at: place + UInt64(bits.count), file)
    }

    private func putPages(
        descriptorsAt start: UInt64, _ output: inout FlattenedFile, _ file: borrowing FileDescriptor,
        _ progress: (UInt64) -> Void
    ) throws(Errno) {
        let data = start + pageCount * UInt64(Self.descriptorCount)
        var descriptors = FlattenedStream(at: start), contents = FlattenedStream(at: data + Self.page)
        let zeroes = [UInt8](repeating: 0, count: Int(Self.page))
        // All pages of zeroes are one.
        try output.put(zeroes, at: data, file)
        guard let packer = PagePacker() else { throw .noMemory }
        for piece in pieces {
            for page in piece.address / Self.page..<(piece.address + piece.count) / Self.page {
                let bytes = (try? memory.read(at: page * Self.page, count: Int(Self.page))) ?? zeroes
                if bytes == zeroes {
                    try descriptors.append(descriptor(data, Self.page, isPacked: false), to: &output, file)
                } else {
                    let packed = packer.pack(bytes)
                    let content = packed ?? bytes
                    try descriptors.append(
                        descriptor(contents.position, UInt64(content.count), isPacked: packed != nil), to: &output, file
                    )
                    try contents.append(content, to: &output, file)
                }
                progress(Self.page)
            }
        }
        try descriptors.flush(to: &output, file)
        try contents.flush(to: &output, file)
    }

    private func descriptor(_ place: UInt64, _ count: UInt64, isPacked: Bool) -> [UInt8] {
        var bytes = ByteBuilder()
        bytes.append(place)
        bytes.append(UInt32(truncatingIfNeeded: count))
        bytes.append(isPacked ? Self.packed : 0)
        bytes.append(UInt64(0))
        return bytes.bytes
    }
}

/// Packs pages with zlib, as fast as it can.
private struct PagePacker {
    private let compressor: DeflateCompressor

    init?() {
        do { compressor = try DeflateCompressor(level: 1) } catch { return nil }
    }

    /// nil where it does not become smaller.
    func pack(_ page: [UInt8]) -> [UInt8]? {
        var output = [UInt8](repeating: 0, count: page.count - 1)
        // Both arrays live through the call, which stays inside of them.
        let count = unsafe page.withUnsafeBytes { source in
            unsafe output.withUnsafeMutableBytes {
                unsafe compressor.compress(source, into: $0, container: .zlib)
            }
        }
        return count.map { Array(output.prefix($0)) }
    }
}

/// makedumpfile's flattened form: what would be written to places of a file, one after the other with the places.
private struct FlattenedFile {
    private static let headCount = 4096
    private static let type: UInt64 = 1, version: UInt64 = 1

    mutating func begin(_ file: borrowing FileDescriptor) throws(Errno) {
        let name = Array("makedumpfile".utf8)
        var head = name + [UInt8](repeating: 0, count: 16 - name.count)
        head += Self.bigEndian(Self.type) + Self.bigEndian(Self.version)
        try file.writeAll(head + [UInt8](repeating: 0, count: Self.headCount - head.count))
    }

    mutating func put(
        _ bytes: [UInt8], at place: UInt64, _ file: borrowing FileDescriptor
    ) throws(Errno) {
        try file.writeAll(Self.bigEndian(place) + Self.bigEndian(UInt64(bytes.count)))
        try file.writeAll(bytes)
    }

    mutating func end(_ file: borrowing FileDescriptor) throws(Errno) {
        try file.writeAll(Self.bigEndian(.max) + Self.bigEndian(.max))
    }

    private static func bigEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }
    }
}

/// Bytes that follow each other in the file, written in large parts.
private struct FlattenedStream {
    /// Where the next byte goes.
    private(set) var position: UInt64
    private var waiting: [UInt8] = []
    private static let part = 1 << 20

    init(at place: UInt64) { position = place }

    mutating func append(
        _ bytes: [UInt8], to output: inout FlattenedFile, _ file: borrowing FileDescriptor
    ) throws(Errno) {
        waiting += bytes
        position += UInt64(bytes.count)
        if waiting.count >= Self.part { try flush(to: &output, file) }
    }

    mutating func flush(to output: inout FlattenedFile, _ file: borrowing FileDescriptor) throws(Errno) {
        guard !waiting.isEmpty else { return }
        try output.put(waiting, at: position - UInt64(waiting.count), file)
        waiting.removeAll(keepingCapacity: true)
    }
}
