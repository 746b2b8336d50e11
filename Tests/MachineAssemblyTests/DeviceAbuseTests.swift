// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import MachineTestKit
import Testing

@Suite struct DeviceAbuseTests {
    private static let common = "-nodefaults -display none -monitor none -m 8 "

    /// A share of the fuzz target's work with fixed seeds.
    @Test(arguments: [
        "-M q35 -vga std -device virtio-rng-pci -device pvpanic -device pci-testdev",
        "-M q35 -device qemu-xhci -device usb-tablet -device usb-kbd -drive if=none,id=d,file=null-co://,format=raw "
            + "-device usb-storage,drive=d",
        "-M pc -usb -device usb-mouse -device nec-usb-xhci,id=n -device usb-tablet,bus=n.0 -device virtio-rng-pci",
        "-M pc -vga std -device virtio-balloon-pci -device pc-testdev",
        "-M microvm -device virtio-rng-device -device virtio-balloon-device",
        "-M microvm,acpi=off,pit=off,rtc=off -device virtio-rng-device",
    ])
    func rubbishInAnyRegisterIsSurvived(line: String) throws {
        for seed in [1, 2] as [UInt64] {
            let abuse = try DeviceAbuse((Self.common + line).split(separator: " ").map(String.init), seed: seed)
            if seed == 2 { abuse.configure() }
            abuse.run(4000)
            #expect(abuse.accesses.count > 5)
        }
    }

    /// Whole machines whose saved state has wrong values in it: refused by the section's name, or taken without harm.
    @Test(arguments: [
        "-M q35 -vga std -device virtio-rng-pci -device pvpanic-pci -device pci-testdev -device e1000e "
            + "-device pcie-root-port,id=p -device virtio-balloon-pci,bus=p",
        "-M pc -vga std -device virtio-balloon-pci -device pc-testdev -device e1000 -device virtio-net-pci",
        "-M microvm -device virtio-rng-device -device virtio-serial-device",
    ])
    func wrongStatesAreRefusedOrHarmless(line: String) throws {
        for seed in [3, 4] as [UInt64] {
            let abuse = try DeviceAbuse((Self.common + line).split(separator: " ").map(String.init), seed: seed)
            if seed == 4 { abuse.configure() }
            let result = try abuse.disturbState(60, accesses: 30)
            #expect(result.taken > 0 && result.refused > 0)
            #expect(result.silentRefusal == nil)
        }
    }
}
