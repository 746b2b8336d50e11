// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Which of an instruction's memory operands.
enum AccessRole: Int {
    /// The one that modrm names.
    case operand = 0
    /// The word of the stack that PUSH, POP, CALL, RET and LEAVE use.
    case stack = 1
}

/// Accesses of a block whose addresses differ by constants, and that lie so near to each other that one look at the TLB
/// mostly serves all of them.
struct AccessGroup {
    /// The register that the addresses are relative to, or `Instruction.ripRegister`.
    var base: UInt8
    /// A register that is added with a factor, or `Instruction.noRegister`.
    var index = Instruction.noRegister
    var scale: UInt8 = 0
    /// From the base's value at the first access.
    var low: Int64
    var end: Int64
    var isWrite: Bool
    var count = 1
    /// The address was looked up: `TranslationState.groups` holds the host's.
    var isReached = false
    /// The remainders of addresses relative to `low` that were found aligned, by `alignment`.
    var provenAlignment: UInt8 = 0
    var provenOffset: Int64 = 0

    var bytes: Int { Int(end - low) }
}

/// The place of an access in its group.
struct AccessPlan {
    var group: Int
    /// From the base's value at the group's first access.
    var offset: Int64
}

/// Finds the groups of a block.
struct AccessGroups {
    private(set) var groups: [AccessGroup] = []
    /// By instruction and role.
    private(set) var plans: [AccessPlan?]
    /// The group that accesses relative to a register may join, and how far the register has moved since its first
    /// access; the last place is for code-relative addresses.
    private var open: [(group: Int, moved: Int64)?] = Array(repeating: nil, count: 17)
    private static let codePlace = 16
    /// As `open` for addresses with an index.
    private var openIndexed: [(group: Int, moved: Int64)] = []
    /// Bytes that the accesses of a group may span: more cross the end of a page more often.
    private static let maximumBytes: Int64 = 384

    init(_ body: [BlockInstruction], start: Int) {
        plans = Array(repeating: nil, count: body.count * 2)
        for index in body.indices { add(body[index], index, start) }
        keepUseful()
    }

    private mutating func add(_ item: BlockInstruction, _ index: Int, _ start: Int) {
        if item.kind == .interpreted {
            for place in open.indices { open[place] = nil }
            openIndexed.removeAll()
            return
        }
        if item.raw.isMemory, let access = Self.operand(item) {
            let instruction = item.instruction
            if instruction.index < 16 {
                joinIndexed(index, instruction, access.bytes, access.isWrite)
            } else if instruction.base == Instruction.ripRegister {
                join(
                    index, .operand, Self.codePlace, Int64(start) + instruction.displacement, access.bytes,
                    access.isWrite)
            } else {
                join(
                    index, .operand, Int(instruction.base), instruction.displacement, access.bytes, access.isWrite)
            }
        }
        if let access = Self.stack(item) {
            join(index, .stack, Int(access.base), access.displacement, 8, access.isWrite)
        }
        if item.kind == .special, item.raw.map == 0, (0x58...0x5F).contains(item.raw.opcode) {
            // POP, which may change RSP twice.
            move(.moves(4, 8))
            move(.writes(1 << UInt16(item.raw.opcodeRegister)))
        } else {
            move(RegisterEffect.of(item))
        }
    }

    private mutating func move(_ effect: RegisterEffect) {
        switch effect {
        case .moves(let register, let distance):
            if let known = open[Int(register)] {
                let sum = known.moved &+ distance
                open[Int(register)] = abs(sum) < 1 << 30 ? (known.group, sum) : nil
            }
            for place in openIndexed.indices {
                let group = groups[openIndexed[place].group]
                if group.base == register { openIndexed[place].moved &+= distance }
                if group.index == register { openIndexed[place].moved &+= distance &<< Int64(group.scale) }
            }
            openIndexed.removeAll { abs($0.moved) >= 1 << 30 }
        case .writes(let registers):
            for register in 0..<16 where registers & 1 << UInt16(register) != 0 { open[register] = nil }
            openIndexed.removeAll {
                let group = groups[$0.group]
                return group.base < 16 && registers & 1 << UInt16(group.base) != 0
                    || registers & 1 << UInt16(group.index) != 0
            }
        }
    }

