// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskImages
import Glibc
import StorageTestKit
import Testing

@Suite(.serialized) struct ExampleTests {
    /// What the file holds, found beside this one.
    private func text(_ path: String) throws -> String {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let graph = DiskImages.graph()
        let node = try graph.open("/\(root)/\(path)", format: "raw")
        defer { try? node.close() }
        return String(decoding: try node.readBytes(at: 0, count: Int(node.length)), as: UTF8.self)
            .replacing("\0", with: "")
    }

    @Test func theProgramOfTheDocumentIsTheOneThatIsCompiled() throws {
        let source = try text("Tests/DiskImagesTests/Example.swift")
        let compiled = source.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let first = try #require(compiled.firstIndex { $0.contains("EXAMPLE BEGINS") })
        let last = try #require(compiled.firstIndex { $0.contains("EXAMPLE ENDS") })
        let program = compiled[(first + 1)..<last].map { $0.isEmpty ? "" : String($0.dropFirst(4)) }
        let document = try text("docs/storage.md")
        #expect(document.contains(program.joined(separator: "\n")))
    }

    @Test func theProgramRuns() throws {
        let folder = Folder()
        let old = run("pwd").output.split(separator: "\n").first.map(String.init) ?? "/"
        // The paths live for the calls.
        let isMoved = unsafe chdir(folder.path) == 0
        try #require(isMoved)
        defer { _ = unsafe chdir(old) }
        try example()
        if isInstalled("qemu-img") {
            #expect(run("qemu-img check \(folder.file("disk.qcow2"))").status == 0)
            #expect(run("qemu-img snapshot -l \(folder.file("disk.qcow2"))").output.contains("before"))
        }
    }
}
