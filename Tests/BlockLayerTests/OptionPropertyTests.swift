// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import RandomKit
import Testing

@Suite struct OptionPropertyTests {
    private func word(_ random: inout SeededGenerator, _ letters: String) -> String {
        let letters = Array(letters)
        return String(
            (0..<Int.random(in: 1...6, using: &random)).map { _ in letters.randomElement(using: &random) ?? "x" })
    }

    @Test func pairsComeBackFromTheirText() throws {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<500 {
            var options = BlockOptions()
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                options[word(&random, "abcd-.")] = .string(word(&random, "ab,=. é{\""))
            }
            let text = options.keys.map { key in
                "\(key)=" + (options.string(key) ?? "").replacing(",", with: ",,")
            }.joined(separator: ",")
            #expect(try BlockOptions.parse(text) == options, "\(text)")
        }
    }

    @Test func subtreesArePutBackWhereTheyWere() {
        var random = SeededGenerator(seed: 2)
        for _ in 0..<500 {
            var options = BlockOptions()
            for _ in 0..<8 {
                let parts = (0..<Int.random(in: 1...3, using: &random)).map { _ in word(&random, "ab") }
                options[parts.joined(separator: ".")] = .number(Int64.random(in: 0...9, using: &random))
            }
            let original = options
            let prefix = word(&random, "ab")
            let had = options.hasSubtree(prefix)
            let below = options.takeSubtree(prefix)
            #expect(!options.keys.contains { $0.hasPrefix(prefix + ".") })
            #expect(had == (!below.isEmpty || original[prefix] != nil))
            options.add(below, under: prefix)
            #expect(options == original)
        }
    }

    /// What a name in JSON says is what the options were, with their types.
    @Test func optionsComeBackFromTheirJSONName() throws {
        let graph = BlockGraph(drivers: [NullDriver(), SpyDriver()])
        var random = SeededGenerator(seed: 3)
        for _ in 0..<300 {
            var options = BlockOptions()
            let values: [BlockOptions.Value] = [
                .string(word(&random, "ab\",\\\né")), .number(Int64.random(in: .min ... .max, using: &random)),
                .boolean(true), .boolean(false), .null,
            ]
            for _ in 0..<5 {
                // A key is a leaf or a branch, not both.
                let depth = Int.random(in: 0...2, using: &random)
                let key = ["a", "b", "c"].prefix(depth + 1).map { "\($0)\(depth)" }.joined(separator: ".")
                options[key] = values.randomElement(using: &random)
            }
            var named = options
            named["driver"] = .string("spy")
            let node = try graph.open(named.jsonName)
            #expect(node.location.options == options, "\(named.jsonName)")
        }
    }

    @Test(arguments: [
        ("help", true), ("?", true), ("a=b,help", true), ("a=help", false), ("a=b,,help", false), ("", false),
        ("helpx", false),
    ])
    func helpStandsAlone(_ text: String, _ asks: Bool) { #expect(BlockOptions.asksForHelp(text) == asks) }

    @Test func typedValuesAreTakenOnce() throws {
        var options = BlockOptions([
            ("a", .string("off")), ("b", .boolean(true)), ("c", .string("0x10")), ("d", .number(-5)),
            ("e", .string("x")),
            ("f", .string("18446744073709551615")),
        ])
        #expect(try options.takeBool("a") == false && options.takeBool("b") == true && options.takeBool("a") == nil)
        #expect(try options.takeNumber("c") == 16 && options.takeNumber("d") == -5 && options.takeNumber("f") == -1)
        #expect(throws: BlockError.self) { try options.takeNumber("e") }
        #expect(options.isEmpty)
        options["s"] = .number(-1)
        #expect(throws: BlockError.self) { try options.takeSize("s") }
    }

    @Test func optionsOfNewImagesAreChecked() throws {
        var options = CreateOptions([
            CreateOption("size", .size, ""), CreateOption("on", .boolean, "", default: "on"),
            CreateOption("count", .number, "", default: "7"), CreateOption("text", .text, ""),
        ])
        try options.parse("size=1k,text=a,,b")
        #expect(options.number("size") == 1024 && options.string("text") == "a,b")
        #expect(options.bool("on") && options.number("count") == 7 && options.string("none") == nil)
        #expect(options.setNames == ["size", "text"] && !options.isSet("on") && options.accepts("on"))
        for wrong in ["size=x", "size=-1", "on=2", "count=x", "nothing=1", "size=8E"] {
            #expect(throws: BlockError.self, "\(wrong)") { try options.parse(wrong) }
        }
        options.remove("size")
        #expect(options.number("size") == nil)
    }

    // MARK: Sizes

    @Test func sizesAreWrittenWithThreeDigits() throws {
        var random = SeededGenerator(seed: 4)
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        for _ in 0..<3000 {
            let bytes = Int64.random(in: 1...Int64.max, using: &random) >> Int64.random(in: 0...62, using: &random)
            let words = ByteSize.text(bytes).split(separator: " ").map(String.init)
            let unit = try #require(units.firstIndex(of: words[1]))
            let value = try #require(Double(words[0])) * Double(Int64(1) << Int64(10 * unit))
            #expect(abs(value - Double(bytes)) <= 0.00501 * Double(bytes), "\(bytes): \(words)")
            let digits = words[0].filter(\.isNumber).drop { $0 == "0" }
            #expect(digits.count <= 3 || words[0].hasPrefix("1e+03"), "\(bytes): \(words)")
        }
    }

    /// As qemu-img 7.2 writes them.
    @Test(
        arguments: [
            (1_023_488, "1e+03 KiB"), (1_022_976, "999 KiB"), (1_024_000, "0.977 MiB"), (1_048_063_488, "1e+03 MiB"),
            (999, "999 B"),
        ] as [(Int64, String)])
    func sizesJustBelowAThousand(_ bytes: Int64, _ text: String) { #expect(ByteSize.text(bytes) == text) }

    @Test func wholeSizesComeBack() throws {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<2000 {
            let shift = Int64.random(in: 0...6, using: &random) * 10
            let count = Int64.random(in: 0...(Int64.max >> shift), using: &random)
            let letter = Array("bkMGTPE")[Int(shift / 10)]
            #expect(try ByteSize.parse("\(count)\(letter)") == count << shift)
            #expect(try ByteSize.parse("0x" + String(count, radix: 16)) == count)
            #expect(throws: ByteSize.Failure.self) { try ByteSize.parse("\(UInt64.max)0\(letter)") }
        }
    }

    @Test func anyTextIsASizeOrNone() {
        var random = SeededGenerator(seed: 6)
        for _ in 0..<5000 {
            let text = word(&random, "0123456789.xXkMGTPEbBiI-+ e") + word(&random, "0123456789kE.")
            if let size = try? ByteSize.parse(text) { #expect(size >= 0, "\(text)") }
            if let size = try? ByteSize.parse(text, kind: true) { #expect(size >= 0, "\(text)") }
        }
    }

    // MARK: Names

    @Test(arguments: [
        ("/a/b", "c", "/a/c"), ("/a/b", "/c", "/c"), ("a/b", "../c", "a/../c"), ("b", "c", "c"),
        ("nbd://h/b", "c", "nbd://h/c"),
        ("/a/b", "nbd:c", "nbd:c"), ("/a/b", "", "/a/"), ("/a/", "c", "/a/c"), ("file:/a/b", "c", "file:/a/c"),
    ])
    func namesBesideOthers(_ base: String, _ name: String, _ result: String) {
        #expect(ImageName.combine(base, name) == result)
    }

    @Test(
        arguments: [("", nil), (":", ""), ("a", nil), ("/a:b", nil), ("./a:b", nil), ("é:b", "é"), ("a:b:c", "a")]
            as [(String, String?)])
    func prefixesOfNames(_ name: String, _ scheme: String?) { #expect(ImageName.scheme(of: name) == scheme) }
}

/// A driver that takes any options, and whose nodes remember them.
private struct SpyDriver: BlockDriver {
    let name = "spy"

    func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let options = request.options
        for key in options.keys { request.options[key] = nil }
        return SpyNode(location: NodeLocation(filename: "spy", options: options))
    }
}

private final class SpyNode: BlockNode {
    let driverName = "spy"
    let length: Int64 = 0
    let isReadOnly = true
    let limits = BlockLimits()
    let location: NodeLocation
    let children: [NodeChild] = []

    init(location: NodeLocation) { self.location = location }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {}
    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {}
    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {}
    func discard(at offset: Int64, count: Int64) throws(BlockError) {}
    func flush() throws(BlockError) {}
    func close() throws(BlockError) {}
    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        BlockStatus(count: 0, isZero: true, isEnd: true)
    }
}
