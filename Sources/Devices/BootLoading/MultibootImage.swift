// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import CPUInterface
internal import GuestMemory

/// A kernel with a multiboot header (Multiboot Specification 0.6.96).
struct MultibootImage {
    private enum Header {
        static let magic: UInt32 = 0x1BAD_B002
        static let alignModules: UInt32 = 1 << 0, wantsMemory: UInt32 = 1 << 1, hasAddresses: UInt32 = 1 << 16
        /// Requirements in the low half that a loader must know or refuse: video modes are not among them here.
        static let knownRequirements: UInt32 = alignModules | wantsMemory | 1 << 2
        static let requirements: UInt32 = 0xFFFF
        /// Headers begin within this many bytes.
        static let searched = 8192
    }
    /// A load described by the header's own addresses, or by an ELF.
    private enum Layout {
        case addresses(fileOffset: Int, load: UInt64, loadCount: Int, end: UInt64, entry: UInt64)
        case elf(ELFImage)
    }

    let file: BootFile
    private let layout: Layout

    /// Looks for a header; nil where there is none.
    /// - Throws: there is one, but the image cannot be loaded.
    init?(probing head: [UInt8], of file: BootFile) throws(BootError) {
        guard let place = Self.findHeader(in: head), let flags: UInt32 = head.load(at: place + 4) else { return nil }
        self.file = file
        let unknown = flags & Header.requirements & ~Header.knownRequirements
        guard unknown == 0 else {
            throw BootError("'\(file.name)' asks for multiboot features \(hex(UInt64(unknown))), which are not known")
        }
        if flags & Header.hasAddresses != 0 {
            layout = try Self.addresses(head, at: place, of: file)
            return
        }
        guard ELFImage.isPresent(in: head) else {
            throw BootError("'\(file.name)' has a multiboot header without addresses, but is not an ELF")
        }
        let image = try ELFImage(parsing: file)
        if image.is64Bit {
            // With a PVH note there is a way to start it; without, only a 32-bit one would do.
            if try image.physicalEntry() != nil { return nil }
            throw BootError("'\(file.name)': Cannot load x86-64 image, give a 32bit one.")
        }
        layout = .elf(image)
    }

    private static func findHeader(in head: [UInt8]) -> Int? {
        for place in stride(from: 0, through: min(head.count, Header.searched) - 12, by: 4) {
            guard head.load(UInt32.self, at: place) == Header.magic, let flags: UInt32 = head.load(at: place + 4),
                let checksum: UInt32 = head.load(at: place + 8)
            else { continue }
            if Header.magic &+ flags &+ checksum == 0 { return place }
        }
        return nil
    }

    private static func addresses(_ head: [UInt8], at place: Int, of file: BootFile) throws(BootError) -> Layout {
        func invalid(_ what: String) -> BootError {
            BootError("'\(file.name)' has an invalid multiboot header: \(what)")
        }
        guard let header: UInt32 = head.load(at: place + 12), let load: UInt32 = head.load(at: place + 16),
            let loadEnd: UInt32 = head.load(at: place + 20), let dataEnd: UInt32 = head.load(at: place + 24),
            let entry: UInt32 = head.load(at: place + 28)
        else { throw BootError("'\(file.name)' is truncated: its multiboot header is cut off") }
        guard header >= load, Int(header - load) <= place else {
            throw invalid("load_addr \(hex(UInt64(load))) does not go with header_addr \(hex(UInt64(header)))")
        }
        let offset = place - Int(header - load)
        guard loadEnd == 0 || loadEnd >= load else { throw invalid("load_end_addr is less than load_addr") }
        let count = loadEnd == 0 ? file.count - offset : Int(loadEnd - load)
        guard count <= file.count - offset else {
            throw BootError(
                "'\(file.name)' is truncated: it has \(file.count - offset) bytes to load, its multiboot header wants "
                    + "\(count)")
        }
        let end = UInt64(load) + UInt64(count)
        guard dataEnd == 0 || UInt64(dataEnd) >= end else { throw invalid("bss_end_addr is less than load_end_addr") }
        return .addresses(
            fileOffset: offset, load: UInt64(load), loadCount: count, end: dataEnd == 0 ? end : UInt64(dataEnd),
            entry: UInt64(entry))
    }

