// SPDX-License-Identifier: Apache-2.0

extension VGACore {
    private static let monochromeBase = 0x3B0
    /// Bits of each sequencer and graphics register that exist.
    private static let sequencerMasks: [UInt8] = [0x03, 0x3D, 0x0F, 0x3F, 0x0E, 0, 0, 0xFF]
    private static let graphicsMasks: [UInt8] = [
        0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF, 0, 0, 0, 0, 0, 0, 0,
    ]
    private static let retrace: UInt8 = 0x08, displayDisabled: UInt8 = 0x01

    /// The ports 0x3B0...0x3BF are there in monochrome modes, 0x3D0...0x3DF in colour modes.
    private func isHidden(_ port: Int) -> Bool {
        let isColour = state.miscellaneous & 1 != 0
        return isColour ? (0x3B0...0x3BF).contains(port) : (0x3D0...0x3DF).contains(port)
    }

    /// Reads a port of 0x3B0...0x3DF.
    public func readPort(_ port: Int) -> UInt8 {
        if isHidden(port) { return 0xFF }
        switch port {
        case 0x3C0: return state.attributeTakesData ? 0 : state.attributeIndex
        case 0x3C1:
            let index = Int(state.attributeIndex & 0x1F)
            return index < 0x15 ? state.attribute[index] : 0
        case 0x3C2: return 0
        case 0x3C4: return state.sequencerIndex
        case 0x3C5: return state.sequencer[Int(state.sequencerIndex & 7)]
        case 0x3C6: return state.paletteMask
        case 0x3C7: return state.paletteMode
        case 0x3C8: return state.paletteWrites
        case 0x3C9: return readPalette()
        case 0x3CA: return state.featureControl
        case 0x3CC: return state.miscellaneous
        case 0x3CE: return state.graphicsIndex
        case 0x3CF: return state.graphics[Int(state.graphicsIndex & 0xF)]
        case 0x3B4, 0x3D4: return state.controllerIndex
        case 0x3B5, 0x3D5: return state.controller[Int(state.controllerIndex)]
        case 0x3BA, 0x3DA:
            // Software waits for both edges of the retrace: each look sees the other half.
            state.inputStatus ^= Self.retrace | Self.displayDisabled
            state.attributeTakesData = false
            return state.inputStatus
        default: return 0
        }
    }

    /// Writes a port of 0x3B0...0x3DF.
    public func writePort(_ port: Int, _ value: UInt8) {
        if isHidden(port) { return }
        switch port {
        case 0x3C0: writeAttribute(value)
        case 0x3C2: state.miscellaneous = value & ~0x10
        case 0x3C4: state.sequencerIndex = value & 7
        case 0x3C5:
            let index = Int(state.sequencerIndex & 7)
            state.sequencer[index] = value & Self.sequencerMasks[index]
        case 0x3C6: state.paletteMask = value
        case 0x3C7:
            state.paletteReads = value
            state.paletteComponent = 0
            state.paletteMode = 3
        case 0x3C8:
            state.paletteWrites = value
            state.paletteComponent = 0
            state.paletteMode = 0
        case 0x3C9: writePalette(value)
        case 0x3CE: state.graphicsIndex = value & 0xF
        case 0x3CF:
            let index = Int(state.graphicsIndex & 0xF)
            state.graphics[index] = value & Self.graphicsMasks[index]
        case 0x3B4, 0x3D4: state.controllerIndex = value
        case 0x3B5, 0x3D5: writeController(value)
        case 0x3BA, 0x3DA: state.featureControl = value & 0x10
        default: break
        }
    }

    private func writeAttribute(_ value: UInt8) {
        defer { state.attributeTakesData.toggle() }
        guard state.attributeTakesData else {
            state.attributeIndex = value & 0x3F
            return
        }
        let index = Int(state.attributeIndex & 0x1F)
        switch index {
        case 0...0x0F: state.attribute[index] = value & 0x3F
        case 0x10: state.attribute[index] = value & ~0x10
        case 0x11: state.attribute[index] = value
        case 0x12: state.attribute[index] = value & ~0xC0
        case 0x13, 0x14: state.attribute[index] = value & 0x0F
        default: break
        }
    }

    private func writeController(_ value: UInt8) {
        let index = Int(state.controllerIndex)
        let overflow = 7, verticalEnd = 0x11, locked: UInt8 = 0x80
        guard index <= 0x18 else { return }
        if state.controller[verticalEnd] & locked != 0, index <= overflow {
            // Only the bit of the line compare can be changed then.
            if index == overflow {
                state.controller[index] = state.controller[index] & ~0x10 | value & 0x10
            }
            return
        }
        state.controller[index] = value
    }

