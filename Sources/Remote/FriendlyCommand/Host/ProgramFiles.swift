// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostProcesses
internal import HostSystem

/// Files and other programs.
package enum ProgramFiles {
    /// The content of a file, at most `limit` bytes; nil where it cannot be read.
    static func content(_ path: String, limit: Int = 1 << 20) -> [UInt8]? {
        guard let file = try? FileDescriptor.open(path, flags: O_RDONLY) else { return nil }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while bytes.count < limit {
            // The chunk lives for the call.
            let read: Int? = unsafe chunk.withUnsafeMutableBytes { try? unsafe file.read(into: $0) }
            guard let count = read else { return nil }
            if count == 0 { break }
            bytes += chunk.prefix(min(count, limit - bytes.count))
        }
        return bytes
    }

    /// The content of a text file without the white space around it.
    static func text(_ path: String) -> String? {
        content(path).map { bytes in
            var text = Substring(decoding: bytes, as: UTF8.self)
            text = text.drop { $0.isWhitespace }
            while text.last?.isWhitespace == true { text.removeLast() }
            return String(text)
        }
    }

    static func exists(_ path: String) -> Bool {
        // access copies the path.
        unsafe access(path, F_OK) == 0
    }

    /// A path from the root on.
    static func absolute(_ path: String) -> String {
        // realpath's text is copied, then freed.
        guard let resolved = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    /// Where a program is that the shell would find.
    package static func find(_ name: String) -> String? {
        let path = ThisProgram.variable("PATH") ?? "/usr/bin:/bin"
        // Said to be texts: what is split may be taken for arrays of characters.
        let folders: [String] = path.split(separator: ":").map { String($0) } + ["/usr/sbin", "/sbin"]
        return folders.map { $0 + "/" + name }.first {
            // access copies the path.
            unsafe access($0, X_OK) == 0
        }
    }

    /// Becomes another program.
    /// - Throws: always, because it returns only when it fails.
    static func become(_ path: String, _ arguments: [String]) throws(UserError) -> Never {
        do throws(Errno) {
            try ChildProcess.replaceThisProcess(path, arguments)
        } catch { throw UserError("cannot run \(path)", because: error) }
    }
}