    private var entry: UInt64 {
        switch layout {
        case .addresses(_, _, _, _, let entry): entry
        case .elf(let image): image.entry
        }
    }

    // MARK: Loading

    private enum Place {
        /// The information and, behind it, the memory map: where loaders put it, and elsewhere where the kernel lies there.
        static let information: UInt64 = 0x9000
        static let informationCount: UInt64 = 0x1000
        static let memoryMapOffset: UInt64 = 0x100
        /// Conventional memory that is nobody's: behind the BIOS data, in front of the extended BIOS data.
        static let lowMemory: ClosedRange<UInt64> = 0x1000...0x9_E000
        static let descriptorTable: UInt64 = 0x500
        static let stackTop: UInt64 = 0x7C00
    }
    private static let codeSelector: UInt16 = 0x08, dataSelector: UInt16 = 0x10
    private static let entryMagic: UInt64 = 0x2BAD_B002
    private static let pageMask: UInt64 = 4095

    func load(_ request: BootRequest, into memory: GuestMemory) throws(BootError) -> LoadedKernel {
        // Before the kernel, which may lie in the same places.
        try LegacyBIOSData.place(into: memory)
        let registers = try enter(memory)
        try loadKernel(request, into: memory)
        var area = MultibootArea(start: kernelEnd, end: min(request.lowMemoryEnd, 1 << 32), name: file.name)
        let modules = try MultibootModule.parse(request)
        let commandLine = try area.reserve(
            text: request.commandLine.isEmpty ? "\(file.name) " : "\(file.name) \(request.commandLine)")
        let loaderName = try area.reserve(text: "qemu")
        var descriptors: [(start: UInt64, end: UInt64, text: UInt64)] = []
        for module in modules { descriptors.append((0, 0, try area.reserve(text: module.text))) }
        let table = try area.reserve(count: UInt64(modules.count) * 16, alignment: 16)
        for (index, module) in modules.enumerated() {
            let count = UInt64(module.file.count)
            let start = try area.reserve(count: count, alignment: Self.pageMask + 1)
            try module.file.load(from: 0, count: module.file.count, into: memory, at: start, as: "module")
            descriptors[index].start = start
            descriptors[index].end = start + count
        }
        for piece in area.texts { try memory.place(piece.bytes, at: piece.address, as: "command line") }
        try memory.place(Self.moduleTable(descriptors), at: table, as: "module list")
        try placeInformation(
            request, commandLine: commandLine, loaderName: loaderName, modules: (modules.count, table), memory: memory)
        return LoadedKernel(
            bootProtocol: .multiboot, registers: registers, initrd: descriptors.first.map { $0.start..<$0.end })
    }

    /// What the kernel occupies.
    private var kernelRanges: [Range<UInt64>] {
        switch layout {
        case .elf(let image):
            return image.segments.map { $0.physicalAddress..<$0.physicalAddress + $0.memoryCount }
        case .addresses(_, let load, _, let end, _): return [load..<max(load, end)]
        }
    }

    /// Modules and texts begin here.
    private var kernelEnd: UInt64 { kernelRanges.map(\.upperBound).reduce(0x10_0000, max) }

    /// Where the information goes: beside the kernel, while low memory has room.
    private var informationAddress: UInt64 {
        let occupied = kernelRanges
        let others = stride(from: Place.lowMemory.lowerBound, through: Place.lowMemory.upperBound, by: 0x1000)
        return ([Place.information] + others).first { place in
            !occupied.contains { $0.overlaps(place..<place + Place.informationCount) }
        } ?? Place.information
    }

