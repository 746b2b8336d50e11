// SPDX-License-Identifier: Apache-2.0

import HostInventory
import ManagementModel
import Testing

/// A description as packages install them.
private func description(
    _ program: String, features: [String] = [], machines: [String] = ["pc-i440fx-*", "pc-q35-*"],
    interface: String = "uefi"
) -> String {
    let list = { (texts: [String]) in texts.map { "\"\($0)\"" }.joined(separator: ",") }
    return """
        {"description":"x","interface-types":["\(interface)"],"mapping":{"device":"flash",
        "executable":{"filename":"\(program)","format":"raw"},"nvram-template":{"filename":"\(program).vars","format":"raw"}},
        "targets":[{"architecture":"x86_64","machines":[\(list(machines))]}],"features":[\(list(features))],"tags":[]}
        """
}

@Suite struct FirmwareTests {
    private let installed = [
        description("/secure", features: ["secure-boot", "requires-smm"], machines: ["pc-q35-*"]),
        description("/plain", features: ["acpi-s3"]), description("/bios", interface: "bios"),
    ].compactMap { FirmwareDescription(parsing: $0) }

    private func choice(_ kind: String, _ machine: String, _ features: [String: Bool] = [:]) -> String? {
        FirmwareWish(kind: kind, architecture: "x86_64", machine: machine, features: features)
            .choice(among: installed)?.program
    }

    @Test func theFirstThatFitsIsChosen() {
        #expect(installed.count == 3)
        #expect(choice("efi", "pc-q35-7.2") == "/plain")
        #expect(choice("efi", "pc-q35-7.2", ["secure-boot": true]) == "/secure")
        #expect(choice("efi", "pc-q35-7.2", ["secure-boot": false]) == "/plain")
        #expect(choice("bios", "pc-i440fx-7.2") == "/bios")
    }

    @Test func whatFitsNotIsNotChosen() {
        #expect(choice("efi", "pc-i440fx-7.2", ["secure-boot": true]) == nil)
        #expect(choice("efi", "microvm") == nil)
        #expect(choice("efi", "pc-q35-7.2", ["enrolled-keys": true]) == nil)
    }

    @Test(arguments: [
        "", "{}", "[1]", #"{"mapping":{"device":"flash"}}"#, #"{"mapping":{"device":"kernel","filename":"/k"}}"#,
        #"{"mapping":{"device":"flash","executable":{"filename":"/x","format":"qcow2"}}}"#,
    ])
    func otherTextsAreNoDescriptions(_ text: String) { #expect(FirmwareDescription(parsing: text) == nil) }

    @Test func foldersThatAreNotThereHoldNone() {
        #expect(FirmwareDescription.installed(["/nowhere"]).isEmpty)
    }
}

@Suite struct DomainCapabilitiesTests {
    private let emulator = EmulatorFacts(
        path: "/e", version: 7_002_000,
        machines: [
            EmulatorFacts.Machine(name: "pc", canonical: "pc-i440fx-7.2", maximumProcessors: 255),
            EmulatorFacts.Machine(name: "pc-i440fx-7.2", canonical: nil, maximumProcessors: 255),
        ], processorModels: ["qemu64"], devices: ["VGA", "ide-hd"], hasKVM: false)
    private let firmware = [FirmwareDescription(parsing: description("/plain"))].compactMap { $0 }

    private func document(_ architecture: String?, _ machine: String?, _ type: String?) throws -> String {
        try DomainCapabilities(
            emulator: emulator, host: HostFacts(), architecture: architecture, machine: machine, type: type,
            firmware: firmware
        ).document
    }

    @Test func theyNameMachineFirmwareAndDevices() throws {
        let text = try document(nil, "pc", nil)
        for part in [
            "<machine>pc-i440fx-7.2</machine>", "<domain>qemu</domain>", "<value>efi</value>",
            "<value>/plain</value>", "<value>pflash</value>", "<value>vga</value>", "<value>ide</value>",
        ] {
            #expect(text.contains(part), "\(part)")
        }
    }

    /// What is asked for and the code of the answer.
    struct Wish: Sendable {
        var architecture: String?
        var machine: String?
        var type: String?
        var code: ErrorCode
    }

    @Test(arguments: [
        Wish(architecture: "foo", code: .invalidArg), Wish(architecture: "aarch64", code: .configUnsupported),
        Wish(machine: "foo", code: .invalidArg), Wish(type: "kvm", code: .invalidArg),
        Wish(type: "foo", code: .invalidArg),
    ])
    func whatThereIsNotHasLibvirtsError(_ wish: Wish) {
        #expect {
            try document(wish.architecture, wish.machine, wish.type)
        } throws: { ($0 as? ManagementError)?.code == wish.code }
    }

    @Test func devicesHaveAliases() {
        #expect(EmulatorFacts.names("name \"ich9-ahci\", bus PCI, alias \"ahci\"") == ["ich9-ahci", "ahci"])
        #expect(EmulatorFacts.names("name \"VGA\", bus PCI") == ["VGA"])
        #expect(EmulatorFacts.names("name \"x\", desc \"no alias here\"") == ["x"])
        #expect(EmulatorFacts.names("Storage devices:").isEmpty)
    }

    @Test func emulatorsThatAreNotThereAreNamed() {
        let catalog = EmulatorCatalog(standard: emulator)
        #expect(throws: Never.self) { try catalog.facts(of: String?.none) }
        #expect(throws: Never.self) { try catalog.facts(of: "/e") }
        #expect { try catalog.facts(of: "/nope") } throws: {
            ($0 as? ManagementError)?.code == .systemError
                && ($0 as? ManagementError)?.detail.contains("/nope") == true
        }
        #expect(throws: ManagementError.self) { try catalog.facts(of: "/bin/true") }
    }
}
