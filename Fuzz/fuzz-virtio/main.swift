// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Diagnostics
import GuestMemory
import PacketPorts
internal import RandomKit
import Virtio
import VirtioDevices
import VirtqueueDriver

// Rubbish in the rings, descriptors and registers of every virtio device, without end (or for as many rounds as the
// second argument says), from the seed in the first. A trap or a hang is a bug; the seed repeats it.

/// The far ends of the network devices' wires.
final class Wires {
    var ports: [LoopbackPort] = []
}

/// The devices and how many queues each has.
func makeDevice(_ kind: Int, _ wires: Wires, _ machine: VirtioTestMachine) throws -> any VirtioDevice {
    switch kind {
    case 0: return VirtioEntropyDevice()
    case 1: return VirtioBalloonDevice(deflateOnOOM: true, freePageReporting: true)
    case 2:
        let serial = VirtioSerialDevice(machineLock: machine.lock, maximumPorts: 3)
        try serial.add(VirtioSerialPort(isConsole: true, backend: nil))
        return serial
    case 3:
        let (near, far) = LoopbackPort.pair(on: machine.loop)
        wires.ports.append(far)
        return VirtioNetworkDevice(.init(address: [0x52, 0x54, 0, 0x12, 0x34, 0x56]), port: near, loop: machine.loop)
    default: return try VirtioBlockDevice(MemoryNode([UInt8](repeating: 0, count: 1 << 20)))
    }
}

/// One life of a driver that does everything wrong.
func abuse(
    _ driver: VirtioPCIDriver, _ machine: VirtioTestMachine, _ wires: Wires, _ generator: inout SeededGenerator
) throws {
    let count = driver.function.device.queueSizes.count
    driver.queueMemory = 128 << 10
    let features = driver.offered & (generator.next() | 1 << 32)
    guard driver.negotiate(features) else { return }
    for number in 0..<count { driver.setUp(number, features: features) }
    driver.status = 0xF
    for _ in 0..<Int.random(in: 1...8, using: &generator) {
        let number = Int.random(in: 0..<count, using: &generator)
        guard let queue = driver.queues[number] else { continue }
        let bytes = generator.bytes(Int.random(in: 0...Int(queue.size) * 16, using: &generator))
        try machine.memory.write(bytes, at: queue.descriptors)
        queue.setAvailableIndex(UInt16.random(in: 0...queue.size, using: &generator))
        driver.notify(number)
        driver.write(UInt64.random(in: 0..<0x4000, using: &generator), 4, generator.next() & 0xFFFF_FFFF)
        _ = driver.read(UInt64.random(in: 0..<0x4000, using: &generator), 4)
        for wire in wires.ports { _ = wire.send(generator.bytes(100)) }
    }
    machine.drain()
    driver.status = 0
}

func main() throws {
    let seed = CommandLine.arguments.count > 1 ? UInt64(CommandLine.arguments[1]) ?? 1 : 1
    let rounds = CommandLine.arguments.count > 2 ? Int(CommandLine.arguments[2]) ?? .max : .max
    Console.shared.redirect { _ in }
    var generator = SeededGenerator(seed: seed)
    let wires = Wires()
    var machines: [(VirtioTestMachine, VirtioPCIDriver)] = []
    for kind in 0..<5 {
        let machine = try VirtioTestMachine()
        machines.append((machine, try VirtioPCIDriver(try makeDevice(kind, wires, machine), in: machine)))
    }
    var round = 0
    while round < rounds {
        for (machine, driver) in machines { try abuse(driver, machine, wires, &generator) }
        round += 1
        if round % 1000 == 0 { print("\(round) rounds of seed \(seed)") }
    }
    print("\(round) rounds of seed \(seed): no trap")
}

try main()
