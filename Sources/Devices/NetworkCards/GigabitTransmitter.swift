// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// Turns transmit descriptors into frames (8254x manual, 3.3).
struct GigabitTransmitter {
    /// What was gathered of a packet whose end has not come.
    var packet: [UInt8] = []
    var offload = GigabitOffload()
    private var network = false, transport = false, cuts = false
    private var tag: UInt16?
    /// 64 KiB of payload and headers.
    static let longestPacket = 0x1_1000

    private enum Command {
        static let end: UInt32 = 1 << 24, segments: UInt32 = 1 << 26, report: UInt32 = 1 << 27
        static let checksum: UInt32 = 1 << 26, extended: UInt32 = 1 << 29, tagged: UInt32 = 1 << 30
        static let typeMask: UInt32 = 0xF << 20, data: UInt32 = 1 << 20
    }

    /// One descriptor's four words.
    /// - Returns: frames that are complete now, and whether the guest wants to know.
    mutating func take(
        _ words: [UInt32], memory: GuestMemory, vlanType: UInt16, insertsTags: Bool
    ) -> (frames: [[UInt8]], reports: Bool) {
        let reports = words[2] & Command.report != 0
        let address = UInt64(words[0]) | UInt64(words[1]) << 32
        let isExtended = words[2] & Command.extended != 0
        if isExtended, words[2] & Command.typeMask != Command.data {
            offload = GigabitOffload(words)
            return ([], reports)
        }
        let count = Int(words[2] & (isExtended ? 0xF_FFFF : 0xFFFF))
        if packet.isEmpty {
            network = isExtended && words[3] & 0x100 != 0
            transport = isExtended && words[3] & 0x200 != 0
            cuts = isExtended && words[2] & Command.segments != 0
        }
        if words[2] & Command.tagged != 0, insertsTags { tag = UInt16(truncatingIfNeeded: words[3] >> 16) }
        if count > 0, packet.count + count <= Self.longestPacket {
            // What lies outside of memory is sent as zeroes.
            packet += (try? memory.read(at: address, count: count)) ?? [UInt8](repeating: 0, count: count)
        }
        guard words[2] & Command.end != 0 else { return ([], reports) }
        defer { (packet, tag) = ([], nil) }
        var frames = finished(legacy: isExtended ? nil : words)
        if let tag {
            let bytes = [vlanType, tag].flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] }
            for index in frames.indices where frames[index].count >= 12 {
                frames[index].insert(contentsOf: bytes, at: 12)
            }
        }
        return (frames, reports)
    }

    private func finished(legacy words: [UInt32]?) -> [[UInt8]] {
        guard !packet.isEmpty else { return [] }
        if let words {
            guard words[2] & Command.checksum != 0 else { return [packet] }
            var packet = packet
            GigabitOffload.putChecksum(
                &packet, start: Int(words[3] >> 8 & 0xFF), place: Int(words[2] >> 16 & 0xFF), end: 0)
            return [packet]
        }
        if cuts { return offload.segments(packet, network: network, transport: transport) }
        var packet = packet
        offload.finish(&packet, network: network, transport: transport)
        return [packet]
    }
}
