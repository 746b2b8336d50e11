// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostTools
import HostSystem
import ManagementModel
import Testing

@Suite struct HookScriptsTests {
    private let folder = "/tmp/roost-hooks-\(UniqueID.random())"
    private var log: String { folder + "/log" }

    init() throws {
        // mkdir copies the path.
        for path in [folder, folder + "/qemu.d"] { _ = unsafe mkdir(path, 0o755) }
    }

    private func install(_ name: String, _ body: String, mode: UInt32 = 0o755) throws {
        let file = try FileDescriptor.open(folder + "/" + name, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        try file.writeAll(Array("#!/bin/sh\n\(body)\n".utf8))
    }

    private func said() throws -> String { try HostTool.run("/bin/cat", [log], to: "look", from: .none) }

    @Test func withoutScriptsNothingHappens() throws {
        var asked = 0
        func document() -> String {
            asked += 1
            return ""
        }
        #expect(try HookScripts(folder: "/nonexistent").run(.qemu, "m", "start", "begin", document: document()) == "")
        #expect(asked == 0)
    }

    @Test func theScriptAndThoseBesideItRunInOrder() throws {
        try install("qemu", "echo main \"$@\" >> \(log); cat")
        try install("qemu.d/20", "echo second \"$@\" >> \(log)")
        try install("qemu.d/10", "echo first >> \(log)")
        try install("qemu.d/30", "echo never >> \(log)", mode: 0o644)
        let output = try HookScripts(folder: folder).run(.qemu, "m", "prepare", "begin", document: "<domain/>")
        #expect(output == "<domain/>")
        #expect(try said() == "main m prepare begin -\nfirst\nsecond m prepare begin -\n")
    }

    @Test func oneThatFailsRefusesAndEndsTheRow() throws {
        try install("qemu", "echo 'not today' >&2; exit 3")
        try install("qemu.d/10", "touch \(log)")
        let error = #expect(throws: ManagementError.self) {
            try HookScripts(folder: folder).run(.qemu, "m", "start", "begin")
        }
        #expect(error?.code == .hookScriptFailed && error?.origin == .hook)
        #expect(error?.detail == "\(folder)/qemu m start begin -: not today")
        #expect(throws: ManagementError.self) { try said() }
    }

    @Test func aLongDocumentThatNobodyReadsKeepsNobodyWaiting() throws {
        try install("network", "exit 0")
        let text = String(repeating: "x", count: 1 << 20)
        #expect(try HookScripts(folder: folder).run(.network, "n", "start", "begin", document: text) == "")
        try install("network", "wc -c")
        let count = try HookScripts(folder: folder).run(.network, "n", "start", "begin", document: text)
        #expect(count == "1048576\n")
    }
}
