// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import HostSystem
internal import Glibc

/// The 512 bytes at the end of every VHD file (and at the beginning of a dynamic one); numbers are big-endian.
struct VHDFooter: Sendable {
    static let byteCount = 512
    static let cookie = Array("conectix".utf8)
    static let fixedKind: UInt32 = 2
    static let dynamicKind: UInt32 = 3
    /// 2040 GiB, what the format's sector numbers reach.
    static let mostSectors: Int64 = 0xff00_0000
    /// What the largest geometry (65535 cylinders of 16 heads and 255 sectors) holds.
    static let geometrySectors: Int64 = 65535 * 16 * 255

    enum Offset {
        static let features = 8
        static let version = 12
        static let dataOffset = 16
        static let timestamp = 24
        static let creator = 28
        static let creatorVersion = 32
        static let creatorSystem = 36
        static let originalSize = 40
        static let currentSize = 48
        static let cylinders = 56
        static let heads = 58
        static let sectors = 59
        static let kind = 60
        static let checksum = 64
        static let uuid = 68
    }

    var bytes: [UInt8]

    /// Bytes as they were read; nil without the cookie.
    init?(parsing bytes: [UInt8]) {
        guard bytes.count == Self.byteCount, bytes.starts(with: Self.cookie) else { return nil }
        self.bytes = bytes
    }

    /// The footer of a new image.
    init(sectors: Int64, geometry: VHDGeometry, isFixed: Bool, exactSize: Bool, uuid: [UInt8]) {
        bytes = [UInt8](repeating: 0, count: Self.byteCount)
        bytes.store(bytes: Self.cookie, at: 0)
        put(UInt32(2), Offset.features)
        put(UInt32(0x0001_0000), Offset.version)
        put(isFixed ? UInt64.max : UInt64(Self.byteCount), Offset.dataOffset)
        // Seconds since the year 2000.
        put(UInt32(truncatingIfNeeded: Int64(Glibc.time(nil)) - 946_684_800), Offset.timestamp)
        bytes.store(bytes: Array((exactSize ? "qem2" : "qemu").utf8), at: Offset.creator)
        put(UInt32(0x0005_0003), Offset.creatorVersion)
        bytes.store(bytes: Array("Wi2k".utf8), at: Offset.creatorSystem)
        put(UInt64(sectors) * 512, Offset.originalSize)
        put(UInt64(sectors) * 512, Offset.currentSize)
        put(UInt16(truncatingIfNeeded: geometry.cylinders), Offset.cylinders)
        put(UInt8(truncatingIfNeeded: geometry.heads), Offset.heads)
        put(UInt8(truncatingIfNeeded: geometry.sectors), Offset.sectors)
        put(isFixed ? Self.fixedKind : Self.dynamicKind, Offset.kind)
        bytes.store(bytes: uuid.prefix(16), at: Offset.uuid)
        put(Self.checksum(bytes), Offset.checksum)
    }

    private mutating func put<Value: FixedWidthInteger>(_ value: Value, _ offset: Int) {
        bytes.store(value, at: offset, order: .big)
    }

    private func word<Value: FixedWidthInteger>(_ offset: Int) -> Value {
        bytes.load(Value.self, at: offset, order: .big) ?? 0
    }

    /// The ones' complement of the sum of all bytes but the checksum's own.
    static func checksum(_ bytes: [UInt8], skipping offset: Int = Offset.checksum) -> UInt32 {
        var sum: UInt32 = 0
        for (index, byte) in bytes.enumerated() where index < offset || index >= offset + 4 {
            sum = sum &+ UInt32(byte)
        }
        return ~sum
    }

    var isIntact: Bool { word(Offset.checksum) == Self.checksum(bytes) }
    var kind: UInt32 { word(Offset.kind) }
    var dataOffset: UInt64 { word(Offset.dataOffset) }
    var currentSize: UInt64 { word(Offset.currentSize) }
    var creator: String { bytes.text(at: Offset.creator, count: 4) ?? "" }
    var geometry: VHDGeometry {
        VHDGeometry(
            cylinders: Int64(word(Offset.cylinders) as UInt16), heads: Int64(word(Offset.heads) as UInt8),
            sectors: Int64(word(Offset.sectors) as UInt8))
    }

    /// The disk's sectors: by the size where the creator is known to mean it, else by the geometry.
    func diskSectors(_ rule: VHDSizeRule) -> UInt64 {
        let product = UInt64(geometry.product)
        let isLargest = product == UInt64(Self.geometrySectors)
        let usesSize: Bool
        switch rule {
        case .currentSize: usesSize = true
        case .geometry: usesSize = isLargest
        case .automatic:
            let exact = ["win ", "qem2", "d2v ", "tap", "CTXS"]
            usesSize = exact.contains(creator) || isLargest
        }
        return usesSize ? currentSize / 512 : product
    }
}

/// Which of the two sizes in the footer holds (`force_size_calc`).
enum VHDSizeRule { case automatic, geometry, currentSize }

/// Cylinders, heads and sectors, as the specification's appendix derives them.
struct VHDGeometry: Sendable {
    var cylinders: Int64
    var heads: Int64
    var sectors: Int64

    init(cylinders: Int64, heads: Int64, sectors: Int64) {
        self.cylinders = cylinders
        self.heads = heads
        self.sectors = sectors
    }

    var product: Int64 { cylinders * heads * sectors }

    /// For a disk of so many sectors; the product may be less.
    init(sectors total: Int64) {
        let total = min(total, VHDFooter.geometrySectors)
        var spt: Int64
        var cylindersTimesHeads: Int64
        // From this size on the largest geometry of ATA.
        if total >= 65535 * 16 * 63 {
            spt = 255
            heads = 16
            cylindersTimesHeads = total / spt
        } else {
            spt = 17
            cylindersTimesHeads = total / spt
            heads = max((cylindersTimesHeads + 1023) / 1024, 4)
            if cylindersTimesHeads >= heads * 1024 || heads > 16 {
                spt = 31
                heads = 16
                cylindersTimesHeads = total / spt
            }
            if cylindersTimesHeads >= heads * 1024 {
                spt = 63
                heads = 16
                cylindersTimesHeads = total / spt
            }
        }
        sectors = spt
        cylinders = cylindersTimesHeads / heads
    }

    /// The smallest geometry that holds so many sectors.
    static func holding(_ total: Int64) -> VHDGeometry {
        var extra: Int64 = 0
        var geometry = VHDGeometry(sectors: total)
        while geometry.product < total, geometry.product < VHDFooter.geometrySectors {
            extra += 1
            geometry = VHDGeometry(sectors: total + extra)
        }
        return geometry
    }
}
