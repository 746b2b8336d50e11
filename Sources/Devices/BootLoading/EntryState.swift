// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import CPUInterface
internal import GuestMemory

/// Processor states in which kernels are entered.
enum EntryState {
    /// Descriptor bits: present, code or data, granular, and 64- or 32-bit (SDM vol. 3, 3.4.5).
    private static let code64: UInt32 = 0xA09B, code32: UInt32 = 0xC09B, data: UInt32 = 0xC093
    private static let localTable: UInt32 = 0x82, busyTask: UInt32 = 0x8B
    private static let protectionEnable: UInt64 = 1 << 0, extensionType: UInt64 = 1 << 4
    private static let numericError: UInt64 = 1 << 5, paging: UInt64 = 1 << 31
    private static let physicalAddressExtension: UInt64 = 1 << 5
    private static let longModeEnable: UInt64 = 1 << 8, longModeActive: UInt64 = 1 << 10
    /// What FNINIT and reset leave: all exceptions masked, extended precision.
    private static let x87Control: UInt16 = 0x37F, sseControl: UInt32 = 0x1F80

    private static func flat(_ selector: UInt16, _ attributes: UInt32) -> X86Segment {
        X86Segment(selector: selector, base: 0, limit: 0xFFFF_FFFF, attributes: attributes)
    }

    private static func common(codeSelector: UInt16, dataSelector: UInt16, code: UInt32) -> X86Registers {
        var registers = X86Registers()
        registers.fxsave.store(x87Control, at: 0)
        registers.fxsave.store(sseControl, at: 24)
        registers.cs = flat(codeSelector, code)
        let data = flat(dataSelector, data)
        registers.ds = data
        registers.es = data
        registers.ss = data
        registers.fs = data
        registers.gs = data
        registers.ldtr = X86Segment(selector: 0, base: 0, limit: 0xFFFF, attributes: localTable)
        registers.tr = X86Segment(selector: 0, base: 0, limit: 0xFFFF, attributes: busyTask)
        registers.idtr = X86DescriptorTable(base: 0, limit: 0)
        return registers
    }

    /// Flat 32-bit protected mode without paging.
    static func protectedMode(
        entry: UInt64, codeSelector: UInt16, dataSelector: UInt16, table: X86DescriptorTable
    ) -> X86Registers {
        var registers = common(codeSelector: codeSelector, dataSelector: dataSelector, code: code32)
        registers.cr0 = protectionEnable | extensionType
        registers.gdtr = table
        registers.rip = entry
        return registers
    }

    /// 64-bit mode with the page tables at `pageTables`.
    static func longMode(
        entry: UInt64, codeSelector: UInt16, dataSelector: UInt16, table: X86DescriptorTable, pageTables: UInt64
    ) -> X86Registers {
        var registers = common(codeSelector: codeSelector, dataSelector: dataSelector, code: code64)
        registers.cr0 = protectionEnable | extensionType | numericError | paging
        registers.cr3 = pageTables
        registers.cr4 = physicalAddressExtension
        registers.efer = longModeEnable | longModeActive
        registers.gdtr = table
        registers.rip = entry
        return registers
    }

    /// A GDT with a flat code descriptor and then a flat data descriptor at `codeSelector`.
    static func descriptorTable(codeSelector: UInt16, is64Bit: Bool) -> [UInt8] {
        var table = ByteBuilder()
        table.append(zeros: Int(codeSelector))
        table.append(descriptor(is64Bit ? code64 : code32))
        table.append(descriptor(data))
        return table.bytes
    }

    /// Base 0, limit 4 GiB.
    private static func descriptor(_ attributes: UInt32) -> UInt64 {
        0xF_0000_0000_FFFF | UInt64(attributes) << 40
    }

    /// Page tables that map the first 4 GiB onto themselves in pages of 2 MiB: 6 pages, the first of them the root.
    static func identityPageTables(at base: UInt64) -> [UInt8] {
        let page: UInt64 = 4096
        let presentWritable: UInt64 = 3
        let large: UInt64 = 1 << 7
        let directories = 4
        let entries = 512
        var tables = ByteBuilder()
        tables.append((base + page) | presentWritable)
        tables.pad(to: Int(page))
        for index in 0..<directories { tables.append((base + page * UInt64(2 + index)) | presentWritable) }
        tables.pad(to: Int(page) * 2)
        for index in 0..<directories * entries { tables.append(UInt64(index) << 21 | presentWritable | large) }
        return tables.bytes
    }
}

extension GuestMemory {
    /// Writes what a boot protocol needs at a fixed place.
    func place(_ bytes: [UInt8], at address: UInt64, as what: String) throws(BootError) {
        do throws(GuestMemoryError) {
            try write(bytes, at: address, force: true)
        } catch {
            throw BootError(
                "the \(what), \(bytes.count) bytes, does not fit in the machine's memory at \(hex(address)); "
                    + "give it more with -m")
        }
    }

    /// Clears a range that the caller knows to be memory.
    func clear(at address: UInt64, count: UInt64, as what: String) throws(BootError) {
        let chunk: UInt64 = 1 << 20
        let zeros = [UInt8](repeating: 0, count: Int(min(chunk, count)))
        var done: UInt64 = 0
        while done < count {
            let length = min(chunk, count - done)
            let bytes = length == UInt64(zeros.count) ? zeros : [UInt8](repeating: 0, count: Int(length))
            try place(bytes, at: address &+ done, as: what)
            done += length
        }
    }
}
