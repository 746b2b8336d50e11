// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import FriendlyCommand
import JSONCoding
import Testing

@Suite("What the command shows")
struct OutputTests {
    private var report: Report {
        var report = Report([.init(title: "NAME", key: "name"), .init(title: "SIZE", key: "size", isNumber: true)])
        report.rows = [[.init("a"), .init(bytes: 1536)], [.init("longer"), .init(bytes: 5 << 30)]]
        return report
    }

    @Test("columns are aligned, numbers to the right")
    func table() {
        #expect(report.table == "NAME       SIZE\na       1.5 KiB\nlonger    5 GiB\n")
    }

    @Test("JSON has values, not texts")
    func json() {
        #expect(
            report.json
                == .array([
                    .object(["name": .string("a"), "size": .integer(1536)]),
                    .object(["name": .string("longer"), "size": .integer(5 << 30)]),
                ]))
    }

    @Test(
        "amounts as people write them",
        arguments: [("512M", 512 << 20), ("2G", 2 << 30), ("1.5GiB", 3 << 29), ("20", 20 << 20), ("4kb", 4096)])
    func amounts(text: String, bytes: UInt64) throws {
        #expect(try ByteAmount.parse(text, option: "memory") == bytes)
    }

    @Test("what is no amount is refused", arguments: ["", "G", "-1G", "1X", "nan", "inf", "9999999P"])
    func badAmounts(text: String) {
        #expect(throws: UserError.self) { try ByteAmount.parse(text, option: "memory") }
    }

    @Test(
        "amounts as people read them",
        arguments: [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1_610_612_736, "1.5 GiB"), (252 << 30, "252 GiB")])
    func readable(bytes: UInt64, text: String) { #expect(ByteAmount.text(bytes) == text) }

    @Test("progress has a rate and the time left")
    func progress() {
        let line = Progress.line("copy", done: 50 << 20, total: 100 << 20, seconds: 5)
        #expect(line == "copy [###############---------------] 50 %  10 MiB/s  5 s left")
        #expect(Progress.line("copy", done: 0, total: 10, seconds: 0).hasSuffix("] 0 %"))
    }
}
