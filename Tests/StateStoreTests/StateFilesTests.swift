// SPDX-License-Identifier: Apache-2.0

import StateStore
import Testing

@Suite struct StateFilesTests {
    private let folder = "/tmp/roost-state-\(UInt64.random(in: 0...UInt64.max))"

    init() throws { try StateFiles.makeFolder(folder + "/inner") }

    @Test func aFileIsReplacedAsAWhole() throws {
        let path = folder + "/a.xml"
        #expect(try StateFiles.read(path) == nil)
        try StateFiles.write(path, "one")
        try StateFiles.write(path, "two")
        #expect(try StateFiles.read(path) == "two")
        #expect(StateFiles.names(in: folder, suffix: ".xml") == ["a"])
        try StateFiles.remove(path)
        try StateFiles.remove(path)
        #expect(!StateFiles.exists(path))
    }

    @Test func whatCannotBeWrittenLeavesTheOldFile() throws {
        #expect(throws: (any Error).self) { try StateFiles.write(folder + "/missing/a", "x") }
        #expect(throws: (any Error).self) { try StateFiles.write(folder + "/inner", "x") }
        #expect(StateFiles.names(in: folder, suffix: ".new").isEmpty)
    }

    @Test func linksAreReplaced() throws {
        try StateFiles.write(folder + "/t", "x")
        try StateFiles.link(folder + "/l", to: "/nowhere")
        try StateFiles.link(folder + "/l", to: folder + "/t")
        #expect(try StateFiles.read(folder + "/l") == "x")
    }
}
