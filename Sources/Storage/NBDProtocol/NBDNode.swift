// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// An export of an NBD server.
public final class NBDNode: BlockNode, Sendable {
    /// "nbd".
    public let driverName = "nbd"
    /// Whether writes are refused: by the server or by who opened it.
    public let isReadOnly: Bool
    /// The export as a URL.
    public let location: NodeLocation
    private let client: NBDClient

    init(client: NBDClient, place: NBDLocation, context: String, isReadOnly: Bool) {
        self.client = client
        var options = place.options
        if context != NBD.allocationContext { options["x-dirty-bitmap"] = .string(context) }
        self.isReadOnly = isReadOnly || client.export.can(NBD.ExportFlag.readOnly)
        location = NodeLocation(filename: place.text, options: options)
    }

    /// The export's size.
    public var length: Int64 { client.export.size }
    /// As the server asks for.
    public var limits: BlockLimits {
        BlockLimits(
            requestAlignment: client.export.minimumBlock, maximumTransfer: client.export.maximumBlock)
    }
    /// Nothing is below.
    public var children: [NodeChild] { [] }

    /// Calls `body` for parts that the server takes in one request.
    private func inParts(
        _ count: Int64, longest: Int64? = nil, _ body: (Int64, Int64) throws(BlockError) -> Void
    ) throws(BlockError) {
        let most = longest ?? Int64(client.export.maximumBlock)
        var done: Int64 = 0
        while done < count {
            let part = min(count - done, most)
            try body(done, part)
            done += part
        }
    }

    /// What lies past the end reads as zeroes, as with a file.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        let inside = Int(max(min(Int64(region.count), length &- offset), 0))
        region.from(inside).fill(0)
        let whole = aligned(offset, Int64(inside))
        guard whole.lowerBound != offset || whole.upperBound != offset + Int64(inside) else {
            return try readAligned(region.slice(0, inside), at: offset)
        }
        let buffer = AlignedBuffer(count: whole.count).region
        try readAligned(buffer, at: whole.lowerBound)
        region.copy(from: buffer.slice(Int(offset - whole.lowerBound), inside))
    }

    private func readAligned(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try inParts(Int64(region.count)) { (start, count) throws(BlockError) in
            try client.read(region.slice(Int(start), Int(count)), at: offset + start)
        }
    }

    /// The blocks that a range touches, by the server's smallest.
    private func aligned(_ offset: Int64, _ count: Int64) -> Range<Int64> {
        let block = Int64(client.export.minimumBlock)
        let end = min((offset + count + block - 1) / block * block, length)
        return offset / block * block..<max(end, offset / block * block)
    }

    private func isAligned(_ offset: Int64, _ count: Int64) -> Bool {
        let block = Int64(client.export.minimumBlock)
        return offset % block == 0 && (count % block == 0 || offset + count == length)
    }

    /// Inside the export only: it cannot grow.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkWritable()
        try checkSpace(offset, Int64(region.count))
        guard isAligned(offset, Int64(region.count)) else {
            let whole = aligned(offset, Int64(region.count))
            let buffer = AlignedBuffer(count: whole.count).region
            try readAligned(buffer, at: whole.lowerBound)
            buffer.from(Int(offset - whole.lowerBound)).copy(from: region)
            return try write(buffer, at: whole.lowerBound, flags: flags)
        }
        let isDurable = flags.contains(.forceUnitAccess)
        let hasFUA = client.export.can(NBD.ExportFlag.forceUnitAccess)
        try inParts(Int64(region.count)) { (start, count) throws(BlockError) in
            try client.write(
                region.slice(Int(start), Int(count)), at: offset + start,
                flags: isDurable && hasFUA ? NBD.CommandFlag.forceUnitAccess : 0)
        }
        if isDurable, !hasFUA { try flush() }
    }

    private func checkSpace(_ offset: Int64, _ count: Int64) throws(BlockError) {
        guard offset >= 0, offset <= length, count <= length - offset else {
            throw BlockError(.noSpace, "\(location.filename): the export of \(length) bytes cannot grow")
        }
    }

    private static let longestZeroes: Int64 = 1 << 30

    /// With one command where the server has it, else by writing zero bytes.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try checkWritable()
        try checkSpace(offset, count)
        let export = client.export
        let canFast = export.can(NBD.ExportFlag.fastZero)
        guard export.can(NBD.ExportFlag.writeZeroes), isAligned(offset, count), !flags.contains(.noFallback) || canFast
        else {
            if flags.contains(.noFallback) {
                throw BlockError(.notSupported, "\(location.filename): zeroes cannot be made cheaply")
            }
            let zeroes = AlignedBuffer(zeroed: Int(min(count, 1 << 20))).region
            try inParts(count, longest: 1 << 20) { (start, part) throws(BlockError) in
                try write(zeroes.slice(0, Int(part)), at: offset + start, flags: [])
            }
            if flags.contains(.forceUnitAccess) { try flush() }
            return
        }
        var command: UInt16 = 0
        if !flags.contains(.mayUnmap) { command |= NBD.CommandFlag.noHole }
        if flags.contains(.noFallback) { command |= NBD.CommandFlag.fastZero }
        try inParts(count, longest: Self.longestZeroes) { (start, part) throws(BlockError) in
            try client.command(.writeZeroes, flags: command, at: offset + start, count: UInt32(part))
        }
        if flags.contains(.forceUnitAccess) { try flush() }
    }

    /// With a command where the server has it.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        try checkSpace(offset, count)
        // A hint: less than a block need not be given back.
        guard client.export.can(NBD.ExportFlag.trim), isAligned(offset, count) else { return }
        try inParts(count, longest: Self.longestZeroes) { (start, part) throws(BlockError) in
            try client.command(.trim, at: offset + start, count: UInt32(part))
        }
    }

    /// With a command where the server has it; without one it has no cache that could be lost.
    public func flush() throws(BlockError) {
        guard !isReadOnly, client.export.can(NBD.ExportFlag.flush) else { return }
        try client.command(.flush)
    }

    /// By the server's allocation context, or all data.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        let limit = min(count, length - offset)
        guard offset >= 0, limit > 0 else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        var status = BlockStatus(count: limit, isData: true, offset: offset, file: self)
        if client.export.contextNumber != nil, detail != .allocation {
            let block = Int64(client.export.minimumBlock)
            let asked = UInt32(min(limit, (1 << 31) / block * block))
            if let extent = try client.status(at: offset, count: asked), extent.count > 0 {
                status.count = min(limit, Int64(extent.count))
                status.isData = extent.flags & NBD.ExtentFlag.hole == 0
                status.isZero = extent.flags & NBD.ExtentFlag.zero != 0
                if !status.isData, !status.isZero {
                    status.isAllocated = false
                    status.offset = nil
                }
            }
        }
        status.isEnd = offset + status.count == length
        return status
    }

    /// Flushes and says goodbye.
    public func close() throws(BlockError) {
        defer { client.disconnect() }
        try flush()
    }
}

extension NBDNode: ResizableNode {
    /// An export keeps its length.
    public func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        guard length <= self.length else { throw BlockError(.invalidArgument, "Cannot grow NBD nodes") }
        guard length == self.length || !exact else { throw BlockError(.notSupported, "Cannot resize NBD nodes") }
    }
}
