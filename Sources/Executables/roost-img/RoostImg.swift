// SPDX-License-Identifier: Apache-2.0

internal import DiskImages
internal import Glibc

/// Standard output with a buffer.
final class Output {
    private var buffer: [UInt8] = []

    func put(_ text: String) {
        buffer += text.utf8
        // Progress lines end without a newline and must be seen at once.
        if buffer.count > 1 << 15 || text.hasSuffix("\r") || text.hasPrefix("\r") { flush() }
    }

    func flush() {
        writeAll(buffer, to: STDOUT_FILENO)
        buffer = []
    }
}

/// Writes to a descriptor; a reader that went away ends the program.
@Sendable func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
    var done = 0
    while done < bytes.count {
        // The kernel reads only inside the array, which lives for the call.
        let count = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress! + done, $0.count - done) }
        if count < 0, errno != EINTR { exit(1) }
        done += max(count, 0)
    }
}

@main
enum RoostImg {
    static func main() {
        let name = CommandLine.arguments.first.flatMap { $0.split(separator: "/").last }.map(String.init) ?? "roost-img"
        let output = Output()
        let tool = ImageTool(
            name: name, isTerminal: isatty(STDOUT_FILENO) == 1, output: output.put,
            errors: { text in writeAll(Array(text.utf8), to: STDERR_FILENO) }, flush: output.flush)
        let status = tool.run(Array(CommandLine.arguments.dropFirst()))
        output.flush()
        exit(status)
    }
}
