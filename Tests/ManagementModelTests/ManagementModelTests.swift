// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import Synchronization
import Testing

@Suite struct ManagementModelTests {
    @Test func uuidsAreReadAndWritten() {
        let text = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
        #expect(UniqueID(text)?.description == text)
        #expect(UniqueID(text.uppercased().filter { $0 != "-" })?.description == text)
        #expect(UniqueID("c7a5fdbd") == nil)
        #expect(UniqueID(text + "0") == nil)
        #expect(UniqueID("z7a5fdbd-edaf-9455-926a-d65c16db1809") == nil)
        #expect(UniqueID(bytes: UniqueID(text)!.bytes) == UniqueID(text))
    }

    @Test func randomUUIDsSayThatTheyAre() {
        let bytes = UniqueID.random().bytes
        #expect(bytes[6] >> 4 == 4)
        #expect(bytes[8] >> 6 == 2)
    }

    @Test func errorsReadAsClientsExpect() {
        #expect(ManagementError(.noDomain, "x").description == "Domain not found: x")
        #expect(ManagementError(.noDomain, "").description == "Domain not found")
        #expect(ManagementError(.domExist, "x").description == "domain x exists already")
        #expect(ErrorCode.operationInvalid.number == 55)
    }

    @Test func eventsReachThoseWhoListen() {
        let hub = EventHub()
        let machine = MachineReference(name: "m", uuid: .random(), id: 1)
        let count = Atomic(0)
        let number = hub.listen { _ in count.add(1, ordering: .relaxed) }
        hub.emit(.machine(machine, .reboot))
        hub.remove(number)
        hub.emit(.machine(machine, .reboot))
        #expect(count.load(ordering: .relaxed) == 1)
    }
}
