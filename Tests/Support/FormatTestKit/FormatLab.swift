// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import RandomKit
public import StorageTestKit
public import Testing

/// Makes, opens and compares images of one format, against a model in memory and against qemu-img.
public struct FormatLab: Sendable {
    /// Where the images are.
    public let folder = Folder()
    /// The drivers.
    public let graph: BlockGraph
    /// The format's name.
    public let format: String
    /// Debian's qemu-utils are installed; cross tests are skipped without them.
    public static let hasQEMU = isInstalled("qemu-img") && isInstalled("qemu-io")

    /// A lab for one format with the drivers that it needs beside `file`.
    public init(_ format: String, _ drivers: [any BlockDriver]) {
        self.format = format
        graph = BlockGraph(drivers: drivers + [FileDriver.file])
    }

    /// Makes an image with this library.
    public func create(_ name: String, size: Int64, _ options: String = "") throws -> String {
        let path = folder.file(name)
        guard let driver = graph.driver(format) as? any CreatingDriver else {
            throw BlockError(.notSupported, "\(format) cannot be made")
        }
        var values = CreateOptions(driver.createOptions)
        if !options.isEmpty { try values.parse(options) }
        try values.set("size", String(size))
        try driver.create(CreateRequest(filename: path, options: values, graph: graph))
        return path
    }

    /// Makes an image with qemu-img.
    public func createWithQEMU(_ name: String, size: Int64, _ options: String = "") throws -> String {
        let path = folder.file(name)
        let more = options.isEmpty ? "" : "-o \(options)"
        let outcome = run("qemu-img create -q -f \(format) \(more) \(path) \(size)")
        try #require(outcome.status == 0, "\(outcome.output)")
        return path
    }

    /// Opens an image.
    public func open(_ path: String, writable: Bool = true) throws -> any BlockNode {
        var flags = writable ? OpenFlags.writable : OpenFlags()
        // The machine that runs the tests need not survive a crash with them.
        flags.cache = .unsafe
        return try graph.open(path, format: format, flags: flags)
    }

    /// Writes here and there, and keeps the same in a model.
    public func scribble(_ node: any BlockNode, _ model: inout [UInt8], seed: UInt64, rounds: Int = 24) throws {
        var generator = SeededGenerator(seed: seed)
        for round in 0..<rounds {
            let longest = min(model.count, round % 5 == 0 ? 5 << 20 : 200_000)
            let count = Int.random(in: 1...longest, using: &generator)
            let offset = Int.random(in: 0...model.count - count, using: &generator)
            if round % 4 == 3 {
                try node.writeZeroes(at: Int64(offset), count: Int64(count), flags: round % 8 == 3 ? .mayUnmap : [])
                model.replaceSubrange(offset..<offset + count, with: repeatElement(0, count: count))
            } else {
                let byte = UInt8.random(in: 1...255, using: &generator)
                let bytes = (0..<count).map { byte &+ UInt8(truncatingIfNeeded: $0 >> 9) }
                try node.write(bytes, at: Int64(offset))
                model.replaceSubrange(offset..<offset + count, with: bytes)
            }
            if round % 7 == 0 { try node.flush() }
        }
    }

    /// Whether the node has exactly the model's bytes.
    public func expectContent(
        _ node: any BlockNode, _ model: [UInt8], _ comment: Comment = "",
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let bytes = try node.readBytes(at: 0, count: model.count)
        let difference = zip(bytes, model).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        #expect(difference == nil, comment, sourceLocation: sourceLocation)
    }

    /// Writes the model to a raw file.
    public func rawFile(_ name: String, _ model: [UInt8]) throws -> String {
        let path = folder.file(name)
        var values = CreateOptions(FileDriver.file.createOptions)
        try values.set("size", String(model.count))
        try FileDriver.file.create(CreateRequest(filename: path, options: values, graph: graph))
        let node = try graph.open(
            nil, options: BlockOptions([("driver", .string("file")), ("filename", .string(path))]), flags: .writable)
        try node.write(model, at: 0)
        try node.close()
        return path
    }

