// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Of a loop whose accesses are looked up before it, beside the state.
enum LoopCell {
    /// Jumps back that are let pass before the next try, in 32 bits like the others; rounds that are left, less than 0
    /// when they are used up; and what that was at first.
    static let skips: Int32 = 0, rounds: Int32 = 4, firstRounds: Int32 = 8
}

// A second copy of a loop's body: before it all accesses are looked up, and how many rounds they stay in their pages is
// counted; in it each access is the guest's own with one more register.
//
//     block ──► jump back ──► gate ──► look-ups ──► body ──► jump back, rounds left ─┐
//       ▲                      │ skip      │ no       ▲──────────────────────────────┤
//       └──────────────────────┴───────────┘             no rounds left: look-ups ◄──┘
extension BlockTranslator {
    /// Rounds at most before attention is looked for.
    private static let maximumRounds: Int32 = 255
    /// A loop that goes round less often than this is not worth the look-ups: so many jumps back are let pass then, or
    /// when a look-up failed.
    private static let leastRounds: Int32 = 3, shortSkips: Int32 = 40, failedSkips: Int32 = 3
    private static let noSign: UInt8 = 9

    private static func base(_ group: Int) -> Place { .state(StateLayout.loopBases + Int32(group) * 8) }

    private mutating func set(_ place: Place, _ value: Int32) {
        emitter.op(0xC7, 0, place, wide: false)
        emitter.long(value)
    }

    mutating func emitLoop(_ loop: AccessLoop, _ cell: Int32) {
        let (skips, rounds) = (Place.state(cell + LoopCell.skips), Place.state(cell + LoopCell.rounds))
        let firstRounds = Place.state(cell + LoopCell.firstRounds)
        loopGate = emitter.cursor
        emitter.arithmetic(5, skips, 1, wide: false)
        Emitter.link(emitter.jump(if: Self.noSign), to: entries.native)
        // How often it went round last time.
        emitter.load(Host.scratch0, firstRounds, wide: false)
        emitter.op(0x2B, Host.scratch0, rounds, wide: false)
        emitter.arithmetic(7, .register(Host.scratch0), Self.leastRounds, wide: false)
        let isShort = emitter.jump(if: 2)
        let lookUps = emitter.cursor
        emitter.arithmetic(7, .state(StateLayout.attention), 0, wide: false)
        let wanted = emitter.jump(if: Emitter.ifNotEqual)
        cold.append(.poll(from: wanted, offset: start, restoresCounter: false, saving: false))
        set(rounds, Self.maximumRounds)
        var failed: [UnsafeMutablePointer<UInt8>] = []
        for group in loop.groups.indices { emitLookUp(loop.groups[group], group, rounds, &failed) }
        emitter.load(Host.scratch0, rounds, wide: false)
        emitter.store(firstRounds, Host.scratch0, wide: false)
        emitBody(loop, rounds, lookUps)
        emitter.linkHere(isShort)
        set(firstRounds, .max)
        set(rounds, 0)
        set(skips, Self.shortSkips)
        emitter.jump(to: entries.native)
        for place in failed { emitter.linkHere(place) }
        set(skips, Self.failedSkips)
        emitter.jump(to: entries.native)
    }

    private mutating func emitBody(
        _ loop: AccessLoop, _ rounds: Place, _ lookUps: UnsafeMutablePointer<UInt8>
    ) {
        let saved = (flags, hasVectors, hasFPU, held)
        self.loop = loop
        // The units were loaded by the round that came here.
        (flags, hasVectors, hasFPU, held) = (.nowhere, true, true, nil)
        let begin = emitter.cursor
        for index in 0..<loop.last { emit(index) }
        let jump = body[loop.last]
        ensureNativeFlags()
        leave(by: emitter.jump(if: jump.raw.opcode & 15 ^ 1), to: jump.end, from: jump.offset)
        emitter.arithmetic(5, rounds, 1, wide: false)
        Emitter.link(emitter.jump(if: Self.noSign), to: begin)
        emitter.jump(to: lookUps)
        self.loop = nil
        (flags, hasVectors, hasFPU, held) = saved
    }

    // MARK: before the rounds

