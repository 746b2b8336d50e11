// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import Testing
import X86CPU

@Suite struct PagingTests {
    private static let page: UInt64 = 0x40_0000_1000
    private static let data: UInt64 = 0x5000

    private let machine: FlatMachine
    private let tables: PageTables

    init() throws {
        machine = try FlatMachine()
        tables = PageTables(machine.memory)
        try machine.memory.store(UInt64(0x1122_3344_5566_7788), at: Self.data)
    }

    private func start(_ change: (inout PagingSetup) -> Void = { _ in }) {
        var setup = PagingSetup(cr3: tables.root)
        change(&setup)
        machine.cpu.setPaging(setup)
    }

    @Test(arguments: [4, 5]) func translates(levels: Int) throws {
        let tables = PageTables(machine.memory, levels: levels)
        try tables.map(Self.page, to: Self.data, PageTables.writable)
        var setup = PagingSetup(cr3: tables.root)
        if levels == 5 { setup.cr4 |= 1 << 12 }
        machine.cpu.setPaging(setup)
        #expect(machine.cpu.load(Self.page, size: 8) == .value(0x1122_3344_5566_7788))
        #expect(machine.cpu.load(Self.page + 6, size: 2) == .value(0x1122))
        #expect(machine.cpu.fetch(Self.page + 7) == .value(Self.data + 7))
        #expect(machine.cpu.store(Self.page + 8, size: 4, 0xAABB_CCDD) == .value(0xAABB_CCDD))
        #expect(try machine.memory.load(UInt32.self, at: Self.data + 8) == 0xAABB_CCDD)
    }

    @Test func notPresentAtEachLevel() throws {
        start()
        #expect(machine.cpu.load(Self.page, size: 1) == .pageFault(code: 0, address: Self.page))
        _ = try tables.entryAddress(Self.page)
        #expect(machine.cpu.store(Self.page, size: 1, 0) == .pageFault(code: 2, address: Self.page))
        start { $0.cpl = 3 }
        #expect(machine.cpu.load(Self.page, size: 1) == .pageFault(code: 4, address: Self.page))
        #expect(machine.cpu.fetch(Self.page) == .pageFault(code: 0x14, address: Self.page))
    }

    @Test func nonCanonical() {
        start()
        #expect(machine.cpu.load(0x8000_0000_0000, size: 1) == .fault(vector: 13, code: 0))
        #expect(machine.cpu.load(0x7FFF_FFFF_FFFF, size: 2) == .fault(vector: 13, code: 0))
        #expect(machine.cpu.fetch(0x8000_0000_0000) == .fault(vector: 13, code: 0))
    }

