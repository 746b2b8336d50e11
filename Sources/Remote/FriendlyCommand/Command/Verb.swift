// SPDX-License-Identifier: Apache-2.0

/// An option of a verb, `--name` or `--name VALUE`.
struct VerbOption: Sendable {
    /// Without the dashes.
    let name: String
    /// What its value is called in help; nil for an option that takes none.
    let value: String?
    let help: String

    init(_ name: String, _ value: String? = nil, _ help: String) {
        self.name = name
        self.value = value
        self.help = help
    }
}

/// What completion offers for an argument.
enum ArgumentKind: Sendable {
    case machine, network, pool, file, text
}

/// A positional argument of a verb.
struct VerbArgument: Sendable {
    /// What it is called in help: "NAME".
    let name: String
    let kind: ArgumentKind
    var isOptional = false
    /// Takes all words that follow.
    var isRest = false

    static let machine = VerbArgument(name: "NAME", kind: .machine)
    static func optional(_ name: String, _ kind: ArgumentKind = .text) -> VerbArgument {
        VerbArgument(name: name, kind: kind, isOptional: true)
    }
    static func required(_ name: String, _ kind: ArgumentKind = .text) -> VerbArgument {
        VerbArgument(name: name, kind: kind)
    }
    static func rest(_ name: String, _ kind: ArgumentKind = .text) -> VerbArgument {
        VerbArgument(name: name, kind: kind, isOptional: true, isRest: true)
    }

    /// As help shows it.
    var synopsis: String {
        let word = isRest ? name + "..." : name
        return isOptional ? "[" + word + "]" : word
    }
}

/// One thing that the command does. Help, completion and the manual page are made from this.
struct Verb: Sendable {
    /// One word, or two: "snapshot create".
    let name: String
    let arguments: [VerbArgument]
    let options: [VerbOption]
    /// One line.
    let help: String
    let run: @Sendable (Invocation) throws -> Void

    init(
        _ name: String, _ arguments: [VerbArgument] = [], options: [VerbOption] = [], _ help: String,
        run: @escaping @Sendable (Invocation) throws -> Void
    ) {
        self.name = name
        self.arguments = arguments
        self.options = options
        self.help = help
        self.run = run
    }

    /// The words that select it.
    var words: [String] { name.split(separator: " ").map(String.init) }

    /// Whether words go on unread to another program: options among them are not ours.
    var passesWords: Bool { arguments.first?.isRest == true && options.isEmpty }

    /// "roost up NAME [--image FILE] ..."
    var synopsis: String {
        (["roost", name] + arguments.map(\.synopsis)
            + options.map { "[--\($0.name)\($0.value.map { " " + $0 } ?? "")]" }).joined(separator: " ")
    }
}