    /// This library writes, qemu-img compares and checks.
    public func writeHereReadThere(
        size: Int, _ options: String = "", seed: UInt64, checks: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let path = try create("here-\(seed).\(format)", size: Int64(size), options)
        let node = try open(path)
        var model = [UInt8](repeating: 0, count: Int(node.length))
        try scribble(node, &model, seed: seed)
        try expectContent(node, model, "while open", sourceLocation: sourceLocation)
        try node.close()
        let again = try open(path, writable: false)
        try expectContent(again, model, "opened again", sourceLocation: sourceLocation)
        if checks, let checkable = again as? any CheckableNode {
            var lines: [String] = []
            let result = try checkable.check(repair: []) { lines.append($0) }
            #expect(result.corruptions == 0 && result.leaks == 0, "\(lines)", sourceLocation: sourceLocation)
        }
        try again.close()
        guard Self.hasQEMU else { return }
        let raw = try rawFile("here-\(seed).raw", model)
        let compared = run("qemu-img compare -f \(format) -F raw \(path) \(raw)")
        #expect(compared.status == 0, "\(compared.output)", sourceLocation: sourceLocation)
        if checks {
            let outcome = run("qemu-img check -f \(format) \(path)")
            #expect(outcome.status == 0, "\(outcome.output)", sourceLocation: sourceLocation)
        }
    }

    /// qemu-img writes, this library reads, writes more, and qemu-img compares.
    public func writeThereReadHere(
        size: Int, _ options: String = "", seed: UInt64, checks: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        guard Self.hasQEMU else { return }
        var model = [UInt8](repeating: 0, count: size)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<12 {
            let offset = Int.random(in: 0..<size / 512, using: &generator) * 512
            let count = min(Int.random(in: 1...400, using: &generator) * 512, size - offset)
            let byte = UInt8.random(in: 1...255, using: &generator)
            model.replaceSubrange(offset..<offset + count, with: repeatElement(byte, count: count))
        }
        let raw = try rawFile("there-\(seed).raw", model)
        let path = folder.file("there-\(seed).\(format)")
        let more = options.isEmpty ? "" : "-o \(options)"
        let converted = run("qemu-img convert -f raw -O \(format) \(more) \(raw) \(path)")
        try #require(converted.status == 0, "\(converted.output)", sourceLocation: sourceLocation)
        let node = try open(path)
        #expect(node.length >= Int64(size), sourceLocation: sourceLocation)
        model += [UInt8](repeating: 0, count: max(Int(node.length) - size, 0))
        try expectContent(node, model, "as qemu-img wrote it", sourceLocation: sourceLocation)
        try scribble(node, &model, seed: seed &+ 1, rounds: 8)
        try node.close()
        let changed = try rawFile("there-\(seed).raw", model)
        let compared = run("qemu-img compare -f \(format) -F raw \(path) \(changed)")
        #expect(compared.status == 0, "\(compared.output)", sourceLocation: sourceLocation)
        if checks {
            let outcome = run("qemu-img check -f \(format) \(path)")
            #expect(outcome.status == 0, "\(outcome.output)", sourceLocation: sourceLocation)
        }
    }

    /// Every byte of the first `metadata` bytes may be anything: an error or content, never a crash.
    public func survivesMutations(of path: String, metadata: Int, rounds: Int = 400, seed: UInt64 = 1) throws {
        let whole = try graph.open(
            nil, options: BlockOptions([("driver", .string("file")), ("filename", .string(path))]))
        let original = try whole.readBytes(at: 0, count: Int(min(whole.length, 16 << 20)))
        try whole.close()
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<rounds {
            var bytes = original
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<min(metadata, bytes.count), using: &generator)
                let values: [UInt8] = [0, 1, 0x7f, 0x80, 0xfe, 0xff, UInt8.random(in: 0...255, using: &generator)]
                bytes[place] = values[Int.random(in: 0..<values.count, using: &generator)]
            }
            if Int.random(in: 0..<4, using: &generator) == 0 {
                bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
            }
            exercise(MemoryNode(bytes, name: "mutated.\(format)"))
        }
    }

    /// Opens whatever the node holds, and touches all of it that is quick to touch.
    private func exercise(_ node: MemoryNode) {
        do {
            let name = "mutated"
            try graph.register(node, as: name)
            defer { graph.unregister(name) }
            let image = try graph.open(
                nil, options: BlockOptions([("driver", .string(format)), ("file", .string(name))]), flags: .writable)
            let length = image.length
            for offset in [0, length / 2, max(length - 4096, 0)] where offset < length {
                let count = Int(min(4096, length - offset))
                // Damage shows as an error here or there; the point is that the process goes on.
                _ = try? image.readBytes(at: offset, count: count)
                _ = try? image.status(at: offset, count: length - offset, detail: .mapping)
            }
            if let checkable = image as? any CheckableNode { _ = try? checkable.check(repair: []) { _ in } }
            _ = (image as? any DescribedNode).map { try? $0.specificInformation() }
            try? image.close()
        } catch {
            // Refused: as good an answer as any.
        }
    }
}
