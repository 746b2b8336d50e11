// SPDX-License-Identifier: Apache-2.0

import MachineSpec
import Testing

@Suite struct MicroVMTests {
    @Test func defaultsAreQEMUs() throws {
        let board = try spec("-M microvm").board
        #expect(board.kind == .microvm && board.name == "microvm")
        #expect(board.pit == .auto && board.pic == .auto && board.rtc == .auto && board.pcie == .auto)
        #expect(board.isaSerial && board.autoKernelCommandLine && board.hasLegacyTransports)
        #expect(try spec("-M microvm").devices.map(\.typeName) == ["isa-serial"])
    }

    /// As QEMU's documentation has it.
    @Test func theDocumentedCommandLine() throws {
        let machine = try spec(
            "-M microvm,x-option-roms=off,pit=off,pic=off,isa-serial=off,rtc=off -enable-kvm -cpu host -m 512m -smp 2 "
                + "-kernel vmlinux -append console=hvc0 -nodefaults -no-user-config -nographic -no-reboot "
                + "-chardev stdio,id=virtiocon0 -device virtio-serial-device -device virtconsole,chardev=virtiocon0 "
                + "-drive id=test,file=test.img,format=raw,if=none -device virtio-blk-device,drive=test "
                + "-netdev tap,id=tap0,script=no,downscript=no -device virtio-net-device,netdev=tap0 "
                + "-global virtio-mmio.force-legacy=false")
        #expect(machine.board.pit == .off && machine.board.pic == .off && machine.board.rtc == .off)
        #expect(!machine.board.isaSerial && !machine.board.hasLegacyTransports)
        #expect(
            machine.devices.map(\.typeName) == [
                "virtio-serial-device", "virtconsole", "virtio-blk-device", "virtio-net-device",
            ])
    }

    @Test func shortFormsGoToTransportsInMemory() throws {
        let machine = try spec("-M microvm -drive file=a,if=virtio,format=raw -nic user")
        #expect(machine.devices.map(\.typeName) == ["isa-serial", "virtio-blk-device", "virtio-net-device"])
        #expect(try spec("-M microvm -drive file=a,id=d").drives[0].interface == .none)
    }

    @Test(arguments: [
        ("-M microvm -hda x", "no IDE controller"), ("-M microvm,hpet=off", "microvm-machine.hpet"),
        ("-M q35,isa-serial=off", "pc-q35-7.2-machine.isa-serial"), ("-M microvm,pit=maybe", "pit"),
        ("-M microvm -global virtio-mmio.force-legacy=perhaps", "force-legacy"),
    ])
    func whatItDoesNotHaveIsRefused(line: String, part: String) {
        let text = failure(line)
        #expect(text.contains(part) && !text.contains("\n"), "\(text)")
    }
}
