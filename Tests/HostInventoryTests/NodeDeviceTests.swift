// SPDX-License-Identifier: Apache-2.0

import HostInventory
import ManagementModel
import Testing

@Suite struct NodeDeviceTests {
    private let host = HostFacts()

    @Test func theComputerIsTheRootOfAllDevices() throws {
        let devices = NodeDevices.all(host)
        #expect(devices.first?.name == "computer")
        #expect(devices.first?.parent == nil)
        let names = Set(devices.map(\.name))
        #expect(names.count == devices.count)
        for device in devices.dropFirst() { #expect(device.parent.map { names.contains($0) } ?? false) }
    }

    @Test func aDocumentNamesItsDevice() throws {
        for device in NodeDevices.all(host) {
            let text = try NodeDevices.find(device.name, host).document
            #expect(text.contains("<name>\(device.name)</name>"))
            #expect(text.contains("<capability type='\(device.capability.name)'"))
        }
    }

    @Test func aDeviceThatThereIsNotHasLibvirtsError() {
        #expect { try NodeDevices.find("nothing", host) } throws: {
            ($0 as? ManagementError)?.code == .noNodeDevice
        }
        #expect { try HostInterface.find("named 'x'") { $0.name == "no-such" } } throws: {
            ($0 as? ManagementError)?.code == .noInterface
        }
    }
}
