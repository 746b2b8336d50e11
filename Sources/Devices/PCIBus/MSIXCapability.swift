// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import MachineModel

/// One entry of an MSI-X table.
public struct MSIXMessage: Equatable, Sendable {
    /// Where the message is written.
    public var address: UInt64
    /// What is written.
    public var data: UInt32
    /// The entry's own mask, or that of all entries, or MSI-X is off.
    public var isMasked: Bool

    /// A message.
    public init(address: UInt64, data: UInt32, isMasked: Bool) {
        self.address = address
        self.data = data
        self.isMasked = isMasked
    }
}

/// Message-signalled interrupts with a table in memory space (PCI Local Bus 3.0, 6.8.2).
public final class MSIXCapability {
    private enum Control {
        static let functionMask: UInt16 = 1 << 14
        static let enable: UInt16 = 1 << 15
    }
    /// Bytes of a table entry; its vector control word stands at 12.
    private static let entrySize = 16, vectorControl = 12

    /// Entries of the table, 1...2048.
    public let vectorCount: Int
    /// Where it stands in configuration space.
    public let offset: Int
    /// The guest enabled it.
    public private(set) var isEnabled = false
    /// The guest masks all entries at once.
    public private(set) var isFunctionMasked = false
    /// Told when a message or its mask changes, for those who hand messages to the host's kernel.
    public var messageChanged: ((_ vector: Int, MSIXMessage) -> Void)?
    private var table: [UInt8]
    private var pending: [UInt64]

    var range: Range<Int> { offset..<(offset + 4) }

    init(device: PCIDevice, vectorCount: Int, bar: Int, tableOffset: UInt32, pendingOffset: UInt32, at place: Int?) {
        precondition((1...2048).contains(vectorCount) && tableOffset & 7 == 0 && pendingOffset & 7 == 0)
        self.vectorCount = vectorCount
        table = [UInt8](repeating: 0, count: vectorCount * Self.entrySize)
        pending = [UInt64](repeating: 0, count: (vectorCount + 63) / 64)
        var body = ByteBuilder()
        body.append(UInt16(vectorCount - 1))
        body.append(tableOffset | UInt32(bar))
        body.append(pendingOffset | UInt32(bar))
        offset = device.addCapability(PCICapabilityID.msix, body: body.bytes, at: place)
        device.config.setWritable(offset + 2, Control.functionMask | Control.enable)
        maskAll()
    }

    private func maskAll() {
        for byte in table.indices { table[byte] = 0 }
        for vector in 0..<vectorCount { table[vector * Self.entrySize + Self.vectorControl] = 1 }
    }

    /// A table entry as it stands; masked while MSI-X is off or all is masked, and outside of the table.
    public func message(_ vector: Int) -> MSIXMessage {
        let base = vector &* Self.entrySize
        guard vector >= 0, vector < vectorCount, let address = table.load(UInt64.self, at: base),
            let data = table.load(UInt32.self, at: base + 8)
        else { return MSIXMessage(address: 0, data: 0, isMasked: true) }
        let masked = !isEnabled || isFunctionMasked || table[base + Self.vectorControl] & 1 != 0
        return MSIXMessage(address: address, data: data, isMasked: masked)
    }

    /// Sends message `vector`, or leaves it pending while it is masked; nothing while MSI-X is off or without the entry.
    public func notify(_ vector: Int, from device: PCIDevice) {
        guard isEnabled, vector >= 0, vector < vectorCount else { return }
        let entry = message(vector)
        if entry.isMasked {
            pending[vector / 64] |= 1 << UInt64(vector % 64)
        } else {
            device.send(address: entry.address, data: entry.data)
        }
    }

    /// The message waits for its mask to be lifted.
    public func isPending(_ vector: Int) -> Bool {
        vector >= 0 && vector < vectorCount && pending[vector / 64] & 1 << UInt64(vector % 64) != 0
    }

    /// Forgets a waiting message, as when its cause went away.
    public func clearPending(_ vector: Int) {
        if isPending(vector) { pending[vector / 64] &= ~(1 << UInt64(vector % 64)) }
    }

    func configWritten(_ device: PCIDevice) {
        let control: UInt16 = device.config.get(offset + 2)
        let enabled = control & Control.enable != 0
        let masked = control & Control.functionMask != 0
        guard enabled != isEnabled || masked != isFunctionMasked else { return }
        isEnabled = enabled
        isFunctionMasked = masked
        device.updateInterrupt()
        for vector in 0..<vectorCount { maskChanged(vector, of: device) }
    }

    private func maskChanged(_ vector: Int, of device: PCIDevice) {
        let entry = message(vector)
        messageChanged?(vector, entry)
        if !entry.isMasked, isPending(vector) {
            clearPending(vector)
            device.send(address: entry.address, data: entry.data)
        }
    }

