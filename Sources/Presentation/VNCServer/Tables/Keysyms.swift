// SPDX-License-Identifier: Apache-2.0

internal import DisplaySurfaces

/// X11's names of keys (keysymdef.h) on a keyboard with the layout of the United States.
enum Keysyms {
    /// The key that a keysym is on; nil where the layout has none.
    static func key(_ keysym: UInt32) -> KeyCode? { table[keysym] }

    /// The left shift key.
    static let shift: UInt32 = 0xFFE1

    static func isShift(_ key: KeyCode) -> Bool {
        key.number == table[shift]?.number || key.number == table[shift + 1]?.number
    }

    /// Whether what the keysym stands for is written with shift held; nil for what shift makes no difference to.
    static func wantsShift(_ keysym: UInt32, capsLockIsOn: Bool) -> Bool? {
        switch keysym {
        case 0x41...0x5A: !capsLockIsOn
        case 0x61...0x7A: capsLockIsOn
        default: shifted[keysym]
        }
    }

    private static let shifted: [UInt32: Bool] = {
        var shifted: [UInt32: Bool] = [:]
        for (characters, _) in printable where characters.unicodeScalars.count == 2 {
            for (scalar, isShifted) in zip(characters.unicodeScalars, [false, true]) {
                shifted[scalar.value] = isShifted
            }
        }
        return shifted
    }()

    private static let table: [UInt32: KeyCode] = {
        var table: [UInt32: KeyCode] = [:]
        for (keysym, name) in named { table[keysym] = KeyCode.named(name) }
        for (characters, name) in printable {
            for scalar in characters.unicodeScalars { table[scalar.value] = KeyCode.named(name) }
        }
        for letter in UInt32(0x61)...0x7A {
            let key = KeyCode.named(String(UnicodeScalar(UInt8(letter))))
            table[letter] = key
            table[letter - 0x20] = key
        }
        for number in UInt32(1)...12 { table[0xFFBD + number] = KeyCode.named("f\(number)") }
        for digit in UInt32(0)...9 { table[0xFFB0 + digit] = KeyCode.named("kp_\(digit)") }
        return table
    }()

    private static let printable = [
        ("1!", "1"), ("2@", "2"), ("3#", "3"), ("4$", "4"), ("5%", "5"), ("6^", "6"), ("7&", "7"), ("8*", "8"),
        ("9(", "9"), ("0)", "0"), ("-_", "minus"), ("=+", "equal"), ("[{", "bracket_left"), ("]}", "bracket_right"),
        (";:", "semicolon"), ("'\"", "apostrophe"), ("`~", "grave_accent"), ("\\|", "backslash"), (",<", "comma"),
        (".>", "dot"), ("/?", "slash"), (" ", "spc"), ("\u{A6}", "less"),
    ]

    private static let named: [(UInt32, String)] = [
        (0xFF08, "backspace"), (0xFF09, "tab"), (0xFE20, "tab"), (0xFF0A, "ret"), (0xFF0D, "ret"),
        (0xFF13, "pause"), (0xFF6B, "pause"), (0xFF14, "scroll_lock"), (0xFF15, "sysrq"), (0xFF1B, "esc"),
        (0xFF50, "home"), (0xFF51, "left"), (0xFF52, "up"), (0xFF53, "right"), (0xFF54, "down"), (0xFF55, "pgup"),
        (0xFF56, "pgdn"), (0xFF57, "end"), (0xFF61, "print"), (0xFF63, "insert"), (0xFFFF, "delete"),
        (0xFF65, "undo"), (0xFF66, "again"), (0xFF67, "compose"), (0xFF68, "find"), (0xFF69, "stop"), (0xFF6A, "help"),
        (0xFF7F, "num_lock"), (0xFF7E, "alt_r"), (0xFE03, "alt_r"), (0xFF20, "compose"),
        (0xFFE1, "shift"), (0xFFE2, "shift_r"), (0xFFE3, "ctrl"), (0xFFE4, "ctrl_r"), (0xFFE5, "caps_lock"),
        (0xFFE7, "meta_l"), (0xFFE8, "meta_r"), (0xFFE9, "alt"), (0xFFEA, "alt_r"), (0xFFEB, "meta_l"),
        (0xFFEC, "meta_r"),
        (0xFF8D, "kp_enter"), (0xFF95, "kp_7"), (0xFF96, "kp_4"), (0xFF97, "kp_8"), (0xFF98, "kp_6"),
        (0xFF99, "kp_2"), (0xFF9A, "kp_9"), (0xFF9B, "kp_3"), (0xFF9C, "kp_1"), (0xFF9D, "kp_5"), (0xFF9E, "kp_0"),
        (0xFF9F, "kp_decimal"), (0xFFAA, "kp_multiply"), (0xFFAB, "kp_add"), (0xFFAC, "kp_comma"),
        (0xFFAD, "kp_subtract"), (0xFFAE, "kp_decimal"), (0xFFAF, "kp_divide"), (0xFFBD, "kp_equals"),
        (0xFF22, "muhenkan"), (0xFF23, "henkan"), (0xFF25, "hiragana"), (0xFF26, "katakanahiragana"),
        (0xFF27, "katakanahiragana"), (0xFF31, "lang1"), (0xFF34, "lang2"),
        (0x1008_FF11, "volumedown"), (0x1008_FF12, "audiomute"), (0x1008_FF13, "volumeup"),
        (0x1008_FF14, "audioplay"), (0x1008_FF15, "audiostop"), (0x1008_FF16, "audioprev"), (0x1008_FF17, "audionext"),
    ]
}
