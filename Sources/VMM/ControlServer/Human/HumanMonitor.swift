// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import CPUInterface
internal import Diagnostics
internal import MachineRuntime

/// Runs lines of the human monitor. One per connection, because each has its own current processor.
final class HumanMonitor {
    let server: ControlServer
    /// What `cpu` chose; `info registers` and addresses are about it.
    var currentProcessor = 0
    /// Earlier lines, the oldest first; none where nobody types.
    var history: () -> [String] = { [] }
    private static let longestLine = 4096

    init(server: ControlServer) { self.server = server }

    var machine: any ControlledMachine { server.machine }

    /// The current processor; nil for a machine without.
    var processor: (any VirtualCPU)? {
        machine.runner.processor(at: currentProcessor) ?? machine.runner.processors.first
    }

    /// Runs one line.
    /// - Returns: everything it prints, each line with its end.
    func run(_ line: String) -> String {
        let text = line.drop { $0.isWhitespace }
        guard !text.isEmpty, line.utf8.count <= Self.longestLine else { return line.isEmpty ? "" : "line too long\n" }
        let word = text.prefix { !$0.isWhitespace && $0 != "/" }
        guard let command = HumanCommandTable.command(named: String(word)) else {
            return "unknown command: '\(word)'\n"
        }
        Trace.emit(.monitorHumanCommand, String(text))
        var call = HumanCall(monitor: self, name: String(word), rest: text.dropFirst(word.utf8.count))
        do throws(HumanFailure) {
            try command.run(&call)
        } catch {
            switch error {
            case .usage(let text): return call.output + text + "\nTry \"help \(word)\" for more information\n"
            case .failed(let text): return call.output + "Error: \(text)\n"
            }
        }
        return call.output
    }
}

/// Why a command of the human monitor did nothing.
enum HumanFailure: Error {
    /// The arguments are wrong.
    case usage(String)
    /// What it asked for cannot be done.
    case failed(String)

    init(_ error: QMPError) { self = .failed(error.text) }
}

/// One call of a command: its arguments, read from left to right, and what it prints.
struct HumanCall {
    let monitor: HumanMonitor
    let name: String
    private var rest: Substring
    private(set) var output = ""
    var machine: any ControlledMachine { monitor.machine }

    init(monitor: HumanMonitor, name: String, rest: Substring) {
        self.monitor = monitor
        self.name = name
        self.rest = rest
    }

    mutating func print(_ text: String) { output += text }

    private mutating func skipBlanks() { rest = rest.drop { $0.isWhitespace } }

    /// The format behind the command's slash.
    mutating func format(_ standard: DumpFormat) throws(HumanFailure) -> DumpFormat {
        skipBlanks()
        guard rest.hasPrefix("/") else { return standard }
        let text = rest.dropFirst().prefix { !$0.isWhitespace }
        rest = rest.dropFirst(text.utf8.count + 1)
        let (format, wrong) = DumpFormat.parse(text, standard: standard)
        guard let format else { throw .usage("invalid char in format: '\(wrong ?? "?")'") }
        return format
    }

    /// The next word, in quotes if it has blanks; nil at the end.
    mutating func word() throws(HumanFailure) -> String? {
        skipBlanks()
        guard let first = rest.first else { return nil }
        guard first == "\"" else {
            let word = rest.prefix { !$0.isWhitespace }
            rest = rest.dropFirst(word.count)
            return String(word)
        }
        var word = ""
        var isEscaped = false
        rest = rest.dropFirst()
        while let character = rest.popFirst() {
            if isEscaped {
                word.append(character == "n" ? "\n" : character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "\"" {
                return word
            } else {
                word.append(character)
            }
        }
        throw .usage("unterminated string")
    }

    mutating func requiredWord(_ what: String) throws(HumanFailure) -> String {
        guard let word = try word() else { throw .usage("\(name): \(what) expected") }
        return word
    }

    /// The next expression.
    mutating func expression() throws(HumanFailure) -> Int64 {
        let processor = monitor.processor
        let machine = machine
        do throws(Expression.Failure) {
            let (value, behind) = try Expression.evaluate(String(rest)) { name in
                machine.runner.whileParked { processor?.registers.value(named: name) }
            }
            rest = behind[...]
            return value
        } catch { throw .usage(error.text) }
    }

    /// Whether arguments are left.
    var hasMore: Bool { rest.contains { !$0.isWhitespace } }

    /// The text that is left, as it is.
    mutating func remainder() -> String {
        skipBlanks()
        defer { rest = "" }
        return String(rest)
    }

    /// Flags such as "-v" in front of the other arguments.
    mutating func takeFlag(_ letter: Character) -> Bool {
        skipBlanks()
        guard rest.hasPrefix("-"), rest.dropFirst().first == letter else { return false }
        rest = rest.dropFirst(2)
        return true
    }

    /// No arguments may be left.
    func finish() throws(HumanFailure) {
        if hasMore { throw .usage("\(name): extraneous characters at the end of line") }
    }
}

/// A command of the human monitor.
struct HumanCommand: Sendable {
    let names: [String]
    let arguments: String
    let summary: String
    let run: @Sendable (inout HumanCall) throws(HumanFailure) -> Void

    init(
        _ names: String, _ arguments: String = "", _ summary: String,
        _ run: @escaping @Sendable (inout HumanCall) throws(HumanFailure) -> Void
    ) {
        self.names = names.split(separator: "|").map(String.init)
        self.arguments = arguments
        self.summary = summary
        self.run = run
    }

    func helpLine(_ prefix: String = "") -> String {
        let head = prefix + names.joined(separator: "|") + (arguments.isEmpty ? "" : " " + arguments)
        return "\(head)  -- \(summary)\n"
    }
}
