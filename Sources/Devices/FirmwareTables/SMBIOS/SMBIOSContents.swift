// SPDX-License-Identifier: Apache-2.0

/// The structures, with the handles and values that QEMU gives them (DSP0134 3.1, chapter 7).
struct SMBIOSContents {
    let description: SMBIOSDescription

    private enum Handle {
        static let firmware: UInt16 = 0x0000, system: UInt16 = 0x0100, enclosure: UInt16 = 0x0300
        static let processor: UInt16 = 0x0400, memoryArray: UInt16 = 0x1000, memoryDevice: UInt16 = 0x1100
        static let memoryMapping: UInt16 = 0x1300, boot: UInt16 = 0x2000, end: UInt16 = 0x7F00
        static let none: UInt16 = 0xFFFE
    }
    private static let other: UInt8 = 1, unknown: UInt8 = 2, safe: UInt8 = 3
    /// RAM is presented as modules of at most this size.
    private static let moduleSize: UInt64 = 16 << 30

    var structures: [SMBIOSStructure] {
        var list: [SMBIOSStructure] = []
        if let firmware = description.firmware { list.append(make(firmware)) }
        list.append(system)
        list.append(enclosure)
        for index in 0..<max(1, min(description.sockets, 255)) { list.append(processor(index)) }
        list.append(memoryArray)
        for index in 0..<moduleCount { list.append(memoryDevice(index)) }
        for (index, range) in description.memory.prefix(16).enumerated() {
            list.append(mapping(range, UInt16(index)))
        }
        var boot = SMBIOSStructure(type: 32, handle: Handle.boot)
        boot.append(bytes: [UInt8](repeating: 0, count: 7))
        list.append(boot)
        list.append(SMBIOSStructure(type: 127, handle: Handle.end))
        return list
    }

    private func make(_ firmware: SMBIOSDescription.Firmware) -> SMBIOSStructure {
        /// Characteristics are not given; the extension says ACPI-less legacy and "is a virtual machine".
        let notSupported: UInt64 = 0x08
        let targetedContent: UInt8 = 0x04, virtualMachine: UInt8 = 0x10
        var structure = SMBIOSStructure(type: 0, handle: Handle.firmware)
        structure.append(string: firmware.vendor)
        structure.append(string: firmware.version)
        structure.append(UInt16(0xE800))
        structure.append(string: firmware.date)
        structure.append(UInt8(0))
        structure.append(notSupported)
        structure.append(bytes: [0, targetedContent | virtualMachine, 0, 0, 0xFF, 0xFF])
        return structure
    }

    private var system: SMBIOSStructure {
        let powerSwitch: UInt8 = 6
        var structure = SMBIOSStructure(type: 1, handle: Handle.system)
        structure.append(string: description.manufacturer)
        structure.append(string: description.product)
        structure.append(string: description.version)
        structure.append(string: description.serial)
        structure.append(bytes: encodedUUID)
        structure.append(powerSwitch)
        structure.append(string: description.sku)
        structure.append(string: description.family)
        return structure
    }

