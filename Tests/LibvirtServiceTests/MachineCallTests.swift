// SPDX-License-Identifier: Apache-2.0

import ClientKit
import LibvirtProtocol
import ManagementModel
import Testing
import XDRCoding

/// Calls about machines that do not run.
@Suite struct MachineCallTests {
    private let service: TestService
    private let client: ServerConnection

    init() throws {
        service = try TestService()
        client = try service.client()
    }

    private func define(_ name: String) throws -> DomainHandle {
        try client.call(Procedures.domainDefineXML, Message(TestService.domain(name))).fields
    }

    private func list(_ flags: UInt32) throws -> [String] {
        try client.call(Procedures.connectListAllDomains, Message(1, flags)).fields.0.map(\.name).sorted()
    }

    @Test func aMachineIsDefinedFoundAndForgotten() throws {
        let machine = try define("m")
        #expect(machine.id == -1)
        #expect(try client.call(Procedures.domainLookupByName, Message("m")).fields == machine)
        #expect(try client.call(Procedures.domainLookupByUUID, Message(machine.uuid)).fields == machine)
        #expect(refusal { _ = try client.call(Procedures.domainLookupById, Message(0)) } == 42)
        #expect(try client.call(Procedures.connectNumOfDefinedDomains, Message()).fields == 1)
        #expect(try client.call(Procedures.connectListDefinedDomains, Message(0)).fields == [])
        #expect(try client.call(Procedures.connectListDefinedDomains, Message(9)).fields == ["m"])
        #expect(try client.call(Procedures.connectListDefinedDomains, Message(-1)).fields == [])
        _ = try client.call(Procedures.domainUndefine, Message(machine))
        #expect(refusal { _ = try client.call(Procedures.domainLookupByName, Message("m")) } == 42)
        #expect(refusal { _ = try client.call(Procedures.domainUndefine, Message(machine)) } == 42)
    }

    @Test func listsAreFilteredByFlags() throws {
        let first = try define("a")
        _ = try define("b")
        _ = try client.call(Procedures.domainSetAutostart, Message(first, 1))
        let (active, inactive, persistent, transient): (UInt32, UInt32, UInt32, UInt32) = (1, 2, 4, 8)
        #expect(try list(0) == ["a", "b"])
        #expect(try list(active) == [])
        #expect(try list(inactive) == ["a", "b"] && list(active | inactive) == ["a", "b"])
        #expect(try list(persistent) == ["a", "b"] && list(transient) == [])
        #expect(try list(16) == [] && list(32) == [] && list(64) == ["a", "b"] && list(128) == [])
        #expect(try list(256) == [] && list(512) == ["a", "b"])
        #expect(try list(1024) == ["a"] && list(2048) == ["b"])
        #expect(try list(4096) == [] && list(8192) == ["a", "b"])
        // The count alone.
        let counted = try client.call(Procedures.connectListAllDomains, Message(0, 0)).fields
        #expect(counted.0 == [] && counted.1 == 2)
    }

    @Test func factsOfAMachineThatIsOff() throws {
        let machine = try define("m")
        let info = try client.call(Procedures.domainGetInfo, Message(machine)).fields
        #expect(info.0 == WireByte(5) && info.1 == 65536 && info.2 == 65536 && info.4 == 0)
        #expect(try client.call(Procedures.domainGetOsType, Message(machine)).fields == "hvm")
        #expect(try client.call(Procedures.domainGetMaxMemory, Message(machine)).fields == 65536)
        #expect(try client.call(Procedures.domainIsActive, Message(machine)).fields == 0)
        #expect(try client.call(Procedures.domainIsPersistent, Message(machine)).fields == 1)
        let state = try client.call(Procedures.domainGetState, Message(machine, 0)).fields
        #expect(state.0 == 5)
        #expect(try client.call(Procedures.domainHasManagedSaveImage, Message(machine, 0)).fields == 0)
        #expect(refusal { _ = try client.call(Procedures.domainGetControlInfo, Message(machine, 0)) } == 55)
        #expect(refusal { _ = try client.call(Procedures.domainDestroy, Message(machine)) } == 55)
        #expect(refusal { _ = try client.call(Procedures.domainSuspend, Message(machine)) } == 55)
        #expect(refusal { _ = try client.call(Procedures.domainShutdown, Message(machine)) } == 55)
    }

