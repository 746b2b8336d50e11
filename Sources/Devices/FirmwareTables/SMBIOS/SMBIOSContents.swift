// SPDX-License-Identifier: Apache-2.0

/// The structures, with the handles and values that QEMU gives them (DSP0134 3.1, chapter 7).
struct SMBIOSContents {
    let description: SMBIOSDescription

    private enum Handle {
        static let firmware: UInt16 = 0x0000, system: UInt16 = 0x0100, board: UInt16 = 0x0200
        static let enclosure: UInt16 = 0x0300, oemStrings: UInt16 = 0x0E00
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
        if let board { list.append(board) }
        list.append(enclosure)
        for index in 0..<max(1, min(description.sockets, 255)) { list.append(processor(index)) }
        if let oemStrings { list.append(oemStrings) }
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
        let uefi: UInt8 = firmware.isUEFI ? 0x08 : 0
        structure.append(
            bytes: [
                0, targetedContent | virtualMachine | uefi, firmware.release.major, firmware.release.minor, 0xFF, 0xFF,
            ])
        return structure
    }

    /// A text that a person gave for a structure's type.
    private func field(_ type: Int, _ name: String, or standard: String = "") -> String {
        description.fields[type]?[name] ?? standard
    }

    private func number(_ type: Int, _ name: String, or standard: UInt16) -> UInt16 {
        description.fields[type]?[name].flatMap { UInt16($0) } ?? standard
    }

    /// Only where a person described it.
    private var board: SMBIOSStructure? {
        guard description.fields[2]?.isEmpty == false else { return nil }
        let hostingBoard: UInt8 = 1, motherboard: UInt8 = 0x0A
        var structure = SMBIOSStructure(type: 2, handle: Handle.board)
        structure.append(string: field(2, "manufacturer", or: description.manufacturer))
        structure.append(string: field(2, "product", or: description.product))
        structure.append(string: field(2, "version", or: description.version))
        structure.append(string: field(2, "serial"))
        structure.append(string: field(2, "asset"))
        structure.append(hostingBoard)
        structure.append(string: field(2, "location"))
        structure.append(Handle.enclosure)
        structure.append(bytes: [motherboard, 0])
        return structure
    }

    private var oemStrings: SMBIOSStructure? {
        let most = 255
        let texts = description.oemStrings.filter { !$0.isEmpty }.prefix(most)
        guard !texts.isEmpty else { return nil }
        var structure = SMBIOSStructure(type: 11, handle: Handle.oemStrings)
        structure.append(UInt8(texts.count))
        for text in texts { structure.addString(text) }
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
        structure.append(string: field(3, "manufacturer", or: SMBIOSDescription.standardManufacturer))
        structure.append(Self.other)
        structure.append(string: field(3, "version", or: description.machineName))
        structure.append(string: field(3, "serial"))
        structure.append(string: field(3, "asset"))
        structure.append(bytes: [Self.safe, Self.safe, Self.safe, Self.unknown])
        structure.append(UInt32(0))
        structure.append(bytes: [0, 0, 0, 0])
        structure.append(string: field(3, "sku"))
        return structure
    }

    private func processor(_ index: Int) -> SMBIOSStructure {
        let central: UInt8 = 3, populatedAndEnabled: UInt8 = 0x41
        let noCache: UInt16 = 0xFFFF
        var structure = SMBIOSStructure(type: 4, handle: Handle.processor + UInt16(index))
        let standardSpeed: UInt16 = 2000
        let identifier = description.fields[4]?["processor-id"].flatMap { UInt64($0) }
        structure.append(string: "\(field(4, "sock_pfx", or: "CPU")) \(index)")
        structure.append(bytes: [central, Self.other])
        structure.append(string: field(4, "manufacturer", or: SMBIOSDescription.standardManufacturer))
        structure.append(
            identifier
                ?? UInt64(description.processorFeatures) << 32 | UInt64(description.processorSignature))
        structure.append(string: field(4, "version", or: description.machineName))
        structure.append(UInt8(0))
        structure.append(UInt16(0))
        structure.append(number(4, "max-speed", or: standardSpeed))
        structure.append(number(4, "current-speed", or: standardSpeed))
        structure.append(bytes: [populatedAndEnabled, Self.other])
        for _ in 0..<3 { structure.append(noCache) }
        for name in ["serial", "asset", "part"] { structure.append(string: field(4, name)) }
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
        structure.append(string: "\(field(17, "loc_pfx", or: "DIMM")) \(index)")
        structure.append(string: field(17, "bank"))
        structure.append(ram)
        structure.append(otherDetail)
        structure.append(number(17, "speed", or: 0))
        structure.append(string: field(17, "manufacturer", or: SMBIOSDescription.standardManufacturer))
        for name in ["serial", "asset", "part"] { structure.append(string: field(17, name)) }
        structure.append(UInt8(0))
        structure.append(UInt32(mebibytes < UInt64(extended) ? 0 : mebibytes))
        // The configured speed; voltages are not known.
        structure.append(number(17, "speed", or: 0))
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
