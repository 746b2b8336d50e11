// SPDX-License-Identifier: Apache-2.0

import BootLoading
import ByteCoding
import CPUInterface
import GuestMemory
import RandomKit
import Testing

@Suite struct PVHTests {
    static func image(is64Bit: Bool = true, entry: UInt32 = 0x20_0010) -> [UInt8] {
        makeELF(
            [
                TestSegment(address: 0x20_0000, bytes: Array(0..<100), memoryCount: 5000),
                TestSegment(type: 4, address: 0, bytes: makeNote(entry: entry)),
            ], entry: 0xFFFF_8000, is64Bit: is64Bit)
    }

    @Test(arguments: [true, false]) func entersAtTheNote(is64Bit: Bool) throws {
        let machine = try TestMachine()
        try machine.memory.write([UInt8](repeating: 0xFF, count: 8192), at: 0x20_0000)
        let kernel = try machine.load(
            Self.image(is64Bit: is64Bit), initrd: [9, 8, 7], commandLine: "quiet", rsdp: 0xF_1234)
        #expect(kernel.bootProtocol == .pvh)
        #expect(kernel.registers.rip == 0x20_0010 && kernel.registers.cr0 == 0x11)
        #expect(kernel.registers.tr.limit == 0x67)
        #expect(machine.bytes(0x20_0000, 100) == Array(0..<100))
        #expect(machine.bytes(0x20_0064, 4900).allSatisfy { $0 == 0 })
        #expect(machine.bytes(0x20_0000 + 5000, 1) == [0xFF])
        let information = machine.bytes(kernel.registers.general[3], 56)
        #expect(information.load(UInt32.self, at: 0) == 0x336E_C578 && information.load(UInt32.self, at: 4) == 1)
        #expect(information.load(UInt32.self, at: 12) == 1)
        #expect(machine.text(information.load(UInt64.self, at: 24) ?? 0) == "quiet")
        #expect(information.load(UInt64.self, at: 32) == 0xF_1234)
        #expect(information.load(UInt32.self, at: 48).map(Int.init) == machine.map.count)
        let module = machine.bytes(information.load(UInt64.self, at: 16) ?? 0, 32)
        #expect(module.load(UInt64.self, at: 0) == kernel.initrd?.lowerBound && module.load(UInt64.self, at: 8) == 3)
        let map = machine.bytes(information.load(UInt64.self, at: 40) ?? 0, 24)
        #expect(map.load(UInt64.self, at: 8) == 0x9FC00 && map.load(UInt32.self, at: 16) == 1)
    }

    private func message(_ image: [UInt8], initrd: [UInt8]? = nil) throws -> String {
        let machine = try TestMachine(mebibytes: 8)
        return #expect(throws: BootError.self) { try machine.load(image, initrd: initrd) }?.description ?? ""
    }

    @Test func withoutNote() throws {
        let image = makeELF([TestSegment(address: 0x10_0000, bytes: [1])], entry: 0x10_0000, is64Bit: true)
        #expect(
            try message(image)
                == "'kernel' is an ELF without a PVH note; give a bzImage, or a kernel built with CONFIG_PVH")
    }

    @Test func errorsNameWhatIsWrong() throws {
        #expect(try message(Array(Self.image().prefix(200))).contains("truncated"))
        #expect(try message(Array(Self.image().prefix(100))).contains("program headers lie outside"))
        #expect(try message(Array(Self.image().prefix(30))).contains("not a kernel") == false)
        #expect(try message(Self.image(entry: 0x30_0000)).contains("entry 0x300000 lies outside"))
        var image = Self.image()
        image.store(UInt16(183), at: 18)
        #expect(try message(image).contains("another processor"))
        image = Self.image()
        image.store(UInt16(1), at: 16)
        #expect(try message(image).contains("not linked"))
        let high = makeELF(
            [
                TestSegment(address: 0x100_0000, bytes: [1]),
                TestSegment(type: 4, address: 0, bytes: makeNote(entry: 0x100_0000)),
            ], entry: 0, is64Bit: true)
        #expect(try message(high).contains("0x1000000...0x1000000, which is not memory"))
        #expect(
            try message(Self.image(), initrd: [UInt8](repeating: 0, count: Int(7 * mebibyte)))
                .contains("room for only 5 MiB"))
    }

    @Test func hugeSegmentsAreRefused() throws {
        var image = Self.image()
        image.store(UInt64.max, at: 64 + 40)
        #expect(try message(image).contains("contradict"))
        image.store(UInt64(1) << 60, at: 64 + 40)
        #expect(try message(image).contains("not memory of the machine"))
    }
}

