// SPDX-License-Identifier: Apache-2.0

/// What a context descriptor says: where the headers and checksums of the packets after it are (8254x manual, 3.3.6).
struct GigabitOffload: Equatable, Sendable, Codable {
    var ipStart = 0, ipPlace = 0, ipEnd = 0
    var start = 0, place = 0, end = 0
    /// For segmentation.
    var payload = 0, header = 0, segment = 0
    var isTCP = false, isIPv4 = false

    init() {}

    /// The four words of a context descriptor.
    init(_ words: [UInt32]) {
        func byte(_ word: Int, _ shift: UInt32) -> Int { Int(words[word] >> shift & 0xFF) }
        (ipStart, ipPlace, ipEnd) = (byte(0, 0), byte(0, 8), Int(words[0] >> 16))
        (start, place, end) = (byte(1, 0), byte(1, 8), Int(words[1] >> 16))
        payload = Int(words[2] & 0xF_FFFF)
        let command = words[2] >> 24
        (isTCP, isIPv4) = (command & 1 != 0, command & 2 != 0)
        header = byte(3, 8)
        segment = Int(words[3] >> 16)
    }

    /// The ones' complement sum of 16-bit words (RFC 1071), not inverted.
    static func sum(_ bytes: ArraySlice<UInt8>, _ initial: UInt32 = 0) -> UInt32 {
        var sum = UInt64(initial)
        var index = bytes.startIndex
        while index + 1 < bytes.endIndex {
            sum &+= UInt64(bytes[index]) << 8 | UInt64(bytes[index + 1])
            index += 2
        }
        if index < bytes.endIndex { sum &+= UInt64(bytes[index]) << 8 }
        while sum >> 16 != 0 { sum = sum & 0xFFFF + sum >> 16 }
        return UInt32(sum)
    }

    /// Puts the checksum of `start`...`end` at `place`; an end of 0 is the packet's. Places outside change nothing.
    static func putChecksum(_ packet: inout [UInt8], start: Int, place: Int, end: Int) {
        let last = end == 0 ? packet.count : min(end + 1, packet.count)
        guard start < last, place + 1 < packet.count else { return }
        let sum = ~sum(packet[start..<last])
        packet[place] = UInt8(truncatingIfNeeded: sum >> 8)
        packet[place + 1] = UInt8(truncatingIfNeeded: sum)
    }

    /// Fills in the checksums of a packet.
    func finish(_ packet: inout [UInt8], network: Bool, transport: Bool) {
        if transport { Self.putChecksum(&packet, start: start, place: place, end: end) }
        if network { Self.putChecksum(&packet, start: ipStart, place: ipPlace, end: ipEnd) }
    }

    /// Cuts a packet into segments of `segment` bytes of payload, each with the header and its numbers.
    func segments(_ packet: [UInt8], network: Bool, transport: Bool) -> [[UInt8]] {
        guard segment > 0, header > 0, packet.count > header else { return [packet] }
        var segments: [[UInt8]] = []
        var offset = header
        while offset < packet.count {
            let count = min(segment, packet.count - offset)
            var part = Array(packet[..<header]) + packet[offset..<offset + count]
            number(&part, index: segments.count, sent: offset - header, isLast: offset + count == packet.count)
            finish(&part, network: network, transport: transport)
            segments.append(part)
            offset += count
        }
        return segments
    }

    /// Lengths, identification, sequence and flags of one segment.
    private func number(_ part: inout [UInt8], index: Int, sent: Int, isLast: Bool) {
        func get(_ place: Int) -> Int {
            place + 1 < part.count ? Int(part[place]) << 8 | Int(part[place + 1]) : 0
        }
        func put(_ value: Int, _ place: Int) {
            guard place + 1 < part.count else { return }
            part[place] = UInt8(truncatingIfNeeded: value >> 8)
            part[place + 1] = UInt8(truncatingIfNeeded: value)
        }
        if isIPv4 {
            put(part.count - ipStart, ipStart + 2)
            put(get(ipStart + 4) + index, ipStart + 4)
        } else {
            // IPv6 counts what is behind its header of 40 bytes.
            put(part.count - ipStart - 40, ipStart + 4)
        }
        if isTCP {
            let sequence = UInt32(get(start + 4) << 16 | get(start + 6)) &+ UInt32(truncatingIfNeeded: sent)
            put(Int(sequence >> 16), start + 4)
            put(Int(sequence & 0xFFFF), start + 6)
            let finAndPush: UInt8 = 9
            if !isLast, start + 13 < part.count { part[start + 13] &= ~finAndPush }
        } else {
            put(part.count - start, start + 4)
        }
        // The driver left the length out of the pseudo header's sum.
        let seed = GigabitOffload.sum(part[min(place, part.count)..<min(place + 2, part.count)])
        let total = seed + UInt32(truncatingIfNeeded: part.count - start)
        put(Int(total & 0xFFFF + total >> 16), place)
    }
}