    private func loadKernel(_ request: BootRequest, into memory: GuestMemory) throws(BootError) {
        switch layout {
        case .elf(let image): try image.loadSegments(into: memory, map: request.memoryMap)
        case .addresses(let offset, let load, let count, let end, _):
            guard request.memoryMap.contains(where: { $0.kind == .usable && $0.start <= load && end <= $0.end }) else {
                throw BootError(
                    "'\(file.name)' wants \(hex(load))...\(hex(end &- 1)), which is not memory of the machine; give it "
                        + "more with -m")
            }
            try file.load(from: offset, count: count, into: memory, at: load, as: "kernel")
            try memory.clear(
                at: load + UInt64(count), count: end - load - UInt64(count), as: "uninitialised data of the kernel")
        }
    }

    private static func moduleTable(_ modules: [(start: UInt64, end: UInt64, text: UInt64)]) -> [UInt8] {
        var table = ByteBuilder()
        for module in modules {
            // MultibootArea hands out addresses below 4 GiB only.
            table.append(UInt32(truncatingIfNeeded: module.start))
            table.append(UInt32(truncatingIfNeeded: module.end))
            table.append(UInt32(truncatingIfNeeded: module.text))
            table.append(UInt32(0))
        }
        return table.bytes
    }

    /// Flags of the fields below: memory, boot device, command line, modules, memory map, loader name.
    private static let informationFlags: UInt32 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9
    /// The first hard disk, no partition.
    private static let bootDevice: UInt32 = 0x8000_FFFF

    private func placeInformation(
        _ request: BootRequest, commandLine: UInt64, loaderName: UInt64, modules: (count: Int, table: UInt64),
        memory: GuestMemory
    ) throws(BootError) {
        var map = ByteBuilder()
        for entry in request.memoryMap {
            map.append(UInt32(20))
            map.append(entry.start)
            map.append(entry.count)
            map.append(entry.kind.rawValue)
        }
        let lower = request.memoryMap.first { $0.start == 0 && $0.kind == .usable }?.count ?? 0
        let upper = request.lowMemoryEnd > 0x10_0000 ? request.lowMemoryEnd - 0x10_0000 : 0
        var information = ByteBuilder()
        information.append(Self.informationFlags)
        information.append(UInt32(truncatingIfNeeded: lower >> 10))
        information.append(UInt32(truncatingIfNeeded: upper >> 10))
        information.append(Self.bootDevice)
        information.append(UInt32(truncatingIfNeeded: commandLine))
        information.append(UInt32(modules.count))
        information.append(UInt32(truncatingIfNeeded: modules.count == 0 ? 0 : modules.table))
        information.append(zeros: 16)
        information.append(UInt32(map.count))
        let place = informationAddress
        information.append(UInt32(truncatingIfNeeded: place + Place.memoryMapOffset))
        information.append(zeros: 12)
        information.append(UInt32(truncatingIfNeeded: loaderName))
        information.pad(to: 116)
        try memory.place(information.bytes, at: place, as: "multiboot information")
        try memory.place(map.bytes, at: place + Place.memoryMapOffset, as: "memory map")
    }

    private func enter(_ memory: GuestMemory) throws(BootError) -> X86Registers {
        let table = EntryState.descriptorTable(codeSelector: Self.codeSelector, is64Bit: false)
        try memory.place(table, at: Place.descriptorTable, as: "descriptor table")
        var registers = EntryState.protectedMode(
            entry: entry, codeSelector: Self.codeSelector, dataSelector: Self.dataSelector,
            table: X86DescriptorTable(base: Place.descriptorTable, limit: UInt16(table.count - 1)))
        registers.general[X86GeneralIndex.rax] = Self.entryMagic
        registers.general[X86GeneralIndex.rbx] = informationAddress
        registers.general[X86GeneralIndex.rsp] = Place.stackTop
        return registers
    }
}
