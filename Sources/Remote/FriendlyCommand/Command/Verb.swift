// SPDX-License-Identifier: Apache-2.0

/// An option of a verb, `--name` or `--name VALUE`.
package struct VerbOption: Sendable {
    /// Without the dashes.
    package let name: String
    /// What its value is called in help; nil for an option that takes none.
    package let value: String?
    package let help: String

    package init(_ name: String, _ value: String? = nil, _ help: String) {
        self.name = name
        self.value = value
        self.help = help
    }
}

/// What completion offers for an argument.
package enum ArgumentKind: Sendable {
    case machine, network, pool, file, text
}

/// A positional argument of a verb.
package struct VerbArgument: Sendable {
    /// What it is called in help: "NAME".
    package let name: String
    package let kind: ArgumentKind
    package var isOptional = false
    /// Takes all words that follow.
    package var isRest = false

    package static let machine = VerbArgument(name: "NAME", kind: .machine)
    package static func optional(_ name: String, _ kind: ArgumentKind = .text) -> VerbArgument {
        VerbArgument(name: name, kind: kind, isOptional: true)
    }
    package static func required(_ name: String, _ kind: ArgumentKind = .text) -> VerbArgument {
        VerbArgument(name: name, kind: kind)
    }
    package static func rest(_ name: String, _ kind: ArgumentKind = .text) -> VerbArgument {
        VerbArgument(name: name, kind: kind, isOptional: true, isRest: true)
    }

    /// As help shows it.
    package var synopsis: String {
        let word = isRest ? name + "..." : name
        return isOptional ? "[" + word + "]" : word
    }
}

/// One thing that the command does. Help, completion and the manual page are made from this.
package struct Verb: Sendable {
    /// One word, or two: "snapshot create".
    package let name: String
    package let arguments: [VerbArgument]
    package let options: [VerbOption]
    /// One line.
    package let help: String
    package let run: @Sendable (Invocation) throws -> Void

    package init(
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
    package var words: [String] { name.split(separator: " ").map(String.init) }

    /// Whether words go on unread to another program: options among them are not ours.
    package var passesWords: Bool { arguments.first?.isRest == true && options.isEmpty }

    /// "roost up NAME [--image FILE] ..."
    package var synopsis: String {
        (["roost", name] + arguments.map(\.synopsis)
            + options.map { "[--\($0.name)\($0.value.map { " " + $0 } ?? "")]" }).joined(separator: " ")
    }
}