    private func readPalette() -> UInt8 {
        let value = state.palette[Int(state.paletteReads) * 3 + state.paletteComponent]
        state.paletteComponent += 1
        if state.paletteComponent == 3 {
            state.paletteComponent = 0
            state.paletteReads &+= 1
        }
        return value
    }

    private func writePalette(_ value: UInt8) {
        state.paletteCache[state.paletteComponent] = value
        state.paletteComponent += 1
        guard state.paletteComponent == 3 else { return }
        // The three take effect together.
        let place = Int(state.paletteWrites) * 3
        state.palette.replaceSubrange(place..<place + 3, with: state.paletteCache)
        state.paletteComponent = 0
        state.paletteWrites &+= 1
    }

    // MARK: Bochs's extension

    /// A register of the extension by index.
    public func readExtension(_ index: Int) -> UInt16 {
        guard state.bochs.indices.contains(index) else { return 0 }
        guard state.bochs[BochsRegister.enable] & BochsRegister.capabilities != 0 else { return state.bochs[index] }
        switch index {
        case BochsRegister.width: return BochsRegister.largestWidth
        case BochsRegister.height: return BochsRegister.largestHeight
        case BochsRegister.depth: return BochsRegister.largestDepth
        default: return state.bochs[index]
        }
    }

    /// Writes a register of the extension.
    public func writeExtension(_ index: Int, _ value: UInt16) {
        switch index {
        case BochsRegister.identity:
            if (BochsRegister.oldestVersion...BochsRegister.version).contains(value) { state.bochs[index] = value }
        case BochsRegister.width, BochsRegister.height, BochsRegister.depth, BochsRegister.virtualWidth,
            BochsRegister.xOffset, BochsRegister.yOffset:
            state.bochs[index] = value
            fixExtension()
        case BochsRegister.bank:
            let isFourBit = state.bochs[BochsRegister.depth] == 4
            let bank = Int(value) & ((memoryCount >> 16) - 1)
            state.bochs[index] = UInt16(truncatingIfNeeded: bank)
            state.bankOffset = isFourBit ? bank << 16 & (memoryCount / 4 - 1) : bank << 16
        case BochsRegister.enable: enableExtension(value)
        default: break
        }
    }

    private func enableExtension(_ value: UInt16) {
        let wasOn = state.isExtended
        if value & BochsRegister.enabled != 0, !wasOn {
            state.bochs[BochsRegister.virtualWidth] = 0
            state.bochs[BochsRegister.xOffset] = 0
            state.bochs[BochsRegister.yOffset] = 0
            state.bochs[BochsRegister.enable] |= BochsRegister.enabled
            fixExtension()
            if value & BochsRegister.keepsMemory == 0 {
                let count = min(
                    Int(state.bochs[BochsRegister.height]) * lineBytes, memoryCount)
                // count lies in the memory.
                unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: count)
            }
        }
        state.bankOffset = value & BochsRegister.enabled == 0 ? 0 : state.bankOffset
        state.bochs[BochsRegister.enable] = value
    }

    /// Bytes of a line of an extended mode.
    var lineBytes: Int {
        let depth = Int(state.bochs[BochsRegister.depth]), width = Int(state.bochs[BochsRegister.virtualWidth])
        return depth == 4 ? width / 2 : width * ((depth + 7) / 8)
    }

    /// Brings sizes that the memory does not have room for into range.
    private func fixExtension() {
        guard state.isExtended else { return }
        var registers = state.bochs
        let depths: [UInt16] = [4, 8, 15, 16, 24, 32]
        if !depths.contains(registers[BochsRegister.depth]) { registers[BochsRegister.depth] = 8 }
        let depth = Int(registers[BochsRegister.depth])
        func clamp(_ index: Int, _ range: ClosedRange<UInt16>) {
            registers[index] = max(range.lowerBound, min(registers[index], range.upperBound))
        }
        registers[BochsRegister.width] &= ~7
        clamp(BochsRegister.width, 8...BochsRegister.largestWidth)
        registers[BochsRegister.virtualWidth] &= ~7
        clamp(BochsRegister.virtualWidth, registers[BochsRegister.width]...BochsRegister.largestWidth)
        let bits = depth == 15 ? 16 : depth
        let line = max(Int(registers[BochsRegister.virtualWidth]) * bits / 8, 1)
        let rows = UInt16(clamping: memoryCount / line)
        clamp(BochsRegister.height, 1...max(1, min(rows, BochsRegister.largestHeight)))
        registers[BochsRegister.virtualHeight] = rows
        // Offsets that lead out of the memory count for nothing.
        let start =
            Int(registers[BochsRegister.yOffset]) * line + Int(registers[BochsRegister.xOffset]) * bits / 8
        if start + line * Int(registers[BochsRegister.height]) > memoryCount {
            registers[BochsRegister.xOffset] = 0
            registers[BochsRegister.yOffset] = 0
        }
        state.bochs = registers
    }
}
