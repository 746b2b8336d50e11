// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit

/// Splits an argument list as getopt_long does: short options that can be bundled, long ones that can be abbreviated,
/// options after operands, and `--` to end them.
struct OptionParser {
    /// One option of a verb.
    struct Option {
        let short: Character?
        let long: String?
        let takesValue: Bool

        init(_ short: Character?, _ long: String? = nil, value: Bool = false) {
            self.short = short
            self.long = long
            takesValue = value
        }

        /// What the verb's code calls it: the long name, or the letter.
        var key: String { long ?? short.map(String.init) ?? "" }
    }

    /// What is wrong with the arguments.
    enum Failure: Error, Equatable {
        case missingValue(String)
        /// - near: what was meant, with its dashes.
        case unknown(String, near: String? = nil)

        /// As C's getopt_long says it.
        var getoptText: String {
            switch self {
            case .missingValue(let option):
                option.hasPrefix("--")
                    ? "option '\(option)' requires an argument"
                    : "option requires an argument -- '\(option.dropFirst().prefix(1))'"
            case .unknown(let option, _):
                option.hasPrefix("--")
                    ? "unrecognized option '\(option)'" : "invalid option -- '\(option.dropFirst().prefix(1))'"
            }
        }
    }

    private let options: [Option]

    init(_ options: [Option]) { self.options = options }

    /// Calls `handle` for each option in the order given.
    /// - Returns: the operands.
    func parse(
        _ arguments: [String], _ handle: (_ key: String, _ value: String) throws -> Void
    ) throws -> [String] {
        var operands: [String] = []
        var index = 0
        while index < arguments.count {
            let argument = arguments[index]
            index += 1
            if argument == "--" {
                operands += arguments[index...]
                break
            }
            if argument.hasPrefix("--") {
                try parseLong(argument, arguments, &index, handle)
            } else if argument.hasPrefix("-"), argument.count > 1 {
                try parseShort(argument, arguments, &index, handle)
            } else {
                operands.append(argument)
            }
        }
        return operands
    }

    /// A mistyped option, or one with a dash too few; a single letter in the wrong case.
    private func unknown(_ argument: String, _ name: String) -> Failure {
        let body = String(name.prefix { $0 != "=" })
        if body.utf8.count == 1 {
            // The format of what is made is -O with some verbs and -f with others.
            if body == "O", options.contains(where: { $0.short == "f" }) { return .unknown(argument, near: "-f") }
            let other = options.first { $0.short.map { $0.lowercased() == body.lowercased() } ?? false }
            return .unknown(argument, near: other.flatMap(\.short).map { "-\($0)" })
        }
        let near = Suggestion.nearest(to: body, among: options.compactMap(\.long))
        return .unknown(argument, near: near.map { "--\($0)" })
    }

    private func parseLong(
        _ argument: String, _ arguments: [String], _ index: inout Int, _ handle: (String, String) throws -> Void
    ) throws {
        let body = argument.dropFirst(2)
        let name = body.prefix { $0 != "=" }
        let exact = options.filter { $0.long.map { $0 == name } ?? false }
        let matches = exact.isEmpty ? options.filter { $0.long?.hasPrefix(name) ?? false } : exact
        guard matches.count == 1 else { throw unknown(argument, String(name)) }
        let option = matches[0]
        if !option.takesValue {
            guard name.count == body.count else { throw Failure.unknown(argument) }
            return try handle(option.key, "")
        }
        if name.count < body.count { return try handle(option.key, String(body.dropFirst(name.count + 1))) }
        guard index < arguments.count else { throw Failure.missingValue(argument) }
        index += 1
        try handle(option.key, arguments[index - 1])
    }

    private func parseShort(
        _ argument: String, _ arguments: [String], _ index: inout Int, _ handle: (String, String) throws -> Void
    ) throws {
        var rest = argument.dropFirst()
        while let letter = rest.popFirst() {
            guard let option = options.first(where: { $0.short == letter }) else {
                throw unknown(argument, String(argument.dropFirst()))
            }
            if !option.takesValue {
                try handle(option.key, "")
                continue
            }
            if !rest.isEmpty { return try handle(option.key, String(rest)) }
            guard index < arguments.count else { throw Failure.missingValue(argument) }
            index += 1
            return try handle(option.key, arguments[index - 1])
        }
    }
}
