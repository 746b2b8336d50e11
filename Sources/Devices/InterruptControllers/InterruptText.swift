// SPDX-License-Identifier: Apache-2.0

// What the monitor's `info pic` and `info lapic` print.

private func hex(_ value: some BinaryInteger, _ width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
}

private func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.utf8.count))
}

/// Names of delivery modes 0...7.
private let deliveryNames = ["fixed", "lowpri", "smi", "...", "nmi", "init", "...", "extint"]

extension IOAPIC {
    /// One line for each pin, each with its end.
    public var monitorDescription: String {
        let state = state
        var text = "ioapic0: ver=0x20 id=0x\(hex(state.identifier, 2)) sel=0x\(hex(state.selected, 2))"
        if state.selected >= 0x10 { text += " (redir[\((state.selected - 0x10) >> 1)])" }
        text += "\n"
        var requested: [String] = [], remote: [String] = []
        for (pin, entry) in state.entries.enumerated() {
            let mode = Int(entry >> 8 & 7)
            let isMasked = entry >> 16 & 1 != 0
            text += "  pin \(padded(String(pin), 2)) 0x\(hex(entry, 16)) dest=\(entry >> 56) "
            text += "vec=\(padded(String(entry & 0xFF), 3)) "
            text += "\(entry >> 13 & 1 != 0 ? "active-lo" : "active-hi") \(entry >> 15 & 1 != 0 ? "level" : "edge ") "
            text += "\(isMasked ? "masked" : "      ") \(padded(deliveryNames[mode], 6)) "
            text += "\(entry >> 11 & 1 != 0 ? "logical" : "physical")\n"
            if state.inputs >> UInt32(pin) & 1 != 0 { requested.append(String(pin)) }
            if entry >> 14 & 1 != 0 { remote.append(String(pin)) }
        }
        text += "  IRR      \(requested.isEmpty ? "(none)" : requested.joined(separator: " "))\n"
        return text + "  Remote IRR \(remote.isEmpty ? "(none)" : remote.joined(separator: " "))\n"
    }
}

extension DualPIC {
    /// Two lines, the secondary first.
    public var monitorDescription: String {
        let state = state
        return "pic1: \(state.secondary.monitorDescription)\npic0: \(state.primary.monitorDescription)\n"
    }
}

extension LocalAPIC {
    private static let entryNames: [(LocalVectorEntry, String)] = [
        (.lint0, "LVT0"), (.lint1, "LVT1"), (.performance, "LVTPC"), (.error, "LVTERR"), (.thermal, "LVTTHMR"),
        (.timer, "LVTT"),
    ]
    private static let modeNames = ["Fixed", "Lowest", "SMI", "Rsvd", "NMI", "INIT", "SIPI", "ExtINT"]
    private static let timerModes = ["one-shot", "periodic", "tsc-deadline", "reserved"]
    private static let masked: UInt32 = 1 << 16, level: UInt32 = 1 << 15, pending: UInt32 = 1 << 12
    private static let activeLow: UInt32 = 1 << 13, remoteIRR: UInt32 = 1 << 14

    /// The registers as `info lapic` shows them.
    public var monitorDescription: String {
        let state = state
        var text = "dumping local APIC state for CPU \(identifier)\n\n"
        for (entry, name) in Self.entryNames { text += Self.line(name, state.vectors[entry.rawValue], entry == .timer) }
        let shift = (state.divideConfiguration & 3 | state.divideConfiguration >> 1 & 4) &+ 1 & 7
        text += "Timer\t DCR=0x\(hex(state.divideConfiguration, 1)) (divide by \(1 << shift)) "
        text += "initial_count = \(state.initialCount) current_count = "
        text += "\(readRegister(offset: 0x390, size: 4))\n"
        text += "SPIV\t 0x\(hex(state.spurious, 8)) APIC \(state.spurious & 0x100 != 0 ? "enabled" : "disabled"), "
        text += "focus=\(state.spurious & 0x200 != 0 ? "on" : "off"), spurious vec \(state.spurious & 0xFF)\n"
        text += Self.command(state.command)
        text += "ESR\t 0x\(hex(state.errors, 8))\n"
        text += "ISR\t \(Self.list(state.inService, levels: nil))\n"
        text += "IRR\t \(Self.list(state.requested, levels: state.levelTriggered))\n\n"
        text += "APR 0x00 TPR 0x\(hex(state.taskPriority, 2)) DFR 0x\(state.usesClusters ? "00" : "0f") "
        return text
            + "LDR 0x\(hex(state.logicalDestination, 2)) PPR 0x\(hex(state.processorPriority, 2))\n"
    }

    private static func line(_ name: String, _ value: UInt32, _ isTimer: Bool) -> String {
        let mode = Int(value >> 8 & 7)
        let timer = isTimer ? timerModes[Int(value >> 17 & 3)] : ""
        let polarity = value & activeLow != 0 ? "active-lo" : "active-hi"
        var text = "\(name)\t 0x\(hex(value, 8)) \(polarity) \(value & level != 0 ? "level" : "edge ") "
        text += padded(value & masked != 0 ? "masked" : "", 6) + " "
        text += padded(value & pending != 0 ? "pending" : "", 7) + " "
        text += padded(timer, 12) + " " + padded(modeNames[mode], 6)
        // NMI, SMI and INIT have no vector.
        if ![2, 4, 5].contains(mode) { text += " (vec \(value & 0xFF))" }
        return text + "\n"
    }

    private static func command(_ value: UInt64) -> String {
        let low = UInt32(truncatingIfNeeded: value)
        let targets = ["no-shorthand", "self", "all-including-self", "all"]
        var text = "ICR\t 0x\(hex(low, 8)) \(low >> 11 & 1 != 0 ? "logical" : "physical") "
        text += "\(low & level != 0 ? "level" : "edge") \(low >> 14 & 1 != 0 ? "assert" : "de-assert") "
        text += "\(targets[Int(low >> 18 & 3)])\n"
        return text + "ICR2\t 0x\(hex(value >> 32, 8))\n"
    }

    private static func list(_ set: VectorSet, levels: VectorSet?) -> String {
        let vectors = (UInt8.min...UInt8.max).filter { set.contains($0) }
        guard !vectors.isEmpty else { return "(none)" }
        return vectors.map { "\($0)\(levels?.contains($0) == true ? "(level)" : "")" }.joined(separator: " ")
    }
}
