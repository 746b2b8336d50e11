// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Testing

@Suite struct OptionTests {
    @Test func commasAndImpliedKeys() throws {
        let options = try BlockOptions.parse("x,,y.raw,read-only,nocache,size=2M", implied: "file")
        #expect(options.string("file") == "x,y.raw")
        #expect(options.string("read-only") == "on")
        #expect(options.string("cache") == "off")
        var copy = options
        #expect(try copy.takeSize("size") == 2 << 20)
        #expect(copy["size"] == nil)
    }

    @Test func subtrees() throws {
        var options = try BlockOptions.parse("driver=qcow2,file.driver=file,file.filename=a,backing.driver=raw")
        let file = options.takeSubtree("file")
        #expect(file.keys == ["driver", "filename"])
        #expect(options.hasSubtree("backing"))
        #expect(!options.hasSubtree("file"))
    }

    @Test(
        arguments: [
            ("0", 0), ("1k", 1024), ("1.5G", 1_610_612_736), ("512b", 512), ("0x10", 16), ("8E", nil), ("1.5", nil),
            ("-1", nil), ("", nil), ("k", nil), ("7E", 7 << 60), ("+1M", 1 << 20), (" 1M", 1 << 20), ("1M ", nil),
            ("++1", nil), ("+", nil), ("0x", nil), ("1e3", nil), ("18446744073709551615", nil),
        ] as [(String, Int64?)])
    func sizes(text: String, expected: Int64?) {
        #expect((try? ByteSize.parse(text)) == expected)
    }

    @Test func friendlySizes() throws {
        #expect(try ByteSize.parse("1GB", kind: true) == 1 << 30)
        #expect(try ByteSize.parse("2MiB", kind: true) == 2 << 20)
    }

    @Test(
        arguments: [
            (0, "0 B"), (512, "512 B"), (1024, "1 KiB"), (200704, "196 KiB"), (1 << 30, "1 GiB"), (1000, "0.977 KiB"),
            (1_572_864, "1.5 MiB"), (10_747_904, "10.2 MiB"), (1023 << 20, "0.999 GiB"),
        ] as [(Int64, String)])
    func sizeTexts(bytes: Int64, expected: String) { #expect(ByteSize.text(bytes) == expected) }
}

@Suite struct NodeNameTests {
    private func register(_ name: String) throws {
        let graph = BlockGraph(drivers: [NullDriver()])
        let options = try BlockOptions.parse("driver=null-co,size=1M")
        try graph.register(try graph.open(nil, options: options), as: name)
    }

    @Test(arguments: ["a", "disk0", "a-b.c_d", "#block12"]) func good(name: String) throws { try register(name) }

    @Test(arguments: ["", "0bad", "a b", "ä", "-x", "a/b", String(repeating: "n", count: 32)])
    func bad(name: String) { #expect(throws: BlockError.self) { try register(name) } }
}

@Suite struct NullDriverTests {
    @Test func toldAsItWasAskedFor() throws {
        let graph = BlockGraph(drivers: [NullDriver()])
        #expect(try graph.open("null-co://", format: "null-co").location.filename == "null-co://")
        let sized = try graph.open(nil, options: try BlockOptions.parse("driver=null-co,size=1M"))
        #expect(sized.location.filename == "json:{\"driver\": \"null-co\", \"size\": \"1M\"}")
        #expect(sized.length == 1 << 20)
        let status = try sized.status(at: 4096, count: 1 << 20, detail: .mapping)
        #expect(!status.isData && !status.isZero && status.isEnd && status.count == (1 << 20) - 4096)
    }

    @Test func zeroesOnRequest() throws {
        let graph = BlockGraph(drivers: [NullDriver()])
        let node = try graph.open(nil, options: try BlockOptions.parse("driver=null-co,read-zeroes=on"))
        #expect(try node.readBytes(at: 5, count: 3) == [0, 0, 0])
        #expect(throws: BlockError.self) { try node.readBytes(at: 1 << 30, count: 1) }
        #expect(throws: BlockError.self) { try node.writeZeroes(at: 0, count: 1, flags: []) }
    }
}

@Suite struct NameTests {
    @Test func schemes() {
        #expect(ImageName.scheme(of: "nbd://host/x") == "nbd")
        #expect(ImageName.scheme(of: "/a:b") == nil)
        #expect(ImageName.scheme(of: "a:b") == "a")
    }

    @Test func relativeNames() throws {
        #expect(ImageName.combine("/d/top.qcow2", "base.raw") == "/d/base.raw")
        #expect(ImageName.combine("top.qcow2", "base.raw") == "base.raw")
        #expect(ImageName.combine("file:d/top", "base") == "file:d/base")
        #expect(throws: BlockError.self) { try ImageName.resolve("base", against: NodeLocation(filename: "json:{}")) }
    }
}
