// SPDX-License-Identifier: Apache-2.0

import JSONCoding
import MachineDriver
import ManagementModel
import StateStore
import Testing
import XMLTree

private func checkpoint(_ name: String, parent: String? = nil, time: Int = 5, disks: String = "") -> String {
    let above = parent.map { "<parent><name>\($0)</name></parent>" } ?? ""
    return """
        <domaincheckpoint><name>\(name)</name>\(above)<creationTime>\(time)</creationTime>\(disks)
        <domain type='qemu'><name>m</name></domain></domaincheckpoint>
        """
}

private func code(_ error: any Error) -> ErrorCode? { (error as? ManagementError)?.code }

@Suite struct CheckpointTests {
    @Test func aTreeIsKeptAcrossRestarts() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let machines = shop.machines
        _ = try machines.createCheckpoint(uuid, checkpoint("a", time: 1), [.redefine])
        _ = try machines.createCheckpoint(uuid, checkpoint("b", parent: "a", time: 2), [.redefine])
        _ = try machines.createCheckpoint(uuid, checkpoint("c", parent: "a", time: 3), [.redefine])
        let again = try Workshop.open(shop.folder)
        again.recover()
        let (roots, leaves, inner): (UInt32, UInt32, UInt32) = (1, 4, 8)
        #expect(try again.checkpointNames(uuid, below: nil, 0).sorted() == ["a", "b", "c"])
        #expect(try again.checkpointNames(uuid, below: nil, roots) == ["a"])
        #expect(try again.checkpointNames(uuid, below: nil, leaves).sorted() == ["b", "c"])
        #expect(try again.checkpointNames(uuid, below: nil, inner) == ["a"])
        #expect(try again.checkpointNames(uuid, below: "a", 0).sorted() == ["b", "c"])
        #expect(try again.parentCheckpoint(uuid, "b") == "a")
        #expect { try again.parentCheckpoint(uuid, "a") } throws: { code($0) == .noDomainCheckpoint }
        #expect { try again.findCheckpoint(uuid, "x") } throws: { code($0) == .noDomainCheckpoint }
    }

    @Test func documentsShowWhatIsAskedFor() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        _ = try shop.machines.createCheckpoint(uuid, checkpoint("a"), [.redefine])
        #expect(try shop.machines.checkpointDocument(uuid, "a", []).contains("<domain type='qemu'>"))
        #expect(try !shop.machines.checkpointDocument(uuid, "a", [.withoutDomain]).contains("<domain "))
        #expect { try shop.machines.checkpointDocument(uuid, "a", [.sizes]) } throws: { code($0) == .operationInvalid }
    }

    @Test func whatHungBelowHangsHigher() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let machines = shop.machines
        _ = try machines.createCheckpoint(uuid, checkpoint("a"), [.redefine])
        _ = try machines.createCheckpoint(uuid, checkpoint("b", parent: "a"), [.redefine])
        _ = try machines.createCheckpoint(uuid, checkpoint("c", parent: "b"), [.redefine])
        try machines.deleteCheckpoint(uuid, "b", [.metadataOnly])
        #expect(try machines.parentCheckpoint(uuid, "c") == "a")
        try machines.deleteCheckpoint(uuid, "a", [.children, .metadataOnly])
        #expect(try machines.checkpointNames(uuid, below: nil, 0).isEmpty)
        #expect(!machines.hasCheckpoints(uuid))
    }

    @Test func circlesAndStrangeDocumentsAreRefused() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        _ = try shop.machines.createCheckpoint(uuid, checkpoint("a"), [.redefine])
        _ = try shop.machines.createCheckpoint(uuid, checkpoint("b", parent: "a"), [.redefine])
        for text in [
            checkpoint("a", parent: "b"), checkpoint("x", parent: "x"), checkpoint("y", parent: "nobody"),
            checkpoint("../z"), "<x/>", "<domaincheckpoint/>",
            "<domaincheckpoint><name>q</name></domaincheckpoint>",
        ] {
            #expect(throws: ManagementError.self) { try shop.machines.createCheckpoint(uuid, text, [.redefine]) }
        }
    }

    @Test func aMachineThatIsOffHasNoneMade() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let machines = shop.machines
        #expect { try machines.createCheckpoint(uuid, "<domaincheckpoint/>", []) } throws: {
            code($0) == .operationUnsupported
        }
        #expect {
            try machines.beginBackup(uuid, "<domainbackup/>", checkpoint: nil, reusesFiles: false)
        } throws: { code($0) == .operationUnsupported }
        #expect { try machines.backupDocument(uuid) } throws: { code($0) == .noDomainBackup }
        _ = try machines.createCheckpoint(uuid, checkpoint("a"), [.redefine])
        #expect { try machines.deleteCheckpoint(uuid, "a", []) } throws: { code($0) == .operationUnsupported }
    }

    @Test func aDefinitionWithCheckpointsGoesOnlyWithThem() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        _ = try shop.machines.createCheckpoint(uuid, checkpoint("a"), [.redefine])
        #expect { try shop.machines.undefine(uuid, []) } throws: { code($0) == .operationInvalid }
        try shop.machines.undefine(uuid, [.checkpoints])
        #expect(!StateFiles.exists(shop.folder + "/lib/qemu/checkpoint/m"))
    }

    @Test func whatAMachineHasGoesWithItsName() throws {
        let shop = try Workshop()
        let uuid = try shop.define("old")
        _ = try shop.machines.createCheckpoint(uuid, checkpoint("a"), [.redefine])
        _ = try shop.machines.createSnapshot(
            uuid, "<domainsnapshot><name>s</name><state>shutoff</state><creationTime>4</creationTime></domainsnapshot>",
            [.redefine])
        try shop.machines.rename(uuid, to: "new")
        let again = try Workshop.open(shop.folder)
        again.recover()
        #expect(try again.checkpointNames(uuid, below: nil, 0) == ["a"])
        #expect(try again.snapshotNames(uuid, below: nil, 0) == ["s"])
        #expect(!StateFiles.exists(shop.folder + "/lib/qemu/snapshot/old"))
        #expect(!StateFiles.exists(shop.folder + "/lib/qemu/checkpoint/old"))
    }
}

