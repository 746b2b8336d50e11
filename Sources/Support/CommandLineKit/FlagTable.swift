// SPDX-License-Identifier: Apache-2.0

public import Diagnostics

/// One flag of a program.
public struct Flag: Equatable, Sendable {
    /// Without the dash.
    public var name: String
    /// Other spellings.
    public var aliases: [String]
    /// What stands for the argument in help, "file"; nil for a flag without one.
    public var argument: String?
    /// One sentence for help; further lines are indented below it.
    public var summary: String
    /// The heading in help.
    public var section: String

    /// A flag; without `argument` it takes none.
    public init(_ name: String, aliases: [String] = [], argument: String? = nil, section: String, _ summary: String) {
        self.name = name
        self.aliases = aliases
        self.argument = argument
        self.section = section
        self.summary = summary
    }
}

/// A flag as it stood on the command line, or an argument without a dash.
public struct FlagUse: Equatable, Sendable {
    /// The flag's main name; empty for an argument without a dash.
    public var name: String
    /// Empty for a flag without an argument.
    public var value: String
    /// As typed, for errors: "-m 1x".
    public var place: String

    /// One use; `place` says where it stood, for errors.
    public init(name: String, value: String, place: String) {
        self.name = name
        self.value = value
        self.place = place
    }
}

/// All flags of a program: finds them on a command line and prints the help from the same table.
public struct FlagTable: Sendable {
    /// In the order of the help.
    public let flags: [Flag]
    private let byName: [String: Flag]
    private static let deepestFiles = 8
    private static let mostArguments = 100_000

    /// Of two flags with one name the later one is found.
    public init(_ flags: [Flag]) {
        self.flags = flags
        var byName: [String: Flag] = [:]
        for flag in flags {
            for name in [flag.name] + flag.aliases { byName[name] = flag }
        }
        self.byName = byName
    }

    /// All spellings without dash.
    public var names: [String] { flags.flatMap { [$0.name] + $0.aliases } }

    /// Finds the flags in the arguments (without the program's name). One or two dashes mean the same; `@FILE` stands
    /// for the arguments in a file.
    /// - Parameters:
    ///   - readFile: the text of a file.
    public func scan(
        _ arguments: [String], readFile: (String) throws(UserError) -> String
    ) throws(UserError) -> [FlagUse] {
        let words = try expand(arguments, readFile, depth: 0)
        var uses: [FlagUse] = []
        var place = 0
        while place < words.count {
            let word = words[place]
            place += 1
            guard word.hasPrefix("-"), word != "-" else {
                uses.append(FlagUse(name: "", value: word, place: word))
                continue
            }
            let name = String(word.drop(while: { $0 == "-" }))
            guard let flag = byName[name], word.utf8.count - name.utf8.count <= 2 else {
                throw unknown(name, as: word)
            }
            guard flag.argument != nil else {
                uses.append(FlagUse(name: flag.name, value: "", place: word))
                continue
            }
            guard place < words.count else { throw UserError("requires an argument", place: word) }
            uses.append(FlagUse(name: flag.name, value: words[place], place: "\(word) \(words[place])"))
            place += 1
        }
        return uses
    }

    /// The error for a flag that does not exist.
    private func unknown(_ name: String, as word: String) -> UserError {
        var remedy = ""
        if let equals = name.firstIndex(of: "="), let flag = byName[String(name[..<equals])] {
            remedy =
                flag.argument == nil
                ? "-\(flag.name) takes no value" : "write '-\(flag.name) \(name[name.index(after: equals)...])'"
        } else if let near = Suggestion.nearest(to: name, among: names) {
            remedy = "did you mean '-\(near)'?"
        }
        return UserError("invalid option", remedy: remedy, place: word)
    }

    private func expand(
        _ arguments: [String], _ readFile: (String) throws(UserError) -> String, depth: Int
    ) throws(UserError) -> [String] {
        guard depth <= Self.deepestFiles else { throw UserError("@ files are nested too deeply") }
        var words: [String] = []
        var takesArgument = false
        for argument in arguments {
            if argument.hasPrefix("@"), argument.utf8.count > 1, !takesArgument {
                let path = String(argument.dropFirst())
                words += try expand(Self.words(of: try readFile(path), in: path), readFile, depth: depth + 1)
                takesArgument = false
            } else {
                words.append(argument)
                let flag = takesArgument ? nil : byName[String(argument.drop(while: { $0 == "-" }))]
                takesArgument = argument.hasPrefix("-") && flag?.argument != nil
            }
            guard words.count <= Self.mostArguments else { throw UserError("too many arguments") }
        }
        return words
    }

    /// Splits a file of arguments at white space; quotes of both kinds and backslashes keep it, `#` begins a comment at
    /// the start of a word.
    public static func words(of text: String, in path: String) throws(UserError) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var isEscaped = false
        var isComment = false
        for character in text {
            if isComment {
                isComment = !character.isNewline
            } else if isEscaped {
                isEscaped = false
                // A backslash at the end of a line joins it with the next.
                if !character.isNewline { word = (word ?? "") + String(character) }
            } else if character == "\\", quote != "'" {
                isEscaped = true
            } else if character == quote {
                quote = nil
            } else if quote == nil, character == "\"" || character == "'" {
                quote = character
                word = word ?? ""
            } else if quote == nil, character.isWhitespace {
                if let finished = word { words.append(finished) }
                word = nil
            } else if quote == nil, word == nil, character == "#" {
                isComment = true
            } else {
                word = (word ?? "") + String(character)
            }
        }
        guard quote == nil, !isEscaped else {
            throw UserError("cannot read arguments from '\(path)'", because: "a quotation is not closed")
        }
        if let finished = word { words.append(finished) }
        return words
    }

    /// The flags by section, as -help prints them.
    public var help: String {
        var text = ""
        var sections: [String] = []
        for flag in flags where !sections.contains(flag.section) { sections.append(flag.section) }
        for section in sections {
            text += (text.isEmpty ? "" : "\n") + section + ":\n"
            for flag in flags where flag.section == section { text += Self.help(for: flag) }
        }
        return text
    }

    private static func help(for flag: Flag) -> String {
        let column = 16
        let spellings = ([flag.name] + flag.aliases).map { "-" + $0 }.joined(separator: " or ")
        let head = spellings + (flag.argument.map { " " + $0 } ?? "")
        let lines = flag.summary.split(separator: "\n").map(String.init)
        var text = head
        if head.utf8.count >= column {
            text += "\n" + String(repeating: " ", count: column)
        } else {
            text += String(repeating: " ", count: column - head.utf8.count)
        }
        return text + lines.joined(separator: "\n" + String(repeating: " ", count: column)) + "\n"
    }
}
