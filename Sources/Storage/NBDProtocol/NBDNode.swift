// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import HostSystem

/// A disk that an NBD server exports.
final class NBDNode: BlockNode {
    let driverName = "nbd"
    let location: NodeLocation
    let length: Int64
    let isReadOnly: Bool
    let limits: BlockLimits
    var children: [NodeChild] { [] }
    private let connection: NBDConnection
    private let largest: Int64

    private static let longestTransfer: Int64 = 32 << 20
    private static let longestRange: Int64 = 1 << 30

    init(_ connection: NBDConnection, location: NodeLocation, isWritable: Bool) throws(BlockError) {
        self.connection = connection
        self.location = location
        let export = connection.export
        length = Int64(export.size)
        let refusesWrites = export.flags & NBDWire.Export.isReadOnly != 0
        guard !isWritable || !refusesWrites else {
            throw BlockError(.readOnly, "request on denied for read-only export", errno: .accessDenied)
        }
        isReadOnly = !isWritable
        let smallest = Int(export.smallestBlock)
        guard smallest & (smallest - 1) == 0, smallest <= 1 << 16 else {
            throw BlockError(.invalidArgument, "server's minimum block size \(smallest) is no power of two")
        }
        limits = BlockLimits(requestAlignment: max(smallest, 1), maximumTransfer: Int(Self.longestTransfer))
        largest =
            export.largestBlock >= 4096 ? min(Int64(export.largestBlock), Self.longestTransfer) : Self.longestTransfer
    }

    private func has(_ flag: UInt16) -> Bool { connection.export.flags & flag != 0 }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try checkRange(at: offset, count: Int64(region.count))
        let unit = Int64(limits.requestAlignment)
        let first = offset / unit * unit
        let last = (offset + Int64(region.count) + unit - 1) / unit * unit
        if first != offset || last != offset + Int64(region.count) {
            let whole = AlignedBuffer(count: Int(last - first)).region
            try readAligned(whole, at: first)
            region.copy(from: whole.slice(Int(offset - first), region.count))
        } else {
            try readAligned(region, at: offset)
        }
    }

    private func readAligned(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        var done = 0
        while done < region.count {
            let part = region.slice(done, Int(min(Int64(region.count - done), largest)))
            try connection.request(.read, at: offset + Int64(done), count: Int64(part.count), into: part)
            done += part.count
        }
    }

    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: Int64(region.count))
        let unit = Int64(limits.requestAlignment)
        guard offset % unit == 0, Int64(region.count) % unit == 0 else {
            return try writeUnaligned(region, at: offset, flags)
        }
        let isDurable = flags.contains(.forceUnitAccess)
        let own = isDurable && has(NBDWire.Export.canForceUnitAccess) ? NBDWire.CommandFlag.forceUnitAccess : 0
        var done = 0
        while done < region.count {
            let part = region.slice(done, Int(min(Int64(region.count - done), largest)))
            try connection.request(
                .write, at: offset + Int64(done), count: Int64(part.count), flags: own, data: part)
            done += part.count
        }
        if isDurable, own == 0 { try flush() }
    }

    private func writeUnaligned(_ region: ByteRegion, at offset: Int64, _ flags: WriteFlags) throws(BlockError) {
        let unit = Int64(limits.requestAlignment)
        let first = offset / unit * unit
        let last = min((offset + Int64(region.count) + unit - 1) / unit * unit, length)
        let whole = AlignedBuffer(count: Int(last - first)).region
        try read(whole, at: first)
        whole.from(Int(offset - first)).copy(from: region)
        try write(whole, at: first, flags: flags)
    }

    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
        let unit = Int64(limits.requestAlignment)
        let isAligned = offset % unit == 0 && count % unit == 0
        if has(NBDWire.Export.canWriteZeroes), isAligned {
            var own: UInt16 = flags.contains(.mayUnmap) ? 0 : NBDWire.CommandFlag.noHole
            if flags.contains(.noFallback), has(NBDWire.Export.canZeroFast) { own |= NBDWire.CommandFlag.fast }
            try inParts(offset, count) { (position, length) throws(BlockError) in
                try connection.request(.writeZeroes, at: position, count: length, flags: own)
            }
            return flags.contains(.forceUnitAccess) ? try flush() : ()
        }
        if flags.contains(.noFallback) {
            throw BlockError(.notSupported, "the NBD server cannot make zeroes cheaply")
        }
        let zeroes = AlignedBuffer(zeroed: Int(min(count, 1 << 20))).region
        var done: Int64 = 0
        while done < count {
            let part = zeroes.slice(0, Int(min(count - done, Int64(zeroes.count))))
            try write(part, at: offset + done, flags: [])
            done += Int64(part.count)
        }
    }

    private func inParts(
        _ offset: Int64, _ count: Int64, _ body: (Int64, Int64) throws(BlockError) -> Void
    ) throws(BlockError) {
        var done: Int64 = 0
        while done < count {
            let part = min(count - done, Self.longestRange)
            try body(offset + done, part)
            done += part
        }
    }

    func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
        guard has(NBDWire.Export.canTrim) else { return }
        try inParts(offset, count) { (position, length) throws(BlockError) in
            try connection.request(.trim, at: position, count: length)
        }
    }

    func flush() throws(BlockError) {
        if has(NBDWire.Export.canFlush) { try connection.request(.flush) }
    }

    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        guard offset >= 0, offset < length else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        let limit = min(count, length - offset)
        var status = BlockStatus(count: limit, isData: true, offset: offset, file: self)
        if connection.export.context != nil {
            let unit = Int64(limits.requestAlignment)
            let first = offset / unit * unit
            let wanted = min((offset + limit + unit - 1) / unit * unit - first, Self.longestRange, length - first)
            let extents = try connection.request(
                .blockStatus, at: first, count: wanted, flags: NBDWire.CommandFlag.onlyOne)
            guard let extent = extents.first, Int64(extent.count) > offset - first else {
                throw BlockError(.inputOutput, "\(location.filename): the server did not answer about offset \(offset)")
            }
            status.count = min(Int64(extent.count) - (offset - first), limit)
            status.isData = extent.state & NBDWire.State.hole == 0
            status.isZero = extent.state & NBDWire.State.zero != 0
            status.isAllocated = status.isData || status.isZero
        }
        status.isEnd = offset + status.count == length
        return status
    }

    func close() throws(BlockError) {
        defer { connection.disconnect() }
        if !isReadOnly { try flush() }
    }
}
