// SPDX-License-Identifier: Apache-2.0

import CommandLineKit
import Diagnostics
import JSONCoding
import Testing

func message(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch { return "\(error)" }
}

@Suite struct OptionValueTests {
    @Test(
        arguments: [
            ("512", 512), ("1k", 1024), ("1.5G", 3 << 29), ("0x10", 16), ("2T", 2 << 40), ("3B", 3), ("0", 0),
        ] as [(String, UInt64)])
    func sizes(text: String, bytes: UInt64) throws {
        #expect(try OptionValue.size(text, for: "size") == bytes)
    }

    @Test func sizesTakeTheirOptionsUnit() throws {
        #expect(try OptionValue.size("512", for: "m", unit: 1 << 20) == 512 << 20)
        #expect(try OptionValue.size("512k", for: "m", unit: 1 << 20) == 512 << 10)
    }

    @Test(arguments: ["", "x", "-1", "1.5", "1..5G", "1.G", "G", "0x", "1GB", "1 G", ".5G"])
    func malformedSizes(text: String) {
        #expect(
            message { _ = try OptionValue.size(text, for: "size") }.hasPrefix(
                "Parameter 'size' expects a non-negative number below 2^64"))
    }

    @Test func hugeSizes() {
        for text in ["99999999T", "18446744073709551616", "16E", "0x10000000000000000"] {
            #expect(
                message { _ = try OptionValue.size(text, for: "size") }
                    == "Value '\(text)' is out of range for parameter 'size'")
        }
    }

    @Test func integers() throws {
        #expect(OptionValue.parseInteger("0xf4") == 0xF4 && OptionValue.parseInteger("010") == 8)
        #expect(OptionValue.parseInteger("-9223372036854775808") == .min && OptionValue.parseInteger("-1") == -1)
        for text in ["", "-", "0x", "--1", "1x", "99999999999999999999", "-9223372036854775809", "08"] {
            #expect(OptionValue.parseInteger(text) == nil)
        }
        #expect(
            message { _ = try OptionValue.integer("9", for: "n", in: 0...7) }
                == "Parameter 'n' expects a value from 0 to 7: not '9'")
    }

    @Test func switches() throws {
        for text in ["on", "yes", "true", "y"] { #expect(try OptionValue.bool(text, for: "x")) }
        for text in ["off", "no", "false", "n"] { #expect(try !OptionValue.bool(text, for: "x")) }
        #expect(message { _ = try OptionValue.bool("5", for: "x") }.hasPrefix("Parameter 'x' expects 'on' or 'off'"))
    }

    @Test func identifiers() {
        #expect(OptionValue.isIdentifier("net0.a-b_C") && !OptionValue.isIdentifier("0net"))
        #expect(!OptionValue.isIdentifier("") && !OptionValue.isIdentifier("a b") && !OptionValue.isIdentifier("aé"))
    }
}

@Suite struct SuggestionTests {
    @Test func nearest() {
        let words = ["machine", "monitor", "memory", "mon"]
        #expect(Suggestion.nearest(to: "machien", among: words) == "machine")
        #expect(Suggestion.nearest(to: "monitr", among: words) == "monitor")
        #expect(Suggestion.nearest(to: "zzzz", among: words) == nil)
        #expect(Suggestion.nearest(to: "mach", among: words) == "machine")
        #expect(Suggestion.sentence(for: "q", among: ["on", "off"]) == "use on, off")
    }
}

@Suite struct OptionListTests {
    @Test func pairsEscapesAndImpliedKey() throws {
        var list = try OptionList(parsing: "q35,acpi=on,file=a,,b,usb,nohpet,", implied: "type")
        #expect(list.take("type") == "q35" && list.take("file") == "a,b")
        #expect(try list.takeBool("acpi") == true && list.takeBool("usb") == true && list.takeBool("hpet") == false)
        try list.finish()
    }

    @Test func lastValueCountsAndRepeatedKeysAreKept() throws {
        var list = try OptionList(parsing: "a=1,f=x,a=2,f=y=z")
        #expect(try list.takeInteger("a", in: 0...9) == 2)
        #expect(list.takeAll("f") == ["x", "y=z"])
    }

    @Test func leftoversAreRefusedWithTheNearestKey() throws {
        var list = try OptionList(parsing: "hotsfwd=x")
        _ = list.take("hostfwd")
        #expect(message { try list.finish() } == "Invalid parameter 'hotsfwd'; did you mean 'hostfwd'?")
    }

    @Test func unsupportedValuesAreRefused() throws {
        var list = try OptionList(parsing: "vhost=off")
        try list.refuse("vhost", except: ["off"], because: "no")
        var other = try OptionList(parsing: "vhost=on")
        #expect(
            message { try other.refuse("vhost", except: ["off"], because: "it is not built in") }
                == "Parameter 'vhost=on' is not supported: it is not built in")
    }

    @Test func jsonObjectsBecomeDottedKeys() throws {
        let value = try JSONValue(parsing: "{'driver':'x','a':{'b':1,'c':[true,2]}}")
        let list = try OptionList(try #require(value.object))
        #expect(list.entries.map { "\($0.key)=\($0.value)" } == ["driver=x", "a.b=1", "a.c.0=on", "a.c.1=2"])
    }

    @Test func dottedKeysNest() throws {
        let list = try OptionList(parsing: "driver=qcow2,file.driver=file,l.1=b,l.0=a")
        #expect(
            try JSONValue.object(list.nested())
                == ["driver": "qcow2", "file": ["driver": "file"], "l": ["a", "b"]])
        for text in ["a=1,a.b=2", "a.b=2,a=1", "a..b=1"] {
            let bad = try OptionList(parsing: text)
            #expect(throws: UserError.self) { try bad.nested() }
        }
    }
}