    /// The bytes of an operand whose address is a base and a displacement alone.
    private static func operand(_ item: BlockInstruction) -> (bytes: Int, isWrite: Bool)? {
        let instruction = item.instruction
        guard instruction.addressSize == 3,
            instruction.base < 16 || instruction.base == Instruction.ripRegister || instruction.index < 16,
            instruction.segment != 4, instruction.segment != 5,
            abs(instruction.displacement) < 1 << 30
        else { return nil }
        switch item.kind {
        case .shaped:
            guard let shape = Shape.of(item.raw, item.decoded), shape.bytes > 0 else { return nil }
            return (shape.bytes, shape.writesMemory)
        case .floating:
            guard let form = X87Form(item.raw), form.bytes > 0 else { return nil }
            return (form.bytes, form.isWrite)
        default: return nil
        }
    }

    private static func stack(_ item: BlockInstruction) -> (base: UInt8, displacement: Int64, isWrite: Bool)? {
        let raw = item.raw
        guard raw.map == 0, !raw.isVEX else { return nil }
        switch (item.kind, raw.opcode) {
        case (.special, 0x50...0x57), (.special, 0x68), (.special, 0x6A), (.special, 0xFF), (.flow, 0xE8):
            return (4, -8, true)
        case (.flow, 0xFF): return raw.digit == 2 ? (4, -8, true) : nil
        case (.special, 0x58...0x5F), (.system, 0x9D), (.flow, 0xC2), (.flow, 0xC3): return (4, 0, false)
        case (.special, 0xC9): return (5, 0, false)
        default: return nil
        }
    }

    private mutating func joinIndexed(
        _ index: Int, _ instruction: Instruction, _ bytes: Int, _ isWrite: Bool
    ) {
        let key = (instruction.base, instruction.index, instruction.scale)
        let plan = index * 2 + AccessRole.operand.rawValue
        for place in openIndexed.indices {
            let (number, moved) = openIndexed[place]
            guard (groups[number].base, groups[number].index, groups[number].scale) == key else { continue }
            let offset = instruction.displacement &+ moved
            if extend(number, offset, bytes, isWrite) {
                plans[plan] = AccessPlan(group: number, offset: offset)
            } else {
                openIndexed.remove(at: place)
                break
            }
            return
        }
        groups.append(
            AccessGroup(
                base: instruction.base, index: instruction.index, scale: instruction.scale,
                low: instruction.displacement, end: instruction.displacement + Int64(bytes), isWrite: isWrite))
        plans[plan] = AccessPlan(group: groups.count - 1, offset: instruction.displacement)
        openIndexed.append((groups.count - 1, 0))
    }

    /// - Returns: false where the group would span too much.
    private mutating func extend(_ group: Int, _ offset: Int64, _ bytes: Int, _ isWrite: Bool) -> Bool {
        let low = min(groups[group].low, offset)
        let end = max(groups[group].end, offset &+ Int64(bytes))
        guard end &- low <= Self.maximumBytes else { return false }
        groups[group].low = low
        groups[group].end = end
        groups[group].count += 1
        if isWrite { groups[group].isWrite = true }
        return true
    }

    private mutating func join(
        _ index: Int, _ role: AccessRole, _ place: Int, _ displacement: Int64, _ bytes: Int, _ isWrite: Bool
    ) {
        if let known = open[place] {
            let offset = displacement + known.moved
            if extend(known.group, offset, bytes, isWrite) {
                plans[index * 2 + role.rawValue] = AccessPlan(group: known.group, offset: offset)
                return
            }
        }
        groups.append(
            AccessGroup(
                base: place == Self.codePlace ? Instruction.ripRegister : UInt8(place), low: displacement,
                end: displacement + Int64(bytes), isWrite: isWrite))
        plans[index * 2 + role.rawValue] = AccessPlan(group: groups.count - 1, offset: displacement)
        open[place] = (groups.count - 1, 0)
    }

    /// Groups of one access are none, and there is room for so many.
    private mutating func keepUseful() {
        var numbers = [Int?](repeating: nil, count: groups.count)
        var kept: [AccessGroup] = []
        for (number, group) in groups.enumerated() where group.count > 1 && kept.count < StateLayout.groupCount {
            numbers[number] = kept.count
            kept.append(group)
        }
        for index in plans.indices {
            guard let plan = plans[index] else { continue }
            plans[index] = numbers[plan.group].map { AccessPlan(group: $0, offset: plan.offset) }
        }
        groups = kept
    }

    subscript(index: Int, role: AccessRole) -> AccessPlan? { plans[index * 2 + role.rawValue] }

    mutating func reach(_ group: Int) { groups[group].isReached = true }

    mutating func prove(_ group: Int, _ offset: Int64, alignment: UInt8) {
        groups[group].provenAlignment = alignment
        groups[group].provenOffset = offset
    }
}
