// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import Diagnostics
internal import HostSystem

/// The program `roost`: the friendly command over machines, disks and networks.
public enum RoostProgram {
    private static let version = "roost 0.1"

    /// Runs the program and gives its exit status.
    /// - Parameter arguments: what was typed, without the program's name.
    public static func run(_ arguments: [String]) -> Int32 {
        do {
            try dispatch(arguments)
            return ExitStatus.success
        } catch let error as UserError {
            Console.shared.error(error)
            return error.exitStatus
        } catch {
            Console.shared.error(error)
            return ExitStatus.failure
        }
    }

    private static func dispatch(_ arguments: [String]) throws {
        var settings = GlobalSettings()
        var rest = try takeGlobalOptions(arguments[...], &settings)
        guard let first = rest.first else { return try Output.write(HelpText.overview(Verbs.all)) }
        switch first {
        case "--help", "-h", "help": return try help(rest.dropFirst())
        case "--version", "-V", "version": return try Output.write(version + "\n")
        default: break
        }
        let family = Verbs.all.filter { $0.words.count > 1 && $0.words[0] == first }
        if !family.isEmpty, ["--help", "-h", "help"].contains(rest.dropFirst().first) {
            return try Output.write(HelpText.overview(family))
        }
        let verb = try Verbs.find(&rest)
        if rest.contains("--help") || rest.contains("-h"), !verb.passesWords {
            return try Output.write(HelpText.page(verb))
        }
        // --json may stand anywhere but among another program's words.
        if !verb.passesWords, let place = rest.firstIndex(of: "--json"), !rest[..<place].contains("--") {
            rest.remove(at: place)
            settings.json = true
        }
        try verb.run(try Invocation(verb, rest, settings: settings))
    }

    private static func takeGlobalOptions(
        _ typed: ArraySlice<String>, _ settings: inout GlobalSettings
    ) throws(UserError) -> ArraySlice<String> {
        var rest = typed
        while let word = rest.first, word.hasPrefix("-") {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            switch parts[0] {
            case "--json": settings.json = true
            case "--connect", "-c", "--socket":
                rest.removeFirst()
                guard let value = parts.count > 1 ? parts[1] : rest.first else {
                    throw UserError("option \(parts[0]) needs a value", remedy: "see roost --help")
                }
                if parts.count == 1 { rest.removeFirst() }
                if parts[0] == "--socket" { settings.socket = value } else { settings.uri = value }
                continue
            case "--help", "-h", "--version", "-V": return rest
            default:
                throw UserError(
                    "unknown option \(word)",
                    remedy: Suggestion.sentence(
                        for: word, among: ["--connect", "--socket", "--json", "--help", "--version"]))
            }
            rest.removeFirst()
        }
        return rest
    }

    private static func help(_ words: ArraySlice<String>) throws {
        var rest = words
        guard !rest.isEmpty else { return try Output.write(HelpText.overview(Verbs.all)) }
        let family = Verbs.all.filter { $0.words.count > 1 && $0.words[0] == rest.first }
        if !family.isEmpty, rest.count == 1 { return try Output.write(HelpText.overview(family)) }
        try Output.write(HelpText.page(try Verbs.find(&rest)))
    }
}
