// SPDX-License-Identifier: Apache-2.0

public import StateCoding

/// The registers of a VGA with Bochs's extension: everything that a saved machine keeps beside the memory.
public struct VGAState: Equatable, Sendable, SavedState {
    /// Miscellaneous output, written at 3C2h, read at 3CCh.
    public var miscellaneous: UInt8 = 0
    /// 3C4h.
    public var sequencerIndex: UInt8 = 0
    /// Behind 3C5h: clocking, plane mask, fonts, memory mode.
    public var sequencer = [UInt8](repeating: 0, count: 8)
    /// 3CEh.
    public var graphicsIndex: UInt8 = 0
    /// Behind 3CFh: set and reset, read and write modes, bit mask.
    public var graphics = [UInt8](repeating: 0, count: 16)
    /// 3C0h; bit 5 lets the screen be seen.
    public var attributeIndex: UInt8 = 0
    /// Behind 3C0h and 3C1h: 16 palette entries, then the mode registers.
    public var attribute = [UInt8](repeating: 0, count: 32)
    /// The next write to 0x3C0 is data.
    public var attributeTakesData = false
    /// 3D4h, or 3B4h for monochrome.
    public var controllerIndex: UInt8 = 0
    /// Behind 3D5h: timing, start address, cursor.
    public var controller = [UInt8](repeating: 0, count: 256)
    /// Written at 3DAh, read at 3CAh.
    public var featureControl: UInt8 = 0
    /// Input status 1 at its last reading: its retrace bits change each time.
    public var inputStatus: UInt8 = 0
    /// 256 times red, green, blue of 6 or 8 bits.
    public var palette = [UInt8](repeating: 0, count: 768)
    /// 3C6h.
    public var paletteMask: UInt8 = 0xFF
    /// 3C7h: the next entry to be read.
    public var paletteReads: UInt8 = 0
    /// 3C8h: the next entry to be written.
    public var paletteWrites: UInt8 = 0
    /// 0...2: which of red, green and blue 3C9h has next.
    public var paletteComponent = 0
    /// 0 for writing, 3 for reading: what 0x3C7 reads as.
    public var paletteMode: UInt8 = 0
    /// The last three bytes written to the palette.
    public var paletteCache: [UInt8] = [0, 0, 0]
    /// The four bytes of the last read in planar modes.
    public var latch: UInt32 = 0
    /// 1CEh: the register that 1CFh shows.
    public var extensionIndex: UInt16 = 0
    /// Bochs's registers: size, depth, enable, bank, virtual size and offsets.
    public var bochs = [UInt16](repeating: 0, count: BochsRegister.count)
    /// Where 64 KiB windows of Bochs modes begin in memory.
    public var bankOffset = 0

    /// Power-on.
    public init() { bochs[BochsRegister.identity] = BochsRegister.version }

    /// Refuses tables of other lengths and indices outside them.
    public func problem(replacing current: VGAState) -> String? {
        let lengthsAgree =
            sequencer.count == current.sequencer.count && graphics.count == current.graphics.count
            && attribute.count == current.attribute.count && controller.count == current.controller.count
            && palette.count == current.palette.count && paletteCache.count == current.paletteCache.count
            && bochs.count == current.bochs.count
        guard lengthsAgree else { return "its tables have other lengths" }
        guard (0..<3).contains(paletteComponent), bankOffset >= 0, Int(sequencerIndex) < sequencer.count,
            Int(graphicsIndex) < graphics.count
        else { return "an index is out of range" }
        return nil
    }

    /// A Bochs mode is on.
    var isExtended: Bool { bochs[BochsRegister.enable] & BochsRegister.enabled != 0 }
}

/// Registers of Bochs's display interface, by index.
public enum BochsRegister {
    static let identity = 0, width = 1, height = 2, depth = 3, enable = 4, bank = 5
    static let virtualWidth = 6, virtualHeight = 7, xOffset = 8, yOffset = 9, memory = 10
    /// How many there are.
    public static let count = 11
    static let version: UInt16 = 0xB0C5, oldestVersion: UInt16 = 0xB0C0
    static let enabled: UInt16 = 0x01, capabilities: UInt16 = 0x02, eightBitPalette: UInt16 = 0x20
    static let linear: UInt16 = 0x40, keepsMemory: UInt16 = 0x80
    static let largestWidth: UInt16 = 16000, largestHeight: UInt16 = 12000, largestDepth: UInt16 = 32
}
