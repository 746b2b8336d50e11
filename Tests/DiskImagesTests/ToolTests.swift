// SPDX-License-Identifier: Apache-2.0

import DiskImages
import StorageTestKit
import Synchronization
import Testing

/// Collects what the tool prints.
final class Screen: Sendable {
    private let text = Mutex("")

    func put(_ part: String) { text.withLock { $0 += part } }
    var content: String { text.withLock { $0 } }
}

/// Runs one command line in this process, under qemu-img's name.
func tool(_ arguments: [String]) -> (status: Int32, text: String) { tool("qemu-img", arguments) }

/// Runs one command line in this process.
func tool(_ name: String, _ arguments: [String]) -> (status: Int32, text: String) {
    let screen = Screen()
    let tool = ImageTool(name: name, output: { screen.put($0) }, errors: { screen.put($0) })
    let status = tool.run(arguments)
    return (status, screen.content)
}

/// Debian's qemu-utils; side by side tests are skipped without it.
let hasQEMU = isInstalled("qemu-img") && isInstalled("qemu-io")

@Suite struct ArgumentTests {
    @Test func mistakesAreToldAsByQEMU() {
        #expect(tool([]).text == "qemu-img: Not enough arguments\nTry 'qemu-img --help' for more information\n")
        #expect(tool(["nope"]).text.hasPrefix("qemu-img: Command not found: nope\n"))
        #expect(tool(["info", "-f"]).text.hasPrefix("qemu-img: missing argument for option '-f'\n"))
        #expect(tool(["info", "--nope", "x"]).text.hasPrefix("qemu-img: unrecognized option '--nope'\n"))
        #expect(
            tool(["info", "--outp=xml", "x"]).text
                == "qemu-img: --output must be used with human or json as argument.\n")
        #expect(tool(["check", "/nonexistent"]).status == 1)
    }

    @Test func theFriendlyNameDoesMore() {
        let folder = Folder()
        let path = folder.file("x.raw")
        #expect(tool("roost-img", ["create", "-q", path, "1MB"]).status == 0)
        #expect(tool("roost-img", ["resize", "-f", "raw", path, "+1GB"]).text == "Image resized.\n")
        #expect(tool("qemu-img", ["resize", "-f", "raw", path, "+1GB"]).status == 1)
        #expect(tool("roost-img", ["inf"]).text.contains("did you mean 'info'?"))
    }

    @Test func snapshotsAreFoundByIdentifier() {
        let folder = Folder()
        let path = folder.file("s.qcow2")
        #expect(tool(["create", "-q", "-f", "qcow2", path, "1M"]).status == 0)
        #expect(tool(["snapshot", "-c", "first", path]).status == 0)
        #expect(tool("qemu-img", ["snapshot", "-d", "1", path]).status == 1)
        #expect(tool("roost-img", ["snapshot", "-d", "1", path]).status == 0)
        #expect(tool(["snapshot", "-l", path]).text.isEmpty)
    }

    @Test func aBrokenChainSaysWhere() {
        let folder = Folder()
        let (base, top) = (folder.file("base"), folder.file("top"))
        _ = tool(["create", "-q", "-f", "qcow2", base, "1M"])
        _ = tool(["create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", top])
        _ = run("rm \(base)")
        let friendly = tool("roost-img", ["info", "--backing-chain", top])
        #expect(friendly.status == 1)
        #expect(friendly.text.contains("broken below '\(top)'") && friendly.text.contains("rebase -u -b"))
    }
}

