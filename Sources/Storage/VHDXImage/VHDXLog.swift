// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import ByteCoding
internal import HostSystem

/// The ring of pending changes to metadata, which whoever opens the image next has to apply.
struct VHDXLog {
    private let file: any BlockNode
    private let start: Int64
    private let length: Int64
    private let identifier: [UInt8]
    /// Bytes that may still be read: entries that overlap would otherwise be read over and over.
    private var budget: Int64

    private static let sector: Int64 = 4096
    private static let entryMagic = Array("loge".utf8)
    private static let dataMagic = Array("desc".utf8)
    private static let zeroMagic = Array("zero".utf8)
    private static let sectorMagic = Array("data".utf8)
    private static let headerSize = 64
    private static let descriptorSize = 32

    private struct Entry {
        let offset: Int64
        let length: Int64
        let tail: Int64
        let sequence: UInt64
        let fileEnd: UInt64
        let bytes: [UInt8]
    }

    init(file: any BlockNode, header: VHDXHeader) throws(BlockError) {
        self.file = file
        length = Int64(header.logLength)
        guard header.logOffset >= UInt64(VHDX.mebibyte), header.logOffset <= UInt64(file.length),
            length <= file.length - Int64(header.logOffset), length % VHDX.mebibyte == 0,
            Int64(header.logOffset) % VHDX.mebibyte == 0
        else { throw VHDX.refuse("The VHDX log lies outside the file") }
        start = Int64(header.logOffset)
        identifier = header.logID
        budget = min(length, 256 << 20) * 4
    }

    /// Applies what is pending to the file.
    /// - Returns: the number of entries applied.
    mutating func replay() throws(BlockError) -> Int {
        let sequence = try activeSequence()
        guard !sequence.isEmpty else {
            throw BlockError(.corrupt, "The VHDX log has no valid entry", errno: .invalidArgument)
        }
        for entry in sequence { try apply(entry) }
        try file.flush()
        return sequence.count
    }

    /// The valid run of entries with the highest number whose tail is its own first entry.
    private mutating func activeSequence() throws(BlockError) -> [Entry] {
        var best: [Entry] = []
        var place: Int64 = 0
        while place < length {
            var run: [Entry] = []
            var position = place
            var covered: Int64 = 0
            while covered < length, let entry = try entry(at: position), follows(run.last, entry) {
                run.append(entry)
                covered += entry.length
                position = (position + entry.length) % length
            }
            if let last = run.last, let first = run.firstIndex(where: { $0.offset == last.tail }),
                last.sequence > best.last?.sequence ?? 0
            {
                best = Array(run[first...])
            }
            // What follows inside the run is part of it, unless the run came to its end by wrapping around.
            place = run.isEmpty || position <= place ? place + Self.sector : position
        }
        return best
    }

    private func follows(_ last: Entry?, _ entry: Entry) -> Bool {
        last.map { entry.sequence == $0.sequence &+ 1 } ?? true
    }

    private mutating func entry(at offset: Int64) throws(BlockError) -> Entry? {
        let head = try read(offset, Int64(Self.headerSize))
        guard head.starts(with: Self.entryMagic), head.bytes(at: 32, count: 16) == identifier else { return nil }
        let size = Int64(head.load(UInt32.self, at: 8) ?? 0)
        let tail = Int64(head.load(UInt32.self, at: 12) ?? 0)
        guard size >= Self.sector, size % Self.sector == 0, size <= length, tail < length else { return nil }
        budget -= size
        guard budget >= 0 else { throw VHDX.refuse("The VHDX log's entries overlap") }
        let bytes = try read(offset, size)
        guard VHDX.isIntact(bytes, magic: Self.entryMagic) else { return nil }
        let descriptors = Int64(head.load(UInt32.self, at: 24) ?? 0)
        guard descriptors * Int64(Self.descriptorSize) + Int64(Self.headerSize) <= size else { return nil }
        return Entry(
            offset: offset, length: size, tail: tail, sequence: head.load(at: 16) ?? 0,
            fileEnd: head.load(at: 56) ?? 0, bytes: bytes)
    }

    /// Bytes of the ring.
    private func read(_ offset: Int64, _ count: Int64) throws(BlockError) -> [UInt8] {
        let first = min(count, length - offset)
        let bytes = try file.readBytes(at: start + offset, count: Int(first))
        return first == count ? bytes : bytes + (try file.readBytes(at: start, count: Int(count - first)))
    }

    private func apply(_ entry: Entry) throws(BlockError) {
        let count = Int(entry.bytes.load(UInt32.self, at: 24) ?? 0)
        let area = Int64(Self.headerSize + count * Self.descriptorSize)
        var dataPlace = Int((area + Self.sector - 1) / Self.sector * Self.sector)
        if let file = file as? any ResizableNode, entry.fileEnd > UInt64(file.length), entry.fileEnd < 1 << 62 {
            // The file was this long when the entry was written.
            try file.resize(to: Int64(entry.fileEnd), preallocation: .off, exact: false)
        }
        for index in 0..<count {
            let place = Self.headerSize + index * Self.descriptorSize
            guard entry.bytes.load(UInt64.self, at: place + 24) == entry.sequence,
                let target = entry.bytes.load(UInt64.self, at: place + 16), target < 1 << 62
            else { throw VHDX.refuse("The VHDX log has a damaged descriptor") }
            let kind = entry.bytes.bytes(at: place, count: 4) ?? []
            if kind == Self.zeroMagic {
                try zero(entry.bytes.load(at: place + 8) ?? 0, Int64(target))
            } else if kind == Self.dataMagic {
                try write(entry, place, dataPlace, Int64(target))
                dataPlace += Int(Self.sector)
            } else {
                throw VHDX.refuse("The VHDX log has a descriptor of unknown kind")
            }
        }
    }

    private func zero(_ count: UInt64, _ target: Int64) throws(BlockError) {
        guard count <= 1 << 40, target <= file.length + (1 << 40) else {
            throw VHDX.refuse("The VHDX log zeroes an unlikely range")
        }
        try file.writeZeroes(at: target, count: Int64(count), flags: .mayUnmap)
    }

    /// The first eight and the last four bytes of a sector are in its descriptor.
    private func write(_ entry: Entry, _ descriptor: Int, _ place: Int, _ target: Int64) throws(BlockError) {
        guard let sector = entry.bytes.bytes(at: place, count: Int(Self.sector)), sector.starts(with: Self.sectorMagic),
            let leading = entry.bytes.bytes(at: descriptor + 8, count: 8),
            let trailing = entry.bytes.bytes(at: descriptor + 4, count: 4),
            sector.load(UInt32.self, at: 4) == UInt32(truncatingIfNeeded: entry.sequence >> 32),
            sector.load(UInt32.self, at: 4092) == UInt32(truncatingIfNeeded: entry.sequence)
        else { throw VHDX.refuse("The VHDX log has a damaged sector") }
        try file.write(leading + sector[8..<4092] + trailing, at: target)
    }
}
