// SPDX-License-Identifier: Apache-2.0

/// What a monitor tells of itself (VESA E-EDID 1.4), 128 bytes.
enum DisplayIdentification {
    /// A block for a screen whose best size is `width` by `height` pixels.
    static func block(width: Int, height: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 128)
        let header: [UInt8] = [0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0]
        bytes.replaceSubrange(0..<8, with: header)
        // "RHT", product 0x1234, serial 0, week 42 of 2014; version 1.4.
        bytes.replaceSubrange(8..<20, with: [0x49, 0x14, 0x34, 0x12, 0, 0, 0, 0, 42, 24, 1, 4])
        // Digital with 8 bits a colour; centimetres at 100 dots an inch; gamma 2.2; RGB, preferred timing.
        let millimetres = (width * 254 / 1000, height * 254 / 1000)
        let size = [UInt8(clamping: millimetres.0 / 10), UInt8(clamping: millimetres.1 / 10)]
        bytes.replaceSubrange(20..<25, with: [0xA5] + size + [120, 0x06])
        // The colours of sRGB.
        bytes.replaceSubrange(25..<35, with: [0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54])
        // 640x480, 800x600 and 1024x768 at 60 Hz; 1280x1024, 1280x800, 1920x1080 among the standard timings.
        bytes.replaceSubrange(35..<38, with: [0x21, 0x08, 0])
        let standard: [UInt8] = [0x81, 0x80, 0x81, 0x00, 0xD1, 0xC0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
        bytes.replaceSubrange(38..<54, with: standard)
        bytes.replaceSubrange(54..<72, with: timing(width, height, millimetres))
        // Ranges: 50 to 125 Hz, 30 to 160 kHz, 660 MHz.
        bytes.replaceSubrange(72..<90, with: [0, 0, 0, 0xFD, 0, 50, 125, 30, 160, 66, 0, 0x0A] + spaces(6))
        bytes.replaceSubrange(90..<108, with: [0, 0, 0, 0xFC, 0] + Array("QEMU Monitor\n".utf8))
        bytes.replaceSubrange(108..<126, with: [0, 0, 0, 0x10, 0] + [UInt8](repeating: 0, count: 13))
        bytes[127] = 0 &- bytes.reduce(0, &+)
        return bytes
    }

    private static func spaces(_ count: Int) -> [UInt8] { [UInt8](repeating: 0x20, count: count) }

    /// A detailed timing at 75 Hz with blanking of a quarter and a few lines.
    private static func timing(_ width: Int, _ height: Int, _ millimetres: (Int, Int)) -> [UInt8] {
        let front = width * 25 / 100, sync = width * 3 / 100, blank = width * 35 / 100
        let lineFront = height * 5 / 1000, lineSync = height * 5 / 1000, lineBlank = height * 35 / 1000
        let clock = min(75 * (width + blank) * (height + lineBlank) / 10000, 0xFFFF)
        func low(_ value: Int) -> UInt8 { UInt8(truncatingIfNeeded: value) }
        func pair(_ high: Int, _ second: Int) -> UInt8 { low((high >> 8 & 0xF) << 4 | second >> 8 & 0xF) }
        return [
            low(clock), low(clock >> 8), low(width), low(blank), pair(width, blank), low(height), low(lineBlank),
            pair(height, lineBlank), low(front), low(sync), low((lineFront & 0xF) << 4 | lineSync & 0xF),
            low((front >> 8 & 3) << 6 | (sync >> 8 & 3) << 4), low(millimetres.0), low(millimetres.1),
            pair(millimetres.0, millimetres.1), 0, 0, 0x18,
        ]
    }
}
