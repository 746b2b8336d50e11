// SPDX-License-Identifier: Apache-2.0

internal import LibvirtProtocol
internal import ClientKit
internal import CommandLineKit
package import Diagnostics

/// Everything that the command does.
package enum Verbs {
    /// In the order of the overview in help.
    package static let all: [Verb] =
        launching + machines + snapshots + storage + networks + watching
        + [
            Verb("completion", [.required("SHELL")], "print the completion script for bash, zsh or fish") {
                guard let script = HelpText.completionScript($0.words[0]) else {
                    throw UserError("no completion for '\($0.words[0])'", remedy: "use bash, zsh or fish")
                }
                try Output.write(script)
            },
            Verb("manual", [], "print the manual page, roost(1)") { _ in try Output.write(HelpText.manual(all)) },
            Verb("complete", [.rest("WORD")], "print what can stand for the last WORD, one a line") {
                try Output.write(completions($0).map { $0 + "\n" }.joined())
            },
        ]

    /// The verb that the words begin with, which are taken off them.
    package static func find(_ words: inout ArraySlice<String>) throws(UserError) -> Verb {
        let typed = Array(words)
        let match = all.filter { typed.starts(with: $0.words) }.max { $0.words.count < $1.words.count }
        if let match {
            words = words.dropFirst(match.words.count)
            return match
        }
        let first = typed.first ?? ""
        let family = all.filter { $0.words.count == 2 && $0.words[0] == first }
        guard family.isEmpty else {
            let choices = family.map { $0.words[1] }
            guard typed.count > 1 else {
                throw UserError("roost \(first) needs a second word", remedy: "use \(choices.joined(separator: ", "))")
            }
            throw UserError(
                "roost \(first) has no '\(typed[1])'", remedy: Suggestion.sentence(for: typed[1], among: choices))
        }
        let near = Suggestion.nearest(to: first, among: all.map { $0.words[0] } + ["help"])
        throw UserError(
            "unknown verb '\(first)'", remedy: near.map { "did you mean '\($0)'?" } ?? "roost --help shows them all")
    }

    private static func completions(_ invocation: Invocation) -> [String] {
        HelpText.completions(invocation.words, all) { kind in
            // Completion never complains: without a server nothing is offered.
            guard let service = try? Service(invocation.settings) else { return [] }
            let names: [String]? =
                switch kind {
                case .machine: try? service.machines().map(\.name)
                case .network: try? service.networks().map(\.name)
                case .pool: try? service.pools().map(\.name)
                case .file, .text: nil
                }
            return (names ?? []).sorted()
        }
    }
}
