// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

extension CreateRequest {
    /// Makes the file that an image goes into, with those of the options that belong to it, and opens it.
    /// - Parameter name: another file than the request's.
    public func makeFile(_ name: String? = nil) throws(BlockError) -> any BlockNode {
        let filename = name ?? self.filename
        let driver = try graph.protocolDriver(for: filename)
        guard let creating = driver as? any CreatingDriver else {
            throw BlockError(.notSupported, "Protocol driver '\(driver.name)' does not support image creation")
        }
        var below = CreateOptions(creating.createOptions)
        for name in options.setNames where below.accepts(name) && name != "size" {
            if let value = options.string(name) { try below.set(name, value) }
        }
        try creating.create(CreateRequest(filename: filename, options: below, graph: graph))
        var open = try driver.parse(filename: filename)
        open["driver"] = .string(driver.name)
        var flags = OpenFlags.writable
        flags.mayResize = true
        return try graph.open(nil, options: open, flags: flags)
    }

    /// The disk's size, rounded up to whole sectors.
    public func sectorSize() throws(BlockError) -> Int64 {
        let size = options.number("size") ?? 0
        guard size <= Int64.max - 511 else { throw BlockError(.outOfRange, "Image size too large") }
        return (size + 511) & ~511
    }

    /// Makes the file, lets `body` fill it, and closes it whatever happens.
    public func withNewFile(_ body: (any BlockNode) throws(BlockError) -> Void) throws(BlockError) {
        let file = try makeFile()
        do {
            try body(file)
            try file.flush()
        } catch {
            // The failure to fill it is the one to report.
            try? file.close()
            throw error
        }
        try file.close()
    }

    /// The error of an option that has one of several values.
    public static func badValue(_ name: String, _ value: String) -> BlockError {
        BlockError(.invalidArgument, "Parameter '\(name)' does not accept value '\(value)'")
    }
}

/// Numbers as C's printf writes them, for messages.
public enum NumberText {
    /// "%08x" and the like.
    public static func hex(_ value: some BinaryInteger, width: Int = 0) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(width - digits.utf8.count, 0)) + digits
    }
}

extension OpenRequest {
    /// Opens the file and gives it to `body`; closes it when that fails.
    public mutating func withFile(
        _ body: (inout OpenRequest, any BlockNode) throws(BlockError) -> any BlockNode
    ) throws(BlockError) -> any BlockNode {
        let file = try openFile()
        do {
            return try body(&self, file)
        } catch {
            // Why the image cannot be opened is what counts.
            try? file.close()
            throw error
        }
    }
}
