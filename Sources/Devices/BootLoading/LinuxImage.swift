// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import CPUInterface
internal import GuestMemory

/// A Linux bzImage and its setup header (Linux's Documentation/arch/x86/boot.rst).
struct LinuxImage {
    /// Bytes of a file's head that any format is recognised from: what multiboot searches, which is the most.
    static let probeCount = 8192

    /// Offsets into the image's first sectors, and of the same fields in the zero page.
    enum Field {
        static let setupSectors = 0x1F1, systemSize = 0x1F4, bootFlag = 0x1FE, jumpDistance = 0x201
        static let magic = 0x202, version = 0x206, loaderType = 0x210, loadFlags = 0x211, codeStart = 0x214
        static let initrdAddress = 0x218, initrdSize = 0x21C, heapEnd = 0x224, commandLine = 0x228
        static let initrdMaximum = 0x22C, alignment = 0x230, isRelocatable = 0x234, extendedFlags = 0x236
        static let commandLineSize = 0x238, payloadOffset = 0x248, payloadLength = 0x24C
        static let preferredAddress = 0x258, initSize = 0x260
        static let headerStart = 0x1F1
    }
    private enum Flag {
        static let loadedHigh: UInt8 = 1, canUseHeap: UInt8 = 0x80
        /// A 64-bit entry stands 0x200 bytes into the kernel.
        static let kernel64: UInt16 = 1
    }
    private static let magicNumber: UInt32 = 0x5372_6448
    private static let bootFlag: UInt16 = 0xAA55
    private static let sector = 512
    /// What a header of 0 means, and the most that a real one has.
    private static let defaultSetupSectors = 4, maximumSetupSectors = 64
    private static let loadAddress: UInt64 = 0x10_0000
    private static let entry64: UInt64 = 0x200

    let file: BootFile
    let head: [UInt8]
    /// The protocol's version, major in the high byte.
    let version: UInt16
    /// Where the kernel proper begins in the file.
    let kernelOffset: Int
    /// Bytes of the kernel proper.
    let kernelCount: Int
    let extendedFlags: UInt16
    let commandLineLimit: Int
    let initrdMaximum: UInt64
    /// Where the kernel runs, or is unpacked to.
    let runAddress: UInt64
    /// Bytes it needs there before it knows the memory map.
    let runCount: UInt64

    static func isPresent(in head: [UInt8]) -> Bool {
        head.load(UInt32.self, at: Field.magic) == magicNumber && head.load(at: Field.bootFlag) == bootFlag
    }

    /// Checks the header of a file in which `isPresent` found one.
    init(parsing head: [UInt8], of file: BootFile) throws(BootError) {
        func field<Value: FixedWidthInteger>(_ offset: Int, since needed: UInt16, otherwise: Value) -> Value {
            version >= needed ? head.load(Value.self, at: offset) ?? otherwise : otherwise
        }
        self.file = file
        self.head = head
        let version: UInt16 = head.load(at: Field.version) ?? 0
        self.version = version
        guard version >= 0x200, let flags: UInt8 = head.load(at: Field.loadFlags), flags & Flag.loadedHigh != 0 else {
            throw BootError(
                "'\(file.name)' is a zImage or older kernel, which is loaded below 1 MiB; only bzImage is supported")
        }
        let sectors = Int(head.load(UInt8.self, at: Field.setupSectors) ?? 0)
        guard sectors <= Self.maximumSetupSectors else {
            throw BootError(
                "'\(file.name)' is corrupt: its header names \(sectors) setup sectors, more than the 64 allowed")
        }
        kernelOffset = ((sectors == 0 ? Self.defaultSetupSectors : sectors) + 1) * Self.sector
        let paragraphs: UInt32 =
            version >= 0x204
            ? head.load(at: Field.systemSize) ?? 0 : UInt32(head.load(UInt16.self, at: Field.systemSize) ?? 0)
        let announced = Int(paragraphs) * 16
        let present = file.count - kernelOffset
        guard present > 0, announced == 0 || announced - 15 <= present else {
            throw BootError(
                "'\(file.name)' is truncated: its header announces \(kernelOffset + announced) bytes, the file has "
                    + "\(file.count)")
        }
        kernelCount = announced == 0 ? present : min(announced, present)
        extendedFlags = field(Field.extendedFlags, since: 0x20C, otherwise: 0)
        commandLineLimit = Int(clamping: field(Field.commandLineSize, since: 0x206, otherwise: UInt32(255)))
        initrdMaximum = UInt64(field(Field.initrdMaximum, since: 0x203, otherwise: UInt32(0x37FF_FFFF)))
        let isRelocatable = field(Field.isRelocatable, since: 0x205, otherwise: UInt8(0)) != 0
        let preferred = field(Field.preferredAddress, since: 0x20A, otherwise: Self.loadAddress)
        // A relocatable kernel that is loaded lower than it prefers still unpacks at the preferred address.
        runAddress = isRelocatable || version >= 0x20A ? max(preferred, Self.loadAddress) : Self.loadAddress
        runCount = max(UInt64(field(Field.initSize, since: 0x20A, otherwise: UInt32(0))), UInt64(kernelCount))
        try checkPayload()
    }

