// SPDX-License-Identifier: Apache-2.0

package import Diagnostics
internal import HostSystem
internal import StateStore

/// What the file libvirtd.conf says, as far as this service knows it: `name = value` a line, with texts in quotes and
/// lists in brackets.
package struct DaemonConfiguration {
    enum Value: Equatable {
        case number(Int)
        case text(String)
        case list([String])
    }

    private var values: [String: Value] = [:]
    /// Names that mean nothing to this service.
    package private(set) var unknown: [String] = []

    private static let known: Set<String> = [
        "listen_tls", "tls_port", "listen_addr", "key_file", "cert_file", "ca_file", "tls_allowed_dn_list",
        "max_clients", "max_workers", "confine_machines", "machine_user", "max_client_requests", "keepalive_interval",
        "keepalive_count",
        "unix_sock_rw_perms", "unix_sock_ro_perms", "max_tls_clients",
    ]

    init() {}

    /// Reads a file; one that is not there says nothing.
    init(path: String) throws {
        let text: String?
        do throws(Errno) { text = try StateFiles.read(path, limit: 1 << 20) } catch {
            throw UserError("cannot read \(path)", because: error)
        }
        try self.init(text ?? "", called: path)
    }

    /// Reads the file's text; throws for a line that is not a setting, with its number.
    package init(_ text: String, called path: String) throws(UserError) {
        var pending = ""
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            pending += Self.withoutComment(line)
            // A list may go on in the next line.
            if pending.contains("["), !pending.contains("]") { continue }
            defer { pending = "" }
            let bare = Self.trimmed(pending[...])
            if bare.isEmpty { continue }
            guard let equals = bare.firstIndex(of: "="),
                let value = Self.value(Self.trimmed(bare[bare.index(after: equals)...]))
            else {
                throw UserError("\(path): line \(number + 1) is not 'name = value'", remedy: "correct it or remove it")
            }
            let name = String(Self.trimmed(bare[..<equals]))
            if Self.known.contains(name) { values[name] = value } else { unknown.append(name) }
        }
        guard Self.trimmed(pending[...]).isEmpty else {
            throw UserError("\(path): the last list is not closed", remedy: "close it with ]")
        }
    }

    private static func withoutComment(_ line: Substring) -> String {
        var isQuoted = false
        var text = ""
        for unit in line {
            if unit == "\"" { isQuoted.toggle() }
            if unit == "#" && !isQuoted { break }
            text.append(unit)
        }
        return text
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var rest = text
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return rest
    }

    private static func value(_ text: Substring) -> Value? {
        if let number = Int(text) { return .number(number) }
        if text.count >= 2, text.first == "\"", text.last == "\"" { return .text(String(text.dropFirst().dropLast())) }
        guard text.first == "[", text.last == "]" else { return nil }
        let parts = text.dropFirst().dropLast().split(separator: "\"", omittingEmptySubsequences: false)
        // Every second part stands between quotes.
        return .list(stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) })
    }

    /// Nil where the file does not set it; throws for anything but a number in the range.
    package func number(_ name: String, in range: ClosedRange<Int>) throws(UserError) -> Int? {
        guard let value = values[name] else { return nil }
        guard case .number(let number) = value, range.contains(number) else {
            throw UserError("\(name) must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// Nil where the file does not set it; a number counts as its digits.
    package func text(_ name: String) throws(UserError) -> String? {
        switch values[name] {
        case nil: return nil
        case .text(let text): return text
        case .number(let number): return "\(number)"
        case .list: throw UserError("\(name) must be a text in quotes")
        }
    }

    /// Empty where the file does not set it.
    package func list(_ name: String) throws(UserError) -> [String] {
        switch values[name] {
        case nil: return []
        case .list(let list): return list
        default: throw UserError("\(name) must be a list of texts in brackets")
        }
    }

    /// Permission bits of a socket's file, in octal.
    package func permissions(_ name: String) throws(UserError) -> UInt32? {
        guard let text = try text(name) else { return nil }
        guard let bits = UInt32(text, radix: 8), bits <= 0o777 else {
            throw UserError("\(name) must be permissions in octal")
        }
        return bits
    }
}
