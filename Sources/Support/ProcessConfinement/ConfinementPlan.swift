// SPDX-License-Identifier: Apache-2.0

/// What a confined program has of its host: who it is, and which files it sees.
public struct ConfinementPlan: Equatable, Sendable {
    /// The user and group that it runs as; nil for those of the caller.
    public struct Identity: Equatable, Sendable {
        public var user: UInt32
        public var group: UInt32
        /// Further groups, for devices that belong to them.
        public var groups: [UInt32]

        /// A user with a group and further groups.
        public init(user: UInt32, group: UInt32, groups: [UInt32] = []) {
            self.user = user
            self.group = group
            self.groups = groups
        }
    }

    /// Who it is; nil leaves it who it was.
    public var identity: Identity?
    /// A folder of its own in which its view of the host's files is put together; nil leaves it the host's files, and
    /// Landlock keeps it from writing to others than `writable` and `folders`.
    public var root: String?
    /// Files and folders that it may read.
    public var readable: [String] = []
    /// Files that it may write.
    public var writable: [String] = []
    /// Folders in which it may make files.
    public var folders: [String] = []

    /// Nothing but what every program has.
    public init() {}

    /// The words by which the launcher is told.
    public var arguments: [String] {
        var words: [String] = []
        if let identity {
            words += ["--user", "\(identity.user)", "--group", "\(identity.group)"]
            for group in identity.groups { words += ["--also", "\(group)"] }
        }
        if let root { words += ["--root", root] }
        for path in readable { words += ["--read", path] }
        for path in writable { words += ["--write", path] }
        for path in folders { words += ["--folder", path] }
        return words
    }

    /// Reads the words, up to `--`.
    /// - Returns: nil for words that mean nothing; the rest is the program and its arguments.
    public init?(_ words: [String], rest: inout [String]) {
        var identity: Identity?
        var place = 0
        while place < words.count, words[place] != "--" {
            guard place + 1 < words.count else { return nil }
            let value = words[place + 1]
            switch words[place] {
            case "--user", "--group", "--also":
                guard let number = UInt32(value) else { return nil }
                if words[place] == "--user" { identity = Identity(user: number, group: number) }
                if words[place] == "--group" { identity?.group = number }
                if words[place] == "--also" { identity?.groups.append(number) }
            case "--root": root = value
            case "--read": readable.append(value)
            case "--write": writable.append(value)
            case "--folder": folders.append(value)
            default: return nil
            }
            guard
                words[place] == "--user" || words[place] == "--group" || words[place] == "--also"
                    || value.hasPrefix("/")
            else { return nil }
            place += 2
        }
        self.identity = identity
        rest = Array(words.dropFirst(place + 1))
    }
}
