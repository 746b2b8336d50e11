// SPDX-License-Identifier: Apache-2.0

import CommandLineKit
import Diagnostics
import MachineSpec
import Testing

/// Parses a command line that is split at blanks; `files` answers what it reads.
func request(_ line: String, files: [String: String] = [:]) throws -> MachineRequest {
    try request(line.split(separator: " ").map(String.init), files: files)
}

func request(_ arguments: [String], files: [String: String] = [:]) throws -> MachineRequest {
    try MachineArguments.parse(arguments) { path throws(UserError) in
        guard let text = files[path] else {
            throw UserError("Could not open '\(path)'", because: "No such file or directory")
        }
        return text
    }
}

func spec(_ line: String, files: [String: String] = [:]) throws -> MachineSpec {
    guard case .run(let spec) = try request(line, files: files) else {
        throw UserError("not a machine: \(line)")
    }
    return spec
}

func spec(_ arguments: [String]) throws -> MachineSpec {
    guard case .run(let spec) = try request(arguments) else {
        throw UserError("not a machine: \(arguments.joined(separator: " "))")
    }
    return spec
}

/// The error of a command line, or "no error".
func failure(_ line: String, files: [String: String] = [:]) -> String {
    do {
        _ = try request(line, files: files)
        return "no error"
    } catch { return "\(error)" }
}

/// The text that a command line prints instead of running a machine.
func printed(_ line: String) throws -> String {
    guard case .print(let text) = try request(line) else { throw UserError("prints nothing: \(line)") }
    return text
}
