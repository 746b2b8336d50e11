// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
public import GuestMemory

/// All ACPI tables of a machine, as files and a script for firmware, or put into memory directly.
public struct ACPITables: Sendable {
    /// Names under which firmware finds the files in fw_cfg.
    public static let tablesFile = "etc/acpi/tables", pointerFile = "etc/acpi/rsdp", scriptFile = "etc/table-loader"

    /// The tables one after the other, with pointers relative to the file and without checksums.
    public private(set) var tables: [UInt8] = []
    /// The root pointer, likewise.
    public private(set) var pointer: [UInt8] = []
    /// What turns the two files into tables in memory.
    public private(set) var script: [TableLoaderCommand] = []
    /// Signatures and places of the tables in the file, in order.
    public private(set) var layout: [(signature: String, range: Range<Int>)] = []

    private static let controlAlignment = 64, pointerAlignment = 16

    /// Builds the tables.
    public init(_ machine: MachineDescription) {
        script.append(
            .allocate(file: Self.tablesFile, alignment: UInt32(Self.controlAlignment), belowOneMegabyte: false))
        let control = append(Self.makeControlTable(), "FACS", alignment: Self.controlAlignment)
        var differentiated = SystemTable("DSDT", revision: 2)
        differentiated.builder.append(bytes: DifferentiatedTable(machine: machine).body)
        let body = append(differentiated.bytes, "DSDT")
        checksum(body)
        let fixed = append(FixedTable.make(machine).bytes, "FACP")
        if machine.fixedHardware != nil { point(at: fixed + FixedTable.controlOffset, to: control, size: 4) }
        point(at: fixed + FixedTable.differentiatedOffset, to: body, size: 4)
        point(at: fixed + FixedTable.differentiated64Offset, to: body, size: 8)
        checksum(fixed)
        var listed = [fixed]
        var others = [MADTTable.make(machine)]
        if machine.hasHPET { others.append(HPETTable.make()) }
        if let ecam = machine.ecamBase { others.append(MCFGTable.make(base: ecam)) }
        if machine.fixedHardware != nil { others.append(WAETTable.make()) }
        for table in others {
            listed.append(append(table.bytes, table.signature))
            checksum(listed[listed.count - 1])
        }
        appendRoots(listed)
    }

    private static func makeControlTable() -> [UInt8] {
        var builder = ByteBuilder()
        builder.append(text: "FACS", count: 4)
        builder.append(UInt32(64))
        builder.pad(to: 64)
        return builder.bytes
    }

    /// The two lists of tables, with 4- and 8-byte pointers, and the root pointer to both.
    private mutating func appendRoots(_ listed: [Int]) {
        var roots: [Int] = []
        for (signature, size) in [("RSDT", 4), ("XSDT", 8)] {
            var table = SystemTable(signature, revision: 1)
            table.builder.append(zeros: size * listed.count)
            let root = append(table.bytes, signature)
            for (index, target) in listed.enumerated() {
                point(at: root + SystemTable.headerCount + index * size, to: target, size: UInt8(size))
            }
            checksum(root)
            roots.append(root)
        }
        var builder = ByteBuilder()
        builder.append(text: "RSD PTR ", count: 8)
        builder.append(UInt8(0))
        builder.append(text: "BOCHS ", count: 6)
        builder.append(UInt8(2))
        builder.append(UInt32(roots[0]))
        builder.append(UInt32(36))
        builder.append(UInt64(roots[1]))
        builder.append(UInt32(0))
        pointer = builder.bytes
        script.append(
            .allocate(file: Self.pointerFile, alignment: UInt32(Self.pointerAlignment), belowOneMegabyte: true))
        script.append(.addPointer(file: Self.pointerFile, source: Self.tablesFile, offset: 16, size: 4))
        script.append(.addPointer(file: Self.pointerFile, source: Self.tablesFile, offset: 24, size: 8))
        script.append(.addChecksum(file: Self.pointerFile, offset: 8, start: 0, count: 20))
        script.append(.addChecksum(file: Self.pointerFile, offset: 32, start: 0, count: 36))
    }

    private mutating func append(_ bytes: [UInt8], _ signature: String, alignment: Int = 1) -> Int {
        var builder = ByteBuilder(tables)
        builder.align(to: alignment)
        let place = builder.count
        builder.append(bytes: bytes)
        tables = builder.bytes
        layout.append((signature, place..<place + bytes.count))
        return place
    }

