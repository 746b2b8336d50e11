// SPDX-License-Identifier: Apache-2.0

import CommandLineKit
import MachineSpec
import Testing

@Suite struct ProcessorDeviceTests {
    private static let type = "qemu64-x86_64-cpu"
    private static let machine = "-M q35 -smp 1,maxcpus=8,sockets=2,cores=2,threads=2 -device \(type)"

    @Test func aPlaceIsThreadsThenCoresThenSockets() throws {
        let made = try spec(Self.machine + ",id=a,socket-id=1,core-id=0,thread-id=1").topology
        #expect(made.plugged == [TopologySpec.PluggedProcessor(index: 5, identifier: "a")])
        #expect(made.present == [0, 5])
        #expect(try spec(Self.machine + ",apic-id=7,die-id=0").topology.present == [0, 7])
    }

    @Test(arguments: [
        (",socket-id=0,core-id=0,thread-id=0", "CPU[0] with APIC ID 0 exists"),
        (",core-id=0,thread-id=0", "CPU socket-id is not set"), (",socket-id=0,thread-id=0", "CPU core-id is not set"),
        (",socket-id=0,core-id=0", "CPU thread-id is not set"),
        (",socket-id=2,core-id=0,thread-id=0", "Invalid CPU socket-id: 2 must be in range 0:1"),
        (",socket-id=0,core-id=2,thread-id=0", "Invalid CPU core-id: 2 must be in range 0:1"),
        (",socket-id=0,die-id=1,core-id=0,thread-id=0", "Invalid CPU die-id: 1 must be in range 0:0"),
        (",apic-id=8", "valid index range 0:7"), (",apic-id=7,core-id=0", "property core-id: 0 doesn't match"),
        (",apic-id=7,colour=red", "Property 'qemu64-x86_64-cpu.colour' not found"),
    ])
    func mistakesAreNamed(options: String, text: String) { #expect(failure(Self.machine + options).contains(text)) }

    @Test func otherMistakes() {
        #expect(
            failure("-M q35 -cpu max -smp 1,maxcpus=2 -device \(Self.type),apic-id=1")
                .contains("Invalid CPU type, expected cpu type: 'max-x86_64-cpu'"))
        #expect(
            failure("-M microvm -smp 1,maxcpus=2 -device \(Self.type),apic-id=1").contains(
                "CPU hotplug is not supported"))
        #expect(failure(Self.machine + ",apic-id=1 -device \(Self.type),apic-id=1").contains("exists"))
        #expect(
            failure(Self.machine + ",apic-id=1,id=x -device virtio-rng-pci,id=x").contains(
                "Duplicate ID 'x' for device"))
    }

    @Test func aRemovedProcessorMayComeBack() throws {
        var machine = try spec("-M pc -smp 2,maxcpus=3")
        machine.topology.removed = [1]
        #expect(machine.topology.present == [0])
        let options = try OptionList(parsing: "\(Self.type),socket-id=0,core-id=1,thread-id=0,id=b", implied: "driver")
        let wanted = try MachineArguments.adding(device: options, to: machine, nodes: [])
        #expect(wanted.topology.present == [0, 1] && wanted.devices == machine.devices)
    }
}
