// SPDX-License-Identifier: Apache-2.0

extension VGACore {
    private enum Graphics {
        static let setReset = 0, enableSetReset = 1, compare = 2, rotate = 3, readPlane = 4, mode = 5, map = 6
        static let ignored = 7, bitMask = 8
    }
    private static let planeMask = 2, memoryMode = 4
    private static let chained: UInt8 = 8, oddEven: UInt8 = 0x10

    /// Each bit of four as a byte of ones or zeros.
    static func spread(_ bits: UInt8) -> UInt32 {
        (bits & 1 != 0 ? 0xFF : 0) | (bits & 2 != 0 ? 0xFF00 : 0) | (bits & 4 != 0 ? 0xFF_0000 : 0)
            | (bits & 8 != 0 ? 0xFF00_0000 : 0)
    }

    /// The place in memory of an offset into 0xA0000...0xBFFFF; nil where the mode has no memory.
    private func address(_ offset: Int) -> Int? {
        switch state.graphics[Graphics.map] >> 2 & 3 {
        case 0: return offset
        case 1: return offset < 0x1_0000 ? offset + state.bankOffset : nil
        case 2: return (0x1_0000..<0x1_8000).contains(offset) ? offset - 0x1_0000 : nil
        default: return offset >= 0x1_8000 ? offset - 0x1_8000 : nil
        }
    }

    /// Reads a byte of the window at 0xA0000.
    public func readWindow(_ offset: Int) -> UInt8 {
        guard let address = address(offset) else { return 0xFF }
        if state.sequencer[Self.memoryMode] & Self.chained != 0 { return byte(address) }
        if state.graphics[Graphics.mode] & Self.oddEven != 0 {
            let plane = Int(state.graphics[Graphics.readPlane] & 2) | address & 1
            return byte((address & ~1) << 1 | plane)
        }
        state.latch = planes(address)
        if state.graphics[Graphics.mode] & 8 == 0 {
            return UInt8(truncatingIfNeeded: state.latch >> (UInt32(state.graphics[Graphics.readPlane] & 3) * 8))
        }
        let care = Self.spread(state.graphics[Graphics.ignored])
        var difference = (state.latch ^ Self.spread(state.graphics[Graphics.compare])) & care
        difference |= difference >> 16
        difference |= difference >> 8
        return ~UInt8(truncatingIfNeeded: difference)
    }

    /// Writes a byte of the window at 0xA0000.
    public func writeWindow(_ offset: Int, _ value: UInt8) {
        guard let address = address(offset) else { return }
        let mask = state.sequencer[Self.planeMask]
        if state.sequencer[Self.memoryMode] & Self.chained != 0 {
            if mask & 1 << UInt8(address & 3) != 0 { setByte(address, value) }
            return
        }
        if state.graphics[Graphics.mode] & Self.oddEven != 0 {
            let plane = Int(state.graphics[Graphics.readPlane] & 2) | address & 1
            if mask & 1 << UInt8(plane) != 0 { setByte((address & ~1) << 1 | plane, value) }
            return
        }
        writePlanes(address, value, Self.spread(mask))
    }

    private func writePlanes(_ address: Int, _ value: UInt8, _ planeMask: UInt32) {
        let graphics = state.graphics
        var bitMask = graphics[Graphics.bitMask]
        let count = graphics[Graphics.rotate] & 7
        let rotated = count == 0 ? value : value >> count | value << (8 - count)
        let repeated = UInt32(rotated) &* 0x0101_0101
        var data: UInt32
        switch graphics[Graphics.mode] & 3 {
        case 0:
            let fixed = Self.spread(graphics[Graphics.enableSetReset])
            data = repeated & ~fixed | Self.spread(graphics[Graphics.setReset]) & fixed
        case 1: return store(address, state.latch, planeMask)
        case 2: data = Self.spread(value & 0x0F)
        default:
            bitMask &= rotated
            data = Self.spread(graphics[Graphics.setReset])
        }
        switch graphics[Graphics.rotate] >> 3 & 3 {
        case 1: data &= state.latch
        case 2: data |= state.latch
        case 3: data ^= state.latch
        default: break
        }
        let bits = UInt32(bitMask) &* 0x0101_0101
        store(address, data & bits | state.latch & ~bits, planeMask)
    }

    private func store(_ address: Int, _ data: UInt32, _ planeMask: UInt32) {
        setPlanes(address, planes(address) & ~planeMask | data & planeMask)
    }
}
