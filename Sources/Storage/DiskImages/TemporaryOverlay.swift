// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import Glibc

extension DiskImages {
    /// A temporary qcow2 image that takes the writes to a node; its file has no name any more when this returns.
    /// - Parameter graph: knows qcow2, and opened the node.
    public static func temporaryOverlay(
        over node: any BlockNode, in graph: BlockGraph
    ) throws(BlockError) -> any BlockNode {
        var template = Array("/var/tmp/vl.XXXXXX".utf8CString)
        // mkstemp replaces the six letters in place.
        let descriptor = unsafe mkstemp(&template)
        guard descriptor >= 0 else { throw BlockError(.inputOutput, "cannot make a temporary file in /var/tmp") }
        close(descriptor)
        let path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { _ = unsafe unlink(path) }
        guard let driver = graph.driver("qcow2") as? any CreatingDriver else {
            throw BlockError(.notSupported, "snapshot=on needs the qcow2 format")
        }
        var options = CreateOptions(driver.createOptions)
        try options.set("size", String(node.length))
        try driver.create(CreateRequest(filename: path, options: options, graph: graph))
        let name = "#snapshot-base-\(path)"
        try graph.register(node, as: name)
        var open = BlockOptions([("driver", .string("qcow2")), ("backing", .string(name))])
        open["file.driver"] = .string("file")
        open["file.filename"] = .string(path)
        return try graph.open(nil, options: open, flags: .writable)
    }
}
