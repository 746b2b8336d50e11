// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
internal import CommandLineKit
internal import Glibc
internal import HostSystem

/// What can be found out about a file of the host that cannot be opened.
enum HostFiles {
    private static let mostEntries = 100_000
    private static let mostNames = 3

    /// Lines for people, by the class of the failure.
    static func advice(_ path: String, _ kind: BlockError.Kind) -> [String] {
        switch kind {
        case .notFound: missing(path)
        case .accessDenied, .readOnly: refused(path)
        case .locked: busy(path)
        default: []
        }
    }

    // MARK: Missing

    private static func missing(_ path: String) -> [String] {
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        guard let facts = facts(folder) else { return ["There is no folder '\(folder)'."] }
        guard facts.isFolder else { return ["'\(folder)' is no folder."] }
        let similar = similarNames(to: name, among: names(in: folder))
        guard !similar.isEmpty else { return [] }
        let prefix = slash == nil ? "" : folder == "/" ? "/" : folder + "/"
        return ["Did you mean \(similar.map { "'\(prefix)\($0)'" }.joined(separator: " or "))?"]
    }

    /// Names that differ by a typing error, by their case or by their ending.
    static func similarNames(to name: String, among names: [String]) -> [String] {
        func stem(_ text: String) -> Substring {
            let lower = text.lowercased()
            return lower.lastIndex(of: ".").map { lower[..<$0] } ?? lower[...]
        }
        let wanted = stem(name)
        var found: [String] = []
        if let near = Suggestion.nearest(to: name, among: names) { found.append(near) }
        found += names.sorted().filter { !wanted.isEmpty && stem($0) == wanted && !found.contains($0) }
        return Array(found.prefix(mostNames))
    }

    // MARK: Refused

    private static func refused(_ path: String) -> [String] {
        guard let facts = facts(path) else { return ["A folder of its path cannot be entered by this user."] }
        let mode = String(facts.mode & 0o7777, radix: 8)
        return ["It belongs to \(facts.owner) with mode \(mode): run this as that user, or with sudo."]
    }

    // MARK: Busy

    private static func busy(_ path: String) -> [String] {
        let holders = holders(path)
        guard !holders.isEmpty else {
            return ["Who uses it was not found: perhaps a process of another user, which sudo would show."]
        }
        return [
            "It is open in \(holders.joined(separator: ", ")). Wait for the end of that, or look at it all the same with -U."
        ]
    }

    /// Processes that have the file open, but for this one.
    static func holders(_ path: String) -> [String] {
        guard let wanted = facts(path) else { return [] }
        let own = getpid()
        var found: [String] = []
        for process in names(in: "/proc") {
            guard let number = Int32(process), number != own else { continue }
            let folder = "/proc/\(process)/fd"
            let holds = names(in: folder).contains { entry in
                facts("\(folder)/\(entry)").map { $0.device == wanted.device && $0.inode == wanted.inode } ?? false
            }
            if holds { found.append("\(commandName(process)) (process \(process))") }
        }
        return found
    }

    private static func commandName(_ process: String) -> String {
        guard let file = try? FileDescriptor.open("/proc/\(process)/comm", flags: O_RDONLY) else { return "a program" }
        var bytes = [UInt8](repeating: 0, count: 64)
        // At most the array's length is read into it.
        let count = (try? unsafe bytes.withUnsafeMutableBytes { unsafe try file.read(into: $0, at: 0) }) ?? 0
        return String(decoding: bytes.prefix(count).prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    // MARK: The host's answers

    /// Whether there is a file of that name.
    static func exists(_ path: String) -> Bool { facts(path) != nil }

    private struct Facts {
        var isFolder: Bool
        var device: UInt64
        var inode: UInt64
        var mode: UInt32
        var owner: String
    }

    private static func facts(_ path: String) -> Facts? {
        var information = stat()
        // stat fills the struct on this frame.
        guard unsafe stat(path, &information) == 0 else { return nil }
        return Facts(
            isFolder: information.st_mode & S_IFMT == S_IFDIR, device: UInt64(information.st_dev),
            inode: UInt64(information.st_ino), mode: information.st_mode, owner: "user \(information.st_uid)")
    }

    /// The names in a folder; none when it cannot be read.
    private static func names(in folder: String) -> [String] {
        HostFolder.names(in: folder, most: mostEntries) ?? []
    }
}
