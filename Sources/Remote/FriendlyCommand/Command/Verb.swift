// SPDX-License-Identifier: Apache-2.0

/// An option of a verb, `--name` or `--name VALUE`.
package struct VerbOption: Sendable {
    /// Without the dashes.
    package let name: String
    /// What its value is called in help; nil for an option that takes none.
    package let value: String?
    /// One line for help and the manual page.
    package let help: String

    /// An option; without `value` it takes none.
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
    /// What completion offers for it.
    package let kind: ArgumentKind
    /// The verb works without it.
    package var isOptional = false
    /// Takes all words that follow.
    package var isRest = false

    /// NAME: a machine, as most verbs take one.
    package static let machine = VerbArgument(name: "NAME", kind: .machine)
    /// An argument that may be left out.
    package static func optional(_ name: String, _ kind: ArgumentKind = .text) -> VerbArgument {
        VerbArgument(name: name, kind: kind, isOptional: true)
    }
    /// An argument without which the verb refuses.
    package static func required(_ name: String, _ kind: ArgumentKind = .text) -> VerbArgument {
        VerbArgument(name: name, kind: kind)
    }
    /// All words that follow, or none.
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
    /// Positional ones, in their order.
    package let arguments: [VerbArgument]
    /// Those of this verb alone.
    package let options: [VerbOption]
    /// One line.
    package let help: String
    /// Does it; what it throws becomes the one line of error.
    package let run: @Sendable (Invocation) throws -> Void

    /// A verb of the table in `Verbs`.
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
