// SPDX-License-Identifier: Apache-2.0

import PCChipset
import RandomKit
import Testing

@Suite struct PS2MouseTests {
    let mouse = PS2Mouse()

    private func drain() -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < 5000, let byte = mouse.takeByte() { bytes.append(byte) }
        return bytes
    }
    private func send(_ bytes: UInt8...) -> [UInt8] {
        for byte in bytes { mouse.receive(byte) }
        return drain()
    }

    @Test func resetAndIdentify() {
        #expect(send(0xFF) == [0xFA, 0xAA, 0x00])
        #expect(send(0xF2) == [0xFA, 0x00])
        #expect(send(0xF3, 200, 0xF3, 100, 0xF3, 80).count == 6)
        #expect(send(0xF2) == [0xFA, 3])
        _ = send(0xF3, 200, 0xF3, 200, 0xF3, 80)
        #expect(send(0xF2) == [0xFA, 4])
        #expect(send(0x01) == [0xFE])
    }

    @Test func reportsOnlyWhenAsked() {
        mouse.move(x: 5, y: -3, buttons: 1)
        #expect(drain() == [])
        #expect(send(0xEB) == [0xFA, 0x29, 5, 0xFD])
        _ = send(0xF4)
        mouse.move(x: 1, y: 1, buttons: 3)
        #expect(drain() == [0x0B, 1, 1])
        #expect(send(0xE9) == [0xFA, 0x20 | 4 | 1, 2, 100])
    }

    @Test func longMovementsAreSplit() {
        _ = send(0xF4)
        mouse.move(x: 600, y: 0, buttons: 0)
        #expect(drain() == [0x08, 255, 0, 0x08, 255, 0, 0x08, 90, 0])
    }

    @Test func wheelAndSideButtons() {
        _ = send(0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF4)
        mouse.move(x: 0, y: 0, wheel: 1, buttons: 0)
        #expect(drain() == [0x08, 0, 0, 0xFF])
        _ = send(0xF3, 200, 0xF3, 200, 0xF3, 80)
        mouse.move(x: 0, y: 0, buttons: 0x08)
        #expect(drain() == [0x08, 0, 0, 0x10])
    }

    @Test func wrapModeEchoes() {
        #expect(send(0xEE, 0x55, 0xF2) == [0xFA, 0x55, 0xF2])
        #expect(send(0xEC) == [0xFA])
    }

    @Test func floodsAreBounded() {
        _ = send(0xF4)
        for index in 0..<10_000 { mouse.move(x: index, y: .max, wheel: .min, buttons: UInt8(index & 7)) }
        #expect(drain().count < 5000)
        var random = SeededGenerator(seed: 1)
        for _ in 0..<50_000 {
            mouse.receive(UInt8(truncatingIfNeeded: random.next()))
            if random.next() & 7 == 0 { _ = mouse.takeByte() }
        }
    }
}