    func reset(_ device: PCIDevice) {
        device.config.clearGuestBits(in: range)
        isEnabled = false
        isFunctionMasked = false
        for word in pending.indices { pending[word] = 0 }
        maskAll()
        for vector in 0..<vectorCount { messageChanged?(vector, message(vector)) }
    }

    // MARK: The registers

    fileprivate func readTable(_ offset: UInt64, size: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<min(max(size, 0), 8) {
            let place = Int(truncatingIfNeeded: offset) &+ index
            if table.indices.contains(place) { value |= UInt64(table[place]) << UInt64(index * 8) }
        }
        return value
    }

    fileprivate func writeTable(_ offset: UInt64, size: Int, value: UInt64, device: PCIDevice) {
        let first = Int(truncatingIfNeeded: offset)
        guard table.indices.contains(first) else { return }
        for index in 0..<min(max(size, 0), 8) where table.indices.contains(first + index) {
            let place = first + index
            var byte = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
            // Of the vector control word only the mask bit exists; the two low address bits are zero.
            let field = place % Self.entrySize
            if field == 0 { byte &= ~3 }
            if field == Self.vectorControl { byte &= 1 }
            if field > Self.vectorControl { byte = 0 }
            table[place] = byte
        }
        maskChanged(first / Self.entrySize, of: device)
        let last = min(first + max(size, 1) - 1, table.count - 1) / Self.entrySize
        if last != first / Self.entrySize { maskChanged(last, of: device) }
    }

    fileprivate func readPending(_ offset: UInt64, size: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<min(max(size, 0), 8) {
            let place = offset &+ UInt64(index)
            guard place < UInt64(pending.count * 8) else { break }
            let byte = pending[Int(place / 8)] >> (place % 8 * 8) & 0xFF
            value |= byte << UInt64(index * 8)
        }
        return value
    }

    // MARK: Saving

    /// The table and the pending bits.
    var savedState: (table: [UInt8], pending: [UInt64]) {
        get { (table, pending) }
        set {
            guard newValue.table.count == table.count, newValue.pending.count == pending.count else { return }
            table = newValue.table
            pending = newValue.pending
        }
    }
}

/// The table's registers in a base address register's range.
private final class MSIXTableWindow: RegisterWindow {
    private let capability: MSIXCapability
    private weak var device: PCIDevice?

    init(_ capability: MSIXCapability, device: PCIDevice) {
        self.capability = capability
        self.device = device
    }
    func read(offset: UInt64, size: Int) -> UInt64 { capability.readTable(offset, size: size) }
    func write(offset: UInt64, size: Int, value: UInt64) {
        if let device { capability.writeTable(offset, size: size, value: value, device: device) }
    }
}

/// The pending bits; read-only.
private final class MSIXPendingWindow: RegisterWindow {
    private let capability: MSIXCapability

    init(_ capability: MSIXCapability) { self.capability = capability }
    func read(offset: UInt64, size: Int) -> UInt64 { capability.readPending(offset, size: size) }
    // The specification leaves writes undefined; they change nothing here.
    func write(offset: UInt64, size: Int, value: UInt64) {}
}

extension PCIDevice {
    /// Adds MSI-X with a base address register of its own: the table at 0, the pending bits in the upper half.
    /// - Parameters:
    ///   - vectorCount: 1...2048.
    ///   - index: a free 32-bit base address register.
    ///   - offset: where the capability goes; nil for the next free place.
    public func addMSIX(vectorCount: Int, baseAddress index: Int, capabilityAt offset: Int? = nil) {
        var size: UInt64 = 4096
        while UInt64(vectorCount) * 16 > size / 2 { size *= 2 }
        addBaseAddress(index, kind: .memory32, size: size)
        addMSIX(
            vectorCount: vectorCount, baseAddress: index, tableOffset: 0, pendingOffset: UInt32(size / 2),
            capabilityAt: offset)
    }

    /// Adds MSI-X inside a base address register that was added before.
    /// - Parameters:
    ///   - tableOffset: where the 16 bytes per vector begin; a multiple of 8.
    ///   - pendingOffset: where the pending bits begin; a multiple of 8.
    public func addMSIX(
        vectorCount: Int, baseAddress index: Int, tableOffset: UInt32, pendingOffset: UInt32,
        capabilityAt offset: Int? = nil
    ) {
        let capability = MSIXCapability(
            device: self, vectorCount: vectorCount, bar: index, tableOffset: tableOffset,
            pendingOffset: pendingOffset, at: offset)
        msix = capability
        addWindow(
            MSIXTableWindow(capability, device: self), toBaseAddress: index, at: UInt64(tableOffset),
            count: UInt64(vectorCount) * 16, name: "msix-table")
        addWindow(
            MSIXPendingWindow(capability), toBaseAddress: index, at: UInt64(pendingOffset),
            count: UInt64((vectorCount + 63) / 64 * 8), name: "msix-pba")
    }
}
