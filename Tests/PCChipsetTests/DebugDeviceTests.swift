// SPDX-License-Identifier: Apache-2.0

import MachineModel
import PCChipset
import Testing

@Suite struct DebugDeviceTests {
    let bench = Bench()

    @Test func debugConsole() {
        var text: [UInt8] = []
        DebugConsole(port: 0x402, send: { text.append($0) }).map(in: bench.ports)
        #expect(bench.in(0x402) == 0xE9)
        bench.out(0x402, 0x41)
        #expect(text == [0x41])
    }

    @Test(arguments: [(0, 1), (1, 3), (0x10, 0x21), (0xFF, 0x1FF)] as [(UInt64, Int32)])
    func debugExit(value: UInt64, status: Int32) {
        DebugExit(port: 0xF4, count: 4, requests: bench.machine).map(in: bench.ports)
        bench.out(0xF4, value, size: 4)
        #expect(bench.machine.exits == [status])
        #expect(bench.in(0xF4) == 0)
    }

    @Test func panicPort() {
        PanicPort(requests: bench.machine).map(in: bench.ports)
        #expect(bench.in(0x505) == 3)
        bench.out(0x505, 1)
        bench.out(0x505, 2)
        #expect(bench.machine.panics == [false, true])
    }

    @Test func postCode() {
        let port = PostCodePort()
        port.map(in: bench.ports)
        bench.out(0x80, 0x42)
        #expect(port.state == 0x42)
        #expect(bench.in(0x80) == 0xFF)
    }

    @Test func testDeviceEchoes() {
        var flushed: [UInt64] = []
        let device = TestDevice(lines: [bench.wire.line, bench.second.line], flush: { flushed.append($0) })
        device.map(ports: bench.ports, memory: bench.memory)
        bench.out(0xE0, 0x1234_5678, size: 4)
        #expect(bench.in(0xE0, size: 4) == 0x1234_5678)
        bench.out(0xE1, 0xAB)
        #expect(bench.in(0xE0, size: 2) == 0xAB78)
        #expect(bench.in(0xE1) == 0xAB)
        bench.out(0x2001, 1)
        #expect(bench.second.level && !bench.wire.level)
        bench.out(0x2001, 0)
        #expect(!bench.second.level)
        bench.out(0x2010, 1)
        bench.out(0xE4, 0x1000, size: 4)
        #expect(flushed == [0x1000])
        bench.memory.write(0xFF00_0100, size: 8, value: 0x0102_0304_0506_0708)
        #expect(bench.memory.read(0xFF00_0104, size: 2) == 0x0304)
        bench.abuse([0xE0, 0xE4, 0x2000, 0x2010])
        bench.abuse([0xFF00_0000, 0xFF00_FFF0], in: bench.memory)
    }

    @Test func dmaControllerKeepsWhatIsWritten() {
        let dma = DMAController()
        dma.map(in: bench.ports)
        bench.out(0x0C, 0)
        bench.out(0x04, 0x34)
        bench.out(0x04, 0x12)
        bench.out(0xC6, 0x78)
        bench.out(0xC6, 0x56)
        #expect(dma.state.controllers[0].channels[2].baseAddress == 0x1234)
        #expect(dma.state.controllers[1].channels[1].baseCount == 0x5678)
        bench.out(0x0C, 0)
        #expect([bench.in(0x04), bench.in(0x04)] == [0x34, 0x12])
        bench.out(0x0A, 0x02)
        #expect(bench.in(0x0F) == 0x0B)
        bench.out(0x0D, 0)
        #expect(bench.in(0x0F) == 0x0F)
        bench.out(0x8A, 0x5A)
        #expect(bench.in(0x8A) == 0x5A)
        bench.abuse([0x00, 0xC0, 0xD0, 0x81])
    }
}
