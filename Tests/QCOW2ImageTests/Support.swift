// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import RawImage
import StorageTestKit
import Synchronization
import Testing

/// Makes and opens images for the tests.
struct Images {
    let folder = Folder()
    let graph = BlockGraph(drivers: [RawDriver(), QCOW2Driver(), FileDriver.file, NullDriver()])

    func create(_ name: String, size: Int64, _ options: String = "") throws -> String {
        let path = folder.file(name)
        var values = CreateOptions(QCOW2Driver().createOptions)
        if !options.isEmpty { try values.parse(options) }
        try values.set("size", String(size))
        try QCOW2Driver().create(CreateRequest(filename: path, options: values, graph: graph))
        return path
    }

    func open(_ path: String, writable: Bool = true) throws -> QCOW2Node {
        var flags = writable ? OpenFlags.writable : OpenFlags()
        // The machine that runs the tests need not survive a crash with them.
        flags.cache = .unsafe
        let node = try graph.open(path, format: "qcow2", flags: flags)
        return try #require(node as? QCOW2Node)
    }

    func raw(_ name: String, _ content: [UInt8]) throws -> String {
        let path = folder.file(name)
        var values = CreateOptions(FileDriver.file.createOptions)
        try values.set("size", String(content.count))
        try RawDriver().create(CreateRequest(filename: path, options: values, graph: graph))
        let node = try graph.open(path, format: "raw", flags: .writable)
        try node.write(content, at: 0)
        try node.close()
        return path
    }
}

/// Checks with this program and, where installed, with qemu-img.
func expectClean(
    _ images: Images, _ path: String, _ comment: Comment, sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let node = try images.open(path, writable: false)
    var lines: [String] = []
    let result = try node.check(repair: [], report: { lines.append($0) })
    #expect(
        result.corruptions == 0 && result.leaks == 0 && result.checkErrors == 0, "\(comment): \(lines)",
        sourceLocation: sourceLocation)
    try node.close()
    guard hasQEMU else { return }
    let outcome = run("qemu-img check -f qcow2 \(path)")
    #expect(outcome.status == 0, "\(comment): \(outcome.output)", sourceLocation: sourceLocation)
}

/// Debian's qemu-utils; cross tests are skipped without it.
let hasQEMU = isInstalled("qemu-img") && isInstalled("qemu-io")

/// What a node told while it worked.
final class Lines: Sendable {
    private let text = Mutex<[String]>([])
    func add(_ line: String) { text.withLock { $0.append(line) } }
    var all: [String] { text.withLock { $0 } }
}
