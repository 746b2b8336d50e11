// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
public import GuestMemory
public import MachineModel

/// QEMU's fw_cfg device: numbered items and named files that the machine hands to its firmware and kernel.
///
/// Selector and data ports 0x510/0x511, DMA at 0x514. Items are set while the machine is assembled.
public final class FirmwareConfig: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "fw_cfg"
    /// Ports of the traditional interface and of the DMA address.
    public static let basePort: UInt64 = 0x510
    /// The first of the eight ports of the DMA interface.
    public static let dmaPort: UInt64 = 0x514
    /// Longest file name, without the terminating zero.
    public static let longestName = 55
    /// Files that the directory can list.
    public static let maximumFiles = 256

    /// Everything that a saved machine keeps beside the items.
    public struct State: Equatable, Sendable, Codable {
        /// The item that is being read.
        public internal(set) var selected: UInt16 = 0
        /// The place in the item of the next byte.
        public internal(set) var offset: UInt64 = 0
        /// The high half of the DMA address, until the low half starts the transfer.
        public internal(set) var addressHigh: UInt32 = 0
    }

    /// One item's contents, made anew at each selection where they depend on what the guest did before.
    private struct Entry {
        var bytes: [UInt8]
        var provider: (() -> [UInt8])?
        var isWritable = false
    }

    /// Bits of a DMA command (big-endian in memory).
    private enum Command {
        static let error: UInt32 = 1
        static let read: UInt32 = 2
        static let skip: UInt32 = 4
        static let select: UInt32 = 8
        static let write: UInt32 = 16
    }

    /// What a saved machine keeps.
    public var state = State()
    private let memory: GuestMemory
    private var entries: [UInt16: Entry] = [:]
    private var files: [(name: String, item: UInt16)] = []
    private static let dmaSignature: UInt64 = 0x5145_4D55_2043_4647  // "QEMU CFG"
    private static let chunk = 1 << 20

    /// A device with its signature and an empty directory.
    public init(memory: GuestMemory) {
        self.memory = memory
        set(Item.signature, to: Array("QEMU".utf8))
        set(Item.identity, to: UInt32(3))
        updateDirectory()
    }

    /// Maps 0x510...0x511 and 0x514...0x51B.
    public func map(in ports: AddressSpace) {
        ports.map(
            WordWindow(read: { [self] in readPort($0, $1) }, write: { [self] in writePort($0, $1, $2) }),
            at: Self.basePort, count: 2, name: "fwcfg")
        ports.map(
            WordWindow(read: { [self] in readAddress($0, $1) }, write: { [self] in writeAddress($0, $1, $2) }),
            at: Self.dmaPort, count: 8, name: "fwcfg.dma")
    }

    /// Nothing selected; the items stay.
    public func reset() { state = State() }

    // MARK: Items

    /// Sets an item's bytes.
    public func set(_ item: UInt16, to bytes: [UInt8]) { entries[item] = Entry(bytes: bytes) }

    /// The bytes of an item; nil when there is none. For tests and the monitor.
    public func contents(of item: UInt16) -> [UInt8]? { entries[item]?.bytes }

    /// The bytes of a file; nil when there is none.
    public func contents(ofFile name: String) -> [UInt8]? {
        files.first { $0.name == name }.flatMap { entries[$0.item]?.bytes }
    }

    /// Adds a file, or replaces the one of that name.
    /// - Parameters:
    ///   - provider: asked for the bytes whenever the guest selects the file: ACPI tables depend on how the firmware
    ///     programmed the PCI devices. Its size must stay that of `bytes`.
    ///   - isWritable: the guest may change the bytes by DMA.
    /// - Returns: false when the name is longer than 55 bytes or 256 files are there.
    @discardableResult
    public func addFile(
        _ name: String, _ bytes: [UInt8], isWritable: Bool = false, provider: (() -> [UInt8])? = nil
    ) -> Bool {
        let entry = Entry(bytes: bytes, provider: provider, isWritable: isWritable)
        if let known = files.first(where: { $0.name == name }) {
            entries[known.item] = entry
        } else {
            guard name.utf8.count <= Self.longestName, files.count < Self.maximumFiles else { return false }
            let item = Item.firstFile &+ UInt16(truncatingIfNeeded: files.count)
            files.append((name, item))
            entries[item] = entry
        }
        updateDirectory()
        return true
    }

    /// The directory: count, then size, item and name of each file, sorted by name.
    private func updateDirectory() {
        var bytes: [UInt8] = []
        func append(_ value: UInt32, _ count: UInt32) {
            for index in (0..<count).reversed() { bytes.append(UInt8(truncatingIfNeeded: value >> (index * 8))) }
        }
        append(UInt32(files.count), 4)
        for file in files.sorted(by: { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }) {
            append(UInt32(clamping: entries[file.item]?.bytes.count ?? 0), 4)
            append(UInt32(file.item), 2)
            append(0, 2)
            let name = Array(file.name.utf8)
            bytes += name + [UInt8](repeating: 0, count: Self.longestName + 1 - name.count)
        }
        set(Item.fileDirectory, to: bytes)
    }

    private func select(_ item: UInt16) {
        state.selected = item
        Trace.emit(.firmwareConfigurationSelect, "key 0x\(String(item, radix: 16)) ret \(entries[item] == nil ? 0 : 1)")
        state.offset = 0
        if let fresh = entries[item]?.provider?() { entries[item]?.bytes = fresh }
    }

    // MARK: Selector and data port

    private func readPort(_ offset: UInt64, _ size: Int) -> UInt64 {
        // The data port gives one byte; wider reads take as many, the first in the low bits.
        var result: UInt64 = 0
        for index in 0..<UInt64(max(0, min(size, 8))) { result |= UInt64(nextByte()) << (index * 8) }
        return result
    }

    private func writePort(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        // Byte writes to the data port have done nothing since QEMU 2.4.
        if offset == 0 && size >= 2 { select(UInt16(truncatingIfNeeded: value)) }
    }

    private func nextByte() -> UInt8 {
        guard let entry = entries[state.selected], state.offset < UInt64(entry.bytes.count) else { return 0 }
        let byte = entry.bytes[Int(state.offset)]
        state.offset += 1
        return byte
    }

    // MARK: DMA

    private func readAddress(_ offset: UInt64, _ size: Int) -> UInt64 {
        var result: UInt64 = 0
        for index in 0..<UInt64(max(0, min(size, 8))) where offset &+ index < 8 {
            let byte = Self.dmaSignature >> ((7 - (offset &+ index)) * 8) & 0xFF
            result |= byte << (index * 8)
        }
        return result
    }

    private func writeAddress(_ offset: UInt64, _ size: Int, _ value: UInt64) {
        switch (offset, size) {
        case (0, 4): state.addressHigh = UInt32(truncatingIfNeeded: value).byteSwapped
        case (4, 4):
            let low = UInt32(truncatingIfNeeded: value).byteSwapped
            transfer(at: UInt64(state.addressHigh) << 32 | UInt64(low))
            state.addressHigh = 0
        case (0, 8): transfer(at: value.byteSwapped)
        // The address is written by words or at once.
        default: break
        }
    }

    /// Does what the command structure at a guest address says, and writes the outcome into its control word.
    private func transfer(at address: UInt64) {
        guard let command = try? memory.load(UInt32.self, at: address).byteSwapped,
            let length = try? memory.load(UInt32.self, at: address &+ 4).byteSwapped,
            let target = try? memory.load(UInt64.self, at: address &+ 8).byteSwapped
        else { return }
        if command & Command.select != 0 { select(UInt16(truncatingIfNeeded: command >> 16)) }
        var succeeds = true
        if command & Command.read != 0 {
            succeeds = copyToGuest(at: target, count: UInt64(length))
        } else if command & Command.write != 0 {
            succeeds = copyFromGuest(at: target, count: UInt64(length))
        } else if command & Command.skip != 0 {
            state.offset = state.offset &+ UInt64(length)
        }
        let outcome: UInt32 = succeeds ? 0 : Command.error
        // The structure was readable a moment ago; where it is ROM, nobody waits for the outcome.
        try? memory.store(outcome.byteSwapped, at: address)
    }

    /// Copies from the item; what lies beyond its end is zeros.
    private func copyToGuest(at target: UInt64, count: UInt64) -> Bool {
        let bytes = entries[state.selected]?.bytes ?? []
        var done: UInt64 = 0
        while done < count {
            let place = state.offset &+ done
            let wanted = Int(min(count - done, UInt64(Self.chunk)))
            var part: [UInt8]
            if place < UInt64(bytes.count) {
                let first = Int(place)
                part = Array(bytes[first..<min(first + wanted, bytes.count)])
            } else {
                part = [UInt8](repeating: 0, count: wanted)
            }
            guard (try? memory.write(part, at: target &+ done)) != nil else { return false }
            done += UInt64(part.count)
        }
        state.offset = state.offset &+ count
        return true
    }

    private func copyFromGuest(at source: UInt64, count: UInt64) -> Bool {
        guard let entry = entries[state.selected], entry.isWritable, count <= UInt64(entry.bytes.count),
            state.offset <= UInt64(entry.bytes.count) - count,
            let part = try? memory.read(at: source, count: Int(count))
        else { return false }
        let first = Int(state.offset)
        entries[state.selected]?.bytes.replaceSubrange(first..<first + part.count, with: part)
        state.offset += count
        return true
    }
}
