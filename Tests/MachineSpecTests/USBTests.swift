// SPDX-License-Identifier: Apache-2.0

import MachineSpec
import Testing

@Suite struct USBFlagTests {
    private func controllers(_ line: String) throws -> [USBControllerSpec] {
        try spec(line).devices.compactMap { if case .pc(.usbController(let found)) = $0.model { found } else { nil } }
    }

    private func devices(_ line: String) throws -> [USBDeviceSpec] {
        try spec(line).devices.compactMap { if case .pc(.usbDevice(let found)) = $0.model { found } else { nil } }
    }

    @Test func boardsHaveTheirController() throws {
        #expect(try controllers("-M pc").isEmpty)
        #expect(try controllers("-M pc,usb=off").isEmpty)
        #expect(try controllers("-M pc -usb").map(\.model) == ["piix3-usb-uhci"])
        let chips = try controllers("-M q35,usb=on")
        #expect(chips.map(\.model) == ["ich9-usb-ehci1", "ich9-usb-uhci1", "ich9-usb-uhci2", "ich9-usb-uhci3"])
        #expect(chips.dropFirst().map(\.firstPort) == [0, 2, 4] && chips.last?.masterBus == "usb-bus.0")
        let chip = try #require(try spec("-M pc -usb").devices.first { $0.typeName == "piix3-usb-uhci" })
        #expect(chip.placement.slot == 1 && chip.placement.function == 2)
    }

    @Test func theShortFlagBringsAController() throws {
        #expect(try devices("-M q35 -usbdevice tablet -usbdevice keyboard").map(\.kind) == [.tablet, .keyboard])
        #expect(try controllers("-M q35 -usbdevice mouse").count == 4)
        #expect(failure("-usbdevice tablets").hasSuffix("did you mean 'tablet'?"))
    }

    @Test func propertiesAreRead() throws {
        let line =
            "-M q35 -device qemu-xhci,id=u,p2=15,p3=15 -drive if=none,id=d,file=x -device usb-tablet,bus=u.0,port=3,serial=7 "
            + "-device usb-mouse,usb_version=1 -device usb-storage,drive=d,removable=on,bootindex=2,serial=s"
        #expect(try controllers(line).map(\.usb3Ports) == [15])
        let found = try devices(line)
        #expect(found[0].bus == "u.0" && found[0].port == "3" && found[0].serial == "7")
        #expect(found[1].version == 1)
        var stick = USBStorageSpec(drive: "d")
        (stick.isRemovable, stick.bootIndex, stick.serial) = (true, 2, "s")
        #expect(found[2].kind == .storage(stick))
    }

    @Test(arguments: [
        "-device usb-tablet", "-M q35 -device qemu-xhci,id=u -device usb-kbd,bus=v.0",
        "-M q35 -usb -device usb-storage", "-M q35 -usb -device usb-storage,drive=none", "-device qemu-xhci,p2=16",
        "-M q35 -usb -device usb-tablet,port=x", "-M q35 -usb -device usb-tablet,usb_version=3",
        "-M q35 -usb -drive if=none,id=d,file=x -device usb-storage,drive=d -device usb-storage,drive=d",
        "-M microvm -device qemu-xhci",
    ])
    func mistakesAreTold(line: String) { #expect(failure(line) != "no error") }

    @Test func flashChipsAreNodes() throws {
        let nodes = "-blockdev driver=file,filename=a,node-name=a -blockdev driver=file,filename=b,node-name=b "
        #expect(try spec(nodes + "-M q35,pflash0=a,pflash1=b").board.flash == [0: "a", 1: "b"])
        for line in [
            "-M q35,pflash0=a", nodes + "-M q35,pflash1=b", nodes + "-M q35,pflash0=a,pflash1=a",
            nodes + "-M microvm,pflash0=a", nodes + "-M q35,pflash0=a -drive if=pflash,file=x",
        ] { #expect(failure(line) != "no error", "\(line)") }
    }
}
