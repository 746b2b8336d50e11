// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskImages
import StorageTestKit
import Testing

/// Conversations with qemu-img 7.2, repeated with this program: every verb, its output to the letter, its exit status.
///
/// A file of Tests/Golden/roost-img is a list of commands (`$`), each with what it printed and its status (`=`); lines
/// with `!` prepare files: `!pattern NAME SIZE OFFSET COUNT BYTE` and `!poke NAME OFFSET HEX`. D is the folder.
@Suite struct TranscriptTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/")

    private static func text(_ path: String) throws -> String {
        let node = try DiskImages.graph().open(path, format: "raw")
        defer { try? node.close() }
        return String(decoding: try node.readBytes(at: 0, count: Int(node.length)), as: UTF8.self).replacing(
            "\0", with: "")
    }

    @Test(arguments: [
        "amend", "bitmap", "check", "commit", "compare", "convert", "create", "dd", "info", "map", "measure", "rebase",
        "resize", "snapshot", "usage",
    ])
    func theConversationIsTheSame(_ topic: String) throws {
        let lines = try Self.text("\(Self.root)/Golden/roost-img/\(topic).txt")
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let folder = Folder()
        var place = 0
        while place < lines.count {
            let line = lines[place]
            place += 1
            if line.hasPrefix("!") { try prepare(line.dropFirst().split(separator: " ").map(String.init), folder) }
            guard line.hasPrefix("$ ") else { continue }
            var expected: [String] = []
            while place < lines.count, !lines[place].hasPrefix("= ") {
                expected.append(lines[place])
                place += 1
            }
            let status = place < lines.count ? lines[place].dropFirst(2) : ""
            let command = String(line.dropFirst(2))
            let outcome = tool(words(command, folder.path))
            let text = outcome.text.replacing(folder.path, with: "D")
            #expect("\(outcome.status)" == status, "\(topic): \(command): \(text)")
            #expect(masked(text) == masked(expected.joined(separator: "\n")), "\(topic): \(command)")
        }
    }

    /// The arguments of a line: `""` is an empty one, D the folder.
    private func words(_ command: String, _ folder: String) -> [String] {
        command.split(separator: " ").map { word in
            if word == "\"\"" { return "" }
            if word == "D" { return folder }
            return String(word).replacing("=D/", with: "=\(folder)/").replacing(
                "D/", with: "\(folder)/", maxReplacements: word.hasPrefix("D/") ? 1 : 0)
        }
    }

    private func prepare(_ words: [String], _ folder: Folder) throws {
        let path = folder.file(words[1])
        if words[0] == "pattern" {
            let numbers = words.dropFirst(2).compactMap { Int($0) }
            var bytes = [UInt8](repeating: 0, count: numbers[0])
            bytes.replaceSubrange(
                numbers[1]..<(numbers[1] + numbers[2]), with: repeatElement(UInt8(numbers[3]), count: numbers[2]))
            try write(bytes, to: path)
        } else {
            let hex = Array(words[3])
            let bytes = stride(from: 0, to: hex.count, by: 2).compactMap {
                UInt8(String(hex[$0..<($0 + 2)]), radix: 16)
            }
            let node = try DiskImages.graph().open(path, format: "raw", flags: .writable)
            try node.write(bytes, at: Int64(words[2]) ?? 0)
            try node.close()
        }
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        #expect(tool(["create", "-q", "-f", "raw", path, "\(bytes.count)"]).status == 0)
        let node = try DiskImages.graph().open(path, format: "raw", flags: .writable)
        try node.write(bytes, at: 0)
        try node.close()
    }

    /// Without what differs from run to run: allocation on the host, times, random identifiers.
    private func masked(_ text: String) -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
            ![
                "disk size", "actual-size", "cid:", "\"cid\"", "date-sec", "date-nsec", "mage end offset",
                "image-end-offset",
            ]
            .contains { line.contains($0) }
        }
        return lines.map { line in
            line.split(separator: " ").map { isTime($0) ? "T" : String($0) }.joined(separator: " ")
        }.joined(separator: "\n").trimmed
    }

    private func isTime(_ word: Substring) -> Bool {
        let shape = String(word.map { $0.isNumber ? "9" : $0 })
        return shape == "9999-99-99" || shape == "99:99:99"
    }
}

extension String {
    fileprivate var trimmed: String {
        var text = self[...]
        while text.last == "\n" { text.removeLast() }
        return String(text)
    }
}
