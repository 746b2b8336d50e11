// SPDX-License-Identifier: Apache-2.0

import CharacterStreams
import HostSystem
import MachineModel
import PCChipset
import Testing

@Suite struct CharacterSerialPortTests {
    private final class Stream: CharacterBackend, @unchecked Sendable {
        let label = "serial0"
        let filename = "test"
        let isOpen = true
        weak var frontend: (any CharacterFrontend)?
        var sent: [UInt8] = []
        var room = Int.max
        var resumed = 0
        func send(_ bytes: ArraySlice<UInt8>) -> Int {
            let taken = bytes.prefix(room)
            room -= taken.count
            sent += taken
            return taken.count
        }
        func resumeInput() { resumed += 1 }
        func close() {}
    }

    @Test func bytesBothWaysWithBackPressure() {
        let bench = Bench()
        let uart = UART16550(clock: bench.clock, interrupt: bench.wire.line)
        let stream = Stream()
        let connection = CharacterSerialPort(port: uart, stream: stream, machineLock: Lock())
        #expect(stream.frontend === connection)
        #expect(connection.receiveCapacity == 1)
        connection.receive([0x41])
        #expect(connection.receiveCapacity == 0)
        #expect(uart.read(offset: 0, size: 1) == 0x41)
        #expect(stream.resumed == 1)
        stream.room = 1
        uart.write(offset: 2, size: 1, value: 1)
        uart.write(offset: 0, size: 1, value: 0x61)
        uart.write(offset: 0, size: 1, value: 0x62)
        #expect(stream.sent == [0x61])
        stream.room = 5
        connection.outputIsReady()
        #expect(stream.sent == [0x61, 0x62])
        connection.handle(.breakReceived)
        #expect(uart.read(offset: 5, size: 1) & 0x10 != 0)
    }
}