    private mutating func checksum(_ place: Int) {
        let count: UInt32 = tables.load(at: place + 4) ?? 0
        script.append(
            .addChecksum(
                file: Self.tablesFile, offset: place + SystemTable.checksumOffset, start: place, count: Int(count)))
    }

    private mutating func point(at offset: Int, to target: Int, size: UInt8) {
        if size == 4 { tables.store(UInt32(target), at: offset) } else { tables.store(UInt64(target), at: offset) }
        script.append(.addPointer(file: Self.tablesFile, source: Self.tablesFile, offset: offset, size: size))
    }

    /// The files for fw_cfg by name.
    public var firmwareFiles: [(name: String, bytes: [UInt8])] {
        [
            (Self.tablesFile, tables), (Self.pointerFile, pointer),
            (Self.scriptFile, Array(script.map(\.encoded).joined())),
        ]
    }

    /// Runs the script for files at given addresses.
    /// - Returns: the files' contents as they stand in memory.
    public func link(tablesAt tablesAddress: UInt64, pointerAt pointerAddress: UInt64) -> (
        tables: [UInt8], pointer: [UInt8]
    ) {
        let addresses = [Self.tablesFile: tablesAddress, Self.pointerFile: pointerAddress]
        var files = [Self.tablesFile: tables, Self.pointerFile: pointer]
        for command in script {
            switch command {
            case .allocate: break
            case .addPointer(let file, let source, let offset, let size):
                let address = addresses[source] ?? 0
                if size == 4 {
                    let old: UInt32 = files[file]?.load(at: offset) ?? 0
                    files[file]?.store(old &+ UInt32(truncatingIfNeeded: address), at: offset)
                } else {
                    let old: UInt64 = files[file]?.load(at: offset) ?? 0
                    files[file]?.store(old &+ address, at: offset)
                }
            case .addChecksum(let file, let offset, let start, let count):
                guard let sum = files[file]?.bytes(at: start, count: count).map({ byteSum($0) }) else { continue }
                let old: UInt8 = files[file]?.load(at: offset) ?? 0
                files[file]?.store(old &- sum, at: offset)
            }
        }
        return (files[Self.tablesFile] ?? [], files[Self.pointerFile] ?? [])
    }
}

/// Where tables go when no firmware runs.
public struct FirmwareTablePlacement: Sendable {
    /// Systems look for anchors from here to 1 MiB, at multiples of 16.
    public static let start: UInt64 = 0xF_0000
    private static let end: UInt64 = 0x10_0000
    private static let tablesAlignment: UInt64 = 64, anchorAlignment: UInt64 = 16

    /// Guest-physical address of the ACPI root pointer; nil without ACPI.
    public let rsdpAddress: UInt64?

    /// Puts the tables into the segment below 1 MiB, read-only or not.
    /// - Throws: there is no memory.
    /// - Precondition: they fit in 64 KiB, as the tables of up to some 900 processors do.
    public init(
        acpi: ACPITables?, smbios: SMBIOSTables?, processors: MultiprocessorTable? = nil, into memory: GuestMemory
    ) throws(GuestMemoryError) {
        var next = Self.start
        if let acpi {
            let pointerAddress = next
            let tablesAddress = Self.align(next + UInt64(acpi.pointer.count), Self.tablesAlignment)
            let linked = acpi.link(tablesAt: tablesAddress, pointerAt: pointerAddress)
            try memory.write(linked.pointer, at: pointerAddress, force: true)
            try memory.write(linked.tables, at: tablesAddress, force: true)
            next = tablesAddress + UInt64(linked.tables.count)
            rsdpAddress = pointerAddress
        } else {
            rsdpAddress = nil
        }
        if let smbios {
            let anchorAddress = Self.align(next, Self.anchorAlignment)
            let structuresAddress = Self.align(anchorAddress + UInt64(smbios.anchor.count), Self.anchorAlignment)
            try memory.write(smbios.linkedAnchor(structuresAt: structuresAddress), at: anchorAddress, force: true)
            try memory.write(smbios.structures, at: structuresAddress, force: true)
            next = structuresAddress + UInt64(smbios.structures.count)
        }
        if let processors {
            let place = Self.align(next, Self.anchorAlignment)
            let bytes = processors.bytes(at: place)
            try memory.write(bytes, at: place, force: true)
            next = place + UInt64(bytes.count)
        }
        precondition(next <= Self.end, "the firmware tables do not fit below 1 MiB")
    }

    private static func align(_ address: UInt64, _ alignment: UInt64) -> UInt64 {
        (address + alignment - 1) & ~(alignment - 1)
    }
}
