// SPDX-License-Identifier: Apache-2.0

import HostInventory
import ManagementModel
import Testing
import XMLTree

private let map = ProcessorMap.standard

private func document(_ text: String, isHost: Bool? = nil) throws -> ProcessorDocument {
    try ProcessorDocument(try XMLParser.parse(text), isHost: isHost)
}

private func host(_ model: String, _ features: [String] = [], vendor: String? = nil) throws -> ProcessorDocument {
    let list = features.map { "<feature name='\($0)'/>" }.joined()
    let maker = vendor.map { "<vendor>\($0)</vendor>" } ?? ""
    return try document("<cpu><arch>x86_64</arch><model>\(model)</model>\(maker)\(list)</cpu>", isHost: true)
}

private func guest(_ model: String, _ features: String = "", match: String = "exact") throws -> ProcessorDocument {
    try document("<cpu match='\(match)'><model>\(model)</model>\(features)</cpu>")
}

private func detail(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch { return (error as? ManagementError)?.detail ?? "\(error)" }
}

@Suite struct ProcessorMapTests {
    @Test func theTablesAreWhole() {
        #expect(map.features.count == 212 && map.models.count == 58)
        #expect(Set(map.features.map(\.name)).count == map.features.count)
        #expect(Set(map.models.map(\.name)).count == map.models.count)
        #expect(map.index(of: "sse3") == map.index(of: "pni"))
        #expect(map.model("qemu64")?.features.vendor == nil && map.model("EPYC")?.features.vendor == "AMD")
    }

    @Test func aPlaceIsALeafAndABit() throws {
        let feature = map.features[try #require(map.index(of: "avx2"))]
        let place = feature.place
        #expect(place.leaf == 7 && place.index == 0 && !place.isModelSpecific && place.register == 1 && place.bit == 5)
        let other = map.features[try #require(map.index(of: "rdctl-no"))]
        #expect(other.place.isModelSpecific && other.place.leaf == 0x10A)
        #expect(map.features.filter { !$0.isMigratable }.map(\.name).contains("invtsc"))
    }

    @Test func setsBehaveLikeSets() {
        var set = ProcessorFeatureSet()
        #expect(set.isEmpty)
        for index in [0, 63, 64, 211] { set[index] = true }
        set.vendor = "AMD"
        var other = set
        other[64] = false
        #expect(other.isSubset(of: set) && !set.isSubset(of: other))
        #expect(set.subtracting(other)[64] && !set.subtracting(other)[63])
        #expect(set.subtracting(set).isEmpty)
        other.vendor = "Intel"
        #expect(!other.isSubset(of: set))
        other.formIntersection(set)
        #expect(other.vendor == nil && other[0] && !other[64])
    }
}

@Suite struct ProcessorDocumentTests {
    @Test func readsBothKinds() throws {
        let host = try host("Haswell", ["vmx"], vendor: "Intel")
        #expect(host.isHost && host.architecture == "x86_64" && host.features.map(\.name) == ["vmx"])
        let guest = try guest("Haswell", "<feature policy='disable' name='lm'/>", match: "strict")
        #expect(!guest.isHost && guest.match == "strict" && guest.features.first?.policy == .disable)
        #expect(
            guest.document
                == "<cpu mode='custom' match='strict'>\n  <model fallback='allow'>Haswell</model>\n"
                + "  <feature policy='disable' name='lm'/>\n</cpu>\n")
    }

    @Test(arguments: [
        ("<x/>", "XML does not contain expected 'cpu' element"),
        ("<cpu match='exact'><arch>x86_64</arch></cpu>", "'arch' element cannot be used inside 'cpu'"),
        ("<cpu mode='custom'><arch>x86_64</arch></cpu>", "Attribute mode is only allowed for guest CPU"),
        ("<cpu><arch/></cpu>", "Missing CPU architecture"), ("<cpu><arch>z80</arch></cpu>", "Unknown architecture z80"),
        ("<cpu><arch>x86_64</arch></cpu>", "Missing CPU model name"), ("<cpu mode='x'/>", "Invalid mode attribute 'x'"),
        ("<cpu match='x'/>", "attribute 'match'"), ("<cpu check='x'/>", "attribute 'check'"),
        ("<cpu migratable='on'/>", "Attribute migratable is only allowed"),
        ("<cpu><vendor>AMD</vendor></cpu>", "CPU vendor specified without CPU model"),
        ("<cpu><feature name='lm'/></cpu>", "Non-empty feature list specified without CPU model"),
        ("<cpu><model>m</model><feature/></cpu>", "Invalid CPU feature name"),
        ("<cpu><model>m</model><feature name='a' policy='x'/></cpu>", "Invalid CPU feature policy"),
        (
            "<cpu><model>m</model><feature name='a'/><feature name='a'/></cpu>",
            "CPU feature 'a' specified more than once"
        ),
        ("<cpu><model fallback='x'>m</model></cpu>", "Invalid fallback attribute"),
        ("<cpu><topology sockets='1' cores='1'/></cpu>", "Missing required attribute 'threads'"),
        ("<cpu><topology sockets='0' cores='1' threads='1'/></cpu>", "attribute 'sockets'"),
    ])
    func mistakesAreNamed(text: String, words: String) {
        #expect(detail { _ = try document(text) }.contains(words))
    }
}

@Suite struct ProcessorComparisonTests {
    private func compare(_ present: ProcessorDocument, _ wanted: ProcessorDocument) throws
        -> ProcessorMap.Comparison
    {
        try map.compare(host: present, with: wanted, fails: false)
    }

