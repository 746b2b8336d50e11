// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import FriendlyCommand
import Testing

@Suite("Reading what was typed")
struct InvocationTests {
    private static let verb = Verb(
        "grow", [.machine, .optional("DISK")],
        options: [VerbOption("by", "SIZE", "how much"), VerbOption("now", nil, "at once")], "grows"
    ) { _ in }
    private static let remote = Verb(
        "ssh", [.machine, .rest("COMMAND")], options: [VerbOption("user", "NAME", "whom")], "logs in"
    ) { _ in }

    private func read(_ words: String..., verb: Verb = verb) throws -> Invocation {
        try Invocation(verb, words[...], settings: GlobalSettings())
    }

    @Test("options stand before and behind words, with = or a space")
    func options() throws {
        for words in [["a", "--by", "1G", "--now"], ["--by=1G", "--now", "a"], ["--now", "--by", "1G", "a"]] {
            let read = try Invocation(Self.verb, words[...], settings: GlobalSettings())
            #expect(read.words == ["a"])
            #expect(try read.size("by", default: 0) == 1 << 30)
            #expect(read.has("now"))
        }
    }

    @Test("a remote command keeps its own options")
    func remoteCommand() throws {
        let read = try read("--user", "me", "vm", "ls", "-l", "--color", verb: Self.remote)
        #expect(read["user"] == "me")
        #expect(read.words == ["vm", "ls", "-l", "--color"])
    }

    @Test("options stand behind several names, too")
    func names() throws {
        let verb = Verb("rm", [.rest("NAME", .machine)], options: [VerbOption("force", nil, "at once")], "removes") {
            _ in
        }
        let read = try read("a", "--force", "b", verb: verb)
        #expect(read.words == ["a", "b"] && read.has("force"))
    }

    @Test("behind -- everything is a word")
    func separator() throws { #expect(try read("--", "--by").words == ["--by"]) }

    @Test(
        "errors name what is wrong and what would be right",
        arguments: [
            (["--bye", "1", "a"], "roost grow has no option --bye; did you mean '--by'?"),
            ([], "roost grow needs NAME; usage: roost grow NAME [DISK] [--by SIZE] [--now]"),
            (["a", "b", "c"], "roost grow: 'c' is a word too many; usage: roost grow NAME [DISK] [--by SIZE] [--now]"),
            (["a", "--by"], "option --by needs a value; roost grow NAME [DISK] [--by SIZE] [--now]"),
            (["a", "--now=1"], "option --now takes no value"),
        ])
    func errors(words: [String], line: String) {
        #expect(throws: UserError.self) { try Invocation(Self.verb, words[...], settings: GlobalSettings()) }
        do { _ = try Invocation(Self.verb, words[...], settings: GlobalSettings()) } catch {
            #expect("\(error)" == line)
        }
    }

    @Test("numbers are checked")
    func numbers() throws {
        #expect(try read("a", "--by", "7").number("by", in: 1...9, default: 1) == 7)
        #expect(try read("a").number("by", in: 1...9, default: 1) == 1)
        #expect(throws: UserError.self) { try read("a", "--by", "70").number("by", in: 1...9, default: 1) }
    }
}

@Suite("The verbs")
struct VerbTests {
    @Test("a verb of two words wins over its first word")
    func twoWords() throws {
        var words: ArraySlice<String> = ["snapshot", "create", "vm"]
        #expect(try Verbs.find(&words).name == "snapshot create")
        #expect(words == ["vm"])
    }

    @Test(
        "a mistyped verb is answered with the nearest one",
        arguments: [
            (["lst"], "unknown verb 'lst'; did you mean 'list'?"),
            (["xyzzy"], "unknown verb 'xyzzy'; roost --help shows them all"),
            (["pool"], "roost pool needs a second word; use list, create, rm, show"),
            (["pool", "lsit"], "roost pool has no 'lsit'; did you mean 'list'?"),
        ])
    func unknown(words: [String], line: String) {
        var rest = words[...]
        do {
            _ = try Verbs.find(&rest)
            Issue.record("found")
        } catch { #expect("\(error)" == line) }
    }

    @Test("names are unique, and each verb has a line of help")
    func table() {
        #expect(Set(Verbs.all.map(\.name)).count == Verbs.all.count)
        for verb in Verbs.all { #expect(!verb.help.isEmpty && !verb.help.contains("\n"), "\(verb.name)") }
    }

    @Test("help and the manual name every verb and option")
    func help() {
        let overview = HelpText.overview(Verbs.all)
        let manual = HelpText.manual(Verbs.all).replacing("\\-", with: "-")
        for verb in Verbs.all {
            #expect(overview.contains("  \(verb.name)"))
            #expect(manual.contains(".B \(verb.name)"))
            for option in verb.options {
                #expect(HelpText.page(verb).contains("--\(option.name)"))
                #expect(manual.contains("--\(option.name)"))
            }
        }
    }

    @Test(
        "completion offers what fits",
        arguments: [
            (["sn"], ["snapshot"]), (["snapshot", "r"], ["restore", "rm"]), (["start", "w"], ["web"]),
            (["stop", "--fo"], ["--force"]), (["up", "x", "--image", ""], []), (["net", "stop", ""], ["default"]),
            (["ssh", "web", ""], []),
        ])
    func completion(words: [String], offered: [String]) {
        let found = HelpText.completions(words, Verbs.all) { kind in
            switch kind {
            case .machine: ["db", "web"]
            case .network: ["default"]
            default: []
            }
        }
        #expect(found == offered)
    }

    @Test("each shell gets a script")
    func scripts() {
        for shell in ["bash", "zsh", "fish"] {
            #expect(HelpText.completionScript(shell)?.contains("roost complete") == true)
        }
        #expect(HelpText.completionScript("cmd") == nil)
    }
}
