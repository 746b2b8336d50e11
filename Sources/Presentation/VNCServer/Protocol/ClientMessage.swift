// SPDX-License-Identifier: Apache-2.0

package import DisplaySurfaces

/// What a client says after the handshake (RFC 6143, 7.5, and QEMU's and others' additions).
package enum ClientMessage: Equatable {
    case setPixelFormat(PixelFormat)
    /// By preference, pseudo-encodings among them.
    case setEncodings([Int32])
    case updateRequest(isIncremental: Bool, PixelRectangle)
    case key(keysym: UInt32, isDown: Bool)
    case pointer(buttons: UInt8, x: Int, y: Int)
    /// Text that was cut; the guest has no way to get it.
    case clipboard
    /// A key by its place on the keyboard, as an XT scan code with 0x80 for 0xE0.
    case extendedKey(keysym: UInt32, code: UInt32, isDown: Bool)
    case setDesktopSize(width: Int, height: Int)
    /// The XVP extension: 2 shuts down, 3 reboots, 4 resets.
    case power(UInt8)

    private enum Kind {
        static let pixelFormat: UInt8 = 0, encodings: UInt8 = 2, updateRequest: UInt8 = 3, key: UInt8 = 4
        static let pointer: UInt8 = 5, clipboard: UInt8 = 6, power: UInt8 = 250, desktopSize: UInt8 = 251
        static let extended: UInt8 = 255
    }
    /// More preferences than any client has.
    private static let mostEncodings = 1024
    private static let longestClipboard = 1 << 20

    /// Reads the next message.
    /// - Throws: the end of the stream, or what no correct client sends.
    package init(from reader: VNCReader) throws(VNCFailure) {
        switch try reader.byte() {
        case Kind.pixelFormat:
            try reader.skip(3)
            self = .setPixelFormat(try PixelFormat(from: reader))
        case Kind.encodings:
            try reader.skip(1)
            let count = Int(try reader.short())
            var list: [Int32] = []
            for _ in 0..<count {
                let value = Int32(bitPattern: try reader.long())
                if list.count < Self.mostEncodings { list.append(value) }
            }
            self = .setEncodings(list)
        case Kind.updateRequest:
            let isIncremental = try reader.byte() != 0
            let x = Int(try reader.short()), y = Int(try reader.short())
            let rectangle = PixelRectangle(x: x, y: y, width: Int(try reader.short()), height: Int(try reader.short()))
            self = .updateRequest(isIncremental: isIncremental, rectangle)
        case Kind.key:
            let isDown = try reader.byte() != 0
            try reader.skip(2)
            self = .key(keysym: try reader.long(), isDown: isDown)
        case Kind.pointer:
            let buttons = try reader.byte()
            let x = Int(try reader.short())
            self = .pointer(buttons: buttons, x: x, y: Int(try reader.short()))
        case Kind.clipboard:
            try reader.skip(3)
            let count = try reader.long()
            guard count <= UInt32(Self.longestClipboard) else { throw VNCFailure("a cut text is too long") }
            try reader.skip(Int(count))
            self = .clipboard
        case Kind.power: self = try Self.readPower(reader)
        case Kind.desktopSize: self = try Self.readDesktopSize(reader)
        case Kind.extended: self = try Self.readExtended(reader)
        case let other: throw VNCFailure("a message of the unknown kind \(other)")
        }
    }

    private static func readPower(_ reader: VNCReader) throws(VNCFailure) -> ClientMessage {
        try reader.skip(2)
        return .power(try reader.byte())
    }

    private static func readDesktopSize(_ reader: VNCReader) throws(VNCFailure) -> ClientMessage {
        let bytesPerScreen = 16
        try reader.skip(1)
        let width = Int(try reader.short()), height = Int(try reader.short())
        let screens = Int(try reader.byte())
        try reader.skip(1 + screens * bytesPerScreen)
        return .setDesktopSize(width: width, height: height)
    }

    private static func readExtended(_ reader: VNCReader) throws(VNCFailure) -> ClientMessage {
        // Sound is the other one, which is only for servers that offered it.
        guard try reader.byte() == 0 else { throw VNCFailure("an extended message of an unknown kind") }
        let isDown = try reader.short() != 0
        let keysym = try reader.long()
        return .extendedKey(keysym: keysym, code: try reader.long(), isDown: isDown)
    }
}
