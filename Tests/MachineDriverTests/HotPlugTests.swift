// SPDX-License-Identifier: Apache-2.0

import JSONCoding
import MachineDriver
import ManagementModel
import Testing

@Suite struct HotPlugTests {
    @Test func argumentsBecomeCommandsThatCanBeUndone() throws {
        let steps = try HotPlug.steps([
            "-blockdev", #"{"driver":"file","filename":"/a,b","node-name":"n"}"#,
            "-netdev", "tap,id=h,ifname=vnet0,script=no", "-device", "virtio-blk-pci,drive=n,bus=pci.0,addr=0x3,id=d",
        ])
        #expect(steps.map(\.command) == ["blockdev-add", "netdev_add", "device_add"])
        #expect(steps.map { $0.undo?.command } == ["blockdev-del", "netdev_del", "device_del"])
        #expect(steps[0].arguments["filename"] == "/a,b")
        #expect(steps[2].arguments["driver"] == "virtio-blk-pci")
        #expect(steps[2].undo?.arguments["id"] == "d")
    }

    @Test func valuesHaveTheirTypes() {
        let options = HotPlug.options("x,a=on,b=off,bootindex=3,name=one,,two,write-cache=on,addr=0x1", first: "driver")
        #expect(options["driver"] == "x")
        #expect(options["a"] == true && options["b"] == false)
        #expect(options["bootindex"] == 3)
        #expect(options["name"] == "one,two")
        #expect(options["write-cache"] == "on")
        #expect(options["addr"] == "0x1")
    }

    @Test func characterDevicesHaveTheirBackEnds() throws {
        let socket = try HotPlug.steps(["-chardev", "socket,id=c,path=/s,server=on,wait=off"])[0]
        let backend = socket.arguments["backend"]
        #expect(backend?["type"] == "socket")
        #expect(backend?["data"]?["addr"]?["data"]?["path"] == "/s")
        #expect(backend?["data"]?["server"] == true && backend?["data"]?["wait"] == false)
        #expect(try HotPlug.steps(["-chardev", "pty,id=c"])[0].arguments["backend"]?["type"] == "pty")
    }

    @Test(arguments: [["-machine", "pc"], ["-blockdev", "nonsense"], ["-chardev", "what,id=c"]])
    func whatOnlyAStartTakesIsRefused(_ arguments: [String]) {
        #expect(throws: ManagementError.self) { try HotPlug.steps(arguments) }
    }
}

@Suite struct ProcessorSetTests {
    @Test(arguments: [
        ([UInt8(0b1111)], "0-3"), ([0b101], "0,2"), ([0, 1], "8"), ([0b1000_0001, 0b11], "0,7-9"), ([0], ""),
    ])
    func mapsHaveATextForm(_ map: [UInt8], _ text: String) {
        #expect(ProcessorSet.text(map) == text)
        #expect(ProcessorSet.map(text, length: map.count) == map)
    }

    @Test func textsMayTakeProcessorsAway() { #expect(ProcessorSet.map("0-3,^2", length: 1) == [0b1011]) }

    @Test(arguments: ["x", "3-1", "99999", "1-x"])
    func rubbishIsNoSet(_ text: String) { #expect(ProcessorSet.map(text, length: 4) == nil) }
}

@Suite struct KeyCodeTests {
    @Test func keysHaveScanCodes() {
        // A, and Home behind 0xe0, by Linux' numbers; A by USB's; a scan code itself.
        #expect(KeyCodes.scanCode(30, set: 0) == 30)
        #expect(KeyCodes.scanCode(102, set: 0) == 0xc7)
        #expect(KeyCodes.scanCode(4, set: 7) == 30)
        #expect(KeyCodes.scanCode(0x9c, set: 9) == 0x9c)
    }

    @Test(arguments: [(UInt32(0), UInt32(0)), (9999, 0), (0, 1), (300, 1), (30, 8), (30, 77)])
    func keysThatThereAreNotHaveNone(_ code: UInt32, _ set: UInt32) {
        #expect(KeyCodes.scanCode(code, set: set) == nil)
    }
}
