// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// A piece of ACPI machine language, encoded (ACPI 6.4, chapter 20).
package struct AMLTerm: Equatable, Sendable, ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
    /// As they go into the table.
    package let bytes: [UInt8]

    /// A term that is encoded already.
    package init(bytes: [UInt8]) { self.bytes = bytes }

    /// A constant.
    package init(integerLiteral value: UInt64) { self.init(value) }

    /// A text constant.
    package init(stringLiteral value: String) { self = .text(value) }

    /// A constant in its shortest form (20.2.3).
    package init(_ value: UInt64) {
        var builder = ByteBuilder()
        switch value {
        case 0, 1: builder.append(UInt8(value))
        case ...0xFF:
            builder.append(AMLOpcode.byte)
            builder.append(UInt8(value))
        case ...0xFFFF:
            builder.append(AMLOpcode.word)
            builder.append(UInt16(value))
        case ...0xFFFF_FFFF:
            builder.append(AMLOpcode.doubleWord)
            builder.append(UInt32(value))
        default:
            builder.append(AMLOpcode.quadWord)
            builder.append(value)
        }
        bytes = builder.bytes
    }

    /// A text constant.
    package static func text(_ text: String) -> AMLTerm {
        AMLTerm(bytes: [AMLOpcode.string] + Array(text.utf8) + [0])
    }

    /// A method's argument, 0...6, or local variable, 0...7.
    package static func argument(_ number: UInt8) -> AMLTerm { AMLTerm(bytes: [AMLOpcode.argument0 + number]) }
    /// A local variable of the method, 0...7.
    package static func local(_ number: UInt8) -> AMLTerm { AMLTerm(bytes: [AMLOpcode.local0 + number]) }

    /// An object by its name: segments of up to 4 characters between dots, after "\\" or "^"s.
    package static func path(_ path: String) -> AMLTerm { AMLTerm(bytes: nameString(path)) }

    /// Segments between dots, each filled up with underscores (20.2.2).
    static func nameString(_ path: String) -> [UInt8] {
        let prefix = path.utf8.prefix { $0 == UInt8(ascii: "\\") || $0 == UInt8(ascii: "^") }
        let rest = String(path.utf8.dropFirst(prefix.count)) ?? ""
        let segments = rest.split(separator: ".").map { segment -> [UInt8] in
            precondition(segment.utf8.count <= 4, "ACPI names have at most 4 characters")
            return Array(segment.utf8) + [UInt8](repeating: UInt8(ascii: "_"), count: 4 - segment.utf8.count)
        }
        switch segments.count {
        case 0: return Array(prefix) + [0]
        case 1: return Array(prefix) + segments[0]
        case 2: return Array(prefix) + [AMLOpcode.dualName] + segments.joined()
        default: return Array(prefix) + [AMLOpcode.multiName, UInt8(segments.count)] + segments.joined()
        }
    }

    /// The length of a package: of what follows and of itself, in 1 to 4 bytes (20.2.4).
    static func packageLength(_ content: Int) -> [UInt8] {
        if content + 1 <= 0x3F { return [UInt8(content + 1)] }
        for extra in 1...3 {
            let total = content + 1 + extra
            guard total < 1 << (4 + 8 * extra) else { continue }
            var bytes = [UInt8(extra << 6 | total & 0xF)]
            for index in 0..<extra { bytes.append(UInt8(truncatingIfNeeded: total >> (4 + 8 * index))) }
            return bytes
        }
        preconditionFailure("an ACPI package of \(content) bytes cannot be encoded")
    }

    /// A field's length in bits, in the package encoding but not counting itself.
    static func bitLength(_ bits: Int) -> [UInt8] {
        if bits <= 0x3F { return [UInt8(bits)] }
        return [UInt8(1 << 6 | bits & 0xF), UInt8(truncatingIfNeeded: bits >> 4)]
    }
}

/// Operation codes (20.2, 20.3).
enum AMLOpcode {
    static let name: UInt8 = 0x08, byte: UInt8 = 0x0A, word: UInt8 = 0x0B, doubleWord: UInt8 = 0x0C
    static let string: UInt8 = 0x0D, quadWord: UInt8 = 0x0E, scope: UInt8 = 0x10, buffer: UInt8 = 0x11
    static let package: UInt8 = 0x12, method: UInt8 = 0x14, dualName: UInt8 = 0x2E, multiName: UInt8 = 0x2F
    static let extended: UInt8 = 0x5B, local0: UInt8 = 0x60, argument0: UInt8 = 0x68, store: UInt8 = 0x70
    static let shiftLeft: UInt8 = 0x79, and: UInt8 = 0x7B, or: UInt8 = 0x7D, notify: UInt8 = 0x86,
        createDoubleWordField: UInt8 = 0x8A
    static let not: UInt8 = 0x92, equal: UInt8 = 0x93, ifTrue: UInt8 = 0xA0, otherwise: UInt8 = 0xA1
    static let whileTrue: UInt8 = 0xA2, giveBack: UInt8 = 0xA4
    static let extendedMutex: UInt8 = 0x01, extendedAcquire: UInt8 = 0x23, extendedRelease: UInt8 = 0x27
    static let extendedRegion: UInt8 = 0x80, extendedField: UInt8 = 0x81, extendedDevice: UInt8 = 0x82
}
