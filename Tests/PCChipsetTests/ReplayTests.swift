// SPDX-License-Identifier: Apache-2.0

import Glibc
import InterruptControllers
import MachineModel
import PCChipset
import Testing

/// Puts accesses that were recorded with QEMU (Tests/Recordings/record-registers.py) to the device models.
@Suite struct ReplayTests {
    private struct Access {
        let isWrite: Bool
        let port: UInt64
        let value: UInt64
    }

    private static func recording(_ name: String) -> [Access] {
        let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
        // The stream is closed before it goes out of scope; each line fits the buffer, which fgets bounds.
        guard let file = unsafe fopen("/\(folder)/Recordings/\(name).txt", "r") else { return [] }
        defer { unsafe fclose(file) }
        var accesses: [Access] = []
        var buffer = [CChar](repeating: 0, count: 64)
        while unsafe fgets(&buffer, 64, file) != nil {
            let line = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let fields = line.split { $0 == " " || $0 == "\n" }
            guard fields.count == 3, let port = UInt64(fields[1], radix: 16), let value = UInt64(fields[2], radix: 16)
            else { continue }
            accesses.append(Access(isWrite: fields[0] == "w", port: port, value: value))
        }
        return accesses
    }

    @Test(arguments: ["pic", "uart", "i8042"])
    func answersAsRecorded(name: String) {
        let bench = Bench()
        let controllers = SoftwareInterruptControllers()
        let routing = GSIRouting(sink: controllers)
        controllers.pic.map(in: bench.ports)
        let uart = UART16550(clock: bench.clock, interrupt: routing.interruptLine(gsi: 4))
        bench.ports.map(uart, at: 0x3F8, count: UART16550.portCount, name: "serial")
        let keyboard = KeyboardController(
            keyboardInterrupt: routing.interruptLine(gsi: 1), auxiliaryInterrupt: routing.interruptLine(gsi: 12),
            keyboard: PS2Keyboard(), auxiliary: PS2Mouse(), requests: bench.machine)
        keyboard.map(in: bench.ports)

        let accesses = Self.recording(name)
        #expect(accesses.count > 500, "the recording is missing; run Tests/Recordings/record-registers.py")
        for (index, access) in accesses.enumerated() {
            if access.isWrite {
                bench.out(access.port, access.value)
            } else {
                let answer = bench.in(access.port)
                #expect(answer == access.value, "line \(index + 1) of \(name).txt, port \(access.port)")
            }
        }
        withExtendedLifetime((controllers, routing, keyboard)) {}
    }
}
