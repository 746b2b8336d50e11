// SPDX-License-Identifier: Apache-2.0

import StateStore
import Testing

@Suite struct SpareFilesTests {
    private let folder = "/tmp/roost-spares-\(UInt64.random(in: 0...UInt64.max))"

    init() throws { try StateFiles.makeFolder(folder) }

    /// Spare files that are made at once, when the first one is asked for.
    private func spares(_ folder: String) -> SpareFiles { SpareFiles(folder: folder, capacity: 3) { $0() } }

    @Test func filesGetTheirNamesWhenTheyAreWritten() throws {
        let spares = spares(folder)
        for number in 0..<8 { try StateFiles.write(folder + "/\(number).xml", "text \(number)", from: spares) }
        #expect(StateFiles.names(in: folder, suffix: ".xml") == (0..<8).map { "\($0)" })
        for number in 0..<8 { #expect(try StateFiles.read(folder + "/\(number).xml") == "text \(number)") }
        #expect(StateFiles.names(in: folder, suffix: "").count == 8)
    }

    @Test func aNameThatIsTakenGetsTheNewFile() throws {
        let spares = spares(folder)
        let path = folder + "/a.xml"
        // What a write that was not finished left is in nobody's way.
        try StateFiles.write(path + ".new", "rubbish")
        for number in 0..<5 {
            try StateFiles.write(path, "\(number)", from: spares)
            #expect(try StateFiles.read(path) == "\(number)")
        }
        #expect(StateFiles.names(in: folder, suffix: "") == ["a.xml"])
    }

    @Test func withoutSpareFilesTheyAreMadeAsTheyAreNeeded() throws {
        let never = SpareFiles(folder: folder) { _ in }
        try StateFiles.write(folder + "/b.xml", "b", from: never)
        #expect(try StateFiles.read(folder + "/b.xml") == "b")
        // A folder that is not there says so when a file is written.
        let nowhere = spares(folder + "/missing")
        #expect(throws: (any Error).self) { try StateFiles.write(folder + "/missing/c", "c", from: nowhere) }
    }

    @Test func aFaultLeavesTheOldFile() throws {
        let path = folder + "/a.xml"
        let spares = spares(folder)
        try StateFiles.write(path, "old", from: spares)
        for step in 0..<4 {
            for kind in [StateFaults.Kind.killed, .full] {
                let faults = StateFaults(kind, from: step)
                StateFaults.$current.withValue(faults) { try? StateFiles.write(path, "new", from: spares) }
                #expect(faults.struck)
                let text = try StateFiles.read(path)
                #expect(text == "old" || kind == .full && step > 1 && text == "new", "\(kind) \(step): \(text ?? "")")
                try StateFiles.write(path, "old", from: spares)
                #expect(StateFiles.names(in: folder, suffix: "") == ["a.xml"])
            }
        }
    }

    @Test func linksThatLeadNowhereGo() throws {
        try StateFiles.write(folder + "/there", "x")
        try StateFiles.link(folder + "/a.xml", to: folder + "/there")
        try StateFiles.link(folder + "/b.xml", to: folder + "/gone")
        StateFiles.sweepLinks(folder, suffix: ".xml")
        #expect(StateFiles.names(in: folder, suffix: ".xml") == ["a"])
    }
}
