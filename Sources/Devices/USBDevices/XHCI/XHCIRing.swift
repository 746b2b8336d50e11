// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// A transfer request block (xHCI 1.1, 4.11.1), 16 bytes.
struct XHCIBlock: Equatable, Sendable {
    var parameter: UInt64
    var status: UInt32
    var control: UInt32
    /// Where it was read.
    var address: UInt64 = 0

    var type: Int { Int(control >> XHCI.Flag.typeShift & 0x3F) }
    var slot: Int { Int(control >> 24) }
    var endpoint: Int { Int(control >> 16 & 0x1F) }
    /// Bytes of a data block.
    var length: Int { Int(status & 0x1_FFFF) }
    var interrupter: Int { Int(status >> 22) }
    func has(_ flag: UInt32) -> Bool { control & flag != 0 }
    var hasData: Bool {
        type == XHCI.BlockType.normal || type == XHCI.BlockType.data || type == XHCI.BlockType.isochronous
    }
}

/// Guest memory that a controller was told to use and that is none.
struct XHCIMemoryError: Error {}

/// Where a ring of blocks goes on: blocks whose cycle bit is the ring's belong to the controller.
struct XHCIRing: Equatable, Sendable, Codable {
    var address: UInt64 = 0
    var cycle = false
    /// Links from segment to segment without a block between them; a ring of links alone is broken.
    private static let longestChain = 32

    /// A place as registers, contexts and commands say it: the lowest bit is the cycle.
    init(pointer: UInt64 = 0) {
        address = pointer & ~0xF
        cycle = pointer & 1 != 0
    }

    var pointer: UInt64 { address | (cycle ? 1 : 0) }

    /// Takes the next block, following links; nil when the driver has put none there.
    mutating func next(_ memory: GuestMemory) throws(XHCIMemoryError) -> XHCIBlock? {
        for _ in 0..<Self.longestChain {
            let block = try XHCIRing.block(at: address, memory)
            guard block.has(XHCI.Flag.cycle) == cycle else { return nil }
            guard block.type == XHCI.BlockType.link else {
                address &+= UInt64(XHCI.blockSize)
                return block
            }
            address = block.parameter & ~0xF
            if block.has(XHCI.Flag.toggle) { cycle.toggle() }
        }
        throw XHCIMemoryError()
    }

    private static func block(at address: UInt64, _ memory: GuestMemory) throws(XHCIMemoryError) -> XHCIBlock {
        do {
            // The cycle bit is read first: what is before it was written earlier.
            let control: UInt32 = try memory.load(at: address &+ 12)
            return XHCIBlock(
                parameter: try memory.load(at: address), status: try memory.load(at: address &+ 8), control: control,
                address: address)
        } catch { throw XHCIMemoryError() }
    }
}

/// One interrupter with its event ring of one segment (xHCI 1.1, 4.9.4 and 5.5.2).
struct XHCIInterrupter: Equatable, Sendable, Codable {
    var management: UInt32 = 0
    /// Kept for the driver; events are told at once.
    var moderation: UInt32 = 0
    var tableSize: UInt32 = 0
    var tableAddress: UInt64 = 0
    var dequeue: UInt64 = 0
    /// The ring, once the driver has said where.
    var start: UInt64 = 0
    var count = 0
    var index = 0
    var cycle = true
    /// Events for which the driver has left no room yet.
    var backlog: [Event] = []
    private static let longestBacklog = 1024
    private static let smallest = 16, largest = 4096

    /// An event, but for its cycle bit.
    struct Event: Equatable, Sendable, Codable {
        var parameter: UInt64
        var status: UInt32
        var control: UInt32

        /// - Parameter extra: further bits of the last word.
        init(
            _ type: Int, parameter: UInt64, code: UInt8, length: Int = 0, slot: Int = 0, endpoint: Int = 0,
            extra: UInt32 = 0
        ) {
            self.parameter = parameter
            status = UInt32(code) << 24 | UInt32(truncatingIfNeeded: length) & 0xFF_FFFF
            control = UInt32(type) << XHCI.Flag.typeShift | UInt32(slot) << 24 | UInt32(endpoint) << 16 | extra
        }
    }

    /// Reads the segment table, which has one entry.
    mutating func startRing(_ memory: GuestMemory) {
        (count, index, cycle, backlog) = (0, 0, true, [])
        guard tableSize == 1, tableAddress != 0, let base: UInt64 = try? memory.load(at: tableAddress),
            let size: UInt32 = try? memory.load(at: tableAddress &+ 8),
            (Self.smallest...Self.largest).contains(Int(size & 0xFFFF))
        else { return }
        start = base & ~0x3F
        count = Int(size & 0xFFFF)
    }

    /// The place up to which the driver has read; nil where it is not in the ring.
    private var readIndex: Int? {
        let place = dequeue & ~0xF
        guard place >= start, (place - start) / UInt64(XHCI.blockSize) < UInt64(count) else { return nil }
        return Int((place - start) / UInt64(XHCI.blockSize))
    }

    /// The driver has not read everything.
    var hasUnread: Bool { count > 0 && readIndex != index }

    /// Puts an event into the ring, or behind it while the ring is full.
    /// - Returns: false when there are too many that the driver does not read, or the ring is no memory.
    mutating func append(_ event: Event, _ memory: GuestMemory) -> Bool {
        guard count > 0 else { return true }
        guard backlog.isEmpty, (index + 1) % count != readIndex else {
            guard backlog.count < Self.longestBacklog else { return false }
            backlog.append(event)
            return true
        }
        return store(event, memory)
    }

    /// Moves waiting events into room that the driver has made.
    mutating func flush(_ memory: GuestMemory) -> Bool {
        while let event = backlog.first, (index + 1) % max(count, 1) != readIndex {
            backlog.removeFirst()
            guard store(event, memory) else { return false }
        }
        return true
    }

    private mutating func store(_ event: Event, _ memory: GuestMemory) -> Bool {
        let place = start &+ UInt64(index * XHCI.blockSize)
        do {
            try memory.store(event.parameter, at: place)
            try memory.store(event.status, at: place &+ 8)
            try memory.store(event.control | (cycle ? XHCI.Flag.cycle : 0), at: place &+ 12)
        } catch { return false }
        index += 1
        if index == count {
            index = 0
            cycle.toggle()
        }
        return true
    }

    var isSound: Bool {
        (count == 0 || (Self.smallest...Self.largest).contains(count)) && index >= 0 && index < max(count, 1)
            && backlog.count <= Self.longestBacklog
    }
}
