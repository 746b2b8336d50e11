// SPDX-License-Identifier: Apache-2.0

/// Frames as a guest would make them, by hand.
enum Frames {
    static let guestMAC: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0x56]
    static let broadcast = [UInt8](repeating: 0xFF, count: 6)
    static let guest: [UInt8] = [10, 0, 2, 15], host: [UInt8] = [10, 0, 2, 2]

    static func word(_ value: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
    }
    static func long(_ value: UInt32) -> [UInt8] { word(Int(value >> 16)) + word(Int(value & 0xFFFF)) }

    /// The checksum of the internet protocols (RFC 1071).
    static func checksum(_ bytes: [UInt8]) -> Int {
        var sum = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += Int(bytes[index]) << 8 | (index + 1 < bytes.count ? Int(bytes[index + 1]) : 0)
        }
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        return ~sum & 0xFFFF
    }

    static func ethernet(to target: [UInt8], type: Int, _ payload: [UInt8]) -> [UInt8] {
        let frame = target + guestMAC + word(type) + payload
        return frame + [UInt8](repeating: 0, count: max(0, 60 - frame.count))
    }

    static func arpRequest(for address: [UInt8]) -> [UInt8] {
        ethernet(
            to: broadcast, type: 0x806,
            word(1) + word(0x800) + [6, 4] + word(1) + guestMAC + guest + [0, 0, 0, 0, 0, 0] + address)
    }

    static func ip(
        _ protocolNumber: UInt8, from: [UInt8] = guest, to: [UInt8], mac: [UInt8], _ payload: [UInt8]
    ) -> [UInt8] {
        let length = word(20 + payload.count)
        var header: [UInt8] = [0x45, 0] + length + [0, 1, 0x40, 0, 64, protocolNumber, 0, 0] + from + to
        header.replaceSubrange(10..<12, with: word(checksum(header)))
        return ethernet(to: mac, type: 0x800, header + payload)
    }

    private static func withPseudoHeader(_ protocolNumber: UInt8, _ from: [UInt8], _ to: [UInt8], _ bytes: [UInt8])
        -> Int
    {
        checksum(from + to + [0, protocolNumber] + word(bytes.count) + bytes)
    }

    static func udp(
        from: [UInt8] = guest, _ source: Int, to: [UInt8], _ target: Int, mac: [UInt8], _ payload: [UInt8]
    ) -> [UInt8] {
        var bytes = word(source) + word(target) + word(8 + payload.count) + [0, 0] + payload
        bytes.replaceSubrange(6..<8, with: word(withPseudoHeader(17, from, to, bytes)))
        return ip(17, from: from, to: to, mac: mac, bytes)
    }

    static func tcp(
        _ source: Int, to: [UInt8], _ target: Int, mac: [UInt8], sequence: UInt32, acknowledge: UInt32, flags: UInt8,
        _ payload: [UInt8] = []
    ) -> [UInt8] {
        var bytes = word(source) + word(target) + long(sequence) + long(acknowledge)
        bytes += [0x50, flags] + word(65535) + [0, 0, 0, 0] + payload
        bytes.replaceSubrange(16..<18, with: word(withPseudoHeader(6, guest, to, bytes)))
        return ip(6, to: to, mac: mac, bytes)
    }

    static func echoRequest(to: [UInt8], mac: [UInt8], _ payload: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = [8, 0, 0, 0, 0, 1, 0, 1] + payload
        bytes.replaceSubrange(2..<4, with: word(checksum(bytes)))
        return ip(1, to: to, mac: mac, bytes)
    }

    static func dhcpDiscover() -> [UInt8] {
        var bytes: [UInt8] = [1, 1, 6, 0] + long(0xABCD_1234) + [UInt8](repeating: 0, count: 20)
        bytes += guestMAC + [UInt8](repeating: 0, count: 10 + 64 + 128)
        bytes += [0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]
        bytes += [UInt8](repeating: 0, count: max(0, 300 - bytes.count))
        return udp(from: [0, 0, 0, 0], 68, to: [255, 255, 255, 255], 67, mac: broadcast, bytes)
    }
}

/// What was parsed of a frame from the network.
struct Parsed {
    var type = 0
    var protocolNumber: UInt8 = 0
    var source: [UInt8] = [], target: [UInt8] = []
    /// What follows the IP header, to the packet's length.
    var payload: [UInt8] = []

    init?(_ frame: [UInt8]) {
        guard frame.count >= 14 else { return nil }
        type = Int(frame[12]) << 8 | Int(frame[13])
        payload = Array(frame[14...])
        guard type == 0x800, payload.count >= 20 else { return }
        let header = Int(payload[0] & 15) * 4, total = Int(payload[2]) << 8 | Int(payload[3])
        protocolNumber = payload[9]
        source = Array(payload[12..<16])
        target = Array(payload[16..<20])
        payload = Array(payload[header..<min(total, payload.count)])
    }
    func word(_ offset: Int) -> Int { Int(payload[offset]) << 8 | Int(payload[offset + 1]) }
    func long(_ offset: Int) -> UInt32 { UInt32(word(offset)) << 16 | UInt32(word(offset + 2)) }
    /// The data of a TCP segment.
    var segment: [UInt8] { Array(payload[min(Int(payload[12] >> 4) * 4, payload.count)...]) }
}
