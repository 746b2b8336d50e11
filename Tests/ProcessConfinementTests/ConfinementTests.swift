// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostProcesses
import HostSystem
import ProcessConfinement
import Testing

/// A folder with two files, and the launcher that the build made beside the tests.
private struct Stage {
    let folder: String
    let launcher: String?
    static let user: UInt32 = 1_900_000_001
    static let other: UInt32 = 1_900_000_002

    /// - Parameter place: where the folder is made.
    init(in place: String = "/tmp") throws {
        folder = place + "/.roost-confinement-\(getpid())-\(monotonicNanoseconds())"
        // The strings are copied by each call.
        for path in ["", "/sockets", "/root"] { unsafe mkdir(folder + path, 0o755) }
        for name in ["own", "other", "late"] { try Self.write(folder + "/" + name, name) }
        unsafe chown(folder + "/own", Self.user, Self.user)
        unsafe chown(folder + "/sockets", Self.user, Self.user)
        var text = [UInt8](repeating: 0, count: 4096)
        let count = unsafe text.withUnsafeMutableBytes { buffer in
            unsafe readlink("/proc/self/exe", buffer.baseAddress!.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        let parts = String(decoding: text.prefix(max(0, count)), as: UTF8.self).split(separator: "/").dropLast()
        let path = parts.reduce(into: "") { $0 += "/" + $1 } + "/confine-helper"
        launcher = unsafe access(path, X_OK) == 0 ? path : nil
    }

    static func write(_ path: String, _ text: String) throws {
        try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o666).writeAll(Array(text.utf8))
    }

    var plan: ConfinementPlan {
        var plan = ConfinementPlan()
        plan.identity = .init(user: Self.user, group: Self.user)
        plan.root = folder + "/root"
        plan.writable = [folder + "/own"]
        plan.folders = [folder + "/sockets"]
        return plan
    }

    /// Runs a shell's script with the rights of a confined program, as one who has taken it over would.
    func run(_ plan: ConfinementPlan, _ script: String) throws -> String {
        try ChildProcess.run(
            launcher ?? "", [ConfinedLaunch.word] + plan.arguments + ["--", "/bin/sh", "-c", script],
            environment: ["PATH=/usr/bin:/bin", "LC_ALL=C"]
        ).output
    }
}

@Suite(.serialized) struct ConfinementTests {
    @Test func aPlanIsReadAsItWasWritten() throws {
        var plan = ConfinementPlan()
        plan.identity = .init(user: 7, group: 8, groups: [9, 10])
        plan.root = "/r"
        plan.readable = ["/a", "/b c"]
        plan.writable = ["/--write"]
        plan.folders = ["/f"]
        var rest: [String] = []
        #expect(ConfinementPlan(plan.arguments + ["--", "/bin/x", "--user"], rest: &rest) == plan)
        #expect(rest == ["/bin/x", "--user"])
    }

    @Test(arguments: [["--user"], ["--user", "x"], ["--read", "relative"], ["--what", "/x"], ["x"]])
    func wordsThatMeanNothingAreRefused(_ words: [String]) {
        var rest: [String] = []
        #expect(ConfinementPlan(words, rest: &rest) == nil)
    }

    /// The launcher where confinement by root can be tried; nil with a sentence where it cannot.
    private func stage() throws -> Stage? {
        let stage = try Stage()
        guard stage.launcher != nil else {
            print("skipped: confine-helper is not built")
            return nil
        }
        guard getuid() == 0, try stage.run(stage.plan, "echo yes") == "yes\n" else {
            print(
                "skipped: views of their own need root and mount namespaces: \(try stage.run(stage.plan, "echo yes"))")
            return nil
        }
        return stage
    }

    @Test func whoTakesAProcessOverFindsOnlyItsOwn() throws {
        guard let stage = try stage() else { return }
        let script = """
            id -u; id -G; cat \(stage.folder)/own; echo; cat \(stage.folder)/other; ls \(stage.folder); ls /home /root /etc/shadow
            echo more >> \(stage.folder)/own && echo written; touch \(stage.folder)/sockets/s && echo made
            touch \(stage.folder)/new /usr/new /etc/new; ls /proc | grep -c '^[0-9]'; ls /dev | tr '\\n' ' '
            """
        let said = try stage.run(stage.plan, script)
        let lines = said.split(separator: "\n")
        #expect(lines.first == "\(Stage.user)")
        #expect(lines.contains("own") && lines.contains("written") && lines.contains("made"))
        #expect(said.contains("other: No such file"))
        #expect(said.contains("/etc/shadow': No such file") && said.contains("/root': No such file"))
        #expect(said.contains("new': Read-only") || said.contains("new': Permission denied"))
        // Its own processes alone: the shell, ls, grep and nothing of the host's.
        #expect(lines.contains { Int($0).map { $0 <= 4 } ?? false })
        for device in ["sda", "vda", "mem", "loop0"] {
            #expect(!(lines.last ?? "").split(separator: " ").contains(Substring(device)))
        }
    }