@Suite struct MultibootTests {
    /// A 32-bit ELF with the header in front of its code.
    static func elf(is64Bit: Bool = false, flags: UInt32 = 3) -> [UInt8] {
        makeELF(
            [TestSegment(address: 0x10_0000, bytes: makeMultibootHeader(flags: flags) + [0xF4], memoryCount: 4096)],
            entry: 0x10_000C, is64Bit: is64Bit)
    }

    @Test func startsAnELF() throws {
        let machine = try TestMachine()
        let kernel = try machine.load(Self.elf(), commandLine: "a b")
        let registers = kernel.registers
        #expect(kernel.bootProtocol == .multiboot)
        #expect(registers.general[0] == 0x2BAD_B002 && registers.rip == 0x10_000C)
        #expect(registers.cr0 == 0x11 && registers.cs.selector == 8 && registers.ds.selector == 16)
        #expect(machine.bytes(0x10_000C, 1) == [0xF4])
        let information = machine.bytes(registers.general[3], 116)
        #expect(information.load(UInt32.self, at: 0) == 0x24F)
        #expect(information.load(UInt32.self, at: 4) == 639 && information.load(UInt32.self, at: 8) == 63 * 1024)
        #expect(machine.text(UInt64(information.load(UInt32.self, at: 16) ?? 0)) == "kernel a b")
        #expect(information.load(UInt32.self, at: 20) == 0)
        #expect(machine.text(UInt64(information.load(UInt32.self, at: 64) ?? 0)) == "qemu")
        let map = machine.bytes(UInt64(information.load(UInt32.self, at: 48) ?? 0), 24)
        #expect(map.load(UInt32.self, at: 0) == 20 && map.load(UInt64.self, at: 12) == 0x9FC00)
        #expect(information.load(UInt32.self, at: 44).map(Int.init) == machine.map.count * 24)
    }