    /// Looks a group up, keeps what its accesses add, and lessens the rounds to those that it stays in its page.
    private mutating func emitLookUp(
        _ group: LoopGroup, _ number: Int, _ rounds: Place, _ failed: inout [UnsafeMutablePointer<UInt8>]
    ) {
        let (address, entry) = (Host.scratch0, Host.scratch1)
        emitLow(group)
        for alignment in group.alignments {
            emitter.address(entry, .memory(address, Int32(alignment.offset)))
            emitter.instruction(Encoding(), 0xF6, reg: 0, .register(entry))
            emitter.byte(alignment.bits)
            failed.append(emitter.jump(if: Emitter.ifNotEqual))
        }
        failed += emitLookup(bytes: group.bytes, isWrite: group.isWrite)
        guard group.rate != 0 else {
            _ = singleOperand()
            return emitter.store(Self.base(number), address)
        }
        emitRounds(group, rounds)
        emitter.load(address, .memory(entry, 8))
        emitter.op(0x2B, address, .memory(entry))
        if group.movesIndex {
            if group.base < 16 { emitter.op(0x03, address, .register(fetch(group.base, into: entry))) }
        } else if group.index < 16 {
            let index = fetch(group.index, into: entry)
            emitter.address(address, .indexed(address, index, scale: group.scale))
        }
        emitter.store(Self.base(number), address)
    }

    /// The linear address of a group's lowest byte in the first round, in scratch0.
    private mutating func emitLow(_ group: LoopGroup) {
        let (address, low) = (Host.scratch0, Int32(truncatingIfNeeded: group.low))
        if group.base == Instruction.ripRegister {
            emitter.load(address, .state(StateLayout.codePage))
            return emitter.address(address, .memory(address, low))
        }
        var place = Place(base: Place.none, displacement: low)
        if group.base < 16 { place.base = fetch(group.base, into: address) }
        if group.index < 16 {
            place.index = fetch(group.index, into: Host.scratch1)
            place.scale = group.scale
        }
        emitter.address(address, place)
    }

    /// From the offset in the page in scratch0; leaves scratch1 alone.
    private mutating func emitRounds(_ group: LoopGroup, _ rounds: Place) {
        let room = Host.scratch0
        if group.rate > 0 {
            emitter.op(0xF7, 3, .register(room))
            emitter.arithmetic(0, .register(room), Int32(CodeReader.pageSize - group.bytes))
        }
        let rate = UInt32(abs(group.rate))
        if rate.nonzeroBitCount == 1 {
            emitter.op(0xC1, 5, .register(room), wide: false)
            emitter.byte(UInt8(rate.trailingZeroBitCount))
        } else {
            // Room is below 4096, so that the product has 32 bits, and the quotient is never too large.
            emitter.op(0x69, room, .register(room), wide: false)
            emitter.long(Int32(65536 / rate))
            emitter.op(0xC1, 5, .register(room), wide: false)
            emitter.byte(16)
        }
        emitter.op(0x3B, room, rounds, wide: false)
        let isEnough = emitter.jump(if: Emitter.ifAboveOrEqual)
        emitter.store(rounds, room, wide: false)
        emitter.linkHere(isEnough)
    }

    // MARK: in the rounds

    /// The operand of an instruction of the loop. Changes scratch0, and scratch1 where a guest register in memory moves.
    mutating func reach(_ index: Int, in loop: AccessLoop) -> Access {
        guard let plan = loop.plans[index] else { preconditionFailure("an operand without a plan") }
        let group = loop.groups[plan.group]
        let to = Host.scratch0
        if held != .loop(plan.group) { emitter.load(to, Self.base(plan.group)) }
        held = .loop(plan.group)
        if group.rate == 0 { return Access(place: .memory(to, Int32(plan.offset &- group.low))) }
        let instruction = body[index].instruction
        let moving = group.movesIndex ? group.index : group.base
        let scale = group.movesIndex ? group.scale : 0
        let displacement = Int32(truncatingIfNeeded: instruction.displacement)
        if let host = Host.of(moving) {
            return Access(place: .indexed(to, host, scale: scale, displacement))
        }
        emitter.load(Host.scratch1, Self.slot(moving))
        emitter.address(to, .indexed(to, Host.scratch1, scale: scale, displacement))
        held = nil
        return Access(place: .memory(to))
    }
}
