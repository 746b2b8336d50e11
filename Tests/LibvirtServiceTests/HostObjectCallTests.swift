// SPDX-License-Identifier: Apache-2.0

import ClientKit
import LibvirtProtocol
import ManagementModel
import Testing
import XDRCoding

/// Calls about storage, secrets, filters, networks and the host.
@Suite struct HostObjectCallTests {
    private let service: TestService
    private let client: ServerConnection

    init() throws {
        service = try TestService()
        client = try service.client()
    }

    // MARK: Connections

    @Test func connectionsAreOpenedOnce() throws {
        #expect(refusal { try client.open("qemu:///session") } == 1)
        let other = try ServerConnection(path: service.folder + "/socket")
        #expect(refusal { try other.open("xen:///system") } == 5)
        try other.open("qemu+ssh://host/system")
        #expect(try other.call(Procedures.connectGetURI, Message()).fields == "qemu:///session")
        _ = try other.call(Procedures.connectClose, Message())
        #expect(refusal { _ = try other.call(Procedures.connectGetURI, Message()) } == 1)
        try other.open("")
    }

    @Test func versionsAndFeatures() throws {
        #expect(try client.call(Procedures.connectGetVersion, Message()).fields == 7_002_000)
        #expect(try client.call(Procedures.connectGetLibVersion, Message()).fields == 9_000_000)
        #expect(try client.call(Procedures.connectIsSecure, Message()).fields == 1)
        #expect(try client.call(Procedures.authList, Message()).fields == [0])
        let (fdPassing, nothing): (Int32, Int32) = (8, 999)
        #expect(try client.call(Procedures.connectSupportsFeature, Message(fdPassing)).fields == 1)
        #expect(try client.call(Procedures.connectSupportsFeature, Message(nothing)).fields == 0)
    }

    @Test func theHostsProcessorsFitTogether() throws {
        let info = try client.call(Procedures.nodeGetInfo, Message()).fields
        #expect(info.0 == ModelName("x86_64") && info.1 > 0 && info.2 > 0)
        #expect(info.5 * info.6 * info.7 >= info.2)
        let map = try client.call(Procedures.nodeGetCpuMap, Message(1, 1, 0)).fields
        #expect(map.0.bytes.reduce(0) { $0 + $1.nonzeroBitCount } == Int(map.2) && Int32(map.1) >= map.2)
        #expect(try client.call(Procedures.nodeGetCpuMap, Message(0, 0, 0)).fields.0.bytes == [])
        #expect(refusal { _ = try client.call(Procedures.nodeGetCpuStats, Message(4000, 0, 0)) } == 8)
        let names = try client.call(Procedures.nodeGetCpuStats, Message(-1, 9, 0)).fields.0.map(\.field)
        #expect(names == ["kernel", "user", "idle", "iowait"])
        #expect(refusal { _ = try client.call(Procedures.nodeGetCellsFreeMemory, Message(5, 1)) } == 8)
    }

    // MARK: Storage