    private func checkPayload() throws(BootError) {
        guard version >= 0x208, let offset: UInt32 = head.load(at: Field.payloadOffset),
            let length: UInt32 = head.load(at: Field.payloadLength), length != 0
        else { return }
        guard UInt64(offset) + UInt64(length) <= UInt64(kernelCount) else {
            throw BootError(
                "'\(file.name)' is corrupt: its compressed kernel, \(length) bytes at \(offset), lies outside of the "
                    + "\(kernelCount) bytes loaded")
        }
    }

    // MARK: Loading

    /// Where the loader's own structures go; all below the kernel and outside of firmware's data.
    private enum Place {
        static let descriptorTable: UInt64 = 0x500
        static let zeroPage: UInt64 = 0x7000
        static let pageTables: UInt64 = 0x9000
        static let commandLine: UInt64 = 0x2_0000
        /// The structures above and the longest command line end below this.
        static let end: UInt64 = 0x8_0000
    }
    private static let codeSelector: UInt16 = 0x10, dataSelector: UInt16 = 0x18

    func load(_ request: BootRequest, into memory: GuestMemory) throws(BootError) -> LoadedKernel {
        let end = request.lowMemoryEnd
        let (kernelEnd, overflow) = runAddress.addingReportingOverflow(runCount)
        guard !overflow, kernelEnd <= end, Self.loadAddress + UInt64(kernelCount) <= end else {
            throw BootError(
                "'\(file.name)' needs memory up to \(overflow ? hex(.max) : mebibytes(kernelEnd)) to start, the machine "
                    + "has \(mebibytes(end)) there; give it more with -m")
        }
        let commandLine = try checkedCommandLine(request.commandLine)
        let initrdFile = try request.openInitrd()
        let initrd = try initrdFile.map { (initrd) throws(BootError) in
            try placeInitrd(initrd, above: max(kernelEnd, Self.loadAddress + UInt64(kernelCount)), below: end)
        }
        try file.load(from: kernelOffset, count: kernelCount, into: memory, at: Self.loadAddress, as: "kernel")
        if let initrd, let initrdFile {
            try initrdFile.load(
                from: 0, count: initrdFile.count, into: memory, at: initrd.lowerBound, as: "initrd")
        }
        try memory.place(commandLine, at: Place.commandLine, as: "command line")
        let zeroPage = try makeZeroPage(request, initrd: initrd)
        try memory.place(zeroPage, at: Place.zeroPage, as: "zero page")
        return LoadedKernel(
            bootProtocol: is64Bit ? .linux64 : .linux32, registers: try enter(memory), initrd: initrd)
    }

    private var is64Bit: Bool { extendedFlags & Flag.kernel64 != 0 }

    private func checkedCommandLine(_ text: String) throws(BootError) -> [UInt8] {
        let bytes = Array(text.utf8)
        let limit = min(commandLineLimit, Int(Place.end - Place.commandLine) - 1)
        guard bytes.count <= limit else {
            throw BootError(
                "the command line has \(bytes.count) bytes, but '\(file.name)' takes at most \(limit); shorten -append")
        }
        return bytes + [0]
    }

