// SPDX-License-Identifier: Apache-2.0

import HostInventory
import MachineDriver
import ManagementModel
import StateStore
import Testing

@Suite struct MigrationTests {
    private let driver: MachineDriver
    private let folder = "/tmp/roost-migration-\(UniqueID.random())"

    init() throws {
        var facts = EmulatorFacts(
            path: "/nowhere", version: 7_002_000, machines: [], processorModels: [], devices: [], hasKVM: false)
        facts.machines = [.init(name: "pc", canonical: "pc-i440fx-7.2", maximumProcessors: 255)]
        let folders = MachineFolders(
            configuration: folder + "/etc", state: folder + "/lib", runtime: folder + "/run", logs: folder + "/log")
        driver = try MachineDriver(
            folders: folders, emulator: facts, imageTool: "/bin/false", events: EventHub()
        ) { _ in throw ManagementError(.noNetwork, "none here", from: .network) }
    }

    private static let text = """
        <domain type='qemu'><name>m</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><memory unit='MiB'>64</memory>
        <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>
        """

    private func code(_ error: any Error) -> ErrorCode? { (error as? ManagementError)?.code }

    @Test(arguments: [
        MigrationOptions.tunnelled, MigrationOptions(rawValue: 64), MigrationOptions(rawValue: 128),
        MigrationOptions(rawValue: 65536), [.live, .tunnelled],
    ])
    func whatIsNotThereIsRefused(_ options: MigrationOptions) throws {
        let uuid = try driver.define(Self.text).uuid
        #expect { try driver.beginMigration(uuid, document: nil, options) } throws: {
            code($0) == .argumentUnsupported
        }
        #expect {
            try driver.prepareMigration(document: Self.text, address: nil, host: "h", name: nil, options)
        } throws: { code($0) == .argumentUnsupported }
    }

    @Test func onlyAMachineThatRunsMovesAlive() throws {
        let uuid = try driver.define(Self.text).uuid
        #expect { try driver.beginMigration(uuid, document: nil, [.live]) } throws: { code($0) == .operationInvalid }
        #expect { try driver.beginMigration(uuid, document: nil, [.offline]) } throws: {
            code($0) == .operationInvalid
        }
        let document = try driver.beginMigration(uuid, document: nil, [.offline, .persistent])
        #expect(document.contains("<name>m</name>"))
        #expect {
            try driver.beginMigration(
                uuid, document: Self.text.split(separator: "c7a5fdbd").joined(separator: "aaaaaaaa"),
                [.offline, .persistent])
        } throws: { code($0) == .invalidArg }
    }

    @Test func anOfflineMachineArrivesOrDoesNot() throws {
        let made = try driver.prepareMigration(
            document: Self.text, address: nil, host: "h", name: "renamed", [.offline, .persistent])
        #expect(made.machine.name == "renamed")
        #expect(try driver.finishMigration("renamed", cancelled: false, [.offline, .persistent]).name == "renamed")
        #expect(throws: ManagementError.self) {
            try driver.finishMigration("renamed", cancelled: true, [.offline, .persistent])
        }
        #expect { try driver.find(named: "renamed") } throws: { code($0) == .noDomain }
    }

    @Test(arguments: ["unix:///x", "rdma://h", "tcp://h:0", "tcp://h:x", "tcp:h:70000"])
    func strangeAddressesAreRefused(_ address: String) {
        #expect(throws: ManagementError.self) {
            try driver.prepareMigration(document: Self.text, address: address, host: "h", name: nil, [.live])
        }
        // Nothing of it stays.
        #expect(driver.all.isEmpty)
    }

    @Test func nobodyFinishesWhatDidNotBegin() {
        #expect { try driver.finishMigration("m", cancelled: false, []) } throws: { code($0) == .noDomain }
    }
}
