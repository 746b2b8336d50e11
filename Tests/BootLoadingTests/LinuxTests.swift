// SPDX-License-Identifier: Apache-2.0

import BootLoading
import ByteCoding
import CPUInterface
import GuestMemory
import Testing

@Suite struct LinuxLoadingTests {
    @Test func entersInLongMode() throws {
        let machine = try TestMachine()
        let payload = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let kernel = try machine.load(makeLinux(payload: payload), commandLine: "console=ttyS0", rsdp: 0xF_0000)
        let registers = kernel.registers
        #expect(kernel.bootProtocol == .linux64 && kernel.initrd == nil)
        #expect(registers.rip == 0x10_0200)
        #expect(registers.cr0 & 0x8000_0001 == 0x8000_0001 && registers.cr4 & 0x20 != 0)
        #expect(registers.efer & 0x500 == 0x500 && registers.rflags == 2)
        #expect(registers.cs.selector == 0x10 && registers.cs.attributes == 0xA09B)
        #expect(registers.ds.selector == 0x18 && registers.ss.attributes == 0xC093)
        #expect(machine.bytes(0x10_0000, 5000) == payload)
        let zeroPage = machine.bytes(registers.general[6], 4096)
        #expect(zeroPage.load(UInt32.self, at: 0x202) == 0x5372_6448)
        #expect(zeroPage[0x210] == 0xB0 && zeroPage[0x211] & 0x81 == 0x81 && zeroPage[0x1EF] == 0)
        #expect(zeroPage.load(UInt64.self, at: 0x70) == 0xF_0000)
        #expect(machine.text(UInt64(zeroPage.load(UInt32.self, at: 0x228) ?? 0)) == "console=ttyS0")
        #expect(Int(zeroPage[0x1E8]) == machine.map.count)
        #expect(zeroPage.load(UInt64.self, at: 0x2D0 + 60) == mebibyte)
        #expect(zeroPage.load(UInt64.self, at: 0x2D0 + 68) == 63 * mebibyte)
        #expect(zeroPage.load(UInt32.self, at: 0x2D0 + 76) == 1)
    }

    @Test func tablesMapAndDescribeWhatTheRegistersSay() throws {
        let machine = try TestMachine()
        let registers = try machine.load(makeLinux()).registers
        /// Walks the four levels.
        func translate(_ address: UInt64) throws -> UInt64 {
            var entry = registers.cr3 | 1
            for shift in [UInt64(39), 30, 21] {
                entry = try machine.memory.load(at: (entry & ~0xFFF) + (address >> shift & 511) * 8)
                #expect(entry & 3 == 3)
                if entry & 0x80 != 0 { return entry & ~0x1F_FFFF | address & 0x1F_FFFF }
            }
            return 0
        }
        for address in [0, 0x10_0200, 0x7FFF_FFFF, 0xFFFF_FFFF] as [UInt64] {
            #expect(try translate(address) == address)
        }
        let code: UInt64 = try machine.memory.load(at: registers.gdtr.base + 0x10)
        #expect(code == 0x00AF_9B00_0000_FFFF && registers.gdtr.limit == 0x1F)
        #expect(registers.fxsave.load(UInt16.self, at: 0) == 0x37F)
        #expect(registers.fxsave.load(UInt32.self, at: 24) == 0x1F80)
    }

    @Test func oldKernelsStartInProtectedMode() throws {
        let machine = try TestMachine()
        let kernel = try machine.load(makeLinux(is64Bit: false))
        #expect(kernel.bootProtocol == .linux32 && kernel.registers.rip == 0x10_0000)
        #expect(kernel.registers.cr0 == 0x11 && kernel.registers.efer == 0)
        #expect(kernel.registers.cs.attributes == 0xC09B)
        let ancient = try machine.load(makeLinux(is64Bit: true, version: 0x202))
        #expect(ancient.bootProtocol == .linux32)
    }

    @Test func initrdGoesToTheTop() throws {
        let machine = try TestMachine()
        let initrd = (0..<10_001).map { UInt8(truncatingIfNeeded: $0) }
        let kernel = try machine.load(makeLinux(), initrd: initrd)
        let place = try #require(kernel.initrd)
        #expect(place.lowerBound == 64 * mebibyte - 12288 && place.count == 10_001)
        #expect(machine.bytes(place.lowerBound, 10_001) == initrd)
        let zeroPage = machine.bytes(kernel.registers.general[6], 4096)
        #expect(zeroPage.load(UInt32.self, at: 0x218).map(UInt64.init) == place.lowerBound)
        #expect(zeroPage.load(UInt32.self, at: 0x21C) == 10_001)
    }