@Suite(.enabled(if: hasQEMU, "needs Debian's qemu-utils"), .serialized) struct SideBySideTests {
    /// Commands that both programs run in folders of their own; the outputs must be the same.
    @Test(arguments: [
        "create -f qcow2 a 10M", "create -f qcow2 -o cluster_size=513 a 1M", "create -f qcow2 -b nofile -F raw a",
        "create -f raw a 511", "create -f qcow2 -o help", "create -f qcow2 a 1Z", "create", "info nofile",
        "info --image-opts driver=qcow2", "check base.raw", "map base.raw", "map --output=json base.qcow2",
        "map --output=json over.qcow2", "map over.qcow2", "info --output=json base.qcow2",
        "info --backing-chain over.qcow2", "check --output=json base.qcow2", "check over.qcow2",
        "compare base.raw base.qcow2", "compare base.raw over.qcow2", "compare -s base.raw base.qcow2",
        "measure --size 1G -O qcow2", "measure --output=json -O qcow2 over.qcow2",
        "measure -O qcow2 -o cluster_size=2M,extended_l2=on,refcount_bits=64 --size 3T",
        "resize base.qcow2 5M", "resize base.qcow2 +5M", "resize --shrink base.qcow2 5M", "snapshot -d none base.qcow2",
        "rebase -u -b base.raw over.qcow2", "rebase -b base.raw -F raw over.qcow2", "commit over.qcow2",
        "commit base.qcow2", "amend -o compat=0.10 base.qcow2", "amend -o cluster_size=1M base.qcow2",
        "bitmap --add base.qcow2 b", "bitmap --remove base.qcow2 none", "dd if=base.raw of=o bs=64k count=2",
        "dd if=base.raw", "convert -c -O raw base.raw o", "convert -O qcow2 base.raw o", "convert base.raw base.raw",
    ])
    func bothSayTheSame(command: String) {
        let folder = Folder()
        let prepare = """
            qemu-img create -q base.raw 8M && qemu-io -f raw -c 'write -P 1 1M 1M' base.raw > /dev/null &&
            qemu-img convert -O qcow2 base.raw base.qcow2 &&
            qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2 &&
            qemu-io -c 'write -P 2 4M 64k' over.qcow2 > /dev/null
            """
        let clean = "rm -f \(folder.path)/*"
        _ = run("cd \(folder.path) && \(prepare)")
        let expected = run("cd \(folder.path) && qemu-img \(command)")
        _ = run("\(clean); cd \(folder.path) && \(prepare)")
        let actual = runTool(in: folder.path, command)
        #expect(actual.status == expected.status, "\(command)")
        #expect(masked(actual.text) == masked(expected.output), "\(command)")
    }

    /// The program as built, under the name of the original.
    private func runTool(in folder: String, _ command: String) -> (status: Int32, text: String) {
        let program = CommandLine.arguments[0]
        let root = program.hasPrefix("/") ? "/" : "$PWD/"
        let binary = program.split(separator: "/").dropLast().joined(separator: "/")
        let outcome = run("ln -sf \(root)\(binary)/roost-img \(folder)/qemu-img; cd \(folder) && ./qemu-img \(command)")
        return (outcome.status, outcome.output)
    }

    /// The host's allocation differs from run to run.
    private func masked(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false)
            .filter {
                !$0.contains("disk size") && !$0.contains("actual-size") && !$0.contains("Image end offset")
                    && !$0.contains("image-end-offset")
            }
            .joined(separator: "\n")
    }
}

@Suite(.enabled(if: hasQEMU, "needs Debian's qemu-utils")) struct ExchangeTests {
    @Test(arguments: [
        "", "-c", "-o compat=0.10", "-o cluster_size=4k", "-c -o compression_type=zstd", "-o extended_l2=on",
        "-o preallocation=metadata", "-S 0",
    ])
    func imagesGoBothWays(options: String) {
        let folder = Folder()
        let raw = folder.file("a.raw")
        _ = run(
            "qemu-img create -q \(raw) 20M && qemu-io -f raw -c 'write -P 1 1M 3M' -c 'write -P 7 10000k 777k' \(raw)")
        let (mine, theirs, back) = (folder.file("mine"), folder.file("theirs"), folder.file("back"))
        let words = options.split(separator: " ").map(String.init)
        #expect(tool(["convert", "-O", "qcow2"] + words + [raw, mine]) == (0, ""))
        #expect(run("qemu-img check \(mine)").status == 0)
        #expect(run("qemu-img compare \(raw) \(mine)").status == 0)
        _ = run("qemu-img convert -O qcow2 \(options) \(raw) \(theirs)")
        #expect(tool(["check", theirs]).status == 0)
        #expect(tool(["compare", raw, theirs]).status == 0)
        #expect(tool(["convert", "-O", "raw", theirs, back]).status == 0)
        #expect(run("cmp \(raw) \(back)").status == 0)
    }
}

/// What roost-img says beyond qemu-img's words when people mistype.
@Suite struct AdviceTests {
    private let folder = Folder()

    private func text(_ arguments: String...) -> String { tool("roost-img", arguments).text }

    /// Only under its own name.
    private func expect(_ arguments: [String], says words: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let own = tool("roost-img", arguments)
        #expect(own.text.contains(words), "\(own.text)", sourceLocation: sourceLocation)
        let dropIn = tool("qemu-img", arguments)
        #expect(!dropIn.text.contains(words), "\(dropIn.text)", sourceLocation: sourceLocation)
    }

    @Test func verbsAndOptions() {
        let path = folder.file("disk.qcow2")
        #expect(tool(["create", "-q", "-f", "qcow2", path, "1M"]).status == 0)
        expect(["crete", path], says: "(did you mean 'create'?)")
        expect(["resise", path], says: "(did you mean 'resize'?)")
        expect(["copy", path, "x"], says: "(did you mean 'convert'?)")
        expect(["fsck", path], says: "(did you mean 'check'?)")
        expect([path], says: "(did you mean 'info \(path)'?)")
        expect(["info", "--ouput=json", path], says: "(did you mean '--output'?)")
        expect(["info", "-output=json", path], says: "(did you mean '--output'?)")
        expect(["create", "-O", "qcow2", "x", "1M"], says: "(did you mean '-f'?)")
        #expect(tool("roost-img", ["help"]).status == 0 && tool("qemu-img", ["help"]).status == 1)
    }

