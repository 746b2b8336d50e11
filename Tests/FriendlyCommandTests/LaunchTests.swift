// SPDX-License-Identifier: Apache-2.0

import FriendlyCommand
import Testing
import XMLTree

@Suite("What a new machine is made of")
struct LaunchTests {
    /// A reader of Joliet's root folder.
    private struct Disc {
        let bytes: [UInt8]
        func number(at offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) } }

        /// The files of the root folder that the descriptor in a sector leads to.
        func files(descriptor sector: Int, name: (ArraySlice<UInt8>) -> String) -> [String: [UInt8]] {
            let root = sector * ISOImage.sector + 156
            var place = number(at: root + 2) * ISOImage.sector
            var files: [String: [UInt8]] = [:]
            while bytes[place] != 0 {
                let nameCount = Int(bytes[place + 32])
                let start = number(at: place + 2) * ISOImage.sector
                if bytes[place + 25] & 2 == 0 {
                    files[name(bytes[(place + 33)..<(place + 33 + nameCount)])] =
                        Array(bytes[start..<(start + number(at: place + 10))])
                }
                #expect(bytes[place] % 2 == 0)
                place += Int(bytes[place])
            }
            return files
        }
    }

    @Test("a CD-ROM's files are found by both names, and its label is the one asked for")
    func disc() {
        let long = [UInt8](repeating: 7, count: 5000)
        let disc = Disc(
            bytes: ISOImage(label: "cidata", files: [("user-data", long), ("meta-data", [1, 2, 3]), ("empty", [])])
                .bytes)
        #expect(disc.bytes.count % ISOImage.sector == 0)
        #expect(disc.number(at: 16 * ISOImage.sector + 80) * ISOImage.sector == disc.bytes.count)
        let joliet = disc.files(descriptor: 17) { name in
            // All of it is ASCII: the second byte of each pair.
            String(decoding: name.enumerated().filter { $0.offset % 2 == 1 }.map(\.element), as: UTF8.self)
        }
        #expect(joliet == ["user-data": long, "meta-data": [1, 2, 3], "empty": []])
        let primary = disc.files(descriptor: 16) { String(decoding: $0, as: UTF8.self) }
        #expect(Set(primary.keys) == ["USERDA0.;1", "METADA1.;1", "EMPTY2.;1"])
        #expect(disc.bytes[(16 * ISOImage.sector + 40)...].prefix(7) == Array("cidata ".utf8)[...])
    }

    @Test(arguments: [
        ("#cloud-config\nusers:\n- name: ada\n  shell: /bin/sh\n- name: bob\n", "ada"),
        ("users:\n  - default\n  - name: 'ada'\n", "ada"), ("users:\n  - uid: 7\n    name: \"ada\"\n", "ada"),
        ("groups:\n- name: x\nusers: []\nntp:\n  name: y\n", nil), ("", nil), ("#!/bin/sh\necho users:\n", nil),
        ("users:\n- name:\n", nil),
    ])
    func theFirstUserOfSettingsIsKnown(_ settings: String, _ name: String?) {
        #expect(CloudSeed.firstUser(Array(settings.utf8)) == name)
    }

    @Test("the usual settings let in whoever has the keys")
    func settings() {
        let text = CloudSeed.usualSettings(["ssh-ed25519 AAAA me@here"])
        #expect(text.hasPrefix("#cloud-config\n"))
        #expect(text.contains("      - ssh-ed25519 AAAA me@here\n"))
    }

    private func document(_ change: (inout MachineDocument) -> Void) throws -> XMLElement {
        var document = MachineDocument(name: "web", memory: 1 << 30, cpus: 3, usesKVM: false)
        change(&document)
        return try XMLParser.parse(document.xml)
    }

    @Test("a machine with a disk, a seed and a forwarded port")
    func forwarded() throws {
        let root = try document {
            $0.disk = "/i/web.qcow2"
            $0.disc = "/i/seed.iso"
            $0.ownedFiles = ["/i/web.qcow2", "/i/seed.iso"]
            $0.sshPort = 2222
        }
        #expect(root["type"] == "qemu" && root[child: "memory"]?.text == "1048576" && root[child: "vcpu"]?.text == "3")
        let sources = root[child: "devices"]?.all("disk").compactMap { $0[child: "source"]?["file"] }
        #expect(sources == ["/i/web.qcow2", "/i/seed.iso"])
        #expect(root.at("metadata", "roost:machine")?["ssh-port"] == "2222")
        let arguments = root[child: "qemu:commandline"]?.elements.compactMap { $0["value"] } ?? []
        #expect(arguments.contains { $0.contains("hostfwd=tcp:127.0.0.1:2222-:22") })
        #expect(root[child: "devices"]?.all("interface").isEmpty == true)
    }

    @Test("programs are found where the shell finds them")
    func programs() {
        #expect(ProgramFiles.find("sh")?.hasSuffix("/sh") == true)
        #expect(ProgramFiles.find("no-such-program-anywhere") == nil)
    }

    @Test("a copy is reached through a port of its own")
    func forwardingOfACopy() throws {
        var machine = MachineDocument(name: "web", memory: 1 << 30, cpus: 1, usesKVM: false)
        machine.sshPort = 2222
        var root = try XMLParser.parse(machine.xml)
        MachineDocument.moveForwarding(in: &root, from: 2222, to: 3333)
        let arguments = root[child: "qemu:commandline"]?.elements.compactMap { $0["value"] } ?? []
        #expect(arguments.filter { $0.contains("hostfwd=tcp:127.0.0.1:3333-:22") }.count == 1)
        #expect(!arguments.contains { $0.contains("2222") } && arguments.count == 4)
    }

    @Test("a machine in a network, with a kernel of its own")
    func direct() throws {
        let root = try document {
            $0.network = "default"
            $0.kernel = "/k"
            $0.initrd = "/r"
            $0.commandLine = "a <b>"
            $0.usesKVM = true
        }
        #expect(root["type"] == "kvm" && root[child: "cpu"]?["mode"] == "host-passthrough")
        #expect(root.at("os", "kernel")?.text == "/k" && root.at("os", "cmdline")?.text == "a <b>")
        #expect(root.at("devices", "interface", "source")?["network"] == "default")
        #expect(root[child: "qemu:commandline"] == nil)
    }
}

@Suite("Looking at the host")
struct HostCheckTests {
    @Test("a root without anything fails nothing silently: each finding that is not fine has a remedy")
    func emptyHost() {
        for finding in HostCheck(root: "/nonexistent").findings() {
            #expect(finding.result == .fine || !finding.remedy.isEmpty, "\(finding.check)")
            #expect(!finding.found.isEmpty)
        }
        let kvm = HostCheck(root: "/nonexistent").findings().first { $0.check == "KVM" }
        #expect(kvm?.result == .warning)
    }
}
