// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import Glibc
import MachineTestKit

// Rubbish in every port, register, configuration space and in the memory behind them, on whole machines, without end (or
// for as many rounds as the second argument says), from the seed in the first. A trap is a bug, and so is a round that
// takes longer than the alarm; the seed repeats it. With "state" as third argument the machines are saved and loaded
// with wrong values in between: each must be refused with a sentence, or do no harm.

let machines = [
    "-M q35 -m 16 -vga std -device isa-debugcon,chardev=n -device pvpanic -device pvpanic-pci -device pci-testdev -device e1000e "
        + "-device pc-testdev -device virtio-rng-pci -device virtio-balloon-pci -device virtio-serial-pci "
        + "-device virtserialport,chardev=m -device pcie-root-port,id=p -device virtio-rng-pci,bus=p "
        + "-device qemu-xhci,id=u -device usb-tablet,bus=u.0 -device usb-kbd,bus=u.0 "
        + "-drive if=none,id=s,file=null-co://,format=raw -device usb-storage,bus=u.0,drive=s",
    "-M pc -m 16 -vga std -device e1000 -device pvpanic -device virtio-net-pci -device virtio-rng-pci "
        + "-device virtio-balloon-pci -usb -device usb-mouse -device nec-usb-xhci,id=x -device usb-tablet,bus=x.0",
    "-M microvm -m 16 -device virtio-rng-device -device virtio-balloon-device -device virtio-serial-device "
        + "-device virtconsole,chardev=n -global virtio-mmio.force-legacy=false",
    "-M microvm,acpi=off -m 16 -device virtio-rng-device -device virtio-balloon-device",
]
let accessesInRound = 20_000
let secondsInRound: UInt32 = 120
let seed = CommandLine.arguments.count > 1 ? UInt64(CommandLine.arguments[1]) ?? 1 : 1
let rounds = CommandLine.arguments.count > 2 ? Int(CommandLine.arguments[2]) ?? .max : .max
let disturbsState = CommandLine.arguments.count > 3 && CommandLine.arguments[3] == "state"
let statesInRound = 300, accessesAfterState = 60

var reached: Set<String> = []
var states = (taken: 0, refused: 0, sections: Set<String>())
for round in 0..<rounds {
    let roundSeed = seed &+ UInt64(round)
    let line =
        machines[round % machines.count]
        + " -chardev null,id=n -chardev null,id=m -display none -monitor none -nodefaults -drive if=none,id=d,file=null-co://,format=raw"
    let disk = round % machines.count < 2 ? " -device ide-hd,drive=d" : " -device virtio-blk-device,drive=d"
    // Ends the process where a device does not come back.
    alarm(secondsInRound)
    do throws(UserError) {
        let abuse = try DeviceAbuse((line + disk).split(separator: " ").map(String.init), seed: roundSeed)
        if round % 3 != 0 { abuse.configure() }
        if disturbsState {
            abuse.run(accessesAfterState * 4)
            let result = try abuse.disturbState(statesInRound, accesses: accessesAfterState)
            states.taken += result.taken
            states.refused += result.refused
            states.sections.formUnion(result.sections)
            if let text = result.silentRefusal {
                print("fuzz-devices: seed \(roundSeed): refused without the section's name: \(text)")
                exit(1)
            }
        } else {
            abuse.run(accessesInRound)
        }
        reached.formUnion(abuse.accesses.keys)
    } catch {
        print("fuzz-devices: \(error)")
        exit(1)
    }
    print(
        disturbsState
            ? "seed \(roundSeed): \(states.taken) states taken, \(states.refused) refused, of \(states.sections.count) sections"
            : "seed \(roundSeed): \(reached.count) windows reached so far")
    // All streams: a trap in the next round must not lose the line.
    fflush(nil)
}
print("reached: \((disturbsState ? states.sections : reached).sorted().joined(separator: ", "))")
