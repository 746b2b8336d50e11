// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import Testing

@Suite struct GenericEventDeviceTests {
    let bench = Bench()
    let device: GenericEventDevice

    init() {
        device = GenericEventDevice(interrupt: bench.wire.line, requests: bench.machine)
        device.map(in: bench.memory)
    }

    @Test func powerButtonIsFetchedOnce() {
        device.pressPowerButton()
        #expect(bench.wire.edges == 1)
        #expect(bench.memory.read(0xFEA0_0000, size: 4) == 2)
        #expect(bench.memory.read(0xFEA0_0000, size: 4) == 0)
    }

    @Test func sleepAndReset() {
        bench.memory.write(0xFEA0_0200, size: 1, value: 5 << 2)
        bench.memory.write(0xFEA0_0200, size: 1, value: 4 << 2 | 0x20)
        #expect(bench.machine.powerOffs == 0)
        bench.memory.write(0xFEA0_0200, size: 1, value: 5 << 2 | 0x20)
        #expect(bench.machine.powerOffs == 1)
        bench.memory.write(0xFEA0_0202, size: 1, value: 1)
        bench.memory.write(0xFEA0_0202, size: 1, value: 0x42)
        #expect(bench.machine.resets == 1)
        bench.abuse([0xFEA0_0000, 0xFEA0_0200], in: bench.memory)
    }
}
