// SPDX-License-Identifier: Apache-2.0

/// One 8259A interrupt controller: its registers and priority logic (Intel 8259A data sheet), without the wiring.
public struct PIC8259: Equatable, Sendable, Codable {
    private enum InitializationStep: UInt8, Codable { case done, vectorBase, cascade, mode }

    /// Interrupt request, in-service and mask registers.
    public internal(set) var requested: UInt8 = 0
    /// One bit for each input whose handler has not sent its EOI.
    public internal(set) var inService: UInt8 = 0
    /// OCW1: a set bit keeps the input back.
    public internal(set) var mask: UInt8 = 0
    /// Edge/level control: a set bit is level-triggered.
    public internal(set) var levelTriggered: UInt8 = 0
    /// The pins' levels, for edge detection.
    var inputs: UInt8 = 0
    private var vectorBase: UInt8 = 0
    /// The input with the highest priority.
    private(set) var highestPriority: UInt8 = 0
    private var step = InitializationStep.done
    private var expectsMode = false
    private var isSingle = false
    private var allLevelTriggered = false
    private var readsInService = false
    private var polls = false
    private var specialMask = false
    private var automaticEnd = false
    private var rotatesOnAutomaticEnd = false
    private var specialFullyNested = false
    /// ELCR bits that can be set.
    let levelWritable: UInt8
    let isPrimary: Bool
    /// The primary's input that the secondary drives.
    static let cascadeInput: UInt8 = 2

    init(isPrimary: Bool) {
        self.isPrimary = isPrimary
        // IRQ 0, 1, 2, 8 and 13 are edge-triggered for ever.
        levelWritable = isPrimary ? 0xF8 : 0xDE
    }

    mutating func reset() {
        let pins = inputs
        self = PIC8259(isPrimary: isPrimary)
        inputs = pins
    }

    /// `irr=... imr=...`, as the monitor shows one chip.
    var monitorDescription: String {
        func hex(_ value: UInt8) -> String { (value < 16 ? "0" : "") + String(value, radix: 16) }
        return "irr=\(hex(requested)) imr=\(hex(mask)) isr=\(hex(inService)) hprio=\(highestPriority) "
            + "irq_base=\(hex(vectorBase)) rr_sel=\(readsInService ? 1 : 0) elcr=\(hex(levelTriggered)) "
            + "fnm=\(specialFullyNested ? 1 : 0)"
    }

    private func isLevel(_ bit: UInt8) -> Bool { allLevelTriggered || levelTriggered & bit != 0 }

    mutating func setInput(_ number: UInt8, level: Bool) {
        let bit = UInt8(1) &<< (number & 7)
        if level {
            if isLevel(bit) || inputs & bit == 0 { requested |= bit }
            inputs |= bit
        } else {
            // Devices signal edges by short pulses, so an edge stays latched until INTA.
            if isLevel(bit) { requested &= ~bit }
            inputs &= ~bit
        }
    }

    /// The input falls and takes its unserved request with it.
    mutating func dropInput(_ number: UInt8) {
        let bit = UInt8(1) &<< (number & 7)
        requested &= ~bit
        inputs &= ~bit
    }

    mutating func setLevelTriggered(_ value: UInt8) { levelTriggered = value & levelWritable }

    /// 0 for the highest ... 7, 8 for none.
    private func priority(of bits: UInt8) -> UInt8 {
        guard bits != 0 else { return 8 }
        let rotation = highestPriority & 7
        let rotated = rotation == 0 ? bits : (bits >> rotation) | (bits << (8 - rotation))
        return UInt8(truncatingIfNeeded: rotated.trailingZeroBitCount)
    }

    private func input(atPriority priority: UInt8) -> UInt8 { (priority &+ highestPriority) & 7 }

    /// The input to serve now; nil when INT is low.
    var pending: UInt8? {
        let wanted = priority(of: requested & ~mask)
        guard wanted < 8 else { return nil }
        var blocking = inService
        if specialMask { blocking &= ~mask }
        // In special fully nested mode the secondary may interrupt itself with a higher request.
        if specialFullyNested && isPrimary { blocking &= ~(1 << Self.cascadeInput) }
        return wanted < priority(of: blocking) ? input(atPriority: wanted) : nil
    }

    private mutating func beginService(_ number: UInt8) {
        let bit = UInt8(1) &<< number
        if automaticEnd {
            if rotatesOnAutomaticEnd { highestPriority = (number &+ 1) & 7 }
        } else {
            inService |= bit
        }
        if !isLevel(bit) { requested &= ~bit }
    }

    /// The INTA cycle: input and vector. Input 7 unserved is the spurious interrupt.
    mutating func acknowledge() -> (input: UInt8, vector: UInt8) {
        guard let number = pending else { return (7, vectorBase | 7) }
        beginService(number)
        return (number, vectorBase | number)
    }

    mutating func read(isData: Bool) -> UInt8 {
        if polls {
            polls = false
            guard let number = pending else { return 0 }
            beginService(number)
            return 0x80 | number
        }
        if isData { return mask }
        return readsInService ? inService : requested
    }

    mutating func write(isData: Bool, value: UInt8) {
        if !isData {
            if value & 0x10 != 0 {
                initialize(value)
            } else if value & 0x08 != 0 {
                writeMode(value)
            } else {
                writeEnd(value)
            }
            return
        }
        switch step {
        case .done: mask = value
        case .vectorBase:
            vectorBase = value & 0xF8
            step = isSingle ? (expectsMode ? .mode : .done) : .cascade
        case .cascade: step = expectsMode ? .mode : .done
        case .mode:
            specialFullyNested = value & 0x10 != 0
            automaticEnd = value & 0x02 != 0
            step = .done
        }
    }

    /// ICW1.
    private mutating func initialize(_ value: UInt8) {
        let kept = (inputs, levelTriggered)
        self = PIC8259(isPrimary: isPrimary)
        (inputs, levelTriggered) = kept
        expectsMode = value & 0x01 != 0
        isSingle = value & 0x02 != 0
        allLevelTriggered = value & 0x08 != 0
        step = .vectorBase
        // Edge requests are forgotten; inputs held at a level ask again.
        for number in 0..<UInt8(8) where inputs & (1 << number) != 0 && isLevel(1 << number) {
            requested |= 1 << number
        }
    }

    /// OCW3.
    private mutating func writeMode(_ value: UInt8) {
        if value & 0x04 != 0 { polls = true }
        if value & 0x02 != 0 { readsInService = value & 0x01 != 0 }
        if value & 0x40 != 0 { specialMask = value & 0x20 != 0 }
    }

    /// OCW2.
    private mutating func writeEnd(_ value: UInt8) {
        let level = value & 7
        switch value >> 5 {
        case 0: rotatesOnAutomaticEnd = false
        case 4: rotatesOnAutomaticEnd = true
        case 1, 5:  // Non-specific EOI, with rotation.
            let inOrder = priority(of: inService)
            guard inOrder < 8 else { return }
            let number = input(atPriority: inOrder)
            inService &= ~(1 << number)
            if value & 0x80 != 0 { highestPriority = (number &+ 1) & 7 }
        case 3: inService &= ~(1 << level)
        case 6: highestPriority = (level &+ 1) & 7
        case 7:
            inService &= ~(1 << level)
            highestPriority = (level &+ 1) & 7
        default: break
        }
    }
}
