// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import FormatTestKit
import ParallelsImage
import QCOWImage
import QEDImage
import RandomKit
import StorageTestKit
import Testing

@Suite struct ReadOnlyFormatTests {
    private static let labs = [
        FormatLab("qed", [QEDDriver()]), FormatLab("qcow", [QCOWDriver()]), FormatLab("parallels", [ParallelsDriver()]),
    ]

    @Test(arguments: 0..<3) func readsWhatOthersWrote(_ index: Int) throws {
        guard FormatLab.hasQEMU else { return }
        let lab = Self.labs[index]
        let path = try lab.createWithQEMU("written.image", size: 7 << 20)
        let written = run("qemu-io -f \(lab.format) -c 'write -P 5 1M 70k' -c 'write -P 6 6M 1M' \(path)")
        try #require(written.status == 0, "\(written.output)")
        let node = try lab.open(path, writable: false)
        var expected = [UInt8](repeating: 0, count: 7 << 20)
        expected.replaceSubrange(1 << 20..<(1 << 20) + 71680, with: repeatElement(5, count: 71680))
        expected.replaceSubrange(6 << 20..<7 << 20, with: repeatElement(6, count: 1 << 20))
        #expect(try node.readBytes(at: 0, count: expected.count) == expected)
        #expect(try node.status(at: 3 << 20, count: 4096, detail: .mapping).isZero)
        try node.close()
    }

    @Test(arguments: 0..<3) func aNewImageIsEmptyAndIsNotWritten(_ index: Int) throws {
        let lab = Self.labs[index]
        let path = try lab.create("new.image", size: 4 << 20)
        let node = try lab.open(path, writable: false)
        #expect(node.length == 4 << 20)
        #expect(try node.readBytes(at: 4096, count: 8192) == [UInt8](repeating: 0, count: 8192))
        #expect(throws: BlockError.self) { try node.write([1], at: 0) }
        try node.close()
        #expect(throws: BlockError.self) { try lab.open(path, writable: true) }
    }

    @Test(arguments: 0..<3) func survivesDamage(_ index: Int) throws {
        let lab = Self.labs[index]
        let path = try lab.create("damaged.image", size: 3 << 20)
        let whole = try lab.graph.open(
            nil, options: BlockOptions([("driver", .string("file")), ("filename", .string(path))]))
        let original = try whole.readBytes(at: 0, count: Int(min(whole.length, 1 << 20)))
        try whole.close()
        var generator = SeededGenerator(seed: UInt64(index))
        for round in 0..<300 {
            var bytes = original
            for _ in 0..<3 {
                bytes[Int.random(in: 0..<256, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            let name = "damaged\(round)"
            try lab.graph.register(MemoryNode(bytes, name: name), as: name)
            let options = BlockOptions([("driver", .string(lab.format)), ("file", .string(name))])
            // Damage may be refused or read as something else; it must not end the program.
            guard let node = try? lab.graph.open(nil, options: options) else { continue }
            for offset in stride(from: 0, to: min(node.length, 3 << 20), by: 500_000) {
                _ = try? node.readBytes(at: offset, count: Int(min(4096, node.length - offset)))
                _ = try? node.status(at: offset, count: node.length - offset, detail: .mapping)
            }
        }
    }
}
