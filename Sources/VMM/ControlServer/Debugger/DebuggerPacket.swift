// SPDX-License-Identifier: Apache-2.0

/// Finds the packets of GDB's remote protocol in a stream of bytes: `$data#checksum`.
struct DebuggerPacketReader {
    enum Item: Equatable {
        /// A packet with a right checksum, escapes removed.
        case packet([UInt8])
        /// One with a wrong checksum, or longer than allowed: the client sends it again on `-`.
        case damaged
        case acknowledged, retransmit
        /// Ctrl-C between packets.
        case interrupt
    }
    private enum State { case idle, body, escaped, firstDigit, secondDigit }

    private var state = State.idle
    private var body: [UInt8] = []
    private var sum: UInt8 = 0
    private var claimed: UInt8?
    private var isTooLong = false
    /// What `qSupported` promises: the longest body in bytes.
    static let longest = 0x4000

    /// Takes the next byte.
    mutating func take(_ byte: UInt8) -> Item? {
        switch state {
        case .idle: return idle(byte)
        case .body where byte == UInt8(ascii: "#"): state = .firstDigit
        case .body where byte == UInt8(ascii: "$"): restart()
        case .body where byte == UInt8(ascii: "}"):
            sum &+= byte
            state = .escaped
        case .body:
            sum &+= byte
            append(byte)
        case .escaped:
            sum &+= byte
            append(byte ^ 0x20)
            state = .body
        case .firstDigit:
            claimed = Self.digit(byte).map { $0 << 4 }
            state = .secondDigit
        case .secondDigit:
            state = .idle
            let isRight = claimed.flatMap { high in Self.digit(byte).map { high | $0 } } == sum
            return isRight && !isTooLong ? .packet(body) : .damaged
        }
        return nil
    }

    private mutating func idle(_ byte: UInt8) -> Item? {
        switch byte {
        case UInt8(ascii: "$"): restart()
        case UInt8(ascii: "+"): return .acknowledged
        case UInt8(ascii: "-"): return .retransmit
        case 3: return .interrupt
        default: break
        }
        return nil
    }

    private mutating func restart() {
        state = .body
        body = []
        sum = 0
        isTooLong = false
    }

    private mutating func append(_ byte: UInt8) {
        if body.count < Self.longest { body.append(byte) } else { isTooLong = true }
    }

    static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// A packet around a body of plain characters.
    static func frame(_ text: String) -> [UInt8] {
        let body = Array(text.utf8)
        return [UInt8(ascii: "$")] + body + Array("#\(hex(body.reduce(0) { $0 &+ $1 }, 2))".utf8)
    }

    /// Pairs of hexadecimal digits; nil for an odd number of them or anything else.
    static func bytes(_ text: Substring) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        for place in stride(from: 0, to: digits.count, by: 2) {
            guard let high = digit(digits[place]), let low = digit(digits[place + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    static func text(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
