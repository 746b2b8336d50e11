// SPDX-License-Identifier: Apache-2.0

internal import Cryptography
internal import TransportSecurity

/// How a client proves who it is.
package enum VNCProof: Equatable, Sendable {
    case none
    /// A challenge answered with the password.
    case password
}

/// Security types of the protocol (RFC 6143, 7.1.2; VeNCrypt).
enum SecurityType {
    static let none: UInt32 = 1, password: UInt32 = 2, encrypted: UInt32 = 19
    static let certificateAndNone: UInt32 = 260, certificateAndPassword: UInt32 = 261
}

/// The beginning of a connection up to the client's "shared" flag.
///
///     version ──▶ security type ──▶ (VeNCrypt: subtype, TLS) ──▶ proof ──▶ result ──▶ ClientInit
package struct VNCHandshake {
    /// What the client must show.
    package var proof: VNCProof
    /// The password as it is now; nil where there is none or it is too old.
    package var password: () -> [UInt8]?
    /// Encrypts the connection and gives the channel that takes over; nil without encryption.
    package var encrypt: (() throws(VNCFailure) -> (any VNCChannel))?

    /// How clients prove themselves, the password if there is one, and how to begin TLS.
    package init(
        proof: VNCProof, password: @escaping () -> [UInt8]?, encrypt: (() throws(VNCFailure) -> (any VNCChannel))?
    ) {
        (self.proof, self.password, self.encrypt) = (proof, password, encrypt)
    }

    /// A client that came through.
    package struct Outcome {
        /// What to send on: the socket, or TLS over it.
        package var channel: any VNCChannel
        /// Where the client's messages come from; bytes may have been read ahead.
        package var reader: VNCReader
        /// Others may stay connected.
        package var isShared: Bool
    }

    private static let challengeCount = 16

    /// Talks to a client.
    /// - Throws: why it does not get in; it was told as far as the protocol has words.
    package func perform(on channel: any VNCChannel) throws(VNCFailure) -> Outcome {
        var channel = channel
        var reader = VNCReader(channel)
        try channel.send(Array("RFB 003.008\n".utf8))
        let minor = try Self.version(try reader.bytes(12), channel)
        let type = encrypt != nil ? SecurityType.encrypted : proof == .none ? SecurityType.none : SecurityType.password
        if minor == 3 {
            guard encrypt == nil else {
                try channel.send(Self.refusal("Unsupported authentication type"))
                throw VNCFailure("the client's protocol is too old for encryption")
            }
            try channel.send(Self.long(type))
        } else {
            try channel.send([1, UInt8(type)])
            guard try reader.byte() == UInt8(type) else { throw VNCFailure("the client chose no security type") }
        }
        if let encrypt {
            try chooseSubtype(channel, reader)
            channel = try encrypt()
            reader = VNCReader(channel)
        }
        if proof == .password { try checkPassword(channel, reader, minor) }
        // Before 3.8, who needs no proof gets no result.
        if proof == .password || minor >= 8 { try channel.send(Self.long(0)) }
        let isShared = try reader.byte() != 0
        reader.readsAhead = true
        return Outcome(channel: channel, reader: reader, isShared: isShared)
    }

    /// 3, 7 or 8.
    private static func version(_ bytes: [UInt8], _ channel: any VNCChannel) throws(VNCFailure) -> Int {
        let text = String(decoding: bytes, as: UTF8.self)
        switch text {
        case "RFB 003.003\n", "RFB 003.004\n", "RFB 003.005\n": return 3
        case "RFB 003.007\n": return 7
        case "RFB 003.008\n": return 8
        default:
            guard text.hasPrefix("RFB ") else { throw VNCFailure("not a VNC client") }
            try channel.send(refusal("Unsupported protocol version"))
            throw VNCFailure("the client's protocol version is not known")
        }
    }

    private func chooseSubtype(_ channel: any VNCChannel, _ reader: VNCReader) throws(VNCFailure) {
        try channel.send([0, 2])
        let version = try reader.bytes(2)
        guard version == [0, 2] else {
            try channel.send([1])
            throw VNCFailure("the client's version of VeNCrypt is not known")
        }
        let subtype = proof == .none ? SecurityType.certificateAndNone : SecurityType.certificateAndPassword
        try channel.send([0, 1] + Self.long(subtype))
        guard try reader.long() == subtype else {
            try channel.send([0])
            throw VNCFailure("the client did not choose the way of encryption")
        }
        try channel.send([1])
    }

    private func checkPassword(_ channel: any VNCChannel, _ reader: VNCReader, _ minor: Int) throws(VNCFailure) {
        guard let challenge = try? randomBytes(Self.challengeCount) else { throw VNCFailure("no random bytes") }
        try channel.send(challenge)
        let answer = try reader.bytes(Self.challengeCount)
        guard let password = password(), let expected = Self.response(to: challenge, password: password),
            Self.isEqual(answer, expected)
        else {
            try channel.send(Self.long(1))
            if minor >= 8 { try channel.send(Self.text("Authentication failed")) }
            throw VNCFailure("the client does not know the password")
        }
    }

    /// What a client that knows the password answers: the challenge under DES, with the bits of each of the password's
    /// first eight bytes mirrored.
    package static func response(to challenge: [UInt8], password: [UInt8]) -> [UInt8]? {
        var key = [UInt8](repeating: 0, count: 8)
        for (index, byte) in password.prefix(8).enumerated() {
            key[index] = (0..<8).reduce(UInt8(0)) { $0 | (byte >> UInt8($1) & 1) << UInt8(7 - $1) }
        }
        return try? ChallengeCipher.encrypt(challenge, key: key)
    }

    /// Takes as long for a wrong first byte as for a wrong last one.
    private static func isEqual(_ first: [UInt8], _ second: [UInt8]) -> Bool {
        first.count == second.count && zip(first, second).reduce(UInt8(0)) { $0 | $1.0 ^ $1.1 } == 0
    }

    static func long(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) }
    }

    static func text(_ text: String) -> [UInt8] { long(UInt32(text.utf8.count)) + Array(text.utf8) }

    /// No security types, and why.
    private static func refusal(_ reason: String) -> [UInt8] { long(0) + text(reason) }
}
