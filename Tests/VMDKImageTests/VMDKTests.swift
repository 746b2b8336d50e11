// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import FormatTestKit
import StorageTestKit
import Testing
import VMDKImage

@Suite struct VMDKTests {
    let lab = FormatLab("vmdk", [VMDKDriver()])
    static let variants = [
        "", "zeroed_grain=on", "adapter_type=lsilogic,compat6=on", "subformat=monolithicFlat",
        "subformat=twoGbMaxExtentSparse", "subformat=twoGbMaxExtentFlat", "subformat=streamOptimized",
    ]

    @Test(arguments: variants.filter { !$0.contains("streamOptimized") }, [1, 2] as [UInt64])
    func anyRequestsInAnyOrder(_ options: String, _ seed: UInt64) throws {
        var life = try ImageLife(lab, size: 9_000_448, options, seed: seed)
        try life.run(400)
    }

    @Test(arguments: variants) func writesWhatOthersRead(_ options: String) throws {
        for seed in 1...2 as ClosedRange<UInt64> {
            try lab.writeHereReadThere(size: 9_000_448, options, seed: seed)
        }
    }

    @Test(arguments: variants) func readsWhatOthersWrote(_ options: String) throws {
        try lab.writeThereReadHere(size: 7 << 20, options, seed: 11)
    }

    @Test func metadataIsThatOfQEMU() throws {
        guard FormatLab.hasQEMU else { return }
        for options in Self.variants {
            for size in [10 << 20, 5 << 30] as [Int64] {
                let here = try lab.open(try lab.create("same.vmdk", size: size, options), writable: false)
                let mine = Self.facts(here)
                try here.close()
                let there = try lab.open(try lab.createWithQEMU("same.vmdk", size: size, options), writable: false)
                #expect(Self.facts(there) == mine, "\(options) \(size)")
                try there.close()
            }
        }
    }

    /// Length, type, and the extents, without the identifier.
    private static func facts(_ node: any BlockNode) -> [String] {
        let specific = try? (node as? any DescribedNode)?.specificInformation()
        return ["\(node.length)"] + (specific?.facts.dropFirst().map { "\($0)" } ?? [])
    }

    @Test func theLastExtentsAreReached() throws {
        let path = try lab.create("big.vmdk", size: 5 << 30, "subformat=twoGbMaxExtentSparse")
        let node = try lab.open(path)
        let bytes = [UInt8](repeating: 0x5a, count: 200_000)
        try node.write(bytes, at: (2 << 30) - 100_000)
        try node.write(bytes, at: (5 << 30) - 200_000)
        try node.close()
        guard FormatLab.hasQEMU else { return }
        for offset in [(2 << 30) - 100_000, (5 << 30) - 200_000] {
            let outcome = run("qemu-io -f vmdk -r -c 'read -P 0x5a \(offset) 200000' \(path)")
            #expect(outcome.status == 0 && !outcome.output.contains("failed"), "\(outcome.output)")
        }
    }

    @Test func unallocatedGrainsComeFromTheParent() throws {
        let base = try lab.create("base.vmdk", size: 3 << 20)
        var model = [UInt8](repeating: 0, count: 3 << 20)
        let parent = try lab.open(base)
        try lab.scribble(parent, &model, seed: 5)
        try parent.close()
        let path = try lab.create("top.vmdk", size: 3 << 20, "backing_file=base.vmdk,zeroed_grain=on")
        let top = try lab.open(path)
        try lab.expectContent(top, model, "before writing")
        try lab.scribble(top, &model, seed: 6, rounds: 8)
        try lab.expectContent(top, model, "after writing")
        try top.close()
        guard FormatLab.hasQEMU else { return }
        let raw = try lab.rawFile("top.raw", model)
        let outcome = run("qemu-img compare -f vmdk -F raw \(path) \(raw)")
        #expect(outcome.status == 0, "\(outcome.output)")
    }

    @Test func aChangedParentIsNoticed() throws {
        let base = try lab.create("base.vmdk", size: 1 << 20)
        let path = try lab.create("top.vmdk", size: 1 << 20, "backing_file=base.vmdk")
        let parent = try lab.open(base)
        try parent.write([1], at: 0)
        try parent.close()
        let top = try lab.open(path, writable: false)
        #expect(throws: BlockError.self) { try top.readBytes(at: 0, count: 1) }
        try top.close()
    }

    @Test func saysWhatIsWrongWithADescriptor() throws {
        let head = "# Disk DescriptorFile\nversion=1\nCID=58ab4847\nparentCID=ffffffff\n"
        let cases = [
            ("createType=\"vmfs\"\nRW 100 FLAT \"a\"\n", "Invalid extent line: RW 100 FLAT \"a\""),
            ("createType=\"vmfs\"\nRW 100 FLAT \"a\" -1\n", "Invalid extent line: RW 100 FLAT \"a\" -1"),
            ("createType=\"foo\"\n", "Unsupported image type 'foo'"),
            ("\n", "invalid VMDK image descriptor"),
            (
                "createType=\"vmfs\"\nRW 100 FLAT \"missing\" 0\n",
                "Could not open '\(lab.folder.file("missing"))': No such file or directory"
            ),
        ]
        for (text, message) in cases {
            let path = try lab.rawFile("d.vmdk", Array((head + text).utf8))
            let error = #expect(throws: BlockError.self) { try lab.open(path, writable: false) }
            #expect(error?.message == message)
        }
    }

    @Test func optionsThatExcludeEachOther() {
        let cases = [
            ("subformat=bad", "invalid parameter value: bad"),
            ("adapter_type=bad", "invalid parameter value: bad"),
            ("subformat=monolithicFlat,zeroed_grain=on", "Flat image can't enable zeroed grain"),
            ("compat6=on,hwversion=9", "compat6 cannot be enabled with hwversion set"),
        ]
        for (options, message) in cases {
            let error = #expect(throws: BlockError.self) { try lab.create("x.vmdk", size: 1 << 20, options) }
            #expect(error?.message == message)
        }
    }

    @Test(arguments: ["", "subformat=streamOptimized"]) func survivesDamage(_ options: String) throws {
        let path = try lab.create("m.vmdk", size: 3 << 20, options)
        let node = try lab.open(path)
        try node.write([UInt8](repeating: 9, count: 100_000), at: 1 << 20)
        try node.close()
        try lab.survivesMutations(of: path, metadata: 90)
        try lab.survivesMutations(of: path, metadata: 20_000, seed: 2)
    }
}