@Suite struct FlagTableTests {
    let table = FlagTable([
        Flag("machine", aliases: ["M"], argument: "type", section: "Standard options", "selects the machine"),
        Flag("S", section: "Debug options", "freeze at startup"),
        Flag("snapshot", section: "Debug options", "write to temporary files"),
    ])

    private func scan(_ arguments: [String], files: [String: String] = [:]) throws -> [FlagUse] {
        try table.scan(arguments) { path throws(UserError) in
            guard let text = files[path] else { throw UserError("cannot read '\(path)'") }
            return text
        }
    }

    @Test func oneOrTwoDashes() throws {
        let uses = try scan(["-S", "--M", "q35", "disk.img"])
        #expect(uses.map(\.name) == ["S", "machine", ""])
        #expect(uses.map(\.value) == ["", "q35", "disk.img"])
        #expect(uses[1].place == "--M q35")
    }

    @Test func mistakes() {
        #expect(message { _ = try scan(["-snapshto"]) } == "-snapshto: invalid option; did you mean '-snapshot'?")
        #expect(message { _ = try scan(["-M"]) } == "-M: requires an argument")
        #expect(message { _ = try scan(["-machine=q35"]) } == "-machine=q35: invalid option; write '-machine q35'")
        #expect(message { _ = try scan(["---S"]) }.hasPrefix("---S: invalid option"))
    }

    @Test func argumentFiles() throws {
        let files = ["a": "# all\n-M 'q 35' \\\n -S @b", "b": "\"-snapshot\""]
        #expect(try scan(["@a"], files: files).map(\.value) == ["q 35", "", ""])
        #expect(try scan(["-M", "@a"]).map(\.value) == ["@a"])
        #expect(throws: UserError.self) { try scan(["@a"], files: ["a": "@a"]) }
        #expect(throws: UserError.self) { try scan(["@a"], files: ["a": "'open"]) }
    }

    @Test func helpListsEverythingBySection() {
        #expect(
            table.help == """
                Standard options:
                -machine or -M type
                                selects the machine

                Debug options:
                -S              freeze at startup
                -snapshot       write to temporary files

                """)
    }
}

@Suite struct ConfigurationFileTests {
    @Test func groups() throws {
        let file = try ConfigurationFile(
            parsing: "# x\n[device \"d0\"]\n  driver = \"virtio-rng-pci\"\n\n[machine]\n type=\"q35\"\n", path: "c")
        #expect(file.groups.map(\.name) == ["device", "machine"])
        #expect(file.groups[0].identifier == "d0" && file.groups[0].entries[0].value == "virtio-rng-pci")
    }

    @Test(arguments: ["[x", "[]", "a = \"b\"", "[x]\na = b", "[x]\nab", "[x y]"])
    func mistakesNameTheLine(text: String) {
        #expect(message { _ = try ConfigurationFile(parsing: text, path: "c") }.hasPrefix("c:"))
    }
}