    @Test func formatsAndSizes() {
        let path = folder.file("disk.qcow2")
        expect(["create", "-f", "vhd", path, "1M"], says: "is called 'vpc'")
        expect(["create", "-f", "qcow3", path, "1M"], says: "is called 'qcow2'")
        expect(["create", "-f", "qocw2", path, "1M"], says: "Did you mean 'qcow2'?")
        expect(["create", "-f", "qcow2", "-o", "cluster-size=4k", path, "1M"], says: "Did you mean 'cluster_size'?")
        expect(["create", "-f", "qcow2", "1M", path], says: "The name comes first")
        expect(["create", "-f", "qcow2", path, "1", "M"], says: "Write the size as one word: 1M")
        expect(["create", path, "1M"], says: "becomes a raw image")
        expect(["info", "-f", "qcow2", path], says: "it is raw, or damaged")
        #expect(tool(["create", "-q", "-f", "qcow2", path, "1M"]).status == 0)
        expect(["info", "-f", "vmdk", path], says: "looks like an image of the format 'qcow2'")
        expect(["resize", "+1M", path], says: "The size comes last: resize \(path) +1M")
        expect(["convert", path, folder.file("new.vmdk")], says: "for vmdk add: -O vmdk")
    }

    @Test func files() {
        let path = folder.file("disk.qcow2")
        #expect(tool(["create", "-q", "-f", "qcow2", path, "1M"]).status == 0)
        expect(["info", folder.file("disk.qcow")], says: "Did you mean '\(path)'?")
        expect(["info", folder.file("Disk.img")], says: "Did you mean '\(path)'?")
        expect(["info", folder.file("none/disk")], says: "There is no folder '\(folder.file("none"))'.")
        expect(["info", "my:disk"], says: "write ./my:... or file:my:...")
        expect(["snapshot", "create", "s", path], says: "-c NAME takes one")
        let spaced = folder.file("a b")
        _ = run("cp '\(path)' '\(spaced)'")
        expect(["info"] + spaced.split(separator: " ").map(String.init), says: "has to be quoted: '\(spaced)'")
    }

    @Test func aBrokenChain() {
        let (base, middle, top) = (folder.file("base"), folder.file("middle"), folder.file("top"))
        #expect(tool(["create", "-q", "-f", "qcow2", base, "1M"]).status == 0)
        #expect(tool(["create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", middle]).status == 0)
        #expect(tool(["create", "-q", "-f", "qcow2", "-b", middle, "-F", "qcow2", top]).status == 0)
        _ = run("mv \(base) \(base).away")
        expect(["info", top], says: "The chain is broken below '\(middle)', which names '\(base)'")
        #expect(tool("roost-img", ["info", top]).status == 0)
        expect(["info", "--backing-chain", top], says: "image: \(middle)")
        expect(["check", top], says: "'\(middle)' names '\(base)' as its backing file; it was looked for at '\(base)'")
    }

    @Test(.enabled(if: hasQEMU, "needs Debian's qemu-utils")) func whoUsesAnImage() {
        let path = folder.file("busy.qcow2")
        #expect(tool(["create", "-q", "-f", "qcow2", path, "1M"]).status == 0)
        // The other program has it open as long as its input is, which ends with the test at the latest.
        let outcome = run(
            """
            sleep 20 2> /dev/null | qemu-io \(path) > \(path).out 2>&1 & echo $! > \(path).pid
            for i in $(seq 200); do for f in /proc/$!/fd/*; do [ "$(readlink $f)" = \(path) ] && exit 0; done; sleep 0.05; done; exit 1
            """)
        defer { _ = run("kill $(cat \(path).pid)") }
        guard outcome.status == 0 else { return }
        expect(["info", path], says: "It is open in qemu-io (process ")
    }

    @Test func progressIsShownWhereItIsWanted() {
        let (source, target) = (folder.file("a"), folder.file("b"))
        #expect(tool(["create", "-q", source, "1M"]).status == 0)
        #expect(tool("roost-img", ["convert", "-p", source, target]).text.contains("(100.00/100%)\r"))
        #expect(tool("roost-img", ["convert", source, target]).text.isEmpty)
        #expect(tool("roost-img", ["convert", "-p", "-q", source, target]).text.isEmpty)
    }
}