    /// Programs of real mode load from 0x4000 on, over the usual place of the information and beyond the BIOS's areas.
    @Test(arguments: [0x4000, 0x0, 0x400] as [UInt64])
    func kernelInLowMemoryStaysWhole(start: UInt64) throws {
        let machine = try TestMachine()
        let header = makeMultibootHeader(flags: 0)
        let body = header + (header.count..<0xB000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let image = makeELF([TestSegment(address: start, bytes: body)], entry: start + 12, is64Bit: false)
        let kernel = try machine.load(image, commandLine: "x")
        #expect(machine.bytes(start, body.count) == body)
        let place = kernel.registers.general[3]
        #expect(place >= start + UInt64(body.count) || place + 116 <= start)
        let information = machine.bytes(place, 116)
        let map = machine.bytes(UInt64(information.load(UInt32.self, at: 48) ?? 0), 24)
        #expect(map.load(UInt32.self, at: 0) == 20 && map.load(UInt64.self, at: 12) == 0x9FC00)
        #expect(machine.text(UInt64(information.load(UInt32.self, at: 16) ?? 0)) == "kernel x")
    }

    @Test func informationKeepsItsUsualPlace() throws {
        let kernel = try TestMachine().load(Self.elf())
        #expect(kernel.registers.general[3] == 0x9000)
    }

    @Test func vectorsOfRealModeReturn() throws {
        let machine = try TestMachine()
        _ = try machine.load(Self.elf())
        for vector: UInt64 in [0, 1, 8, 0x10, 0x15, 255] {
            let entry = machine.bytes(vector * 4, 4)
            let place = UInt64(entry.load(UInt16.self, at: 2) ?? 0) << 4 + UInt64(entry.load(UInt16.self, at: 0) ?? 0)
            #expect(machine.bytes(place, 1) == [0xCF])
        }
    }

    @Test func loadsByTheHeadersAddresses() throws {
        let machine = try TestMachine()
        try machine.memory.write([UInt8](repeating: 0xEE, count: 4096), at: 0x20_0000)
        let prefix = [UInt8](repeating: 0x11, count: 64)
        let header = makeMultibootHeader(addresses: [0x20_0010, 0x20_0000, 0x20_0040, 0x20_0100, 0x20_0030])
        let image = prefix + header + [UInt8](repeating: 0x77, count: 64)
        let kernel = try machine.load(image)
        #expect(kernel.registers.rip == 0x20_0030)
        #expect(machine.bytes(0x20_0000, 16) == [UInt8](repeating: 0x11, count: 16))
        #expect(machine.bytes(0x20_0030, 16) == [UInt8](repeating: 0x77, count: 16))
        #expect(machine.bytes(0x20_0040, 0xC0).allSatisfy { $0 == 0 })
        #expect(machine.bytes(0x20_0100, 1) == [0xEE])
    }

    @Test func modulesComeWithTheirArguments() throws {
        let folder = TemporaryFolder()
        let first = folder.write("one", [1, 2, 3])
        let second = folder.write("two,2", Array(repeating: 5, count: 5000))
        let machine = try TestMachine()
        var request = machine.request(Self.elf())
        let doubled = second.replacing(",", with: ",,")
        request.initrd = "\(first) x=1 y,\(doubled)"
        let kernel = try KernelLoader.load(request, into: machine.memory)
        let information = machine.bytes(kernel.registers.general[3], 116)
        #expect(information.load(UInt32.self, at: 20) == 2)
        let table = machine.bytes(UInt64(information.load(UInt32.self, at: 24) ?? 0), 32)
        let fields = (0..<8).map { UInt64(table.load(UInt32.self, at: $0 * 4) ?? 0) }
        #expect(fields[0] % 4096 == 0 && fields[1] - fields[0] == 3 && machine.bytes(fields[0], 3) == [1, 2, 3])
        #expect(machine.text(fields[2]) == "\(first) x=1 y")
        #expect(fields[4] % 4096 == 0 && fields[5] - fields[4] == 5000 && machine.bytes(fields[4], 1) == [5])
        #expect(machine.text(fields[6]) == second)
    }

    private func message(_ image: [UInt8]) throws -> String {
        let machine = try TestMachine(mebibytes: 8)
        return #expect(throws: BootError.self) { try machine.load(image) }?.description ?? ""
    }

    @Test func errorsNameWhatIsWrong() throws {
        #expect(try message(Self.elf(is64Bit: true)).contains("Cannot load x86-64 image, give a 32bit one."))
        #expect(try message(Self.elf(flags: 0x8003)).contains("0x8000"))
        #expect(try message(makeMultibootHeader() + [0]).contains("not an ELF"))
        let valid: [UInt32] = [0x20_0000, 0x20_0000, 0, 0, 0x20_0020]
        for (index, value, text) in [
            (1, UInt32(0x20_0010), "load_addr"), (0, 0x20_0010, "load_addr"), (2, 0x10_0000, "load_end_addr"),
            (3, 0x20_0001, "bss_end_addr"), (3, 0xF000_0000, "not memory"), (2, 0x20_1000, "truncated"),
        ] {
            var addresses = valid
            addresses[index] = value
            #expect(try message(makeMultibootHeader(addresses: addresses) + [0xF4]).contains(text))
        }
        #expect(try message(Array(makeMultibootHeader(addresses: valid).prefix(20))).contains("cut off"))
    }

    @Test func aWrongChecksumIsNoHeader() throws {
        var header = makeMultibootHeader()
        header[8] ^= 1
        #expect(try message(header).contains("is not a kernel"))
    }
}

/// Whatever the bytes are, loading ends with a kernel or with one line.
@Suite struct BootFuzzTests {
    static let seeds: [[UInt8]] = [
        makeLinux(), makeLinux(is64Bit: false), PVHTests.image(), PVHTests.image(is64Bit: false), MultibootTests.elf(),
        makeMultibootHeader(addresses: [0x20_0000, 0x20_0000, 0, 0, 0x20_0020]) + [0xF4],
    ]
    /// Values at which arithmetic breaks.
    private static let edges: [UInt8] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF]

    @Test(arguments: 0..<6) func mutatedHeadersNeverTrap(seed: Int) throws {
        let machine = try TestMachine(mebibytes: 32)
        var random = SeededGenerator(seed: UInt64(seed) &* 977 &+ 5)
        for _ in 0..<1500 {
            var image = Self.seeds[seed]
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0..<min(image.count, 1100), using: &random)
                let width = [1, 2, 4, 8].randomElement(using: &random) ?? 1
                let edge = Self.edges.randomElement(using: &random) ?? 0
                for index in place..<min(place + width, image.count) {
                    image[index] = Bool.random(using: &random) ? edge : UInt8.random(in: 0...255, using: &random)
                }
            }
            if Int.random(in: 0..<4, using: &random) == 0 {
                image.removeLast(Int.random(in: 0..<image.count, using: &random))
            }
            do throws(BootError) {
                _ = try machine.load(image, initrd: [1, 2, 3], commandLine: "x")
            } catch {
                #expect(!error.description.contains("\n") && error.description.count > 10)
            }
        }
    }

    @Test func everyFieldOfEveryHeaderAtItsEdges() throws {
        let machine = try TestMachine(mebibytes: 32)
        for seed in Self.seeds {
            for place in stride(from: 0, to: min(seed.count, 0x270), by: 4) {
                for value in [UInt64.max, 1 << 63, 0x7FFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF, 0] {
                    var image = seed
                    for index in 0..<min(8, seed.count - place) {
                        image[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
                    }
                    _ = try? machine.load(image, initrd: [1], commandLine: "x")
                }
            }
        }
    }
}
