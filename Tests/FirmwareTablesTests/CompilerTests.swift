// SPDX-License-Identifier: Apache-2.0

import FirmwareTables
import Glibc
import Testing

private let hasCompiler = unsafe access("/usr/bin/iasl", X_OK) == 0

/// Intel's compiler takes the tables apart and puts them together again.
@Suite(.enabled(if: hasCompiler, "iasl is not installed: apt-get install acpica-tools")) struct CompilerTests {
    private func write(_ bytes: [UInt8], to path: String) throws {
        let file = unsafe fopen(path, "w")
        try #require(unsafe file != nil)
        // The array lives for the call.
        let written = unsafe fwrite(bytes, 1, bytes.count, file!)
        unsafe fclose(file!)
        #expect(written == bytes.count)
    }

    private func read(_ path: String) -> String {
        guard let file = unsafe fopen(path, "r") else { return "" }
        var text: [UInt8] = []
        var character = unsafe fgetc(file)
        while character != EOF {
            text.append(UInt8(truncatingIfNeeded: character))
            unsafe character = fgetc(file)
        }
        unsafe fclose(file)
        return String(decoding: text, as: UTF8.self)
    }

    @Test(arguments: ACPITableTests.boards) func acceptsAllTables(board: MachineDescription.Board) throws {
        var template = Array("/tmp/roost-acpi-XXXXXX".utf8CString)
        // mkdtemp changes the six last characters in place.
        try #require(unsafe mkdtemp(&template) != nil)
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { _ = unsafe system("rm -r '\(folder)'") }
        let tables = ACPITables(makeMachine(board))
        for signature in Set(tables.layout.map(\.signature)).subtracting(["FACS"]) {
            let path = "\(folder)/\(signature)"
            try write(tables.linkedTable(signature), to: path + ".aml")
            let taken = unsafe system(
                "cd '\(folder)' && iasl -p \(signature) -d \(signature).aml >\(signature).log 2>&1")
            #expect(taken == 0, "\(read(path + ".log"))")
        }
        let source = read("\(folder)/DSDT.dsl")
        #expect(!source.contains("Unknown") && !source.contains("ERROR"))
        #expect(source.contains("_S5, Package (0x04)") && !source.contains("_S3,"))
        let made = unsafe system("cd '\(folder)' && iasl -p again DSDT.dsl >again.log 2>&1")
        let log = read("\(folder)/again.log")
        #expect(made == 0 && log.contains(" 0 Errors"), "\(log)")
    }
}
