// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DMGImage
import StorageTestKit
import Testing

/// Small images put together here: chunks, a table in a property list, and the trailer.
@Suite struct DMGImageTests {
    let folder = Folder()

    private func big(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64((count - 1 - $0) * 8)) }
    }

    private func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = (0..<3).map { start + $0 < bytes.count ? UInt32(bytes[start + $0]) : 0 }
            let bits = group[0] << 16 | group[1] << 8 | group[2]
            let count = min(3, bytes.count - start)
            for index in 0..<4 {
                text.append(index <= count ? alphabet[Int(bits >> UInt32(18 - index * 6)) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// An image of chunks of one type each, one after the other.
    private func image(_ chunks: [(type: UInt32, sectors: UInt64, stored: [UInt8])]) -> [UInt8] {
        var file: [UInt8] = []
        var table = Array("mish".utf8) + [UInt8](repeating: 0, count: 200)
        var sector: UInt64 = 0
        for chunk in chunks {
            table += big(UInt64(chunk.type), 4) + big(0, 4) + big(sector, 8) + big(chunk.sectors, 8)
            table += big(UInt64(file.count), 8) + big(UInt64(chunk.stored.count), 8)
            file += chunk.stored
            sector += chunk.sectors
        }
        let list = Array("<plist><data>\(base64(table))</data></plist>".utf8)
        var trailer = [UInt8](repeating: 0, count: 512)
        trailer.replaceSubrange(0..<4, with: Array("koly".utf8))
        trailer.replaceSubrange(0xd8..<0xe0, with: big(UInt64(file.count), 8))
        trailer.replaceSubrange(0xe0..<0xe8, with: big(UInt64(list.count), 8))
        trailer.replaceSubrange(0x1ec..<0x1f4, with: big(sector, 8))
        return file + list + trailer
    }

    private func open(_ bytes: [UInt8]) throws -> any BlockNode {
        let graph = BlockGraph(drivers: [DMGDriver(), FileDriver.file])
        try graph.register(MemoryNode(bytes), as: "m")
        return try graph.open(
            nil, options: BlockOptions([("driver", .string("dmg")), ("file", .string("m"))]), flags: OpenFlags())
    }

    private func bytes(of path: String) throws -> [UInt8] {
        let graph = BlockGraph(drivers: [FileDriver.file])
        let node = try graph.open(path, options: BlockOptions([("driver", .string("file"))]), flags: OpenFlags())
        defer { try? node.close() }
        return try node.readBytes(at: 0, count: Int(node.length))
    }

    private static let content = "for i in $(seq 40000); do echo $i; done | head -c 131072"

    @Test(
        .enabled(if: isInstalled("xz") && isInstalled("bzip2"), "needs xz and bzip2"),
        arguments: [("xz", UInt32(0x8000_0008)), ("bzip2", 0x8000_0006)])
    func compressedChunksAreRead(program: String, type: UInt32) throws {
        let (plain, packed) = (folder.file("plain"), folder.file("packed"))
        #expect(run("\(Self.content) > \(plain); \(program) -c \(plain) > \(packed)").status == 0)
        let content = try bytes(of: plain)
        let node = try open(
            image([(type, 256, try bytes(of: packed)), (0, 8, []), (1, 1, [UInt8](repeating: 7, count: 512))]))
        #expect(node.length == Int64(265 * 512))
        #expect(try node.readBytes(at: 0, count: content.count) == content)
        #expect(try node.readBytes(at: 1000, count: 70_000) == Array(content[1000..<71_000]))
        #expect(try node.readBytes(at: 256 * 512, count: 512) == [UInt8](repeating: 0, count: 512))
        #expect(try node.readBytes(at: 264 * 512, count: 512) == [UInt8](repeating: 7, count: 512))
    }

    @Test(arguments: [UInt32(0x8000_0005), 0x8000_0006, 0x8000_0008]) func rubbishEndsInAnError(type: UInt32) throws {
        let node = try open(image([(type, 4, (0..<300).map { UInt8(truncatingIfNeeded: $0 * 37) })]))
        #expect(throws: BlockError.self) { try node.readBytes(at: 0, count: 512) }
    }
}
