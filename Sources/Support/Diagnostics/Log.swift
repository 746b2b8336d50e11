// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HostSystem
internal import Synchronization

/// Selected with `-d`: one kind of line in the log.
public struct LogCategory: Hashable, Sendable {
    /// As typed behind -d.
    public let name: String
    /// For `-d help`.
    public let summary: String
    let bit: UInt32

    /// Something that the hardware has and Roost does not yet.
    public static let unimplemented = LogCategory(name: "unimp", summary: "log unimplemented functionality", bit: 1)
    /// The guest did something that no correct driver does.
    public static let guestErrors = LogCategory(
        name: "guest_errors", summary: "log when the guest OS does something invalid", bit: 2)
    /// Exceptions and interrupts of the software CPU.
    public static let interrupts = LogCategory(
        name: "int", summary: "show interrupts/exceptions in short format", bit: 4)
    /// The registers of a vCPU before it is reset.
    public static let processorReset = LogCategory(
        name: "cpu_reset", summary: "show CPU state before CPU resets", bit: 8)

    /// Code that the software CPU decodes.
    public static let guestCode = LogCategory(
        name: "in_asm", summary: "show target assembly code for each compiled TB", bit: 16)

    /// Host code that the software CPU makes.
    public static let hostCode = LogCategory(
        name: "out_asm", summary: "show generated host assembly code for each compiled TB", bit: 32)
    /// How each instruction of a translated block is translated.
    public static let operations = LogCategory(name: "op", summary: "show micro ops for each compiled TB", bit: 64)

    /// All of them, in the order of `-d help`.
    public static let all: [LogCategory] = [
        .hostCode, .guestCode, .operations, .interrupts, .processorReset, .unimplemented, .guestErrors,
    ]
}

/// The log of `-d` and `-trace`: standard error, or the file of `-D`.
public final class Log: Sendable {
    /// The one of this process.
    public static let shared = Log()

    private let mask = Atomic<UInt32>(0)
    private let output = Atomic<Int32>(STDERR_FILENO)

    /// Whether lines of this category are wanted: one load, so that callers ask before they format.
    public func isEnabled(_ category: LogCategory) -> Bool { mask.load(ordering: .relaxed) & category.bit != 0 }

    /// Writes a line if the category is wanted.
    public func write(_ category: LogCategory, _ text: @autoclosure () -> String) {
        guard isEnabled(category) else { return }
        writeLine(text() + "\n", to: output.load(ordering: .relaxed))
    }

    /// Writes a line of a trace point.
    func writeTrace(_ text: String) { writeLine(text + "\n", to: output.load(ordering: .relaxed)) }

    /// Wants exactly these categories.
    public func enable(_ categories: [LogCategory]) {
        mask.store(categories.reduce(0) { $0 | $1.bit }, ordering: .relaxed)
    }

    /// The categories that are wanted.
    public var enabled: [LogCategory] { LogCategory.all.filter(isEnabled) }

    /// Writes to a file from now on, which is made or emptied; `%d` in its name becomes the process number.
    /// - Throws: why the file cannot be written.
    public func open(_ path: String) throws(UserError) {
        let name = path.split(separator: "%d", omittingEmptySubsequences: false).joined(separator: String(getpid()))
        do {
            let file = try FileDescriptor.open(name, flags: O_WRONLY | O_CREAT | O_TRUNC | O_APPEND)
            // Earlier files stay open: another thread may be writing to one just now.
            output.store(file.release(), ordering: .relaxed)
        } catch {
            throw UserError("cannot write the log file '\(name)'", because: error)
        }
    }

    /// Reads the list behind `-d`: category names and `trace:PATTERN`, separated by commas; `none` for nothing.
    /// - Throws: an error that names the first item that does not exist.
    public func enable(items: String) throws(UserError) {
        var categories: [LogCategory] = []
        for item in items.split(separator: ",").map(String.init) {
            if let category = LogCategory.all.first(where: { $0.name == item }) {
                categories.append(category)
            } else if item.hasPrefix("trace:") {
                try Trace.enable(pattern: String(item.dropFirst("trace:".count)))
            } else if item != "none" {
                throw UserError(
                    "log item '\(item)' is not known", remedy: "see '-d help' for what can be logged")
            }
        }
        enable(categories)
    }

    /// What `-d help` prints.
    public static var help: String {
        let rows = LogCategory.all.map { ($0.name, $0.summary) } + [("trace:PATTERN", "enable trace events")]
        let lines = rows.map { name, summary in
            name + String(repeating: " ", count: max(1, 16 - name.count)) + summary
        }
        return (["Log items (comma separated):"] + lines).joined(separator: "\n") + "\n"
    }
}
