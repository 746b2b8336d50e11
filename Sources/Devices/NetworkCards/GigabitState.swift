// SPDX-License-Identifier: Apache-2.0

internal import PCIBus
public import StateCoding

/// The registers behind MDIO (IEEE 802.3, 22.2.4; Marvell 88E1000).
struct GigabitPHY: Equatable, Sendable, Codable {
    private enum Register {
        static let control = 0, status = 1, identifierHigh = 2, identifierLow = 3, advertised = 4, partner = 5
        static let expansion = 6, gigabitControl = 9, gigabitStatus = 10, extendedStatus = 15, specificControl = 16
        static let specificStatus = 17, extendedControl = 20, page = 22
    }
    private enum Bit {
        static let reset: UInt16 = 0x8000, restart: UInt16 = 0x0200, negotiates: UInt16 = 0x1000
        static let link: UInt16 = 4, complete: UInt16 = 0x20
        static let speedAndDuplex: UInt16 = 0xAC00
    }
    private static let pageCount = 8
    /// 32 registers a page; what the manufacturer defines is on pages.
    private var words: [UInt16]
    private let identifier: UInt16

    init(identifier: UInt16) {
        self.identifier = identifier
        words = [UInt16](repeating: 0, count: 32 * Self.pageCount)
        reset()
    }

    mutating func reset() {
        let isUp = words[Register.status] & Bit.link != 0
        for index in words.indices { words[index] = 0 }
        words[Register.control] = 0x1140
        words[Register.status] = 0x7949
        words[Register.identifierHigh] = 0x0141
        words[Register.identifierLow] = identifier
        words[Register.advertised] = 0x0DE1
        words[Register.partner] = 0x45E1
        words[Register.expansion] = 1
        words[Register.gigabitControl] = 0x0E00
        words[Register.gigabitStatus] = 0x3C00
        words[Register.extendedStatus] = 0x3000
        words[Register.specificControl] = 0x0360
        words[Register.extendedControl] = 0x0D60
        if isUp { setLink(true) }
    }

    /// Negotiation takes no time here.
    mutating func setLink(_ isUp: Bool) {
        if isUp {
            words[Register.status] |= Bit.link | Bit.complete
            words[Register.specificStatus] = Bit.speedAndDuplex
        } else {
            words[Register.status] &= ~(Bit.link | Bit.complete)
            words[Register.specificStatus] = 0
        }
    }

    private func place(_ register: Int) -> Int {
        let page = register >= Register.specificControl && register != Register.page ? Int(words[Register.page]) : 0
        return (page % Self.pageCount) * 32 + register
    }

    func read(_ register: Int) -> UInt16 { words[place(register & 31)] }

    /// - Returns: negotiation began, and is over.
    mutating func write(_ register: Int, _ value: UInt16) -> Bool {
        let register = register & 31
        switch register {
        case Register.control:
            if value & Bit.reset != 0 { reset() }
            words[register] = value & ~(Bit.reset | Bit.restart)
            return value & Bit.restart != 0 && value & Bit.negotiates != 0 || value & Bit.reset != 0
        case Register.status, Register.identifierHigh, Register.identifierLow, Register.partner,
            Register.gigabitStatus, Register.extendedStatus:
            return false
        default:
            if register == Register.specificStatus, words[Register.page] == 0 { return false }
            words[place(register)] = value
            return false
        }
    }

    var isWhole: Bool { words.count == 32 * Self.pageCount }
}

/// The serial EEPROM's wires (Microwire, 93C46).
struct GigabitMicrowire: Equatable, Sendable, Codable {
    private var command: UInt16 = 0
    private var bits = 0
    private var word: UInt16 = 0
    /// Bits of the word that were not shown yet, once there is one.
    private var left = 0
    private var lines: UInt32 = 0
    private static let readCommand: UInt16 = 6
    private static let commandBits = 9

    /// The guest moves the wires; a read command answers on the falling clock.
    mutating func drive(_ value: UInt32, _ words: [UInt16]) {
        typealias Bit = GigabitBit.EEPROM
        let old = lines
        lines = value & (Bit.clock | Bit.select | Bit.input | Bit.request)
        guard value & Bit.select != 0 else {
            (command, bits, left) = (0, 0, 0)
            return
        }
        guard old & Bit.clock == 0, value & Bit.clock != 0 else { return }
        if bits < Self.commandBits {
            let input: UInt16 = value & Bit.input != 0 ? 1 : 0
            // Zeroes before the start bit do not count.
            if bits == 0, input == 0 { return }
            command = command << 1 | input
            bits += 1
            if bits == Self.commandBits, command >> 6 == Self.readCommand {
                word = words[Int(command & 0x3F) % words.count]
                left = 17
            }
        } else if left > 1 {
            left -= 1
        }
    }

    /// What the register shows.
    var value: UInt32 {
        typealias Bit = GigabitBit.EEPROM
        var value = lines | Bit.present
        if lines & Bit.request != 0 { value |= Bit.grant }
        // A zero stands before the word; without a command the line is high.
        let isHigh = left == 0 || left <= 16 && word >> UInt16(left - 1) & 1 != 0
        if isHigh { value |= Bit.output }
        return value
    }
}

/// What a saved machine keeps of a card.
public struct GigabitState: SavedState, Equatable {
    var function: PCIDeviceState
    var registers: [UInt32]
    var phy: GigabitPHY
    var wires: GigabitMicrowire
    var offload: GigabitOffload
    var partial: [UInt8]
    var ioAddress: UInt32
    var isLinkUp: Bool

    /// Refuses register files of another length and a partial packet that is too long.
    public func problem(replacing current: GigabitState) -> String? {
        if let problem = function.problem(replacing: current.function) { return problem }
        guard registers.count == current.registers.count, phy.isWhole, partial.count <= GigabitTransmitter.longestPacket
        else { return "it is not of a card like this" }
        return nil
    }
}
