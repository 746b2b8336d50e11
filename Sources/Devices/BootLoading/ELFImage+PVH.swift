// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import CPUInterface
internal import GuestMemory

/// The PVH boot protocol: a start information block and a flat 32-bit entry (Xen's public/arch-x86/hvm/start_info.h).
extension ELFImage {
    private enum StartInformation {
        static let magic: UInt32 = 0x336E_C578
        static let version: UInt32 = 1
        static let count = 56
    }
    private enum Place {
        static let descriptorTable: UInt64 = 0x500
        static let startInformation: UInt64 = 0x6000
        static let modules: UInt64 = 0x6040
        static let memoryMap: UInt64 = 0x7000
        static let commandLine: UInt64 = 0x2_0000
        static let commandLineLimit = 0x1_0000
    }
    private static let codeSelector: UInt16 = 0x08, dataSelector: UInt16 = 0x10
    /// The protocol asks for a task register with this limit.
    private static let taskLimit: UInt32 = 0x67

    func loadPVH(_ request: BootRequest, into memory: GuestMemory) throws(BootError) -> LoadedKernel {
        guard let entry = try physicalEntry() else {
            throw BootError(
                "'\(file.name)' is an ELF without a PVH note; give a bzImage, or a kernel built with CONFIG_PVH")
        }
        guard extent.contains(entry), entry <= UInt64(UInt32.max) else {
            throw BootError("'\(file.name)' is corrupt: its PVH entry \(hex(entry)) lies outside of what it loads")
        }
        let commandLine = Array(request.commandLine.utf8)
        guard commandLine.count < Place.commandLineLimit else {
            throw BootError(
                "the command line has \(commandLine.count) bytes, at most \(Place.commandLineLimit - 1) are passed on; "
                    + "shorten -append")
        }
        try LegacyBIOSData.place(into: memory)
        try loadSegments(into: memory, map: request.memoryMap)
        let initrd = try loadInitrd(request, into: memory)
        try memory.place(commandLine + [0], at: Place.commandLine, as: "command line")
        try placeInformation(request, initrd: initrd, into: memory)
        let table = EntryState.descriptorTable(codeSelector: Self.codeSelector, is64Bit: false)
        try memory.place(table, at: Place.descriptorTable, as: "descriptor table")
        var registers = EntryState.protectedMode(
            entry: entry, codeSelector: Self.codeSelector, dataSelector: Self.dataSelector,
            table: X86DescriptorTable(base: Place.descriptorTable, limit: UInt16(table.count - 1)))
        registers.tr.limit = Self.taskLimit
        registers.general[X86GeneralIndex.rbx] = Place.startInformation
        return LoadedKernel(bootProtocol: .pvh, registers: registers, initrd: initrd)
    }

    private func loadInitrd(_ request: BootRequest, into memory: GuestMemory) throws(BootError) -> Range<UInt64>? {
        guard let initrd = try request.openInitrd() else { return nil }
        let end = min(request.lowMemoryEnd, 1 << 32)
        let size = UInt64(initrd.count)
        let floor = max(extent.upperBound, 0x10_0000)
        let start = end >= size ? (end - size) & ~4095 : 0
        guard size <= end, start >= floor else {
            throw BootError(
                "initrd '\(initrd.name)' has \(mebibytes(size)), but there is room for only "
                    + "\((end > floor ? end - floor : 0) >> 20) MiB after the kernel; give the machine more memory with -m"
            )
        }
        try initrd.load(from: 0, count: initrd.count, into: memory, at: start, as: "initrd")
        return start..<start + size
    }

    private func placeInformation(
        _ request: BootRequest, initrd: Range<UInt64>?, into memory: GuestMemory
    ) throws(BootError) {
        var information = ByteBuilder()
        information.append(StartInformation.magic)
        information.append(StartInformation.version)
        information.append(UInt32(0))
        information.append(UInt32(initrd == nil ? 0 : 1))
        information.append(initrd == nil ? 0 : Place.modules)
        information.append(Place.commandLine)
        information.append(request.rsdpAddress ?? 0)
        information.append(Place.memoryMap)
        information.append(UInt32(request.memoryMap.count))
        information.append(UInt32(0))
        try memory.place(information.bytes, at: Place.startInformation, as: "start information")
        if let initrd {
            var module = ByteBuilder()
            module.append(initrd.lowerBound)
            module.append(initrd.upperBound - initrd.lowerBound)
            module.append(UInt64(0))
            module.append(UInt64(0))
            try memory.place(module.bytes, at: Place.modules, as: "module list")
        }
        var map = ByteBuilder()
        for entry in request.memoryMap {
            map.append(entry.start)
            map.append(entry.count)
            map.append(entry.kind.rawValue)
            map.append(UInt32(0))
        }
        try memory.place(map.bytes, at: Place.memoryMap, as: "memory map")
    }
}
