// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import ManagementModel

/// Values of rules' attributes: read as what they are and written anew, so that nothing else gets into the firewall.
enum RuleValues {
    static func refuse(_ what: String, _ text: String) -> ManagementError {
        ManagementError(.xmlError, "'\(text)' is no \(what) of a filter's rule", from: .networkFilter)
    }

    /// A number, decimal or with `0x`.
    static func number(_ text: String, upTo limit: UInt32) throws -> UInt32 {
        let lower = text.lowercased()
        guard let value = lower.hasPrefix("0x") ? UInt32(lower.dropFirst(2), radix: 16) : UInt32(lower), value <= limit
        else { throw refuse("number up to \(limit)", text) }
        return value
    }

    /// An Ethernet address as its bytes.
    static func mac(_ text: String) throws -> [UInt8] {
        let bytes = text.split(separator: ":", omittingEmptySubsequences: false).compactMap {
            $0.count <= 2 ? UInt8($0, radix: 16) : nil
        }
        guard bytes.count == 6, text.split(separator: ":", omittingEmptySubsequences: false).count == 6 else {
            throw refuse("MAC address", text)
        }
        return bytes
    }

    static func printed(_ mac: [UInt8]) -> String {
        mac.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }

    /// An address of one family, as its bytes.
    static func address(_ text: String, isIPv6: Bool) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: isIPv6 ? 16 : 4)
        // inet_pton fills as many bytes as the family's addresses have.
        guard unsafe inet_pton(isIPv6 ? AF_INET6 : AF_INET, text, &bytes) == 1 else {
            throw refuse(isIPv6 ? "IPv6 address" : "IPv4 address", text)
        }
        return bytes
    }

    static func printed(address bytes: [UInt8]) -> String {
        guard bytes.count == 16 else { return bytes.map { "\($0)" }.joined(separator: ".") }
        return stride(from: 0, to: 16, by: 2).map { String(UInt32(bytes[$0]) << 8 | UInt32(bytes[$0 + 1]), radix: 16) }
            .joined(separator: ":")
    }

    /// The bits of a mask, which is written as their number or as an address.
    static func mask(_ text: String, isIPv6: Bool) throws -> [UInt8] {
        let count = isIPv6 ? 16 : 4
        guard let bits = Int(text) else { return try address(text, isIPv6: isIPv6) }
        guard bits >= 0, bits <= count * 8 else { throw refuse("mask", text) }
        return (0..<count).map { place in
            let here = min(8, max(0, bits - place * 8))
            return UInt8(truncatingIfNeeded: 0xff00 >> here)
        }
    }

    /// Names of IP protocols that filters know.
    private static let protocols: [String: UInt32] = [
        "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132, "udplite": 136,
    ]

    static func ipProtocol(_ text: String) throws -> UInt32 {
        try protocols[text.lowercased()] ?? number(text, upTo: 255)
    }

    /// Types of Ethernet frames.
    private static let frames: [String: UInt32] = [
        "arp": 0x0806, "rarp": 0x8035, "ipv4": 0x0800, "ipv6": 0x86dd, "vlan": 0x8100,
    ]

    static func frameType(_ text: String) throws -> UInt32 {
        try frames[text.lowercased()] ?? number(text, upTo: 0xffff)
    }

    /// Operations of ARP, by the names that ebtables gave them.
    private static let operations: [String: UInt32] = [
        "request": 1, "reply": 2, "request_reverse": 3, "reply_reverse": 4, "drarp_request": 5, "drarp_reply": 6,
        "drarp_error": 7, "inarp_request": 8, "arp_nak": 9,
    ]

    static func operation(_ text: String) throws -> UInt32 {
        try operations[text.lowercased()] ?? number(text, upTo: 0xffff)
    }
}
