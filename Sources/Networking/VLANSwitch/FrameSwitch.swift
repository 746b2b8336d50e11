// SPDX-License-Identifier: Apache-2.0

/// What a switch decides: which ports a frame goes to, and with or without a tag (IEEE 802.1Q). It learns where addresses
/// are, in each VLAN of its own, and knows nothing of devices.
public struct FrameSwitch: Sendable {
    /// Where a frame goes.
    public struct Delivery: Equatable, Sendable {
        /// The tag control information that goes with the frame where it leaves with a tag: priority and VLAN.
        public var tag: UInt16
        /// Bytes of the frame to leave out behind the two addresses: a tag that it came with.
        public var skipped: Int
        /// Ports, in no order.
        public var ports: [Exit]
    }

    /// A port that a frame leaves by.
    public struct Exit: Equatable, Hashable, Sendable {
        /// The port's number.
        public var port: Int
        /// Whether the frame has its tag there.
        public var isTagged: Bool

        /// That port, with or without a tag.
        public init(port: Int, isTagged: Bool) {
            self.port = port
            self.isTagged = isTagged
        }
    }

    /// Bytes of the two addresses in front, of the smallest frame, and of a tag with its type.
    public static let addressLength = 12, headerLength = 14, tagLength = 4
    /// The type that says that a tag follows.
    public static let tagType: UInt16 = 0x8100
    /// Addresses that are remembered at most; guests may send from any number of them.
    public static let capacity = 4096
    /// Nanoseconds after which an address that says nothing is forgotten.
    public static let lifetime: UInt64 = 300_000_000_000

    private struct Place: Hashable {
        var vlan: UInt16
        var address: UInt64
    }

    private struct Entry {
        var port: Int
        var seen: UInt64
    }

    /// All ports by number.
    public private(set) var ports: [Int: SwitchPort] = [:]
    private var table: [Place: Entry] = [:]

    /// A switch without ports.
    public init() {}

    /// Adds a port, or gives one other VLANs.
    public mutating func add(_ number: Int, _ port: SwitchPort) {
        forget(number)
        ports[number] = port
    }

    /// Takes a port away, and the addresses behind it.
    public mutating func remove(_ number: Int) {
        ports[number] = nil
        forget(number)
    }

    private mutating func forget(_ number: Int) { table = table.filter { $0.value.port != number } }

    /// Addresses that are known.
    public var known: Int { table.count }

    /// Where a frame goes; nil when it goes nowhere.
    /// - Parameters:
    ///   - frame: from the destination's address on.
    ///   - tag: the tag control information that came beside the frame.
    ///   - now: nanoseconds of a clock that does not go back.
    public mutating func forward(
        _ frame: UnsafeRawBufferPointer, tag beside: UInt16?, from source: Int, now: UInt64
    ) -> Delivery? {
        // Both addresses and a type are there; every read below lies inside the length that was checked.
        guard frame.count >= Self.headerLength, let port = ports[source] else { return nil }
        var tag = beside
        var skipped = 0
        if tag == nil, unsafe Self.word(frame, Self.addressLength) == Self.tagType {
            guard frame.count >= Self.headerLength + Self.tagLength else { return nil }
            tag = unsafe Self.word(frame, Self.headerLength)
            skipped = Self.tagLength
        }
        let numberBits: UInt16 = 0xfff
        // A tag of VLAN 0 has a priority alone.
        let named = (tag ?? 0) & numberBits
        guard let vlan = named == 0 ? port.native : named, SwitchPort.numbers.contains(vlan), port.carries(vlan) else {
            return nil
        }
        let target = unsafe Self.address(frame, 0)
        let sender = unsafe Self.address(frame, 6)
        learn(Place(vlan: vlan, address: sender), source, now)
        let exits = exits(Place(vlan: vlan, address: target), from: source, now)
        guard !exits.isEmpty else { return nil }
        return Delivery(tag: (tag ?? 0) & ~numberBits | vlan, skipped: skipped, ports: exits)
    }

    private func exits(_ place: Place, from source: Int, _ now: UInt64) -> [Exit] {
        if !Self.isGroup(place.address), let entry = table[place], now &- entry.seen < Self.lifetime,
            let port = ports[entry.port], port.carries(place.vlan)
        {
            return entry.port == source ? [] : [Exit(port: entry.port, isTagged: port.tags(place.vlan))]
        }
        return ports.compactMap { number, port in
            number != source && port.carries(place.vlan) ? Exit(port: number, isTagged: port.tags(place.vlan)) : nil
        }
    }

    private mutating func learn(_ place: Place, _ port: Int, _ now: UInt64) {
        guard !Self.isGroup(place.address) else { return }
        if table[place] == nil, table.count >= Self.capacity {
            table = table.filter { now &- $0.value.seen < Self.lifetime }
            // Who sends from thousands of addresses gets his frames flooded; what others have stays known.
            guard table.count < Self.capacity else { return }
        }
        table[place] = Entry(port: port, seen: now)
    }

    /// Whether an address is that of many: the lowest bit of its first byte.
    private static func isGroup(_ address: UInt64) -> Bool { address >> 40 & 1 == 1 }

    private static func word(_ frame: UnsafeRawBufferPointer, _ place: Int) -> UInt16 {
        // The caller has checked that two bytes are there.
        unsafe UInt16(frame[place]) << 8 | UInt16(frame[place + 1])
    }

    private static func address(_ frame: UnsafeRawBufferPointer, _ place: Int) -> UInt64 {
        // The caller has checked that six bytes are there.
        (0..<6).reduce(0) { value, byte in unsafe value << 8 | UInt64(frame[place + byte]) }
    }
}