    @Test func initrdStaysBelowWhatTheKernelReaches() throws {
        let machine = try TestMachine()
        var image = makeLinux()
        image.store(UInt32(40 * mebibyte - 1), at: 0x22C)
        #expect(try machine.load(image, initrd: [1, 2, 3]).initrd?.lowerBound == 40 * mebibyte - 4096)
    }

    @Test func loadedTwiceGivesTheSame() throws {
        let machine = try TestMachine()
        let first = try machine.load(makeLinux(), initrd: [1])
        try machine.memory.write([UInt8](repeating: 0xCC, count: 65536), at: 0x10_0000)
        #expect(try machine.load(makeLinux(), initrd: [1]) == first)
        #expect(machine.bytes(0x10_0000, 16) == [UInt8](repeating: 0x90, count: 16))
    }
}

@Suite struct LinuxErrorTests {
    private func message(
        _ image: [UInt8], initrd: [UInt8]? = nil, commandLine: String = "", mebibytes: UInt64 = 64
    ) throws -> String {
        let machine = try TestMachine(mebibytes: mebibytes)
        let error = #expect(throws: BootError.self) {
            try machine.load(image, initrd: initrd, commandLine: commandLine)
        }
        return error?.description ?? ""
    }

    @Test func truncated() throws {
        let image = makeLinux()
        #expect(
            try message(Array(image.prefix(3000)))
                == "'kernel' is truncated: its header announces 5120 bytes, the file has 3000")
        #expect(try message(Array(image.prefix(700))).contains("truncated"))
        #expect(try message(Array(image.prefix(400))).contains("is not a kernel"))
    }

    @Test func corruptHeaders() throws {
        var image = makeLinux()
        image[0x1F1] = 0xFF
        #expect(try message(image).contains("255 setup sectors"))
        image = makeLinux()
        image.store(UInt32(5000), at: 0x24C)
        #expect(try message(image).contains("corrupt"))
        image = makeLinux()
        image[0x211] = 0
        #expect(try message(image).contains("zImage"))
    }

    @Test func tooLittleMemory() throws {
        #expect(
            try message(makeLinux(), mebibytes: 16)
                == "'kernel' needs memory up to 24 MiB to start, the machine has 16 MiB there; give it more with -m")
        var image = makeLinux()
        image.store(UInt64.max, at: 0x258)
        #expect(try message(image).contains("give it more with -m"))
    }

    @Test func initrdLargerThanMemory() throws {
        #expect(
            try message(makeLinux(), initrd: [UInt8](repeating: 0, count: Int(10 * mebibyte)), mebibytes: 32)
                == "initrd 'initrd' has 10 MiB, but there is room for only 8 MiB after the kernel; give the machine more "
                + "memory with -m")
    }

    @Test func commandLineTooLong() throws {
        #expect(
            try message(makeLinux(), commandLine: String(repeating: "x", count: 2048))
                == "the command line has 2048 bytes, but 'kernel' takes at most 2047; shorten -append")
        let machine = try TestMachine()
        _ = try machine.load(makeLinux(), commandLine: String(repeating: "x", count: 2047))
    }

    @Test func files() throws {
        let folder = TemporaryFolder()
        func message(_ path: String) -> String {
            #expect(throws: BootError.self) { try BootFile(path: path) }?.description ?? ""
        }
        #expect(message("\(folder.path)/none") == "cannot read '\(folder.path)/none': No such file or directory")
        #expect(message(folder.path) == "cannot read '\(folder.path)': Is a directory")
        #expect(message(folder.write("empty", [])).contains("is empty"))
        let path = folder.write("kernel", makeLinux())
        let machine = try TestMachine()
        var request = machine.request([])
        request.kernel = try BootFile(path: path)
        request.initrd = folder.write("initrd", [1, 2, 3])
        let kernel = try KernelLoader.load(request, into: machine.memory)
        #expect(machine.bytes(kernel.initrd?.lowerBound ?? 0, 3) == [1, 2, 3])
        #expect(machine.bytes(0x10_0000, 4) == [0x90, 0x90, 0x90, 0x90])
        request.initrd = "\(folder.path)/none"
        #expect(throws: BootError.self) { try KernelLoader.load(request, into: machine.memory) }
    }
}
