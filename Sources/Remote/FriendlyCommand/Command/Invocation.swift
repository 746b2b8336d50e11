// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
package import Diagnostics

/// What was typed, read against a verb.
package struct Invocation {
    /// The verb that the first words named.
    package let verb: Verb
    /// Options that stood anywhere and hold for every verb.
    package let settings: GlobalSettings
    /// Positional words, in order.
    package let words: [String]
    private let options: [String: [String]]

    /// Reads the words behind a verb.
    /// - Throws: `UserError` for an unknown option, a missing value or argument, a word too many.
    package init(_ verb: Verb, _ typed: ArraySlice<String>, settings: GlobalSettings) throws(UserError) {
        self.verb = verb
        self.settings = settings
        var words: [String] = []
        var options: [String: [String]] = [:]
        var rest = typed
        while let word = rest.popFirst() {
            if word == "--" || verb.passesWords {
                words += (word == "--" ? [] : [word]) + rest
                break
            }
            guard word.hasPrefix("-"), word != "-" else {
                words.append(word)
                // Words behind a remote command's first are the command's own; names may have options behind them.
                if let argument = verb.arguments.dropFirst(words.count - 1).first, argument.isRest,
                    argument.kind == .text
                {
                    words += rest
                    break
                }
                continue
            }
            let (name, attached) = Self.split(word)
            guard let option = verb.options.first(where: { $0.name == name }) else {
                let known = verb.options.map { "--" + $0.name }
                throw UserError(
                    "roost \(verb.name) has no option \(word)",
                    remedy: known.isEmpty ? "it takes none" : Suggestion.sentence(for: "--" + name, among: known))
            }
            if option.value == nil {
                guard attached == nil else { throw UserError("option --\(name) takes no value") }
                options[name, default: []].append("")
            } else {
                guard let value = attached ?? rest.popFirst() else {
                    throw UserError("option --\(name) needs a value", remedy: verb.synopsis)
                }
                options[name, default: []].append(value)
            }
        }
        self.words = words
        self.options = options
        let required = verb.arguments.filter { !$0.isOptional }.count
        guard words.count >= required else {
            throw UserError(
                "roost \(verb.name) needs \(verb.arguments[words.count].name)", remedy: "usage: \(verb.synopsis)")
        }
        guard words.count <= verb.arguments.count || verb.arguments.last?.isRest == true else {
            throw UserError(
                "roost \(verb.name): '\(words[verb.arguments.count])' is a word too many",
                remedy: "usage: \(verb.synopsis)")
        }
    }

    private static func split(_ word: String) -> (name: String, value: String?) {
        let text = word.drop { $0 == "-" }
        guard let equals = text.firstIndex(of: "=") else { return (String(text), nil) }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }

    /// The value of an option, the last one where it was given several times.
    package subscript(_ option: String) -> String? { options[option]?.last }

    /// All values of an option.
    package func all(_ option: String) -> [String] { options[option] ?? [] }

    /// Whether an option was given.
    package func has(_ option: String) -> Bool { options[option] != nil }

    /// An option that is a whole number.
    package func number(_ option: String, in range: ClosedRange<Int>, default fallback: Int) throws(UserError) -> Int {
        guard let text = self[option] else { return fallback }
        guard let number = Int(text), range.contains(number) else {
            throw UserError(
                "--\(option) \(text) is not a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// An option that is an amount of bytes: 512M, 20G; mebibytes where it says no unit.
    package func size(_ option: String, default fallback: UInt64) throws(UserError) -> UInt64 {
        guard let text = self[option] else { return fallback }
        return try ByteAmount.parse(text, option: option)
    }
}

/// What holds for every verb.
package struct GlobalSettings: Sendable {
    /// The URI of the server; nil for the usual one.
    package var uri: String?
    /// The server's socket; nil for the usual one.
    package var socket: String?
    /// Results as JSON instead of tables.
    package var json = false

    /// What holds when no such option is given.
    package init() {}
}
