// SPDX-License-Identifier: Apache-2.0

/// How a card makes itself known to the switches of its network after a move to another port: by a reverse ARP request of
/// its own address (RFC 903), which every switch learns from and nobody answers.
public enum Announcement {
    /// Bytes of a shortest Ethernet frame without its checksum.
    private static let frameSize = 60
    private static let broadcast = [UInt8](repeating: 0xFF, count: 6)
    /// Type: reverse ARP. Hardware: Ethernet. Protocol: IPv4. Lengths of their addresses. Operation: request reverse.
    private static let head: [UInt8] = [0x80, 0x35, 0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x03]
    private static let noAddress: [UInt8] = [0, 0, 0, 0]

    /// The frame for a card's address of six bytes.
    public static func frame(of address: [UInt8]) -> [UInt8] {
        let request = broadcast + address + head + address + noAddress + address + noAddress
        return request + [UInt8](repeating: 0, count: max(frameSize - request.count, 0))
    }
}

extension PacketPort {
    /// Sends a card's announcement, or loses it where the port has no room: another one follows.
    public func announce(_ address: [UInt8]) {
        let frame = [UInt8](repeating: 0, count: headerSize) + Announcement.frame(of: address)
        // The array lives for the call.
        _ = unsafe frame.withUnsafeBytes { unsafe send($0) }
    }
}