    @Test func aVolumesContentGoesThroughAStream() throws {
        let pool = try service.startPool(client)
        let text = "<volume><name>v</name><capacity>300000</capacity><allocation>0</allocation></volume>"
        let volume = try client.call(Procedures.storageVolCreateXML, Message(pool, text, 0)).fields
        #expect(volume.key == "\(service.folder)/p/v" && volume.pool == "p")
        let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 251 &+ $0) }
        let up = try client.openStream(Procedures.storageVolUpload, Message(volume, 0, 0, 0))
        try up.send(content)
        try up.finish()
        let (offset, length): (UInt64, UInt64) = (1000, 280_000)
        let down = try client.openStream(Procedures.storageVolDownload, Message(volume, offset, length, 0))
        var received: [UInt8] = []
        while case .data(let bytes) = try down.receive() { received += bytes }
        #expect(received == Array(content[1000..<281_000]))
        try? down.finish()
        #expect(try client.call(Procedures.storageVolGetPath, Message(volume)).fields == volume.key)
        let info = try client.call(Procedures.storageVolGetInfo, Message(volume)).fields
        #expect(info.0 == WireByte(0) && info.1 == 300_000)
        _ = try client.call(Procedures.storageVolWipe, Message(volume, 0))
        let again = try client.openStream(Procedures.storageVolDownload, Message(volume, 0, 16, 0))
        #expect(try again.receive() == .data([UInt8](repeating: 0, count: 16)))
    }

    @Test func volumesAreFoundInThreeWays() throws {
        let pool = try service.startPool(client)
        let text = "<volume><name>v</name><capacity unit='KiB'>4</capacity></volume>"
        let volume = try client.call(Procedures.storageVolCreateXML, Message(pool, text, 0)).fields
        #expect(refusal { _ = try client.call(Procedures.storageVolCreateXML, Message(pool, text, 0)) } == 90)
        #expect(try client.call(Procedures.storageVolLookupByName, Message(pool, "v")).fields == volume)
        #expect(try client.call(Procedures.storageVolLookupByKey, Message(volume.key)).fields == volume)
        #expect(try client.call(Procedures.storageVolLookupByPath, Message(volume.key)).fields == volume)
        #expect(try client.call(Procedures.storagePoolLookupByVolume, Message(volume)).fields == pool)
        #expect(refusal { _ = try client.call(Procedures.storageVolLookupByName, Message(pool, "w")) } == 50)
        #expect(refusal { _ = try client.call(Procedures.storageVolLookupByPath, Message("/w")) } == 50)
        _ = try client.call(Procedures.storageVolDelete, Message(volume, 0))
        #expect(try client.call(Procedures.storagePoolNumOfVolumes, Message(pool)).fields == 0)
    }

    @Test func poolsAreListedByFlags() throws {
        let pool = try service.startPool(client)
        let text = "<pool type='dir'><name>q</name><target><path>\(service.folder)/q</path></target></pool>"
        _ = try client.call(Procedures.storagePoolDefineXML, Message(text, 0))
        func list(_ flags: UInt32) throws -> [String] {
            try client.call(Procedures.connectListAllStoragePools, Message(1, flags)).fields.0.map(\.name).sorted()
        }
        let (inactive, active, directory, logical): (UInt32, UInt32, UInt32, UInt32) = (1, 2, 64, 512)
        #expect(try list(0) == ["p", "q"] && list(inactive) == ["q"] && list(active) == ["p"])
        #expect(try list(directory) == ["p", "q"] && list(logical) == [])
        _ = try client.call(Procedures.storagePoolSetAutostart, Message(pool, 1))
        #expect(try list(16) == ["p"] && list(32) == ["q"])
        #expect(refusal { _ = try client.call(Procedures.storagePoolUndefine, Message(pool)) } == 55)
        _ = try client.call(Procedures.storagePoolDestroy, Message(pool))
        #expect(refusal { _ = try client.call(Procedures.storagePoolListVolumes, Message(pool, 9)) } == 55)
        _ = try client.call(Procedures.storagePoolUndefine, Message(pool))
        #expect(try list(0) == ["q"])
    }

    // MARK: Secrets and filters

    @Test func secretsAreForThoseWhoMayChange() throws {
        let text = "<secret private='no'><usage type='volume'><volume>/a</volume></usage></secret>"
        let secret = try client.call(Procedures.secretDefineXML, Message(text, 0)).fields
        #expect(secret.usageType == 1 && secret.usageID == "/a")
        #expect(refusal { _ = try client.call(Procedures.secretGetValue, Message(secret, 0)) } == 66)
        _ = try client.call(Procedures.secretSetValue, Message(secret, Bytes([0, 255, 7]), 0))
        #expect(try client.call(Procedures.secretGetValue, Message(secret, 0)).fields.bytes == [0, 255, 7])
        #expect(try client.call(Procedures.secretLookupByUsage, Message(1, "/a")).fields == secret)
        #expect(refusal { _ = try client.call(Procedures.secretLookupByUsage, Message(2, "/a")) } == 66)
        let reader = try service.client(readOnly: true)
        #expect(refusal { _ = try reader.call(Procedures.secretGetValue, Message(secret, 0)) } == 29)
        #expect(try reader.call(Procedures.connectListSecrets, Message(5)).fields == ["\(secret.uuid)"])
        _ = try client.call(Procedures.secretUndefine, Message(secret))
        #expect(try client.call(Procedures.connectNumOfSecrets, Message()).fields == 0)
    }

    @Test func filtersAreKept() throws {
        let filter = try client.call(Procedures.nwFilterDefineXML, Message("<filter name='f'/>")).fields
        #expect(try client.call(Procedures.nwFilterLookupByName, Message("f")).fields == filter)
        #expect(try client.call(Procedures.nwFilterLookupByUUID, Message(filter.uuid)).fields == filter)
        #expect(try client.call(Procedures.connectListNwfilters, Message(3)).fields == ["f"])
        _ = try client.call(Procedures.nwFilterUndefine, Message(filter))
        #expect(refusal { _ = try client.call(Procedures.nwFilterLookupByName, Message("f")) } == 62)
    }

    // MARK: Networks

    @Test func networksAreDefinedAndChanged() throws {
        let text = """
            <network><name>n</name><ip address='10.9.8.1' netmask='255.255.255.0'>
            <dhcp><range start='10.9.8.2' end='10.9.8.9'/></dhcp></ip></network>
            """
        let network = try client.call(Procedures.networkDefineXML, Message(text)).fields
        #expect(try client.call(Procedures.networkLookupByName, Message("n")).fields == network)
        #expect(try client.call(Procedures.connectListDefinedNetworks, Message(3)).fields == ["n"])
        let (addLast, dhcpHost, configuration): (UInt32, UInt32, UInt32) = (3, 4, 2)
        let host = "<host mac='52:54:00:00:00:01' name='a' ip='10.9.8.3'/>"
        func update() throws {
            _ = try client.call(
                Procedures.networkUpdate, Message(network, addLast, dhcpHost, -1, host, configuration))
        }
        try update()
        #expect(try client.call(Procedures.networkGetXMLDesc, Message(network, 1)).fields.contains("10.9.8.3"))
        #expect(refusal { try update() } == 55)
        #expect(try client.call(Procedures.networkIsActive, Message(network)).fields == 0)
        #expect(refusal { _ = try client.call(Procedures.networkDestroy, Message(network)) } == 55)
        #expect(refusal { _ = try client.call(Procedures.networkDefineXML, Message("<network/>")) } == 21)
        _ = try client.call(Procedures.networkUndefine, Message(network))
        #expect(refusal { _ = try client.call(Procedures.networkIsActive, Message(network)) } == 43)
    }

    // MARK: Events

    @Test func eventsGoToThoseWhoAskedForThem() throws {
        let listener = try service.client(readOnly: true)
        let machines = try listener.call(Procedures.connectDomainEventCallbackRegisterAny, Message(0, nil)).fields
        let pools = try listener.call(Procedures.connectStoragePoolEventRegisterAny, Message(0, nil)).fields
        #expect(machines != pools)
        let machine = try client.call(Procedures.domainDefineXML, Message(TestService.domain("m"))).fields
        let event = try #require(
            try listener.nextMessage().body(of: EventMessages.domainEventCallbackLifecycle)
        ).fields
        #expect(event.0 == machines && event.1.fields.0 == machine && event.1.fields.1 == 0)
        _ = try service.startPool(client)
        let started = try #require(try listener.nextMessage().body(of: EventMessages.storagePoolEventLifecycle)).fields
        #expect(started.0 == pools && started.1.name == "p" && started.2 == 0)
        _ = try listener.call(Procedures.connectDomainEventCallbackDeregisterAny, Message(machines))
        #expect(
            refusal { _ = try listener.call(Procedures.connectDomainEventCallbackDeregisterAny, Message(machines)) }
                == 8)
        #expect(
            refusal { _ = try listener.call(Procedures.connectDomainEventCallbackRegisterAny, Message(99, nil)) } == 1)
    }

    @Test func eventsOfOneMachineAreOfThatMachine() throws {
        let first = try client.call(Procedures.domainDefineXML, Message(TestService.domain("a"))).fields
        let second = try client.call(Procedures.domainDefineXML, Message(TestService.domain("b"))).fields
        _ = try client.call(Procedures.connectDomainEventCallbackRegisterAny, Message(0, second))
        _ = try client.call(Procedures.domainUndefine, Message(first))
        _ = try client.call(Procedures.domainUndefine, Message(second))
        let event = try #require(
            try client.nextMessage().body(of: EventMessages.domainEventCallbackLifecycle)
        ).fields
        #expect(event.1.fields.0.uuid == second.uuid && event.1.fields.1 == 1)
    }
}
