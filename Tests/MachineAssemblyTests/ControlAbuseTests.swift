// SPDX-License-Identifier: Apache-2.0

import MachineTestKit
import Testing

@Suite struct ControlAbuseTests {
    /// A share of the fuzz target's work with fixed seeds: every command gets its answer.
    @Test(arguments: [
        "-M q35 -device pcie-root-port,id=p1 -device qemu-xhci,id=usb -device ide-cd,id=cd -device virtio-blk-pci,drive=d0",
        "-M pc -usb -device ide-cd,id=cd -device ide-hd,drive=d0", "-M microvm -device virtio-blk-device,drive=d0",
    ])
    func everythingIsAnswered(line: String) throws {
        let lab = try ControlLab()
        let disk = " -m 8 -nodefaults -display none -drive if=none,id=d0,file=$F/d0.qcow2,format=qcow2"
        let abuse = try lab.abuse(line + disk, seed: 5)
        try abuse.run(400)
        let done = abuse.answers.filter { $0.value.done > 0 }
        #expect(done.count > 40)
        #expect(abuse.answers.contains { $0.value.refused > 0 })
    }
}
