// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A temporary folder that is removed, with its files, when the object goes.
public final class Folder: Sendable {
    /// Its path.
    public let path: String

    /// A new folder.
    public init() {
        let template = "/tmp/roost-storage-XXXXXX"
        // mkdtemp changes the copy of the template in place.
        path = unsafe template.withCString { text in
            let copy = unsafe strdup(text)
            defer { unsafe free(copy) }
            guard let copy = unsafe copy, let made = unsafe mkdtemp(copy) else {
                fatalError("no temporary folder: \(errno)")
            }
            return unsafe String(cString: made)
        }
    }

    /// The path of a file in it.
    public func file(_ name: String) -> String { path + "/" + name }

    deinit {
        guard let folder = unsafe opendir(path) else { return }
        while let entry = unsafe readdir(folder) {
            // d_name is a C string inside the entry.
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            _ = unsafe unlink(file(name))
        }
        unsafe closedir(folder)
        _ = unsafe rmdir(path)
    }
}

/// The outcome of a program.
public struct Outcome: Sendable {
    /// Its exit status, -1 when it was killed.
    public let status: Int32
    /// What it printed, on both outputs.
    public let output: String
}

/// Runs a command line with the shell.
public func run(_ command: String) -> Outcome {
    guard let pipe = unsafe popen(command + " 2>&1", "r") else { return Outcome(status: -1, output: "popen failed") }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
        // fread writes at most the array's length.
        let count = unsafe fread(&chunk, 1, chunk.count, pipe)
        if count == 0 { break }
        bytes += chunk[..<count]
    }
    let status = unsafe pclose(pipe)
    let exited = status & 0x7f == 0
    return Outcome(status: exited ? (status >> 8) & 0xff : -1, output: String(decoding: bytes, as: UTF8.self))
}

/// Whether a program is installed; integration tests skip without it.
public func isInstalled(_ program: String) -> Bool { run("command -v \(program)").status == 0 }
