// SPDX-License-Identifier: Apache-2.0

public import Diagnostics

/// A file of -readconfig: groups of options, each as one flag with its list.
///
///     # a comment
///     [device "disk0"]
///       driver = "virtio-blk-pci"
///       drive = "d"
public struct ConfigurationFile: Equatable, Sendable {
    /// One group in the file.
    public struct Group: Equatable, Sendable {
        /// The flag's name, "device".
        public var name: String
        /// What stands behind it in quotes: the value of `id`.
        public var identifier: String?
        /// `key = "value"` lines, in the order of the file.
        public var entries: [OptionList.Entry] = []
        /// For errors: "line 3".
        public var line: Int
    }
    /// In the order of the file, which is that of their effect.
    public private(set) var groups: [Group] = []

    /// Reads the text of a file.
    /// - Throws: an error that names file, line and what is wrong there.
    public init(parsing text: String, path: String) throws(UserError) {
        for (number, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = Self.trimmed(raw)
            if line.isEmpty || line.hasPrefix("#") { continue }
            let failure = UserError("parse error", place: "\(path):\(number + 1)")
            if line.hasPrefix("[") {
                guard let group = Self.header(line, number + 1) else { throw failure }
                groups.append(group)
            } else {
                guard let entry = Self.entry(line) else { throw failure }
                guard !groups.isEmpty else {
                    throw UserError("no group defined", place: "\(path):\(number + 1)")
                }
                groups[groups.count - 1].entries.append(entry)
            }
        }
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0.isWhitespace }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }

    private static func header(_ line: Substring, _ number: Int) -> Group? {
        guard line.hasSuffix("]") else { return nil }
        let body = trimmed(line.dropFirst().dropLast())
        guard let space = body.firstIndex(where: \.isWhitespace) else {
            return body.isEmpty ? nil : Group(name: String(body), identifier: nil, line: number)
        }
        guard let identifier = unquoted(trimmed(body[space...])) else { return nil }
        return Group(name: String(body[..<space]), identifier: identifier, line: number)
    }

    private static func entry(_ line: Substring) -> OptionList.Entry? {
        guard let equals = line.firstIndex(of: "=") else { return nil }
        let key = trimmed(line[..<equals])
        guard !key.isEmpty, let value = unquoted(trimmed(line[line.index(after: equals)...])) else { return nil }
        return OptionList.Entry(key: String(key), value: value)
    }

    private static func unquoted(_ text: Substring) -> String? {
        guard text.utf8.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") else { return nil }
        let inner = text.dropFirst().dropLast()
        return inner.contains("\"") ? nil : String(inner)
    }
}