    @Test func processorsAreCountedByScope() throws {
        let machine = try define("m")
        let (configuration, maximum): (UInt32, UInt32) = (2, 4)
        #expect(try client.call(Procedures.domainGetVcpusFlags, Message(machine, configuration)).fields == 1)
        #expect(try client.call(Procedures.domainGetVcpusFlags, Message(machine, configuration | maximum)).fields == 4)
        _ = try client.call(Procedures.domainSetVcpusFlags, Message(machine, 3, configuration))
        #expect(try client.call(Procedures.domainGetVcpusFlags, Message(machine, configuration)).fields == 3)
        #expect(
            refusal { _ = try client.call(Procedures.domainSetVcpusFlags, Message(machine, 9, configuration)) } == 8)
        #expect(refusal { _ = try client.call(Procedures.domainSetVcpus, Message(machine, 1)) } == 55)
    }

    /// Asking the guest is for those who may change it; the rest of these calls is for all.
    @Test func readersMayNotAskTheGuest() throws {
        let machine = try define("m")
        let reader = try service.client(readOnly: true)
        #expect(try reader.call(Procedures.domainGetVcpusFlags, Message(machine, 2)).fields == 1)
        #expect(refusal { _ = try reader.call(Procedures.domainGetVcpusFlags, Message(machine, 8)) } == 29)
        let (leases, agent): (UInt32, UInt32) = (0, 1)
        #expect(refusal { _ = try reader.call(Procedures.domainInterfaceAddresses, Message(machine, agent, 0)) } == 29)
        #expect(
            refusal { _ = try reader.call(Procedures.domainInterfaceAddresses, Message(machine, leases, 0)) } != 29)
    }

    @Test func autostartIsKept() throws {
        let machine = try define("m")
        #expect(try client.call(Procedures.domainGetAutostart, Message(machine)).fields == 0)
        _ = try client.call(Procedures.domainSetAutostart, Message(machine, 1))
        #expect(try client.call(Procedures.domainGetAutostart, Message(machine)).fields == 1)
        _ = try client.call(Procedures.domainSetAutostart, Message(machine, 0))
        #expect(try client.call(Procedures.domainGetAutostart, Message(machine)).fields == 0)
    }

    @Test func titlesDescriptionsAndElementsAreMetadata() throws {
        let machine = try define("m")
        let (description, title, element): (Int32, Int32, Int32) = (0, 1, 2)
        func get(_ type: Int32, _ uri: String? = nil) throws -> String {
            try client.call(Procedures.domainGetMetadata, Message(machine, type, uri, 2)).fields
        }
        func set(_ type: Int32, _ text: String?, _ key: String? = nil, _ uri: String? = nil) throws {
            _ = try client.call(Procedures.domainSetMetadata, Message(machine, type, text, key, uri, 2))
        }
        #expect(refusal { _ = try get(title) } == 80)
        try set(title, "A title")
        try set(description, "Two\nlines & <more>")
        #expect(try get(title) == "A title" && get(description) == "Two\nlines & <more>")
        try set(element, "<app level='1'><x/></app>", "k", "http://example.org/1")
        #expect(try get(element, "http://example.org/1").contains("level=\"1\""))
        #expect(refusal { _ = try get(element, "http://example.org/2") } == 80)
        let document = try client.call(Procedures.domainGetXMLDesc, Message(machine, 0)).fields
        #expect(document.contains("<title>A title</title>") && document.contains("k:app"))
        try set(element, nil, "k", "http://example.org/1")
        #expect(refusal { _ = try get(element, "http://example.org/1") } == 80)
        try set(title, nil)
        #expect(refusal { _ = try get(title) } == 80)
    }

    @Test func twoMachinesHaveTwoNames() throws {
        let uuid = UniqueID.random()
        _ = try client.call(Procedures.domainDefineXML, Message(TestService.domain("a", uuid: uuid)))
        #expect(refusal { _ = try client.call(Procedures.domainDefineXML, Message(TestService.domain("a"))) } == 9)
        #expect(
            refusal { _ = try client.call(Procedures.domainDefineXML, Message(TestService.domain("b", uuid: uuid))) }
                == 9)
        // The same again is a change.
        _ = try client.call(
            Procedures.domainDefineXML, Message(TestService.domain("a", uuid: uuid, inside: "<title>t</title>")))
        #expect(try list(0) == ["a"])
    }

    @Test(
        arguments: [
            ("", 35), ("<domain", 35), ("<pool/>", 27), ("<domain type='qemu'/>", 21),
            ("<domain type='other'><name>a</name></domain>", 67),
        ] as [(String, Int32)])
    func badDocumentsHaveTheirCodes(_ text: String, _ expected: Int32) throws {
        let code = refusal { _ = try client.call(Procedures.domainDefineXML, Message(text)) }
        #expect(code == expected)
        #expect(try list(0) == [])
    }

    @Test func flagsThatNobodyKnowsAreRefused() throws {
        let text = TestService.domain("m")
        #expect(refusal { _ = try client.call(Procedures.domainDefineXMLFlags, Message(text, 1 << 30)) } == 8)
        #expect(try list(0) == [])
    }

    @Test func passwordsAreForThoseWhoMayChange() throws {
        let inside = "<devices><graphics type='vnc' port='5900' passwd='secret'/></devices>"
        let machine = try client.call(
            Procedures.domainDefineXML, Message(TestService.domain("m", inside: inside))
        ).fields
        let secure: UInt32 = 1
        #expect(
            try client.call(Procedures.domainGetXMLDesc, Message(machine, secure)).fields.contains("passwd='secret'"))
        #expect(try !client.call(Procedures.domainGetXMLDesc, Message(machine, 0)).fields.contains("secret"))
        let reader = try service.client(readOnly: true)
        #expect(refusal { _ = try reader.call(Procedures.domainGetXMLDesc, Message(machine, secure)) } == 29)
        #expect(try !reader.call(Procedures.domainGetXMLDesc, Message(machine, 0)).fields.contains("secret"))
    }

    @Test func aMachineIsRenamed() throws {
        let machine = try define("old")
        _ = try client.call(Procedures.domainRename, Message(machine, "new", 0))
        #expect(try client.call(Procedures.domainLookupByUUID, Message(machine.uuid)).fields.name == "new")
        #expect(refusal { _ = try client.call(Procedures.domainLookupByName, Message("old")) } == 42)
    }
}
