// SPDX-License-Identifier: Apache-2.0

import MachineSpec
import MachineTestKit
import Testing

/// Machines that have, between them, every device that there is.
@Suite struct EveryDeviceTests {
    private static let common =
        "-nodefaults -display none -m 8 -chardev null,id=c -chardev null,id=e -netdev user,id=n "
        + "-drive if=none,id=d,file=null-co://,format=raw "
    private static let usb = "-device qemu-xhci,id=u -device usb-kbd,bus=u.0 -device usb-mouse,bus=u.0 "
    static let machines = [
        "-M q35 -device VGA -device secondary-vga -device pcie-root-port,id=p,slot=4 -device virtio-rng-pci,bus=p "
            + "-device virtio-serial-pci,bus=pcie.0 -device virtserialport,chardev=c -device virtconsole,chardev=e "
            + "-device isa-debug-exit -device pvpanic -device pvpanic-pci -device pci-testdev -device e1000e,netdev=n "
            + "-device ide-hd,drive=d -device ide-cd,id=cd",
        "-M q35 -usb -device usb-tablet -device nec-usb-xhci,id=x -device usb-storage,bus=x.0,drive=d -device e1000,netdev=n "
            + "-device usb-hub,bus=usb-bus.0,port=3 -device usb-mouse,bus=usb-bus.0,port=3.1",
        "-M pc -device VGA -device virtio-blk-pci,drive=d -device virtio-net-pci,netdev=n -device virtio-balloon-pci "
            + "-device isa-serial,chardev=c -device isa-debugcon,chardev=e -device pc-testdev " + usb,
        "-M pc -usb -device piix4-usb-uhci -device usb-ehci,id=h -device ich9-usb-ehci1,id=i "
            + "-device ich9-usb-uhci1,masterbus=i.0,firstport=0 -device ich9-usb-uhci2,masterbus=i.0,firstport=2 "
            + "-device ich9-usb-uhci3 -device ich9-usb-ehci2 -device ramfb -device e1000-82544gc,netdev=n",
        "-M q35 -device virtio-blk-pci-transitional,drive=d -device virtio-net-pci-transitional,netdev=n "
            + "-device virtio-serial-pci-transitional -device virtio-balloon-pci-transitional -device virtio-rng-pci-transitional",
        "-M q35 -device virtio-blk-pci-non-transitional,drive=d -device virtio-net-pci-non-transitional,netdev=n "
            + "-device virtio-serial-pci-non-transitional -device virtio-balloon-pci-non-transitional "
            + "-device virtio-rng-pci-non-transitional -device e1000-82545em",
        "-M pc -usb -device piix3-usb-uhci,id=o -device usb-tablet,bus=o.0",
        "-M microvm -device virtio-blk-device,drive=d -device virtio-net-device,netdev=n -device virtio-serial-device "
            + "-device virtconsole,chardev=c -device virtio-balloon-device -device virtio-rng-device",
    ]

    @Test func noneIsLeftOut() {
        let words = Set(Self.machines.joined(separator: " ").split { " ,".contains($0) }.map(String.init))
        // -usb brings these.
        let implied: Set = ["piix3-usb-uhci"]
        #expect(DeviceType.all.map(\.name).filter { !words.contains($0) && !implied.contains($0) } == [])
    }

    /// What rubbish in its registers makes of a machine arrives whole in another one.
    @Test(arguments: machines.indices)
    func everythingMoves(index: Int) throws {
        let arguments = (Self.common + Self.machines[index]).split(separator: " ").map(String.init)
        for seed in [11, 12, 13] as [UInt64] {
            let abuse = try DeviceAbuse(arguments, seed: seed)
            if seed != 11 {
                abuse.configure()
                abuse.run(3000)
            }
            let lost = try abuse.lostByMoving()
            #expect(lost.isEmpty, "seed \(seed): \(lost)")
        }
    }
}