    @Test func accessedAndDirty() throws {
        try tables.map(Self.page, to: Self.data, PageTables.writable)
        start()
        _ = machine.cpu.load(Self.page, size: 1)
        #expect(try tables.entry(Self.page) & 0x60 == PageTables.accessed)
        for level in 2...4 { #expect(try tables.entry(Self.page, level: level) & 0x60 == PageTables.accessed) }
        _ = machine.cpu.store(Self.page, size: 1, 1)
        #expect(try tables.entry(Self.page) & 0x60 == 0x60)
        for level in 2...4 { #expect(try tables.entry(Self.page, level: level) & 0x40 == 0) }
    }

    @Test func faultSetsNoDirtyBit() throws {
        try tables.map(Self.page, to: Self.data, 0)
        start()
        #expect(machine.cpu.store(Self.page, size: 1, 1) == .pageFault(code: 3, address: Self.page))
        #expect(try tables.entry(Self.page) & 0x40 == 0)
    }

    @Test(arguments: [
        // flags, WP, CPL, store's code or nil
        (0 as UInt64, true, 0 as UInt8, 3 as UInt32?), (0, false, 0, nil), (2, true, 0, nil), (2, true, 3, 7),
        (4, true, 3, 7),
        (6, true, 3, nil), (4, true, 0, 3), (4, false, 0, nil), (4, false, 3, 7), (6, true, 0, nil),
    ])
    func writeRights(flags: UInt64, wp: Bool, cpl: UInt8, code: UInt32?) throws {
        try tables.map(Self.page, to: Self.data, flags)
        start {
            $0.cpl = cpl
            if !wp { $0.cr0 &= ~0x1_0000 }
        }
        let expected: AccessResult = code.map { .pageFault(code: $0, address: Self.page) } ?? .value(1)
        #expect(machine.cpu.store(Self.page, size: 1, 1) == expected)
    }

    @Test func upperLevelsRestrict() throws {
        try tables.map(Self.page, to: Self.data, PageTables.writable | PageTables.user)
        let place = try tables.entryAddress(Self.page, level: 3)
        try machine.memory.store(try tables.entry(Self.page, level: 3) & ~PageTables.writable, at: place)
        start { $0.cpl = 3 }
        #expect(machine.cpu.load(Self.page, size: 1) == .value(0x88))
        #expect(machine.cpu.store(Self.page, size: 1, 1) == .pageFault(code: 7, address: Self.page))
    }

    @Test func noExecute() throws {
        try tables.map(Self.page, to: Self.data, PageTables.noExecute)
        start()
        #expect(machine.cpu.fetch(Self.page) == .pageFault(code: 0x11, address: Self.page))
        #expect(machine.cpu.load(Self.page, size: 1) == .value(0x88))
        // Without EFER.NXE the bit is reserved.
        start { $0.efer = 0x500 }
        #expect(machine.cpu.load(Self.page, size: 1) == .pageFault(code: 9, address: Self.page))
    }

    @Test func supervisorModePrevention() throws {
        try tables.map(Self.page, to: Self.data, PageTables.user | PageTables.writable)
        start { $0.cr4 |= 1 << 20 | 1 << 21 }
        #expect(machine.cpu.load(Self.page, size: 1) == .pageFault(code: 1, address: Self.page))
        #expect(machine.cpu.store(Self.page, size: 1, 1) == .pageFault(code: 3, address: Self.page))
        #expect(machine.cpu.fetch(Self.page) == .pageFault(code: 0x11, address: Self.page))
        start {
            $0.cr4 |= 1 << 20 | 1 << 21
            $0.allowsUserAccess = true
        }
        #expect(machine.cpu.load(Self.page, size: 1) == .value(0x88))
        #expect(machine.cpu.fetch(Self.page) == .pageFault(code: 0x11, address: Self.page))
    }

    @Test func protectionKeys() throws {
        try tables.map(Self.page, to: Self.data, PageTables.user | PageTables.writable | 5 << 59)
        start {
            $0.cr4 |= 1 << 22
            $0.cpl = 3
            $0.pkru = 1 << 10
        }
        #expect(machine.cpu.load(Self.page, size: 1) == .pageFault(code: 0x25, address: Self.page))
        #expect(machine.cpu.fetch(Self.page) == .value(Self.data))
        start {
            $0.cr4 |= 1 << 22
            $0.pkru = 2 << 10
            $0.cr0 &= ~0x1_0000
        }
        #expect(machine.cpu.store(Self.page, size: 1, 0x88) == .value(0x88))
        start {
            $0.cr4 |= 1 << 22
            $0.pkru = 2 << 10
        }
        #expect(machine.cpu.load(Self.page, size: 1) == .value(0x88))
        #expect(machine.cpu.store(Self.page, size: 1, 1) == .pageFault(code: 0x23, address: Self.page))
    }

    @Test(arguments: [(1, 1 << 40 as UInt64), (2, 0x2000), (4, 0x80), (3, 1 << 45)])
    func reservedBits(level: Int, bits: UInt64) throws {
        try tables.map(Self.page, to: Self.data, 2)
        if level == 2 {
            try tables.map(Self.page, to: 0x20_0000 | bits, 2, level: 2)
        } else {
            try machine.memory.store(
                try tables.entry(Self.page, level: level) | bits, at: try tables.entryAddress(Self.page, level: level))
        }
        start()
        #expect(machine.cpu.load(Self.page, size: 1) == .pageFault(code: 9, address: Self.page))
    }

    @Test func storeAcrossPagesIsWholeOrNothing() throws {
        try tables.map(Self.page, to: 0x6000, PageTables.writable)
        try tables.map(Self.page + 4096, to: 0x9000, 0)
        start()
        let place = Self.page + 4093
        #expect(machine.cpu.store(place, size: 8, .max) == .pageFault(code: 3, address: Self.page + 4096))
        #expect(try machine.memory.load(UInt32.self, at: 0x6FFC) == 0)
        try tables.map(Self.page + 4096, to: 0x9000, PageTables.writable)
        #expect(machine.cpu.store(place, size: 8, 0x8877_6655_4433_2211) == .value(0x8877_6655_4433_2211))
        #expect(try machine.memory.load(UInt32.self, at: 0x6FFC) == 0x3322_1100)
        #expect(try machine.memory.load(UInt64.self, at: 0x9000) == 0x88_7766_5544)
        #expect(machine.cpu.load(place, size: 8) == .value(0x8877_6655_4433_2211))
    }

    @Test func invalidationSeesTheNewEntry() throws {
        try tables.map(Self.page, to: Self.data, 2)
        start()
        #expect(machine.cpu.load(Self.page, size: 1) == .value(0x88))
        try tables.map(Self.page, to: 0x7000, 2)
        machine.cpu.invalidate(page: Self.page)
        #expect(machine.cpu.load(Self.page, size: 1) == .value(0))
        #expect(machine.cpu.fetch(Self.page) == .value(0x7000))
    }

    /// INVLPG makes the processor look code up anew only where code was fetched: not because a large page of the other
    /// half of the address space shares a hash with the page of a program.
    @Test func invalidationOfDataKeepsWhatIsKnownOfCode() throws {
        let kernel: UInt64 = 0xFFFF_8880_0020_0000, program: UInt64 = 0x4000_0020_0000
        try tables.map(kernel, to: 0x20_0000, PageTables.writable, level: 2)
        try tables.map(program, to: Self.data, PageTables.writable)
        try tables.map(Self.page, to: Self.data, 0)
        start()
        _ = machine.cpu.load(kernel + 0x3000, size: 8)
        _ = machine.cpu.load(program, size: 8)
        _ = machine.cpu.fetch(Self.page)
        let key = machine.cpu.fetchKey
        machine.cpu.invalidate(page: program)
        machine.cpu.invalidate(page: kernel + 0x5000)
        #expect(machine.cpu.fetchKey == key)
        machine.cpu.invalidate(page: Self.page)
        #expect(machine.cpu.fetchKey != key)
    }

    /// Code anywhere in a large page is looked up anew when an address of that page is invalidated.
    @Test func invalidationOfALargePageOfCode() throws {
        for place in [0x4000_0020_0000, 0xFFFF_8880_0020_0000] as [UInt64] {
            try tables.map(place, to: 0x20_0000, PageTables.writable, level: 2)
            start()
            _ = machine.cpu.fetch(place + 0x1F_F000)
            let key = machine.cpu.fetchKey
            machine.cpu.invalidate(page: place + 0x1000)
            #expect(machine.cpu.fetchKey != key)
        }
    }

    @Test func invalidationOfALargePage() throws {
        let place: UInt64 = 0x4020_0000
        try tables.map(place, to: 0x20_0000, 2, level: 2)
        try machine.memory.store(UInt64(7), at: 0x20_3000)
        start()
        #expect(machine.cpu.load(place + 0x3000, size: 8) == .value(7))
        try tables.map(place, to: 0, 2, level: 2)
        machine.cpu.invalidate(page: place + 0x1F_F000)
        #expect(machine.cpu.load(place + 0x3000, size: 8) == .value(0))
        #expect(machine.cpu.load(place + Self.data, size: 1) == .value(0x88))
    }

    @Test func globalPagesOutliveAChangeOfTables() throws {
        try tables.map(Self.page, to: Self.data, 2 | PageTables.global)
        try tables.map(Self.page + 4096, to: Self.data, 2)
        start { $0.cr4 |= 0x80 }
        _ = machine.cpu.load(Self.page, size: 1)
        _ = machine.cpu.load(Self.page + 4096, size: 1)
        let empty = tables.allocate()
        machine.cpu.setTableBase(empty, keepsTranslations: false)
        #expect(machine.cpu.load(Self.page, size: 1) == .value(0x88))
        #expect(machine.cpu.load(Self.page + 4096, size: 1) == .pageFault(code: 0, address: Self.page + 4096))
    }

    @Test func contextsKeepTheirTranslations() throws {
        try tables.map(Self.page, to: Self.data, 2)
        start { $0.cr4 |= 1 << 17 }
        _ = machine.cpu.load(Self.page, size: 1)
        let empty = tables.allocate()
        machine.cpu.setTableBase(empty | 1, keepsTranslations: true)
        #expect(machine.cpu.load(Self.page, size: 1) == .pageFault(code: 0, address: Self.page))
        // The tables are gone, the translations of PCID 0 are not.
        try machine.memory.store(UInt64(0), at: try tables.entryAddress(Self.page))
        machine.cpu.setTableBase(tables.root, keepsTranslations: true)
        #expect(machine.cpu.load(Self.page, size: 1) == .value(0x88))
        for identifier in 2..<20 as Range<UInt64> {
            machine.cpu.setTableBase(empty | identifier, keepsTranslations: true)
            #expect(machine.cpu.load(Self.page, size: 1) == .pageFault(code: 0, address: Self.page))
        }
        machine.cpu.setTableBase(tables.root, keepsTranslations: false)
        #expect(machine.cpu.load(Self.page, size: 1) == .pageFault(code: 0, address: Self.page))
    }

    @Test func legacyPaging() throws {
        // One table, and a 4 MiB page at 4 MiB.
        let directory: UInt64 = 0x2000
        let table: UInt64 = 0x3000
        try machine.memory.store(UInt32(table | 7), at: directory)
        try machine.memory.store(UInt32(0x83), at: directory + 4)
        try machine.memory.store(UInt32(Self.data | 5), at: table + 4)
        start {
            $0.cr3 = directory
            $0.cr4 = 0x10
            $0.efer = 0
        }
        #expect(machine.cpu.load(0x1000, size: 4) == .value(0x5566_7788))
        #expect(machine.cpu.load(0x40_5000, size: 4) == .value(0x5566_7788))
        #expect(machine.cpu.store(0x1000, size: 1, 0) == .pageFault(code: 3, address: 0x1000))
        #expect(try machine.memory.load(UInt32.self, at: table + 4) == UInt32(Self.data) | 0x25)
        _ = machine.cpu.store(0x40_6000, size: 1, 0)
        #expect(try machine.memory.load(UInt32.self, at: directory + 4) == 0xE3)
        #expect(machine.cpu.fetch(0x2000) == .pageFault(code: 0, address: 0x2000))
    }

    @Test func physicalAddressExtension() throws {
        let pointers: UInt64 = 0x2000
        try machine.memory.store(UInt64(0x3001), at: pointers + 8)
        try machine.memory.store(UInt64(0x4007), at: 0x3000)
        try machine.memory.store(Self.data | 3 | 1 << 63, at: 0x4008)
        start {
            $0.cr3 = pointers
            $0.efer = 0x800
        }
        #expect(machine.cpu.load(0x4000_1000, size: 4) == .value(0x5566_7788))
        #expect(machine.cpu.fetch(0x4000_1000) == .pageFault(code: 0x11, address: 0x4000_1000))
        #expect(machine.cpu.load(0x8000_0000, size: 4) == .pageFault(code: 0, address: 0x8000_0000))
        try machine.memory.store(UInt64(0x5003) | 1 << 52, at: 0x4010)
        #expect(machine.cpu.load(0x4000_2000, size: 4) == .pageFault(code: 9, address: 0x4000_2000))
    }

    @Test func alignmentCheck() throws {
        try tables.map(Self.page, to: Self.data, 6)
        start {
            $0.cpl = 3
            $0.cr0 |= 1 << 18
            $0.allowsUserAccess = true
        }
        #expect(machine.cpu.load(Self.page, size: 8) == .value(0x1122_3344_5566_7788))
        #expect(machine.cpu.load(Self.page + 1, size: 8) == .fault(vector: 17, code: 0))
        #expect(machine.cpu.store(Self.page + 2, size: 4, 0) == .fault(vector: 17, code: 0))
    }
}
