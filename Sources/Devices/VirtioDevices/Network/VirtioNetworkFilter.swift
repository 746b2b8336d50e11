// SPDX-License-Identifier: Apache-2.0

/// Which frames a network device passes on: addresses, modes and VLANs as the driver has set them (Virtio 1.2,
/// 5.1.6.5).
struct VirtioNetworkFilter: Equatable, Sendable, Codable {
    /// Addresses that the driver may list before everything of that kind is passed on.
    static let tableLimit = 64
    static let addressCount = 6
    private static let vlanCount = 4096
    private static let vlanTag: UInt16 = 0x8100

    var address: [UInt8]
    var isPromiscuous = true
    var takesAllMulticast = false, takesAllUnicast = false
    var refusesMulticast = false, refusesUnicast = false, refusesBroadcast = false
    /// nil: too many were listed.
    private(set) var unicast: [[UInt8]]? = [], multicast: [[UInt8]]? = []
    private var vlans: [Bool]

    /// What a device passes on after reset: everything.
    init(address: [UInt8]) {
        self.address = address
        vlans = [Bool](repeating: true, count: Self.vlanCount)
    }

    /// Whether all tables can be of this device.
    func hasShape(of other: VirtioNetworkFilter) -> Bool {
        let tables = [unicast, multicast].compactMap { $0 }
        return address.count == other.address.count && vlans.count == other.vlans.count
            && tables.allSatisfy { table in
                table.count <= Self.tableLimit && table.allSatisfy { $0.count == Self.addressCount }
            }
    }

    /// A driver that sets VLANs begins with none.
    mutating func setVLANs(allowed: Bool) { for index in vlans.indices { vlans[index] = allowed } }

    /// - Returns: false for a number that cannot be.
    mutating func setVLAN(_ number: UInt16, _ allowed: Bool) -> Bool {
        guard Int(number) < vlans.count else { return false }
        vlans[Int(number)] = allowed
        return true
    }

    /// Reads the two tables of the command, each a count of four bytes and that many addresses.
    /// - Returns: false, with nothing changed, when the tables do not fit their message.
    mutating func setTables(_ message: ArraySlice<UInt8>) -> Bool {
        var rest = message
        guard let first = Self.takeTable(&rest), let second = Self.takeTable(&rest), rest.isEmpty else { return false }
        unicast = first.count <= Self.tableLimit ? first : nil
        multicast = second.count <= Self.tableLimit ? second : nil
        return true
    }

    private static func takeTable(_ rest: inout ArraySlice<UInt8>) -> [[UInt8]]? {
        guard rest.count >= 4 else { return nil }
        var count = 0
        for byte in rest.prefix(4).reversed() { count = count << 8 | Int(byte) }
        rest = rest.dropFirst(4)
        guard count <= rest.count / addressCount else { return nil }
        let table = (0..<count).map { index in
            Array(rest.dropFirst(index * addressCount).prefix(addressCount))
        }
        rest = rest.dropFirst(count * addressCount)
        return table
    }

    /// Whether a frame, without a virtio header, reaches the driver.
    func passes(_ frame: UnsafeRawBufferPointer) -> Bool {
        if isPromiscuous { return true }
        // Both addresses and the type; a port carries nothing shorter that means anything.
        guard frame.count >= 14 else { return false }
        if unsafe word(frame, 12) == Self.vlanTag, frame.count >= 16 {
            guard unsafe vlans[Int(word(frame, 14) & 0xFFF)] else { return false }
        }
        if unsafe frame[0] & 1 != 0 {
            if (0..<Self.addressCount).allSatisfy({ unsafe frame[$0] == 0xFF }) { return !refusesBroadcast }
            if refusesMulticast { return false }
            guard !takesAllMulticast, let multicast else { return true }
            return multicast.contains { unsafe matches(frame, $0) }
        }
        if refusesUnicast { return false }
        if unsafe takesAllUnicast || matches(frame, address) { return true }
        guard let unicast else { return true }
        return unicast.contains { unsafe matches(frame, $0) }
    }

    private func word(_ frame: UnsafeRawBufferPointer, _ offset: Int) -> UInt16 {
        // The caller has checked the length.
        unsafe UInt16(frame[offset]) << 8 | UInt16(frame[offset + 1])
    }

    private func matches(_ frame: UnsafeRawBufferPointer, _ wanted: [UInt8]) -> Bool {
        // A frame has at least 14 bytes here, an address 6.
        for index in 0..<Self.addressCount where unsafe frame[index] != wanted[index] { return false }
        return true
    }
}
