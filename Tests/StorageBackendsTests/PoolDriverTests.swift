// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import StateStore
import StorageBackends
import Testing

@Suite struct PoolDriverTests {
    private let folder = "/tmp/roost-pools-\(UniqueID.random())"
    private let pools: PoolDriver

    init() throws {
        pools = try PoolDriver(folder: folder + "/etc", imageTool: "/bin/false", events: EventHub())
    }

    private func define(_ name: String) throws -> ObjectReference {
        try pools.add(
            "<pool type='dir'><name>\(name)</name><target><path>\(folder)/\(name)</path></target></pool>",
            persistent: true)
    }

    @Test func aPoolLivesAndDies() throws {
        let pool = try define("p")
        #expect(try pools.facts(pool.uuid).isActive == false)
        #expect(throws: ManagementError.self) { try pools.start(pool.uuid, builds: false) }
        try pools.build(pool.uuid)
        try pools.start(pool.uuid, builds: false)
        #expect(try pools.facts(pool.uuid).capacity > 0)
        #expect(throws: ManagementError.self) { try pools.undefine(pool.uuid) }
        try pools.stop(pool.uuid)
        try pools.undefine(pool.uuid)
        #expect(throws: ManagementError.self) { try pools.find(named: "p") }
    }

    @Test func twoPoolsHaveTwoFolders() throws {
        _ = try define("p")
        #expect {
            try pools.add(
                "<pool type='dir'><name>q</name><target><path>\(folder)/p</path></target></pool>", persistent: true)
        } throws: {
            ($0 as? ManagementError)?.description == "operation failed: Storage source conflict with pool: 'p'"
        }
    }

    @Test func aPoolThatCannotBeMadeAgainStaysAsItWas() throws {
        let pool = try define("p")
        let document = try pools.document(pool.uuid, inactive: true)
        // Its folder is not there.
        #expect(throws: ManagementError.self) { try pools.add(document, persistent: false) }
        #expect(try pools.facts(pool.uuid).isPersistent)
        try pools.start(pool.uuid, builds: true)
        #expect { try pools.add(document, persistent: false) } throws: {
            ($0 as? ManagementError)?.code == .operationInvalid
        }
        #expect(try pools.facts(pool.uuid).isActive)
    }

    @Test func aFolderCanBeAVolume() throws {
        let pool = try define("d")
        try pools.start(pool.uuid, builds: true)
        let text = "<volume><name>a</name><capacity>0</capacity><target><format type='dir'/></target></volume>"
        let volume = try pools.createVolume(pool.uuid, text)
        #expect(volume.type == 2 && volume.format == "dir")
        try pools.deleteVolume(pool.uuid, named: "a")
        #expect(try pools.volumes(pool.uuid).isEmpty)
    }

    @Test func rawVolumesAreMadeLookedAtAndDeleted() throws {
        let pool = try define("v")
        try pools.start(pool.uuid, builds: true)
        let text = "<volume><name>a</name><capacity>1000</capacity><allocation>0</allocation></volume>"
        let volume = try pools.createVolume(pool.uuid, text)
        #expect(volume.capacity == 1000 && volume.format == "raw" && volume.path == "\(folder)/v/a")
        #expect(volume.document.contains("<capacity unit='bytes'>1000</capacity>"))
        #expect { try pools.createVolume(pool.uuid, text) } throws: {
            ($0 as? ManagementError)?.code == .storageVolExist
        }
        #expect(try pools.volume(path: volume.path).pool == pool)
        try pools.deleteVolume(pool.uuid, named: "a")
        #expect { try pools.volume(pool.uuid, named: "a") } throws: { ($0 as? ManagementError)?.code == .noStorageVol }
    }

    @Test func definitionsAreFoundAgain() throws {
        let pool = try define("again")
        try pools.build(pool.uuid)
        try pools.setAutostart(pool.uuid, true)
        let second = try PoolDriver(folder: folder + "/etc", imageTool: "/bin/false", events: EventHub())
        second.recover()
        #expect(try second.facts(pool.uuid).isActive)
        #expect(try second.find(named: "again") == pool)
    }

    @Test(arguments: [
        "<pool/>", "x", "<pool type='dir'/>", "<pool type='dir'><name>a/b</name></pool>",
        "<pool type='dir'><name>a</name></pool>",
        "<pool type='dir'><name>a</name><target><path>b</path></target></pool>",
        "<pool type='nothing'><name>a</name><target><path>/b</path></target></pool>",
    ])
    func badPoolsAreRefused(_ text: String) {
        #expect(throws: ManagementError.self) { try pools.add(text, persistent: true) }
    }

    @Test(arguments: [
        "<volume><name>..</name><capacity>1</capacity></volume>", "<volume><name>a/b</name></volume>",
        "<volume><name>a</name></volume>",
    ])
    func volumesOutsideTheFolderAreRefused(_ text: String) throws {
        let pool = try define("w")
        try pools.start(pool.uuid, builds: true)
        #expect(throws: ManagementError.self) { try pools.createVolume(pool.uuid, text) }
    }
}
