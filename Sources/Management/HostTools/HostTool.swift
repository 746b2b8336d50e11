// SPDX-License-Identifier: Apache-2.0

internal import HostProcesses
internal import HostSystem
public import ManagementModel

/// Programs of the host that do a part of the work: ip, nft, mount, the image tool.
public enum HostTool {
    /// What they find: none of the caller's variables, and English, because their messages are passed on.
    private static let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]

    /// Which line of its output says why a program failed.
    public enum ReasonPlace: Sendable {
        /// The first: what follows is advice (mount).
        case first
        /// The last, where most write it.
        case last
    }

    /// How a run ended and what it said.
    public struct Result: Sendable {
        /// Whether the program ended with status 0.
        public let succeeded: Bool
        /// What it wrote on standard output and standard error, at most 1 MiB.
        public let output: String

        /// The line that gives the reason of a failure; empty for none.
        public func reason(_ place: ReasonPlace) -> String {
            let lines = output.split(separator: "\n")
            return (place == .first ? lines.first : lines.last).map(String.init) ?? ""
        }
    }

    /// Runs a program to its end, whatever that is.
    /// - Parameters:
    ///   - what: what it is for, as an infinitive that follows "cannot".
    ///   - origin: who reports that it could not be started.
    ///   - variables: of the environment, as NAME=VALUE, beside PATH and LC_ALL.
    ///   - input: what it reads on standard input.
    /// - Throws: `ManagementError` when it cannot be started.
    public static func attempt(
        _ path: String, _ arguments: [String], to what: String, from origin: ErrorOrigin,
        variables: [String] = [], input: String = ""
    ) throws(ManagementError) -> Result {
        do throws(Errno) {
            let result = try ChildProcess.run(path, arguments, environment: environment + variables, input: input)
            return Result(succeeded: result.ending == .exited(0), output: result.output)
        } catch { throw ManagementError(.systemError, "cannot \(what): \(path): \(error)", from: origin) }
    }

    /// Runs a program that has to succeed.
    /// - Parameter reason: which line of what it wrote is passed on.
    /// - Throws: `ManagementError` when it does not end with status 0.
    /// - Returns: what it wrote.
    @discardableResult
    public static func run(
        _ path: String, _ arguments: [String], to what: String, from origin: ErrorOrigin,
        reason: ReasonPlace = .last, variables: [String] = []
    ) throws(ManagementError) -> String {
        let result = try attempt(path, arguments, to: what, from: origin, variables: variables)
        guard result.succeeded else {
            throw ManagementError(.internalError, "cannot \(what): \(result.reason(reason))", from: origin)
        }
        return result.output
    }
}