    private func placeInitrd(
        _ initrd: BootFile, above floor: UInt64, below end: UInt64
    ) throws(BootError) -> Range<UInt64> {
        let ceiling = min(end, initrdMaximum == .max ? .max : initrdMaximum + 1)
        let size = UInt64(initrd.count)
        let room = ceiling > floor ? ceiling - floor : 0
        let start = ceiling >= size ? (ceiling - size) & ~4095 : 0
        guard size <= room, start >= floor else {
            throw BootError(
                "initrd '\(initrd.name)' has \(mebibytes(size)), but there is room for only \(room >> 20) MiB after the "
                    + "kernel; give the machine more memory with -m")
        }
        return start..<start + size
    }

    /// The boot_params structure: zeros, the setup header, and what the loader fills in.
    private func makeZeroPage(_ request: BootRequest, initrd: Range<UInt64>?) throws(BootError) -> [UInt8] {
        var page = [UInt8](repeating: 0, count: 4096)
        let headerEnd = Field.magic + Int(head.load(UInt8.self, at: Field.jumpDistance) ?? 0)
        let header = Array(
            head.prefix(min(max(headerEnd, Field.initSize + 4), ZeroPage.map)).dropFirst(Field.headerStart))
        page.store(bytes: header, at: Field.headerStart)
        page.store(ZeroPage.loaderType, at: Field.loaderType)
        page[Field.loadFlags] |= Flag.canUseHeap
        page.store(ZeroPage.heapEnd, at: Field.heapEnd)
        page.store(UInt32(Place.commandLine), at: Field.commandLine)
        if let initrd {
            // placeInitrd keeps both below 4 GiB.
            page.store(UInt32(truncatingIfNeeded: initrd.lowerBound), at: Field.initrdAddress)
            page.store(UInt32(truncatingIfNeeded: initrd.upperBound - initrd.lowerBound), at: Field.initrdSize)
        }
        if let rsdp = request.rsdpAddress { page.store(rsdp, at: ZeroPage.rsdp) }
        guard request.memoryMap.count <= ZeroPage.mapLimit else {
            throw BootError("the memory map has \(request.memoryMap.count) ranges, a Linux kernel takes at most 128")
        }
        page.store(UInt8(request.memoryMap.count), at: ZeroPage.mapCount)
        for (index, entry) in request.memoryMap.enumerated() {
            let place = ZeroPage.map + index * ZeroPage.mapEntrySize
            page.store(entry.start, at: place)
            page.store(entry.count, at: place + 8)
            page.store(entry.kind.rawValue, at: place + 16)
        }
        return page
    }

    private enum ZeroPage {
        static let rsdp = 0x70, mapCount = 0x1E8, map = 0x2D0
        static let mapEntrySize = 20, mapLimit = 128
        /// QEMU's registered loader number, version 0.
        static let loaderType: UInt8 = 0xB0
        static let heapEnd: UInt16 = 0xFE00
    }

    private func enter(_ memory: GuestMemory) throws(BootError) -> X86Registers {
        let table = EntryState.descriptorTable(codeSelector: Self.codeSelector, is64Bit: is64Bit)
        try memory.place(table, at: Place.descriptorTable, as: "descriptor table")
        let tableRegister = X86DescriptorTable(base: Place.descriptorTable, limit: UInt16(table.count - 1))
        var registers: X86Registers
        if is64Bit {
            try memory.place(
                EntryState.identityPageTables(at: Place.pageTables), at: Place.pageTables, as: "page tables")
            registers = EntryState.longMode(
                entry: Self.loadAddress + Self.entry64, codeSelector: Self.codeSelector,
                dataSelector: Self.dataSelector, table: tableRegister, pageTables: Place.pageTables)
        } else {
            registers = EntryState.protectedMode(
                entry: Self.loadAddress, codeSelector: Self.codeSelector, dataSelector: Self.dataSelector,
                table: tableRegister)
        }
        registers.general[X86GeneralIndex.rsi] = Place.zeroPage
        return registers
    }
}

/// Places in `X86Registers.general`.
enum X86GeneralIndex {
    static let rax = 0, rbx = 3, rsp = 4, rsi = 6
}
