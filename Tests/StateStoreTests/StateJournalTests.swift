// SPDX-License-Identifier: Apache-2.0

import Glibc
import StateStore
import Testing

@Suite struct StateJournalTests {
    private let folder = "/tmp/roost-journal-\(UInt64.random(in: 0...UInt64.max))"
    /// Small halves, which a few records fill.
    private static let size = 16 << 10

    private final class Count: @unchecked Sendable {
        var value = 0
    }

    init() throws { try StateFiles.makeFolder(folder) }

    private func open(boot: String = "one", _ count: Count = Count()) throws -> StateJournal {
        try StateJournal(folder: folder, size: Self.size, boot: boot) { count.value += 1 }
    }

    private func path(_ name: String) -> String { folder + "/" + name }

    /// Writes as the service does: the journal first, then the file.
    private func write(_ journal: StateJournal, _ name: String, _ text: String) throws {
        #expect(try journal.record(path(name), Array(text.utf8)))
        try StateFiles.write(path(name), text)
    }

    @Test func aPowerFailureTakesNothing() throws {
        let journal = try open()
        try write(journal, "a", "first")
        try write(journal, "a", "second")
        try write(journal, "b", "other")
        // What a disk may have that was never told to keep anything.
        try StateFiles.remove(path("a"))
        try StateFiles.write(path("b"), "")
        _ = try open(boot: "two")
        #expect(try StateFiles.read(path("a")) == "second" && StateFiles.read(path("b")) == "other")
    }

    @Test func aCrashOfTheServiceChangesNothing() throws {
        try write(try open(), "a", "ours")
        // Somebody else changes it while no service runs.
        try StateFiles.write(path("a"), "theirs")
        _ = try open()
        #expect(try StateFiles.read(path("a")) == "theirs")
        // The records are forgotten with that.
        try StateFiles.remove(path("a"))
        _ = try open(boot: "two")
        #expect(!StateFiles.exists(path("a")))
    }

    @Test func aFileThatIsNewerStays() throws {
        try write(try open(), "a", "ours")
        try StateFiles.write(path("a"), "theirs")
        let later = timespec(tv_sec: time(nil) + 100, tv_nsec: 0)
        // utimensat copies the path and reads two times.
        #expect(unsafe utimensat(AT_FDCWD, path("a"), [later, later], 0) == 0)
        _ = try open(boot: "two")
        #expect(try StateFiles.read(path("a")) == "theirs")
    }

    @Test func whatWasRemovedStaysAway() throws {
        let journal = try open()
        try write(journal, "a", "text")
        try journal.recordRemoval(of: path("a"))
        try journal.recordRemoval(of: path("never"))
        // The disk has not heard of the removal.
        _ = try open(boot: "two")
        #expect(!StateFiles.exists(path("a")))
    }

    @Test func whatDidNotHappenIsNotPutBack() throws {
        let journal = try open()
        try write(journal, "a", "old")
        #expect(try journal.record(path("a"), Array("new".utf8)))
        try journal.recordUnchanged(path("a"))
        #expect(try journal.record(path("b"), Array("new".utf8)))
        try journal.recordUnchanged(path("b"))
        _ = try open(boot: "two")
        #expect(try StateFiles.read(path("a")) == "old" && !StateFiles.exists(path("b")))
    }

    @Test func whatIsSettledIsForgotten() throws {
        let count = Count()
        let journal = try open(count)
        try write(journal, "a", "text")
        try write(journal, "b", "text")
        #expect(count.value == 1)
        journal.settle()
        journal.settle()
        try write(journal, "c", "text")
        #expect(count.value == 2)
        for name in ["a", "c"] { try StateFiles.remove(path(name)) }
        _ = try open(boot: "two")
        #expect(!StateFiles.exists(path("a")) && StateFiles.exists(path("c")))
    }

    private func open(_ count: Count) throws -> StateJournal { try open(boot: "one", count) }

    @Test func aFullJournalIsSettledFirst() throws {
        let journal = try open()
        let text = String(repeating: "x", count: 2000)
        for number in 0..<40 { try write(journal, "\(number)", text + "\(number)") }
        for number in 0..<40 { #expect(try StateFiles.read(path("\(number)")) == text + "\(number)") }
        // The last ones are there for the case of a failure.
        try StateFiles.remove(path("39"))
        _ = try open(boot: "two")
        #expect(try StateFiles.read(path("39")) == text + "39")
        #expect(try !journal.record(path("long"), [UInt8](repeating: 1, count: Self.size)))
    }

    @Test func recordsOfTwoStartsAreInTheirOrder() throws {
        try write(try open(boot: "one"), "a", "first")
        try write(try open(boot: "one"), "a", "second")
        try StateFiles.remove(path("a"))
        _ = try open(boot: "two")
        #expect(try StateFiles.read(path("a")) == "second")
    }

    /// Whatever the disk made of the journal: what is put back is what was written once, and nothing else.
    @Test(arguments: 0..<60) func aDamagedJournalPutsNothingWrongBack(seed: Int) throws {
        let journal = try open()
        let texts = (0..<4).map { "text number \($0) " + String(repeating: "y", count: $0 * 40) }
        for (number, text) in texts.enumerated() { try write(journal, "\(number)", text) }
        for number in texts.indices { try StateFiles.remove(path("\(number)")) }
        for half in 0...1 {
            let file = path(".journal\(half)")
            var bytes = try StateFiles.readBytes(file, limit: Self.size)
            // One change in the header or among the records.
            let place = seed % 3 == 0 ? seed % 88 : 4096 + seed * 37 % 700
            bytes[place] ^= UInt8(1 << (seed % 8))
            try StateFiles.write(file, bytes: seed % 10 == 9 ? Array(bytes.prefix(place)) : bytes)
        }
        _ = try open(boot: "two")
        for (number, text) in texts.enumerated() {
            let found = try StateFiles.read(path("\(number)"))
            #expect(found == nil || found == text)
        }
    }

    @Test func definitionsGoThroughIt() throws {
        let journal = try open()
        let spares = SpareFiles(folder: folder, capacity: 3) { $0() }
        for number in 0..<6 {
            try StateFiles.write(path("\(number).xml"), "text \(number)", from: spares, noting: journal)
        }
        try StateFiles.write(path("0.xml"), "changed", from: spares, noting: journal)
        for number in 0..<6 { try StateFiles.remove(path("\(number).xml")) }
        _ = try open(boot: "two")
        #expect(try StateFiles.read(path("0.xml")) == "changed" && StateFiles.read(path("5.xml")) == "text 5")
    }

    @Test func aFailureAfterTheRecordIsTakenBack() throws {
        let journal = try open()
        let spares = SpareFiles(folder: folder, capacity: 3) { $0() }
        #expect(throws: (any Error).self) {
            try StateFiles.write(path("missing/a.xml"), "text", from: spares, noting: journal)
        }
        try StateFiles.makeFolder(path("missing"))
        _ = try open(boot: "two")
        #expect(!StateFiles.exists(path("missing/a.xml")))
    }
}
