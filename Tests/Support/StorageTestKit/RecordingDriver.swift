// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
internal import HostSystem

/// Files that are in memory and write down what happens to them, by name: takes the place of the host's files in a graph.
public final class RecordingDriver: ProtocolDriver, CreatingDriver, @unchecked Sendable {
    /// "file".
    public let name = "file"
    /// What happened to all files, in order; a file's number is its place in `names`.
    public let journal = RecordingJournal()
    private let lock = Lock()
    // Guarded by `lock`.
    private var files: [(name: String, node: RecordingNode)] = []

    /// No files.
    public init() {}

    /// Files with these contents.
    public init(_ contents: [(name: String, bytes: [UInt8])]) throws(BlockError) {
        for (name, bytes) in contents where !bytes.isEmpty { try make(name).write(bytes, at: 0) }
    }

    /// The files' names in the order in which they came.
    public var names: [String] { lock.withLock { files.map(\.name) } }

    /// As the driver of the host's files.
    public var schemes: [String] { [name] }
    /// The size.
    public var createOptions: [CreateOption] { [CreateOption("size", .size, "Virtual disk size")] }
    /// A file has nothing below it.
    public var supportsBacking: Bool { false }

    /// The name.
    public func parse(filename: String) throws(BlockError) -> BlockOptions {
        BlockOptions([("filename", .string(filename))])
    }

    /// A file that was made before.
    public func open(_ request: inout OpenRequest) throws(BlockError) -> any BlockNode {
        let wanted = request.options.take("filename") ?? ""
        guard let found = lock.withLock({ files.first { $0.name == wanted }?.node }) else {
            throw BlockError(.notFound, "Could not open '\(wanted)': No such file or directory")
        }
        return found
    }

    /// A new file; one of the name that exists loses its content.
    public func create(_ request: CreateRequest) throws(BlockError) {
        let size = request.options.number("size") ?? 0
        let node = lock.withLock { files.first { $0.name == request.filename }?.node } ?? make(request.filename)
        try node.resize(to: 0, preallocation: .off, exact: true)
        if size > 0 { try node.resize(to: size, preallocation: .off, exact: true) }
    }

    private func make(_ name: String) -> RecordingNode {
        lock.withLock {
            let node = RecordingNode(journal: journal, file: files.count, name: name)
            files.append((name, node))
            return node
        }
    }
}
