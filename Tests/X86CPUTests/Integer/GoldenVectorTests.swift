// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU

/// The integer instructions against what hardware made of them.
@Suite struct GoldenVectorTests {
    private static let operandAddress: UInt64 = 0x5000
    private static let arithmeticFlags: UInt64 = 0x8D5

    private static func hex(_ text: Substring) -> UInt64 { UInt64(text, radix: 16) ?? 0 }

    private static func bytes(_ text: Substring) -> [UInt8] {
        var rest = text
        var bytes: [UInt8] = []
        while !rest.isEmpty {
            bytes.append(UInt8(rest.prefix(2), radix: 16) ?? 0)
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    @Test func everyVector() throws {
        let machine = try FlatMachine()
        let lines = goldenVectors.split(separator: "\n")
        #expect(lines.count > 1000)
        for line in lines {
            let fields = line.split(separator: "|")
            let mask = Self.hex(fields[2])
            let before = fields[3].split(separator: " ").map(Self.hex)
            let after = fields[4].split(separator: " ").map(Self.hex)
            try machine.load(Self.bytes(fields[1]) + [0xF4])
            // RAX, RBX, RCX, RDX by their numbers.
            for (place, register) in [0, 3, 1, 2].enumerated() { machine.cpu[general: register] = before[place] }
            machine.cpu[general: 6] = Self.operandAddress
            machine.cpu[general: 4] = FlatMachine.stackTop
            machine.cpu.flagsImage = before[4]
            try machine.memory.store(before[5], at: Self.operandAddress)
            guard machine.run() == .halted else {
                Issue.record("did not finish: \(line)")
                continue
            }
            let memory = try machine.memory.load(UInt64.self, at: Self.operandAddress)
            let result =
                [0, 3, 1, 2].map { machine.cpu[general: $0] }
                + [machine.cpu.flagsImage & mask & Self.arithmeticFlags, memory]
            let got = result.map { String($0, radix: 16) }.joined(separator: " ")
            #expect(result == after, "\(line): got \(got)")
        }
    }

    @Test func everyVectorOf32BitCode() throws {
        let base: UInt64 = 0x500_0000
        let machine = try FlatMachine(bits: 32, memorySize: 96 << 20)
        let (first, second) = (base + 0x9000, base + 0x9008)
        for line in goldenVectors32.split(separator: "\n") {
            let fields = line.split(separator: "|")
            let mask = Self.hex(fields[2])
            let before = fields[3].split(separator: " ").map(Self.hex)
            let after = fields[4].split(separator: " ").map(Self.hex)
            try machine.load(Self.bytes(fields[1]) + [0xF4], at: base + 0x202F)
            for (place, register) in [0, 3, 1, 2].enumerated() { machine.cpu[general: register] = before[place] }
            machine.cpu[general: 6] = first
            machine.cpu[general: 7] = second
            machine.cpu[general: 4] = base + 0x8000
            // IF is set, as where the results were recorded.
            machine.cpu.flagsImage = before[4] | 0x202
            try machine.memory.store(before[5], at: first)
            try machine.memory.store(before[5] ^ 0xFF00, at: second)
            guard machine.run() == .halted else {
                Issue.record("did not finish: \(line)")
                continue
            }
            let result =
                [0, 3, 1, 2].map { machine.cpu[general: $0] } + [machine.cpu.flagsImage & mask]
                + [machine.cpu[general: 6], machine.cpu[general: 7]]
                + [try machine.memory.load(UInt64.self, at: first), try machine.memory.load(UInt64.self, at: second)]
            let got = result.map { String($0, radix: 16) }.joined(separator: " ")
            #expect(result == after, "\(line): got \(got)")
        }
    }
}
