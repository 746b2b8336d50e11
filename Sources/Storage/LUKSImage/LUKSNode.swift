// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// An opened LUKS image: the disk's sectors, enciphered, behind a header.
///
/// Requests of whole sectors need no lock; a request that begins or ends inside a sector holds `sectorLock`, since it
/// has to write what it read.
public final class LUKSNode: ResizableNode, DescribedNode, HostStorageNode, @unchecked Sendable {
    /// "luks".
    public let driverName = "luks"
    /// Whether writes are refused.
    public let isReadOnly: Bool
    /// The file's location as a LUKS image.
    public let location: NodeLocation
    let file: any BlockNode
    let volume: LUKSVolume
    /// The passphrases that `amend` names.
    let secrets: any SecretProvider
    private let payload: Int64
    private let sectorLock = Lock()

    private static let sector: Int64 = 512
    private static let chunk: Int64 = 1 << 20

    init(
        file: any BlockNode, volume: LUKSVolume, secrets: any SecretProvider, isReadOnly: Bool,
        ownOptions: BlockOptions = BlockOptions()
    ) {
        self.secrets = secrets
        self.file = file
        self.volume = volume
        self.isReadOnly = isReadOnly
        payload = volume.payloadOffset
        location = .over(file.location, driver: "luks", extra: ownOptions)
    }

    /// What the file holds behind the header.
    public var length: Int64 { max((file.length - payload) / Self.sector * Self.sector, 0) }
    /// Requests of any alignment.
    public var limits: BlockLimits { BlockLimits() }
    /// The file.
    public var children: [NodeChild] { [NodeChild(role: "file", node: file)] }

    /// Reads and deciphers.
    public func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try checkRange(at: offset, count: Int64(region.count))
        let end = offset + Int64(region.count)
        let first = offset / Self.sector * Self.sector
        let last = (end + Self.sector - 1) / Self.sector * Self.sector
        if first == offset, last == end { return try readSectors(region, at: offset) }
        let whole = AlignedBuffer(count: Int(last - first)).region
        try readSectors(whole, at: first)
        region.copy(from: whole.slice(Int(offset - first), region.count))
    }

    private func readSectors(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        guard region.count > 0 else { return }
        try file.read(region, at: payload + offset)
        try volume.decrypt(region, firstSector: UInt64(offset / Self.sector))
    }

    /// Enciphers a copy and writes it.
    public func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: Int64(region.count))
        let end = offset + Int64(region.count)
        if offset % Self.sector == 0, end % Self.sector == 0 {
            return try writeSectors(region, at: offset, flags)
        }
        try sectorLock.withLock { () throws(BlockError) in
            let first = offset / Self.sector * Self.sector
            let last = (end + Self.sector - 1) / Self.sector * Self.sector
            let whole = AlignedBuffer(count: Int(last - first)).region
            try readSectors(whole, at: first)
            whole.from(Int(offset - first)).copy(from: region)
            try writeSectors(whole, at: first, flags)
        }
    }

    private func writeSectors(_ region: ByteRegion, at offset: Int64, _ flags: WriteFlags) throws(BlockError) {
        let buffer = AlignedBuffer(count: Int(min(Int64(region.count), Self.chunk))).region
        var done = 0
        while done < region.count {
            let part = buffer.slice(0, min(buffer.count, region.count - done))
            part.copy(from: region.slice(done, part.count))
            let place = offset + Int64(done)
            try volume.encrypt(part, firstSector: UInt64(place / Self.sector))
            try file.write(part, at: payload + place, flags: flags)
            done += part.count
        }
    }

    /// Zeroes have to be enciphered like anything else.
    public func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        if flags.contains(.noFallback) {
            throw BlockError(.notSupported, "\(location.filename): zeroes cannot be made cheaply in an encrypted image")
        }
        let zeroes = AlignedBuffer(zeroed: Int(min(count, Self.chunk))).region
        var done: Int64 = 0
        while done < count {
            let part = Int(min(Int64(zeroes.count), count - done))
            try write(zeroes.slice(0, part), at: offset + done, flags: [])
            done += Int64(part)
        }
        if flags.contains(.forceUnitAccess) { try flush() }
    }

    /// Would show which sectors are in use: the hint is not taken.
    public func discard(at offset: Int64, count: Int64) throws(BlockError) {
        try checkWritable()
        try checkRange(at: offset, count: count)
    }

    /// Flushes the file.
    public func flush() throws(BlockError) { try file.flush() }
    /// Closes the file.
    public func close() throws(BlockError) { try file.close() }

    /// All of it is data.
    public func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        let here = min(count, length - offset)
        guard offset >= 0, here > 0 else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
        return BlockStatus(count: here, isData: true, isEnd: offset + here == length)
    }

    /// Changes the file's length. What is new reads as whatever zero bytes decipher to.
    public func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        try checkWritable()
        guard length <= Int64.max - payload else {
            throw BlockError(.outOfRange, "The requested file size is too large")
        }
        guard let file = file as? any ResizableNode else {
            throw BlockError(.notSupported, "Image format driver does not support resize")
        }
        try file.resize(to: payload + length, preallocation: preallocation, exact: exact)
    }

    /// None.
    public var clusterSize: Int? { nil }
    /// Always.
    public var isEncrypted: Bool { true }
    /// There is no such mark.
    public var isDirty: Bool { false }
    /// The header's facts.
    public func specificInformation() throws(BlockError) -> SpecificInformation? {
        SpecificInformation(type: "luks", facts: volume.facts)
    }
    /// The file's.
    public func allocatedBytes() -> Int64? { (file as? any HostStorageNode)?.allocatedBytes() }
}