    @Test func nothingOfTheHostIsSignalledMountedOrTraced() throws {
        guard let stage = try stage() else { return }
        let said = try stage.run(
            stage.plan,
            "kill -0 \(getpid()) || echo spared; mount -t tmpfs x /tmp || echo unmounted; unshare -U true || echo shared; grep -c NoNewPrivs.*1 /proc/self/status; grep Seccomp: /proc/self/status"
        )
        #expect(said.contains("spared") && said.contains("unmounted") && said.contains("shared"))
        #expect(said.contains("Seccomp:\t2"))
        #expect(said.split(separator: "\n").contains("1"))
    }

    @Test func itHasTerminals() throws {
        guard let stage = try stage() else { return }
        // access copies the path.
        guard unsafe access("/usr/bin/script", X_OK) == 0 else {
            return print("itHasTerminals: skipped: script is not installed")
        }
        let said = try stage.run(stage.plan, "script -qc 'echo on a terminal' /dev/null < /dev/null")
        #expect(said.contains("on a terminal"), "\(said)")
    }

    @Test func aProgramThatItMadeItselfIsNotRun() throws {
        guard let stage = try stage() else { return }
        let said = try stage.run(stage.plan, "cp /bin/true /tmp/x && chmod 755 /tmp/x && /tmp/x && echo ran; echo end")
        #expect(said.contains("end"))
        #expect(!said.contains("ran\n"))
    }

    @Test func aFileIsShownWhileItRuns() throws {
        guard let stage = try stage(), let launcher = stage.launcher else { return }
        let script =
            "echo ready > \(stage.folder)/sockets/s; read line < \(stage.folder)/sockets/go; cat \(stage.folder)/late > \(stage.folder)/sockets/found"
        // mkfifo copies the path.
        unsafe mkfifo(stage.folder + "/sockets/go", 0o666)
        let process = try ChildProcess.start(
            launcher, [ConfinedLaunch.word] + stage.plan.arguments + ["--", "/bin/sh", "-c", script],
            environment: ["PATH=/usr/bin:/bin"])
        // Opening the pipe waits for the program to open its end.
        let pipe = try FileDescriptor.open(stage.folder + "/sockets/go", flags: O_WRONLY)
        var more = ConfinementPlan()
        more.readable = [stage.folder + "/late"]
        let shown = try ChildProcess.run(
            launcher, [ConfinedLaunch.showWord, "\(process)"] + more.arguments, environment: [])
        #expect(shown.ending == .exited(0), "\(shown.output)")
        try pipe.writeAll([10])
        #expect(try ChildProcess.wait(process) == .exited(0))
        let found = try ChildProcess.run("/bin/cat", [stage.folder + "/sockets/found"], environment: [])
        #expect(found.output == "late")
    }

    @Test func withoutRootOnlyItsOwnFilesAreWritten() throws {
        // Everybody writes to /tmp. getenv's text is copied at once; nobody changes variables.
        guard let home = unsafe getenv("HOME").map({ unsafe String(cString: $0) }), unsafe access(home, W_OK) == 0,
            home != "/tmp", home != "/"
        else { return print("withoutRoot...: skipped: HOME is no folder that can be written to") }
        let stage = try Stage(in: home)
        defer {
            // The strings are copied.
            for name in ["/own", "/other", "/late", "/sockets/t"] { unsafe unlink(stage.folder + name) }
            for name in ["/sockets", "/root", ""] { unsafe rmdir(stage.folder + name) }
        }
        guard stage.launcher != nil else { return print("skipped: confine-helper is not built") }
        var plan = ConfinementPlan()
        plan.writable = [stage.folder + "/own"]
        plan.folders = [stage.folder + "/sockets"]
        let said = try stage.run(
            plan,
            "echo x > \(stage.folder)/other || echo kept; echo x > \(stage.folder)/own && echo written; touch \(stage.folder)/sockets/t && echo made; cat \(stage.folder)/late"
        )
        guard said.contains("kept") else { return print("skipped: this kernel has no Landlock") }
        #expect(said.contains("written") && said.contains("made") && said.contains("late"))
    }
}
