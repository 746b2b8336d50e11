// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import DiskImages
import RandomKit
import StorageTestKit
import Testing

/// Command lines put together at random out of words that mean something somewhere.
@Suite struct ArgumentPropertyTests {
    private static let verbs = [
        "amend", "bitmap", "check", "commit", "compare", "convert", "create", "dd", "info", "map", "measure", "rebase",
        "resize", "snapshot", "bench",
    ]
    private static let options = [
        "-f", "-F", "-O", "-o", "-b", "-B", "-p", "-q", "-u", "-U", "-l", "-a", "-c", "-d", "-n", "-C", "-S", "-r",
        "-s",
        "-t", "-T", "-m", "-W", "-g", "--add", "--remove", "--clear", "--enable", "--disable", "--merge",
        "--output=json",
        "--output", "--size", "--image-opts", "--target-image-opts", "--target-is-zero", "--bitmaps", "--salvage",
        "--shrink",
        "--preallocation=full", "--preallocation=metadata", "--start-offset", "--max-length", "--object",
        "--backing-chain",
        "--force", "--", "-",
    ]
    private static let values = [
        "raw", "qcow2", "vmdk", "vdi", "luks", "nope", "1M", "+1M", "-1M", "0", "9223372036854775807", "8E", "1.5k", "",
        "x",
        "all", "leaks", "none", "writeback", "json", "cluster_size=512", "compat=0.10", "size=2M", "help",
        "preallocation=full",
        "driver=qcow2,file.filename=q.qcow2", "json:{}", "json:{\"driver\":\"null-co\"}", "nbd:", "secret,id=s,data=x",
        "b0",
        "if=q.qcow2", "of=out", "bs=1M", "count=1", "skip=1", "bs=0", "snapshot.id=1", ",", "=", "null-co://",
    ]
    private static let files = ["q.qcow2", "top.qcow2", "r.raw", "out", "none"]

    private func makeFiles(_ folder: Folder) {
        let base = folder.file("q.qcow2")
        #expect(tool(["create", "-q", "-f", "qcow2", base, "1M"]).status == 0)
        #expect(tool(["create", "-q", "-f", "raw", folder.file("r.raw"), "1M"]).status == 0)
        #expect(tool(["create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", folder.file("top.qcow2")]).status == 0)
        #expect(tool(["bitmap", "--add", base, "b0"]).status == 0)
        #expect(tool(["snapshot", "-c", "1", base]).status == 0)
    }

    /// Files live in the test's folder only.
    private func placed(_ word: String, _ folder: Folder) -> String {
        var word = word
        for file in Self.files where word == file || word.hasSuffix("=" + file) {
            word = word.dropLast(file.count) + folder.file(file)
        }
        return word
    }

    @Test(arguments: 0..<4) func everyLineEnds(seed: Int) {
        let folder = Folder()
        makeFiles(folder)
        var random = SeededGenerator(seed: UInt64(seed))
        let statuses: Set<Int32> = [0, 1, 2, 3, 4, 63]
        for _ in 0..<150 {
            var line = [Self.verbs.randomElement(using: &random) ?? "info"]
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let words =
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: Self.options
                    case 1: Self.values
                    default: Self.files
                    }
                line.append(placed(words.randomElement(using: &random) ?? "", folder))
            }
            // What would be made elsewhere than in the folder, or takes its time on purpose, is left out.
            let target = line.last ?? ""
            if ["convert", "create", "dd", "bench"].contains(line[0]), !target.hasPrefix(folder.path) { continue }
            if line[0] == "dd", line.contains("of=out") { continue }
            if line.contains("9223372036854775807") || line.contains("8E"), line[0] == "bench" { continue }
            let name = Bool.random(using: &random) ? "qemu-img" : "roost-img"
            let outcome = tool(name, line)
            #expect(statuses.contains(outcome.status), "\(line): \(outcome.status) \(outcome.text)")
            if outcome.status != 0 {
                #expect(!outcome.text.isEmpty || line[0] == "compare" || line[0] == "check", "\(line)")
            }
        }
    }
}
