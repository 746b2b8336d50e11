// SPDX-License-Identifier: Apache-2.0

/// Numbers of keys: what clients send, and the scan codes of a PC's keyboard (set 1; those behind 0xe0 have bit 7).
package enum KeyCodes {
    private static let names = [
        "linux", "xt", "atset1", "atset2", "atset3", "os_x", "xt_kbd", "usb", "win32", "qnum",
    ]

    /// The name of a set of numbers.
    static func name(_ set: UInt32) -> String { Int(set) < names.count ? names[Int(set)] : "unknown" }

    /// Sets whose numbers are scan codes already.
    private static let scanCodeSets: Set<String> = ["xt", "atset1", "xt_kbd", "qnum"]

    /// The scan code of a key; nil for one that the keyboard does not have.
    package static func scanCode(_ code: UInt32, set: UInt32) -> UInt32? {
        let name = name(set)
        if scanCodeSets.contains(name) { return code > 0 && code < 256 ? code : nil }
        let linux: UInt32? = name == "linux" ? code : name == "usb" ? linuxOfUSB[code] : nil
        guard let linux else { return nil }
        // Linux numbers the keys of the first PCs by their scan codes.
        if (1...83).contains(linux) || [86, 87, 88].contains(linux) { return linux }
        return extended[linux]
    }

    /// Linux' number and scan code of the keys that came later.
    private static let extended: [UInt32: UInt32] = [
        85: 0x76, 89: 0x73, 90: 0x78, 91: 0x77, 92: 0x79, 93: 0x70, 94: 0x7b, 95: 0x5c, 96: 0x9c, 97: 0x9d, 98: 0xb5,
        99: 0x54, 100: 0xb8, 101: 0x5b, 102: 0xc7, 103: 0xc8, 104: 0xc9, 105: 0xcb, 106: 0xcd, 107: 0xcf, 108: 0xd0,
        109: 0xd1, 110: 0xd2, 111: 0xd3, 112: 0xef, 113: 0xa0, 114: 0xae, 115: 0xb0, 116: 0xde, 117: 0x59, 118: 0xce,
        119: 0xc6, 121: 0x7e, 122: 0x72, 123: 0x71, 124: 0x7d, 125: 0xdb, 126: 0xdc, 127: 0xdd, 128: 0xe8, 138: 0xf5,
        140: 0xa1, 142: 0xdf, 143: 0xe3, 155: 0xec, 156: 0xe6, 158: 0xea, 159: 0xe9, 163: 0x99, 164: 0xa2, 165: 0x90,
        166: 0xa4, 172: 0xb2, 173: 0xe7, 183: 0x5d, 184: 0x5e, 185: 0x5f, 217: 0xe5, 226: 0xed,
    ]

    /// USB's usage numbers of letters, digits and control keys, with Linux' numbers.
    private static let linuxOfUSB: [UInt32: UInt32] = {
        let letters: [UInt32] = [
            30, 48, 46, 32, 18, 33, 34, 35, 23, 36, 37, 38, 50, 49, 24, 25, 16, 19, 31, 20, 22, 47, 17, 45, 21, 44,
        ]
        let rest: [UInt32] = [
            2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 28, 1, 14, 15, 57, 12, 13, 26, 27, 43, 43, 39, 40, 41, 51, 52, 53, 58, 59,
            60, 61, 62, 63, 64, 65, 66, 67, 68, 87, 88, 99, 70, 119, 110, 102, 104, 111, 107, 109, 106, 105, 108, 103,
            69, 98, 55, 74, 78, 96, 79, 80, 81, 75, 76, 77, 71, 72, 73, 82, 83, 86, 127,
        ]
        var table: [UInt32: UInt32] = [:]
        for (place, code) in (letters + rest).enumerated() { table[4 + UInt32(place)] = code }
        for (place, code) in [UInt32]([29, 42, 56, 125, 97, 54, 100, 126]).enumerated() {
            table[224 + UInt32(place)] = code
        }
        return table
    }()
}