    /// The first three groups are little-endian from version 2.6 on.
    private var encodedUUID: [UInt8] {
        guard let uuid = description.uuid, uuid.count == 16 else { return [UInt8](repeating: 0, count: 16) }
        return [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map { uuid[$0] }
    }

    private var enclosure: SMBIOSStructure {
        var structure = SMBIOSStructure(type: 3, handle: Handle.enclosure)
        structure.append(string: description.manufacturer)
        structure.append(Self.other)
        structure.append(string: description.version)
        structure.append(string: "")
        structure.append(string: "")
        structure.append(bytes: [Self.safe, Self.safe, Self.safe, Self.unknown])
        structure.append(UInt32(0))
        structure.append(bytes: [0, 0, 0, 0, 0])
        return structure
    }

    private func processor(_ index: Int) -> SMBIOSStructure {
        let central: UInt8 = 3, populatedAndEnabled: UInt8 = 0x41
        let speed: UInt16 = 2000
        let noCache: UInt16 = 0xFFFF
        var structure = SMBIOSStructure(type: 4, handle: Handle.processor + UInt16(index))
        structure.append(string: "CPU \(index)")
        structure.append(bytes: [central, Self.other])
        structure.append(string: description.manufacturer)
        structure.append(description.processorSignature)
        structure.append(description.processorFeatures)
        structure.append(string: description.version)
        structure.append(UInt8(0))
        structure.append(UInt16(0))
        structure.append(speed)
        structure.append(speed)
        structure.append(bytes: [populatedAndEnabled, Self.other])
        for _ in 0..<3 { structure.append(noCache) }
        for _ in 0..<3 { structure.append(string: "") }
        let cores = description.coresPerSocket, threads = description.coresPerSocket * description.threadsPerCore
        structure.append(bytes: [UInt8(clamping: cores), UInt8(clamping: cores), UInt8(clamping: threads)])
        // Characteristics: unknown. Family, again, as 16 bits: other.
        structure.append(UInt16(2))
        structure.append(UInt16(1))
        return structure
    }

    // MARK: Memory

    private var memorySize: UInt64 { description.memory.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) } }
    private var moduleCount: Int {
        Int(clamping: max(1, min(128, (memorySize + Self.moduleSize - 1) / Self.moduleSize)))
    }

    private var memoryArray: SMBIOSStructure {
        let systemMemory: UInt8 = 3, multiBitCorrection: UInt8 = 6
        let largest: UInt64 = 0x8000_0000
        var structure = SMBIOSStructure(type: 16, handle: Handle.memoryArray)
        structure.append(bytes: [Self.other, systemMemory, multiBitCorrection])
        let kibibytes = memorySize >> 10
        structure.append(UInt32(clamping: kibibytes < largest ? kibibytes : largest))
        structure.append(Handle.none)
        structure.append(UInt16(moduleCount))
        structure.append(kibibytes < largest ? 0 : memorySize)
        return structure
    }

    private func memoryDevice(_ index: Int) -> SMBIOSStructure {
        let dimm: UInt8 = 9, ram: UInt8 = 7
        let otherDetail: UInt16 = 2, unknownWidth: UInt16 = 0xFFFF, extended: UInt16 = 0x7FFF
        let size = min(Self.moduleSize, memorySize - min(memorySize, UInt64(index) * Self.moduleSize))
        let mebibytes = size >> 20
        var structure = SMBIOSStructure(type: 17, handle: Handle.memoryDevice + UInt16(index))
        structure.append(Handle.memoryArray)
        structure.append(Handle.none)
        structure.append(unknownWidth)
        structure.append(unknownWidth)
        structure.append(mebibytes < UInt64(extended) ? UInt16(mebibytes) : extended)
        structure.append(bytes: [dimm, 0])
        structure.append(string: "DIMM \(index)")
        structure.append(string: "")
        structure.append(ram)
        structure.append(otherDetail)
        structure.append(UInt16(0))
        structure.append(string: description.manufacturer)
        for _ in 0..<3 { structure.append(string: "") }
        structure.append(UInt8(0))
        structure.append(UInt32(mebibytes < UInt64(extended) ? 0 : mebibytes))
        structure.append(UInt16(0))
        for _ in 0..<3 { structure.append(UInt16(0)) }
        return structure
    }

    private func mapping(_ range: Range<UInt64>, _ index: UInt16) -> SMBIOSStructure {
        let start = range.lowerBound >> 10
        let last = range.upperBound > range.lowerBound ? (range.upperBound - 1) >> 10 : start
        let fits = last < UInt64(UInt32.max)
        var structure = SMBIOSStructure(type: 19, handle: Handle.memoryMapping + index)
        structure.append(fits ? UInt32(start) : UInt32.max)
        structure.append(fits ? UInt32(last) : UInt32.max)
        structure.append(Handle.memoryArray)
        structure.append(UInt8(1))
        structure.append(fits ? 0 : range.lowerBound)
        structure.append(fits ? 0 : range.upperBound - 1)
        return structure
    }
}
