// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import RandomKit
internal import StorageTestKit
internal import Testing

/// The life of one image beside an array of bytes: requests of all kinds in any order, closed and opened in between.
public struct ImageLife {
    private let lab: FormatLab
    private let path: String
    private var node: any BlockNode
    private var model: [UInt8]
    private var random: SeededGenerator

    /// A new image of `size` bytes, or of what the format rounds that to.
    public init(_ lab: FormatLab, size: Int64, _ options: String, seed: UInt64) throws {
        self.lab = lab
        random = SeededGenerator(seed: seed)
        path = try lab.create("life-\(seed).\(lab.format)", size: size, options)
        node = try lab.open(path)
        model = [UInt8](repeating: 0, count: Int(node.length))
    }

    /// Lives for so many requests, is compared with the model, checked, and compared by the original.
    public mutating func run(_ rounds: Int, checks: Bool = true) throws {
        for _ in 0..<rounds { try step() }
        try reopen()
        try lab.expectContent(node, model, "at the end")
        try expectStatusIsTrue()
        if checks, let checkable = node as? any CheckableNode {
            var lines: [String] = []
            let result = try checkable.check(repair: []) { lines.append($0) }
            #expect(result.corruptions == 0 && result.leaks == 0, "\(lines)")
        }
        try node.close()
        guard FormatLab.hasQEMU else { return }
        let raw = try lab.rawFile("life.raw", model)
        let outcome = StorageTestKit.run("qemu-img compare -f \(lab.format) -F raw \(path) \(raw)")
        #expect(outcome.status == 0, "\(outcome.output)")
    }

    private mutating func range() -> Range<Int> {
        // Around the places where grains, blocks and tables end, or anywhere.
        let edge = Int.random(in: 0...(model.count >> 16), using: &random) << 16
        let isNearEdge = Bool.random(using: &random)
        let near = max(0, edge - Int.random(in: 0...600, using: &random))
        let start = min(isNearEdge ? near : Int.random(in: 0..<model.count, using: &random), model.count - 1)
        let longest = [1, 512, 5000, 300_000].randomElement(using: &random) ?? 1
        return start..<min(model.count, start + Int.random(in: 1...longest, using: &random))
    }

    private mutating func step() throws {
        let range = range()
        let (offset, count) = (Int64(range.lowerBound), Int64(range.count))
        switch Int.random(in: 0..<16, using: &random) {
        case 0..<7:
            let byte = UInt8.random(in: 0...255, using: &random)
            let bytes = range.map { byte &+ UInt8(truncatingIfNeeded: $0 >> 5) }
            try node.write(bytes, at: offset)
            model.replaceSubrange(range, with: bytes)
        case 7, 8:
            try node.writeZeroes(at: offset, count: count, flags: Bool.random(using: &random) ? .mayUnmap : [])
            model.replaceSubrange(range, with: repeatElement(0, count: range.count))
        case 9: try discard(range)
        case 10: try node.flush()
        case 11: try reopen()
        case 12: try expectStatusIsTrue()
        default:
            let bytes = try node.readBytes(at: offset, count: range.count)
            #expect(bytes.elementsEqual(model[range]), "\(range)")
        }
    }

    /// What is given back reads as before or as zeroes.
    private mutating func discard(_ range: Range<Int>) throws {
        try node.discard(at: Int64(range.lowerBound), count: Int64(range.count))
        let now = try node.readBytes(at: Int64(range.lowerBound), count: range.count)
        #expect(zip(now, model[range]).allSatisfy { $0 == $1 || $0 == 0 }, "\(range)")
        model.replaceSubrange(range, with: now)
    }

    private mutating func reopen() throws {
        try node.close()
        node = try lab.open(path)
        #expect(node.length == Int64(model.count))
    }

    /// The parts cover the image, and what is said to be zero is.
    private func expectStatusIsTrue() throws {
        var offset = 0
        while offset < model.count {
            let status = try node.status(at: Int64(offset), count: Int64(model.count - offset), detail: .mapping)
            try #require(status.count > 0 && Int(status.count) <= model.count - offset)
            let end = offset + Int(status.count)
            if status.isZero { #expect(model[offset..<end].allSatisfy { $0 == 0 }, "\(offset)..<\(end)") }
            offset = end
        }
    }
}