    @Test func sameMoreAndLess() throws {
        let present = try host("Haswell", ["vmx"], vendor: "Intel")
        #expect(try compare(present, present) == .identical)
        #expect(try compare(present, try guest("Haswell", "<feature name='vmx'/>")) == .identical)
        #expect(try compare(present, try guest("SandyBridge")) == .superset)
        #expect(try compare(present, try guest("Skylake-Server")) == .incompatible)
        #expect(try compare(present, try guest("SandyBridge", match: "strict")) == .incompatible)
        // Who made a model does not matter, unless the document says so.
        #expect(try compare(present, try guest("Opteron_G1", "<feature policy='disable' name='vme'/>")) == .superset)
    }

    @Test func policiesCount() throws {
        let present = try host("Haswell", vendor: "Intel")
        for (policy, expected) in [
            ("require", ProcessorMap.Comparison.incompatible), ("force", .identical), ("optional", .identical),
            ("disable", .identical), ("forbid", .identical),
        ] {
            let wanted = try guest("Haswell", "<feature policy='\(policy)' name='avx512f'/>")
            #expect(try compare(present, wanted) == expected, "\(policy)")
        }
        #expect(try compare(present, try guest("Haswell", "<feature policy='forbid' name='avx'/>")) == .incompatible)
        #expect(try compare(present, try guest("Haswell", "<feature policy='disable' name='avx'/>")) == .identical)
    }

    @Test func reasonsAreGiven() throws {
        let present = try host("kvm64", vendor: "AMD")
        func reason(_ wanted: ProcessorDocument) -> String {
            detail { _ = try map.compare(host: present, with: wanted, fails: true) }
        }
        #expect(
            reason(try guest("kvm64", "<feature name='avx'/><feature name='aes'/>"))
                == "Host CPU does not provide required features: aes, avx")
        #expect(
            reason(try guest("kvm64", "<feature policy='forbid' name='sse2'/>"))
                == "Host CPU provides forbidden features: sse2")
        #expect(reason(try document("<cpu><arch>aarch64</arch><model>x</model></cpu>")).contains("aarch64"))
        #expect(reason(try document("<cpu><model>kvm64</model><vendor>Intel</vendor></cpu>")).contains("Intel"))
        #expect(reason(try guest("nothing")) == "Unknown CPU model nothing")
        #expect(reason(try guest("kvm64", "<feature name='nothing'/>")) == "Unknown CPU feature nothing")
        let more = try host("kvm64", ["avx"])
        #expect(
            detail { _ = try map.compare(host: more, with: try guest("kvm64", match: "strict"), fails: true) }
                == "Host CPU does not strictly match guest CPU: Extra features: avx")
    }
}

@Suite struct ProcessorBaselineTests {
    @Test func whatAllHave() throws {
        let two = try map.baseline([try host("Haswell"), try host("SandyBridge")], migratable: false)
        #expect(two.model == "SandyBridge" && two.features.isEmpty && two.vendor == nil)
        let one = try map.baseline([try host("Haswell", ["vmx"], vendor: "Intel")], migratable: false)
        #expect(one.model == "Haswell" && !one.allowsFallback && one.vendor == "Intel")
        #expect(one.features.map(\.name) == ["vmx"])
    }

