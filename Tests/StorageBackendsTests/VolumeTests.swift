// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostSystem
import ManagementModel
import StateStore
import StorageBackends
import Testing

@Suite struct LogicalVolumesTests {
    @Test func listsAreRead() {
        let output = """
              root#abc-1#1073741824##-wi-ao----
              snap#abc-2#4194304#root#swi-a-s---
              idle#abc-3#4194304##-wi-------
              thin#abc-4#4194304##twi-a-tz--
              [pool_tmeta]#abc-5#4194304##ewi-ao----
              broken line
              size#abc-6#x##-wi-a-----

            """
        let entries = LogicalVolumes.entries(output)
        #expect(entries.map(\.name) == ["root", "snap", "idle"])
        #expect(entries[0].size == 1 << 30 && entries[0].origin == nil && entries[0].isActive)
        #expect(entries[1].origin == "root")
        #expect(!entries[2].isActive)
        #expect(LogicalVolumes.entries("").isEmpty)
    }

    @Test func spaceIsRead() {
        let space = LogicalVolumes.space("  10737418240#5368709120\n")
        #expect(space?.capacity == 10 << 30 && space?.available == 5 << 30)
        #expect(LogicalVolumes.space("  Volume group not found\n") == nil)
    }
}

@Suite struct OldImageTests {
    private func header(_ magic: [UInt8], _ fields: [(offset: Int, bytes: [UInt8])]) -> [UInt8] {
        var bytes = magic + [UInt8](repeating: 0, count: 128 - magic.count)
        for field in fields {
            bytes.replaceSubrange(field.offset..<(field.offset + field.bytes.count), with: field.bytes)
        }
        return bytes
    }

    @Test func oldImagesOfQEMUAreKnown() {
        let qcow = ImageProbe(
            header: header(
                [0x51, 0x46, 0x49, 0xfb], [(4, [0, 0, 0, 1]), (24, [0, 0, 0, 0, 0, 0x40, 0, 0]), (36, [0, 0, 0, 1])]))
        #expect(qcow.format == "qcow" && qcow.capacity == 4 << 20 && qcow.isEncrypted)
        let qed = ImageProbe(header: header(Array("QED\0".utf8), [(48, [0, 0, 0x40, 0, 0, 0, 0, 0])]))
        #expect(qed.format == "qed" && qed.capacity == 4 << 20)
        // What ends in the middle says nothing, and harms nobody.
        for count in 0..<64 {
            _ = ImageProbe(header: Array(header(Array("QED\0".utf8), []).prefix(count)))
            _ = ImageProbe(header: Array(header([0x51, 0x46, 0x49, 0xfb], [(4, [0, 0, 0, 1])]).prefix(count)))
        }
    }
}

@Suite struct VolumeTests {
    private let folder = "/tmp/roost-volumes-\(UniqueID.random())"
    private let pools: PoolDriver
    private let pool: ObjectReference

    /// An image tool that writes down how it was called and makes an empty file.
    private static let tool = """
        #!/bin/sh
        echo "$@" >> "$(dirname "$0")/calls"
        for word; do case "$word" in secret,*) cat "${word##*file=}" > "$(dirname "$0")/secret";; esac; done
        for last; do path=$last; done
        case "$1" in create) shift; for word; do case "$word" in /*) path=$word;; esac; done; : > "$path";; esac
        """

    init() throws {
        try StateFiles.makeFolder(folder + "/pool")
        try StateFiles.write(folder + "/tool", Self.tool, mode: 0o700)
        pools = try PoolDriver(folder: folder + "/etc", imageTool: folder + "/tool", events: EventHub()) {
            uuid, usage in
            guard usage != "none" else { throw ManagementError(.noSecret, "none", from: .secret) }
            return Array("passphrase of \(uuid?.description ?? usage ?? "")".utf8)
        }
        pool = try pools.add(
            "<pool type='dir'><name>p</name><target><path>\(folder)/pool</path></target></pool>", persistent: true)
        try pools.start(pool.uuid, builds: false)
    }

    private func volume(_ format: String, _ encryption: String, name: String = "v") -> String {
        "<volume><name>\(name)</name><capacity>1048576</capacity><target><format type='\(format)'/>\(encryption)</target></volume>"
    }

    private static let identity = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"