@Suite struct BackupTests {
    @Test func whatIsWrittenDownIsReadAgain() throws {
        var first = Backup.Job(
            id: "backup-vda-libvirt-3-format", target: "vda", path: "/b.qcow2",
            nodes: ["libvirt-3-storage", "libvirt-3-format"])
        first.bitmap = Backup.BitmapPlace(node: "libvirt-1-format", name: "backup-vda")
        var second = Backup.Job(id: "two", target: "vdb", path: "/c", nodes: [])
        second.export = "vdb"
        second.ending = .completed
        let backup = Backup(
            root: try XMLParser.parse("<domainbackup mode='pull'><server port='1'/></domainbackup>"),
            jobs: [first, second], reusesFiles: true)
        let text = backup.status.printed()
        let again = try #require(Backup(status: try XMLParser.parse(text)))
        #expect(again.jobs == backup.jobs && again.reusesFiles && again.isPull && !again.isOver)
        #expect(again.root == backup.root)
        #expect(Backup(status: try XMLParser.parse("<domainbackup/>")) == nil)
    }

    @Test func aCopyIsDoneWhenAllDisksAre() throws {
        let root = try XMLParser.parse("<domainbackup mode='push'/>")
        var backup = Backup(
            root: root, jobs: ["a", "b"].map { Backup.Job(id: $0, target: $0, path: "/", nodes: []) },
            reusesFiles: false)
        #expect(!backup.isOver)
        backup.jobs[0].ending = .completed
        backup.jobs[1].ending = .failed
        #expect(backup.isOver && !backup.isSuccess)
        backup.jobs[1].ending = .completed
        #expect(backup.isSuccess)
    }

    @Test func figuresAreThoseOfItsJobs() throws {
        let backup = Backup(
            root: try XMLParser.parse("<domainbackup/>"), jobs: [.init(id: "a", target: "a", path: "/", nodes: [])],
            reusesFiles: false)
        var figures = JobFigures()
        backup.add(
            to: &figures,
            [["device": "a", "len": 100, "offset": 40], ["device": "other", "len": 7, "offset": 7], [:]])
        #expect(figures.diskTotal == 100 && figures.diskProcessed == 40 && figures.diskRemaining == 60)
    }
}

@Suite struct DocumentVariantTests {
    @Test func whatEveryServiceAddsIsLeftOutForAnother() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let (own, sent) = (try shop.machines.document(uuid, []), try shop.machines.document(uuid, [.migratable]))
        #expect(own.contains("model='pci-root'") && !sent.contains("model='pci-root'"))
        #expect(own.contains("type='usb'") && !sent.contains("type='usb'"))
        // It means the same to the service that gets it.
        let again = try Workshop()
        let copy = try again.machines.define(sent).uuid
        #expect(try again.machines.document(copy, []) == own)
    }

    @Test func theHostsModelHasAName() throws {
        let shop = try Workshop()
        let text = """
            <domain type='qemu'><name>c</name><memory unit='MiB'>64</memory><cpu mode='host-model'/>
            <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>
            """
        let uuid = try shop.machines.define(text).uuid
        #expect(try shop.machines.document(uuid, []).contains("mode='host-model'"))
        let updated = try shop.machines.document(uuid, [.updateProcessor])
        #expect(updated.contains("mode='custom' match='exact'") && updated.contains(">qemu64</model>"))
    }

    @Test func processorsAreSwitchedByNumber() throws {
        let shop = try Workshop()
        let uuid = try shop.define()
        let configuration = ProcessorScope(live: false, configuration: true, maximum: false)
        try shop.machines.setProcessors(uuid, named: "2-3", on: true, configuration)
        let text = try shop.machines.document(uuid, [])
        #expect(text.contains("current='3'") && text.contains("<vcpu id='2' enabled='yes' hotpluggable='yes'/>"))
        #expect(text.contains("<vcpu id='1' enabled='no' hotpluggable='yes'/>"))
        for wrong in ["0", "4", "x", ""] {
            #expect { try shop.machines.setProcessors(uuid, named: wrong, on: true, configuration) } throws: {
                code($0) == .invalidArg
            }
        }
    }
}