    @Test func whatKeepsAMachineFromMovingIsLeftOut() throws {
        let given = [try host("kvm64", ["invtsc", "avx"])]
        #expect(try map.baseline(given, migratable: false).features.map(\.name) == ["avx", "invtsc"])
        #expect(try map.baseline(given, migratable: true).features.map(\.name) == ["avx"])
    }

    @Test func whatTheSystemDoesIsLeftOut() throws {
        var given = try map.baseline([try host("kvm64", ["osxsave", "avx", "cmt"])], migratable: false)
        map.dropHostOnly(&given)
        #expect(given.features.map(\.name) == ["avx"])
    }

    @Test func expandedByName() throws {
        var given = try map.baseline([try host("486", ["vmx"])], migratable: false)
        try map.expand(&given)
        #expect(given.features.map(\.name) == ["fpu", "pse", "vme", "vmx"])
        var old = try map.baseline([try host("Icelake-Client")], migratable: false)
        try map.expand(&old)
        #expect(old.features.first { $0.name == "intel-pt" }?.policy == .disable)
    }

    @Test func anEmulatorsModelsAndFeaturesLimit() throws {
        let given = [try host("Haswell"), try host("Haswell-noTSX")]
        let limited = try map.baseline(
            given, offered: ["Nehalem": [], "kvm64": []], known: ["fpu", "lm", "sse", "sse2", "cx16"], migratable: false
        )
        #expect(limited.model == "kvm64" || limited.model == "Nehalem")
        #expect(limited.features.allSatisfy { $0.policy == .disable })
    }

    @Test(arguments: [
        (["<cpu><arch>x86_64</arch><model>Nehalem</model><vendor>Nobody</vendor></cpu>"], "Unknown CPU vendor Nobody"),
        (
            [
                "<cpu><arch>x86_64</arch><model>Nehalem</model><vendor>Intel</vendor></cpu>",
                "<cpu><arch>x86_64</arch><model>Opteron_G1</model><vendor>AMD</vendor></cpu>",
            ], "CPU vendors do not match"
        ),
        (
            [
                "<cpu><arch>x86_64</arch><model>kvm64</model></cpu>",
                "<cpu><arch>x86_64</arch><model>Nehalem</model><vendor>AMD</vendor></cpu>",
            ], "CPU vendor Intel of model Nehalem differs from vendor AMD"
        ),
        (["<cpu/>"], "no CPU model specified at index 0"),
    ])
    func mistakesAreNamed(texts: [String], words: String) {
        #expect(detail { _ = try map.baseline(try texts.map { try document($0) }, migratable: false) } == words)
    }
}

@Suite struct EmulatorProcessorTests {
    private static let answers = """
        {"QMP": {"version": {}, "capabilities": []}}
        {"return": {}}
        {"return": [{"name": "max", "unavailable-features": []}, {"name": "kvm64", "unavailable-features": []}, \
        {"name": "EPYC", "unavailable-features": ["fxsr-opt", "topoext"]}], "id": "models"}
        {"return": {"model": {"name": "base", "props": {"sse3": true, "lm": true, "avx512f": false, "vendor": \
        "AuthenticAMD", "family": 6, "model": 6, "stepping": 3, "colour": "red"}}}, "id": "best"}
        {"return": {"model": {"name": "base", "props": {"sse3": false, "lm": true, "avx512f": false}}}, "id": "movable"}
        {"return": {}}
        """

    @Test func readsWhatAnEmulatorSays() throws {
        let found = try EmulatorProcessors(answers: Self.answers)
        #expect(found.models.map(\.name) == ["kvm64", "EPYC"])
        #expect(found.offered["EPYC"] == ["fxsr-opt", "topoext"])
        #expect(found.known == ["pni", "lm", "avx512f"])
        #expect(found.immovable == ["pni"])
        #expect(map.names(of: found.best) == ["pni", "lm"] && found.best.vendor == "AMD")
        let best = try found.hostModel()
        #expect(best.model == "kvm64" && !best.allowsFallback && best.features.contains { $0.policy == .disable })
    }

    @Test(arguments: ["", "{}", "{\"return\": [], \"id\": \"models\"}", "not JSON\n{\"id\": 7}"])
    func anythingElseIsAnError(text: String) {
        #expect(throws: ManagementError.self) { _ = try EmulatorProcessors(answers: text) }
    }
}