    @Test func encryptedVolumesAreMadeWithTheirSecret() throws {
        let encryption = "<encryption format='luks'><secret type='passphrase' uuid='\(Self.identity)'/></encryption>"
        _ = try pools.createVolume(pool.uuid, volume("raw", encryption))
        let calls = try #require(try StateFiles.read(folder + "/calls"))
        #expect(calls.contains("-f luks -o key-secret=key"))
        #expect(try StateFiles.read(folder + "/secret") == "passphrase of \(Self.identity)")
        // The passphrase does not stay, and was never an argument.
        #expect(StateFiles.hiddenNames(in: folder + "/etc/running", prefix: ".passphrase").isEmpty)
        #expect(!calls.contains("passphrase of"))
        let used = "<encryption format='luks'><secret type='passphrase' usage='/x'/></encryption>"
        _ = try pools.createVolume(pool.uuid, volume("qcow2", used, name: "w"))
        #expect(try StateFiles.read(folder + "/calls")?.contains("encrypt.format=luks,encrypt.key-secret=key") == true)
        #expect(try StateFiles.read(folder + "/secret") == "passphrase of /x")
    }

    @Test(arguments: [
        ("raw", "<encryption format='qcow'/>"), ("raw", "<encryption format='luks'/>"),
        ("vdi", "<encryption format='luks'><secret type='passphrase' usage='/x'/></encryption>"),
        ("raw", "<encryption format='luks'><secret type='passphrase'/></encryption>"),
        ("raw", "<encryption format='luks'><secret type='passphrase' usage='none'/></encryption>"),
    ])
    func encryptionThatCannotBeIsRefused(_ format: String, _ encryption: String) throws {
        #expect(throws: ManagementError.self) { try pools.createVolume(pool.uuid, volume(format, encryption)) }
        #expect(try pools.volumes(pool.uuid).isEmpty)
        #expect(StateFiles.hiddenNames(in: folder + "/pool", prefix: ".roost-part-").isEmpty)
    }

    @Test func aLUKSImageIsWhatIsInside() throws {
        var head = [UInt8](repeating: 0, count: 4096)
        head.replaceSubrange(0..<8, with: Array("LUKS".utf8) + [0xba, 0xbe, 0, 1])
        // Its contents begin at sector 8.
        head[107] = 8
        let file = try FileDescriptor.open(folder + "/pool/l", flags: O_WRONLY | O_CREAT, mode: 0o600)
        try file.writeAll(head + [UInt8](repeating: 1, count: 8192))
        try pools.refresh(pool.uuid)
        let found = try pools.volume(pool.uuid, named: "l")
        #expect(found.format == "raw" && found.isEncrypted && found.capacity == 8192)
        #expect(found.document.contains("    <encryption format='luks'>\n    </encryption>\n"))
        #expect(throws: ManagementError.self) {
            try pools.createVolume(pool.uuid, volume("raw", "", name: "copy"), from: found)
        }
    }

    @Test func aVolumeIsThereWholeOrNotAtAll() throws {
        let text = volume("raw", "")
        for kind in [StateFaults.Kind.killed, .full] {
            var step = 0
            while true {
                let faults = StateFaults(kind, from: step)
                var failed = false
                StateFaults.$current.withValue(faults) {
                    do { _ = try pools.createVolume(pool.uuid, text) } catch { failed = true }
                }
                let again = try PoolDriver(folder: folder + "/etc", imageTool: "/bin/false", events: EventHub())
                again.recover()
                let names = try again.volumes(pool.uuid).map(\.name)
                #expect(names == (failed ? [] : ["v"]) || faults.struck && names == ["v"], "\(kind) \(step): \(names)")
                #expect(StateFiles.hiddenNames(in: folder + "/pool", prefix: ".roost-part-").isEmpty)
                if StateFiles.exists(folder + "/pool/v") { try StateFiles.remove(folder + "/pool/v") }
                try pools.refresh(pool.uuid)
                guard faults.struck else { break }
                step += 1
            }
        }
    }

    @Test func poolsSurvive() throws {
        let text = "<pool type='dir'><name>q</name><target><path>\(folder)/pool</path></target></pool>"
        for kind in [StateFaults.Kind.killed, .full] {
            var step = 0
            while true {
                let faults = StateFaults(kind, from: step)
                var failed = false
                StateFaults.$current.withValue(faults) {
                    do {
                        let made = try pools.add(text, persistent: true)
                        try pools.setAutostart(made.uuid, true)
                        try pools.undefine(made.uuid)
                    } catch { failed = true }
                }
                let again = try PoolDriver(folder: folder + "/etc", imageTool: "/bin/false", events: EventHub())
                again.recover()
                #expect(again.all.contains { $0.reference.name == "p" })
                if !failed { #expect(!again.all.contains { $0.reference.name == "q" }) }
                #expect(StateFiles.names(in: folder + "/etc", suffix: ".new").isEmpty)
                for left in again.all where left.reference.name == "q" {
                    if left.isActive { try again.stop(left.reference.uuid) }
                    try again.undefine(left.reference.uuid)
                }
                if let left = try? pools.find(named: "q") { try? pools.undefine(left.uuid) }
                guard faults.struck else { break }
                step += 1
            }
        }
    }
}
