// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import Glibc
import MachineTestKit

// Commands to QMP and to the human monitor of whole machines, in any order and with wrong arguments, without end (or for as
// many machines as the second argument says), from the seed in the first. A trap is a bug, and so is a command without an
// answer; the seed repeats it.

let boards = [
    "-M q35 -vga std -device pcie-root-port,id=p1,slot=1 -device pcie-root-port,id=p2,slot=2 -device qemu-xhci,id=usb "
        + "-device virtio-serial-pci -device virtio-balloon-pci,id=b -device ide-cd,id=cd -device virtio-blk-pci,drive=d0",
    "-M pc -vga std -usb -device virtio-balloon-pci,id=b -device ide-cd,id=cd -device ide-hd,drive=d0",
    "-M microvm -device virtio-balloon-device,id=b -device virtio-blk-device,drive=d0 -device virtio-serial-device",
]
let common =
    " -m 8 -nodefaults -display none -chardev null,id=c0 -drive if=none,id=d0,file=$F/d0.qcow2,format=qcow2"
let machineSeconds: UInt32 = 300
let commandsOfMachine = 2000
let seed = CommandLine.arguments.count > 1 ? UInt64(CommandLine.arguments[1]) ?? 1 : 1
let rounds = CommandLine.arguments.count > 2 ? Int(CommandLine.arguments[2]) ?? .max : .max

var done: Set<String> = []
var refused: Set<String> = []
for round in 0..<rounds {
    let roundSeed = seed &+ UInt64(round)
    // Ends the process where a command does not come back.
    alarm(machineSeconds)
    do {
        let lab = try ControlLab()
        let abuse = try lab.abuse(boards[round % boards.count] + common, seed: roundSeed)
        try abuse.run(commandsOfMachine)
        for (command, count) in abuse.answers {
            if count.done > 0 { done.insert(command) }
            if count.refused > 0 { refused.insert(command) }
        }
    } catch {
        print("fuzz-qmp: seed \(roundSeed): \(error)")
        exit(1)
    }
    print("seed \(roundSeed): \(done.count) commands done, \(refused.count) refused so far")
    // All streams: a trap in the next round must not lose the line.
    fflush(nil)
}
print("never done: \(refused.subtracting(done).sorted().joined(separator: ", "))")
