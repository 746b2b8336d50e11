// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import Glibc
import MachineAssembly

// Rubbish in every port, register, configuration space and in the memory behind them, on whole machines, without end (or
// for as many rounds as the second argument says), from the seed in the first. A trap is a bug, and so is a round that
// takes longer than the alarm; the seed repeats it.

let machines = [
    "-M q35 -m 16 -vga std -device isa-debugcon,chardev=n -device pvpanic -device pvpanic-pci -device pci-testdev "
        + "-device pc-testdev -device virtio-rng-pci -device virtio-balloon-pci -device virtio-serial-pci "
        + "-device virtserialport,chardev=n -device pcie-root-port,id=p -device virtio-rng-pci,bus=p",
    "-M pc -m 16 -vga std -device pvpanic -device virtio-net-pci -device virtio-rng-pci -device virtio-balloon-pci",
    "-M microvm -m 16 -device virtio-rng-device -device virtio-balloon-device -device virtio-serial-device "
        + "-device virtconsole,chardev=n -global virtio-mmio.force-legacy=false",
    "-M microvm,acpi=off -m 16 -device virtio-rng-device -device virtio-balloon-device",
]
let accessesInRound = 20_000
let secondsInRound: UInt32 = 120
let seed = CommandLine.arguments.count > 1 ? UInt64(CommandLine.arguments[1]) ?? 1 : 1
let rounds = CommandLine.arguments.count > 2 ? Int(CommandLine.arguments[2]) ?? .max : .max

var reached: Set<String> = []
for round in 0..<rounds {
    let roundSeed = seed &+ UInt64(round)
    let line =
        machines[round % machines.count]
        + " -chardev null,id=n -display none -monitor none -nodefaults -drive if=none,id=d,file=null-co://,format=raw"
    let disk = round % machines.count < 2 ? " -device ide-hd,drive=d" : " -device virtio-blk-device,drive=d"
    // Ends the process where a device does not come back.
    alarm(secondsInRound)
    do throws(UserError) {
        let abuse = try DeviceAbuse((line + disk).split(separator: " ").map(String.init), seed: roundSeed)
        if round % 3 != 0 { abuse.configure() }
        abuse.run(accessesInRound)
        reached.formUnion(abuse.accesses.keys)
    } catch {
        print("fuzz-devices: \(error)")
        exit(1)
    }
    print("seed \(roundSeed): \(reached.count) windows reached so far")
    // All streams: a trap in the next round must not lose the line.
    fflush(nil)
}
print("reached: \(reached.sorted().joined(separator: ", "))")
