// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import FormatTestKit
import LUKSImage
import RandomKit
import StorageTestKit
import Testing

/// One passphrase under the name "s".
struct OneSecret: SecretProvider {
    var value = "correct horse"
    func secret(_ identifier: String) throws(BlockError) -> [UInt8] {
        guard identifier == "s" else { throw BlockError(.notFound, "No secret with id '\(identifier)'") }
        return Array(value.utf8)
    }
}

@Suite struct LUKSTests {
    let folder = Folder()
    static let object = "--object secret,id=s,data='correct horse'"
    static let variants = [
        "", "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,hash-alg=sha1", "ivgen-alg=plain,hash-alg=sha512",
    ]

    func graph(_ passphrase: String = "correct horse") -> BlockGraph {
        BlockGraph(drivers: [LUKSDriver(), FileDriver.file], secrets: OneSecret(value: passphrase))
    }

    func create(_ name: String, size: Int64, _ options: String = "") throws -> String {
        let path = folder.file(name)
        var values = CreateOptions(LUKSDriver().createOptions)
        try values.parse("key-secret=s,iter-time=20" + (options.isEmpty ? "" : "," + options))
        try values.set("size", String(size))
        try LUKSDriver().create(CreateRequest(filename: path, options: values, graph: graph()))
        return path
    }

    func open(_ path: String, _ passphrase: String = "correct horse", flags: OpenFlags = .writable) throws
        -> any BlockNode
    {
        try graph(passphrase).open(
            path, format: "luks", options: BlockOptions([("key-secret", .string("s"))]), flags: flags)
    }

    @Test(arguments: variants) func writesWhatOthersRead(_ options: String) throws {
        let lab = FormatLab("luks", [])
        let path = try create("a.luks", size: 3 << 20, options)
        let node = try open(path)
        var model = try node.readBytes(at: 0, count: 3 << 20)
        try lab.scribble(node, &model, seed: 3, rounds: 12)
        try lab.expectContent(node, model)
        try node.close()
        guard FormatLab.hasQEMU else { return }
        let raw = try lab.rawFile("a.raw", model)
        let outcome = run(
            "qemu-img compare \(Self.object) --image-opts driver=luks,key-secret=s,file.filename=\(path) driver=raw,file.filename=\(raw)"
        )
        #expect(outcome.status == 0, "\(outcome.output)")
    }

    @Test(arguments: variants) func readsWhatOthersWrote(_ options: String) throws {
        guard FormatLab.hasQEMU else { return }
        let path = folder.file("b.luks")
        // On a busy machine qemu-img sometimes cannot measure its own speed, and gives up.
        let more = options.isEmpty ? "" : "," + options
        let command = "qemu-img create -q \(Self.object) -f luks -o key-secret=s,iter-time=200\(more) \(path) 2M"
        var made = run(command)
        for _ in 0..<40 where made.output.contains("accurate CPU usage") { made = run(command) }
        try #require(made.status == 0, "\(made.output)")
        let target = "driver=luks,key-secret=s,file.filename=\(path)"
        let wrote = run("qemu-io \(Self.object) --image-opts \(target) -c 'write -P 0x31 1000 100000'")
        try #require(wrote.status == 0, "\(wrote.output)")
        let node = try open(path)
        #expect(try node.readBytes(at: 1000, count: 100_000).allSatisfy { $0 == 0x31 })
        try node.close()
    }

    @Test func asksForThePassphrase() throws {
        let path = try create("p.luks", size: 1 << 20)
        let missing = #expect(throws: BlockError.self) { try graph().open(path, format: "luks") }
        #expect(missing?.message == "Parameter 'key-secret' is required for cipher")
        let wrong = #expect(throws: BlockError.self) { try open(path, "wrong") }
        #expect(wrong?.message == "Invalid password, cannot unlock any keyslot")
        var flags = OpenFlags()
        flags.metadataOnly = true
        let node = try graph().open(path, format: "luks", flags: flags)
        #expect(node.length == 1 << 20)
        #expect(throws: BlockError.self) { try node.readBytes(at: 0, count: 512) }
        try node.close()
    }

    @Test func slotsComeAndGo() throws {
        let path = try create("k.luks", size: 1 << 20)
        let file = try graph().open(
            nil, options: BlockOptions([("driver", .string("file")), ("filename", .string(path))]), flags: .writable)
        let volume = try LUKSVolume.open(file)
        try volume.unlock(passphrase: Array("correct horse".utf8))
        try volume.setSlot(3, passphrase: Array("second".utf8), milliseconds: 10)
        #expect(volume.activeSlots == [0, 3])
        #expect(try volume.slots(openedBy: Array("second".utf8)) == [3])
        try volume.eraseSlot(0)
        #expect(throws: BlockError.self) { try volume.unlock(passphrase: Array("correct horse".utf8)) }
        #expect(try volume.unlock(passphrase: Array("second".utf8)) == 3)
        try file.close()
    }

    @Test func anUnreasonableHeaderIsRefusedQuickly() throws {
        let path = try create("h.luks", size: 1 << 20)
        let file = try graph().open(
            nil, options: BlockOptions([("driver", .string("file")), ("filename", .string(path))]), flags: .writable)
        let original = try file.readBytes(at: 0, count: 592)
        var generator = SeededGenerator(seed: 4)
        for _ in 0..<200 {
            var bytes = original
            // Bytes of the derivation rounds have a test of their own: each would only take its time.
            let places = Array(6..<164) + Array(168..<212) + Array(216..<592)
            bytes[places[Int.random(in: 0..<places.count, using: &generator)]] = .random(in: 0...255, using: &generator)
            try file.write(bytes, at: 0)
            _ = try? LUKSVolume.open(file)
        }
        try file.write(original, at: 0)
        try file.write([0xff, 0xff, 0xff, 0xff], at: 212)
        #expect(throws: BlockError.self) { try LUKSVolume.open(file).unlock(passphrase: [1]) }
        try file.close()
    }

    @Test func measuresTheHeader() throws {
        var options = CreateOptions(LUKSDriver().createOptions)
        try options.set("size", "10M")
        #expect(throws: BlockError.self) { try LUKSDriver().measure(options, source: nil) }
        try options.set("key-secret", "s")
        #expect(try LUKSDriver().measure(options, source: nil).required == 12_554_240)
    }
}
