// SPDX-License-Identifier: Apache-2.0

/// Sound images of the formats that are only read, put together by hand: small, with some content and some holes.
enum ReadOnlySamples {
    static let all = [
        ImageSample(name: "qed", format: "qed", bytes: qed), ImageSample(name: "qcow", format: "qcow", bytes: qcow),
        ImageSample(name: "parallels", format: "parallels", bytes: parallels),
        ImageSample(name: "bochs", format: "bochs", bytes: bochs),
        ImageSample(name: "cloop", format: "cloop", bytes: cloop), ImageSample(name: "dmg", format: "dmg", bytes: dmg),
    ]

    private static let cluster = 4096
    private static let diskSize: UInt64 = 1 << 20

    /// An image file that is written into.
    private struct Builder {
        var bytes: [UInt8]

        init(_ count: Int) { bytes = Array(repeating: 0, count: count) }

        mutating func put(_ text: String, at offset: Int) {
            bytes.replaceSubrange(offset..<offset + text.utf8.count, with: Array(text.utf8))
        }

        mutating func little<T: FixedWidthInteger>(_ value: T, at offset: Int) {
            for index in 0..<T.bitWidth / 8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> T(index * 8)) }
        }

        mutating func big<T: FixedWidthInteger>(_ value: T, at offset: Int) { little(value.byteSwapped, at: offset) }

        mutating func fill(_ range: Range<Int>) {
            for index in range { bytes[index] = UInt8(truncatingIfNeeded: index / 3) }
        }
    }

    private static var qed: [UInt8] {
        var image = Builder(6 * cluster)
        image.put("QED", at: 0)
        image.little(UInt32(cluster), at: 4)
        // Clusters of a table and of the header.
        image.little(UInt32(1), at: 8)
        image.little(UInt32(1), at: 12)
        image.little(UInt64(cluster), at: 40)
        image.little(diskSize, at: 48)
        image.little(UInt64(2 * cluster), at: cluster)
        for (index, entry) in [3 * cluster, 4 * cluster, 1, 0, 5 * cluster].enumerated() {
            image.little(UInt64(entry), at: 2 * cluster + 8 * index)
        }
        image.fill(3 * cluster..<6 * cluster)
        return image.bytes
    }

    private static var qcow: [UInt8] {
        var image = Builder(4 * cluster)
        image.big(UInt32(0x5146_49fb), at: 0)
        image.big(UInt32(1), at: 4)
        image.big(diskSize, at: 24)
        image.bytes[32] = 12
        image.bytes[33] = 9
        image.big(UInt64(512), at: 40)
        image.big(UInt64(cluster), at: 512)
        image.big(UInt64(2 * cluster), at: cluster)
        image.big(UInt64(3 * cluster), at: cluster + 16)
        image.fill(2 * cluster..<4 * cluster)
        return image.bytes
    }

    private static var parallels: [UInt8] {
        var image = Builder(4 * cluster)
        image.put("WithoutFreeSpace", at: 0)
        image.little(UInt32(2), at: 16)
        // Sectors of a cluster, entries, sectors of the disk.
        image.little(UInt32(8), at: 28)
        image.little(UInt32(256), at: 32)
        image.little(diskSize / 512, at: 36)
        image.little(UInt32(8), at: 48)
        image.little(UInt32(8), at: 64)
        image.little(UInt32(16), at: 72)
        image.fill(cluster..<4 * cluster)
        return image.bytes
    }

    private static var bochs: [UInt8] {
        let entries = 256
        let start = 512 + entries * 4
        var image = Builder(start + 2 * (512 + cluster))
        image.put("Bochs Virtual HD Image", at: 0)
        image.put("Redolog", at: 32)
        image.put("Growing", at: 48)
        image.little(UInt32(0x2_0000), at: 64)
        image.little(UInt32(512), at: 68)
        image.little(UInt32(entries), at: 72)
        // Bytes of an extent's bitmap and of an extent.
        image.little(UInt32(512), at: 76)
        image.little(UInt32(cluster), at: 80)
        image.little(diskSize, at: 88)
        for entry in 0..<entries { image.little(UInt32.max, at: 512 + entry * 4) }
        image.little(UInt32(0), at: 512)
        image.little(UInt32(1), at: 512 + 8)
        for extent in 0..<2 {
            let place = start + extent * (512 + cluster)
            image.bytes[place] = 0xf7
            image.fill(place + 512..<place + 512 + cluster)
        }
        return image.bytes
    }

    /// A zlib stream of one stored block.
    private static func stored(_ content: [UInt8]) -> [UInt8] {
        var a: UInt32 = 1
        var b: UInt32 = 0
        for byte in content {
            a = (a + UInt32(byte)) % 65521
            b = (b + a) % 65521
        }
        var result = Builder(11)
        let count = UInt16(content.count)
        result.big(UInt16(0x7801), at: 0)
        result.bytes[2] = 1
        result.little(count, at: 3)
        result.little(~count, at: 5)
        result.big(b << 16 | a, at: 7)
        return Array(result.bytes[..<7]) + content + Array(result.bytes[7...])
    }

    private static var cloop: [UInt8] {
        let blocks = 4
        let header = 136 + (blocks + 1) * 8
        var image = Builder(header)
        image.put("#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n", at: 0)
        image.big(UInt32(cluster), at: 128)
        image.big(UInt32(blocks), at: 132)
        for block in 0..<blocks {
            image.big(UInt64(image.bytes.count), at: 136 + block * 8)
            image.bytes += stored((0..<cluster).map { UInt8(truncatingIfNeeded: $0 / 5 + block) })
        }
        image.big(UInt64(image.bytes.count), at: 136 + blocks * 8)
        return image.bytes
    }

    private static var dmg: [UInt8] {
        let packed = stored((0..<cluster).map { UInt8(truncatingIfNeeded: $0 / 9) })
        // Chunks: a stored one, one in zlib, one of zeroes, the end.
        var table = Builder(204 + 4 * 40)
        table.put("mish", at: 0)
        let chunks: [(kind: UInt32, start: Int, sectors: Int, offset: Int, count: Int)] = [
            (1, 0, 8, 0, cluster), (0x8000_0005, 8, 8, cluster, packed.count), (2, 16, 100, 0, 0), (.max, 116, 0, 0, 0),
        ]
        for (index, chunk) in chunks.enumerated() {
            let place = 204 + index * 40
            table.big(chunk.kind, at: place)
            table.big(UInt64(chunk.start), at: place + 8)
            table.big(UInt64(chunk.sectors), at: place + 16)
            table.big(UInt64(chunk.offset), at: place + 24)
            table.big(UInt64(chunk.count), at: place + 32)
        }
        // The resource fork: where it begins and how long it is, then tables with their lengths.
        var fork = Builder(16 + 4)
        fork.big(UInt32(16), at: 0)
        fork.big(UInt32(table.bytes.count + 4), at: 8)
        fork.big(UInt32(table.bytes.count), at: 16)
        fork.bytes += table.bytes
        var image = Builder(cluster)
        image.fill(0..<cluster)
        image.bytes += packed
        let start = image.bytes.count
        image.bytes += fork.bytes
        var trailer = Builder(512)
        trailer.put("koly", at: 0)
        trailer.big(UInt64(start), at: 0x28)
        trailer.big(UInt64(fork.bytes.count), at: 0x30)
        trailer.big(UInt64(116), at: 0x1ec)
        return image.bytes + trailer.bytes
    }
}
