// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Accesses of a loop whose addresses are made of the same registers.
struct LoopGroup {
    /// As in `Instruction`.
    var base: UInt8
    var index: UInt8
    var scale: UInt8
    /// From the registers' values at the loop's head.
    var low: Int64
    var end: Int64
    var isWrite: Bool
    /// Bytes that the addresses move by from round to round.
    var rate: Int64
    /// It is the index that moves; else the base, or neither.
    var movesIndex: Bool
    /// Offsets from `low` that must be aligned, with the bits that must be clear.
    var alignments: [(offset: Int64, bits: UInt8)] = []

    var bytes: Int { Int(end - low) }
}

/// A loop that lies in one block whole, whose accesses move by constants: how often it may go round before one of them
/// leaves its page is known beforehand, and nothing need be looked at until then.
struct AccessLoop {
    /// Index of the jump to the block's start.
    let last: Int
    private(set) var groups: [LoopGroup] = []
    /// The group of each instruction's operand, and its offset in it.
    private(set) var plans: [(group: Int, offset: Int64)?]

    /// Bytes that a group may span, and that it may move by: with more, pages are left too soon.
    private static let maximumBytes: Int64 = 512, maximumRate: Int64 = 512

    /// What the loop does with a register.
    private enum Motion: Equatable {
        case still
        /// It is moved by a constant.
        case moves(Int64)
        case varies
    }

    /// - Returns: nil where the block is no such loop.
    init?(_ body: [BlockInstruction], start: Int) {
        guard let last = body.firstIndex(where: { $0.isConditionalJump && $0.nearTarget == start }) else { return nil }
        self.last = last
        plans = Array(repeating: nil, count: last + 1)
        var motions = [Motion](repeating: .still, count: 16)
        for item in body[...last] {
            guard Self.isPlain(item) else { return nil }
            Self.note(RegisterEffect.of(item), &motions)
        }
        var moved = [Int64](repeating: 0, count: 16)
        for index in 0...last {
            guard add(body[index], index, start, motions, moved) else { return nil }
            if case .moves(let register, let distance) = RegisterEffect.of(body[index]) {
                moved[Int(register)] &+= distance
            }
        }
        guard !groups.isEmpty, groups.count <= StateLayout.loopGroupCount,
            groups.allSatisfy({ $0.isUsable })
        else { return nil }
    }

    private static func note(_ effect: RegisterEffect, _ motions: inout [Motion]) {
        switch effect {
        case .moves(let register, let distance):
            switch motions[Int(register)] {
            case .still: motions[Int(register)] = .moves(distance)
            case .moves(let sum) where abs(sum &+ distance) < 1 << 20: motions[Int(register)] = .moves(sum &+ distance)
            default: motions[Int(register)] = .varies
            }
        case .writes(let registers):
            for register in 0..<16 where registers & 1 << UInt16(register) != 0 { motions[register] = .varies }
        }
    }

    /// Its code is the same wherever its operand lies, and nothing of it is left to the interpreter.
    private static func isPlain(_ item: BlockInstruction) -> Bool {
        switch item.kind {
        case .nothing, .verbatim: return true
        case .shaped: return !(item.raw.isMemory && BlockTranslator.isOutOfReach(item))
        case .flow: return item.isConditionalJump
        case .special:
            if item.raw.map == 1 { return item.raw.opcode >= 0xC0 }
            switch item.raw.opcode {
            case 0x8D: return !BlockTranslator.isOutOfReach(item)
            case 0x90...0x97, 0xB0...0xBF: return true
            default: return false
            }
        default: return false
        }
    }

    /// - Returns: false where the address does not move by a constant.
    private mutating func add(
        _ item: BlockInstruction, _ number: Int, _ start: Int, _ motions: [Motion], _ moved: [Int64]
    ) -> Bool {
        guard item.kind == .shaped, item.raw.isMemory, let shape = Shape.of(item.raw, item.decoded), shape.bytes > 0
        else { return true }
        let instruction = item.instruction
        guard instruction.addressSize == 3, instruction.segment != 4, instruction.segment != 5,
            abs(instruction.displacement) < 1 << 30
        else { return false }
        var offset = instruction.displacement
        var rate: Int64 = 0
        var movesIndex = false
        if instruction.base == Instruction.ripRegister {
            offset &+= Int64(start)
        } else if instruction.base < 16 {
            switch motions[Int(instruction.base)] {
            case .still: break
            case .moves(let distance):
                rate = distance
                offset &+= moved[Int(instruction.base)]
            case .varies: return false
            }
        }
        if instruction.index < 16 {
            switch motions[Int(instruction.index)] {
            case .still: break
            case .moves(let distance):
                // Only one of two may move, and what moves must have gone on at the end.
                guard instruction.base >= 16 || motions[Int(instruction.base)] == .still else { return false }
                rate = distance &<< Int64(instruction.scale)
                offset &+= moved[Int(instruction.index)] &<< Int64(instruction.scale)
                movesIndex = true
            case .varies: return false
            }
        }
        let isMoving = movesIndex || instruction.base < 16 && motions[Int(instruction.base)] != .still
        guard !isMoving || rate != 0, shape.alignment == 0 || rate & Int64(shape.alignment) == 0 else { return false }
        join(instruction, number, offset, rate, movesIndex, shape)
        return true
    }

    private mutating func join(
        _ instruction: Instruction, _ number: Int, _ offset: Int64, _ rate: Int64, _ movesIndex: Bool, _ shape: Shape
    ) {
        let end = offset &+ Int64(shape.bytes)
        let known = groups.firstIndex {
            $0.base == instruction.base && $0.index == instruction.index && $0.scale == instruction.scale
                && max($0.end, end) &- min($0.low, offset) <= Self.maximumBytes
        }
        let group = known ?? groups.count
        if known == nil {
            groups.append(
                LoopGroup(
                    base: instruction.base, index: instruction.index, scale: instruction.scale, low: offset, end: end,
                    isWrite: false, rate: rate, movesIndex: movesIndex))
        }
        groups[group].extend(offset, end, isWrite: shape.writesMemory, alignment: shape.alignment)
        plans[number] = (group, offset)
    }
}

extension LoopGroup {
    fileprivate mutating func extend(_ offset: Int64, _ end: Int64, isWrite: Bool, alignment: UInt8) {
        let newLow = min(low, offset)
        for place in alignments.indices { alignments[place].offset &+= low &- newLow }
        low = newLow
        self.end = max(self.end, end)
        if isWrite { self.isWrite = true }
        let place = offset &- low
        guard alignment != 0 else { return }
        let isKnown = alignments.contains {
            $0.bits >= alignment && ($0.offset &- place) & Int64(alignment) == 0
        }
        if !isKnown { alignments.append((place, alignment)) }
    }

    fileprivate var isUsable: Bool {
        abs(rate) <= 512 && bytes <= 512 && abs(low) < 1 << 30 && alignments.count <= 2
    }
}

extension BlockInstruction {
    /// Jcc.
    var isConditionalJump: Bool {
        kind == .flow && (raw.map == 1 || raw.map == 0 && (0x70...0x7F).contains(raw.opcode))
    }
}
