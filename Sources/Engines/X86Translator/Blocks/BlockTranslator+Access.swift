// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// How an instruction's operand in memory was reached.
struct Access {
    /// By scratch0 alone.
    var place: Place
    /// Jumps that want the instruction interpreted.
    var slow: [UnsafeMutablePointer<UInt8>] = []
    /// The site's cache did not hold the page.
    var refill: Refill?
}

/// What stands out of line for a site with a cache, and what is needed to take the cache away from it.
struct Refill {
    /// Of the jump out.
    var from: UnsafeMutablePointer<UInt8>
    var slot: Int32
    var isWrite: Bool
    var bytes: Int
    /// The first instruction that uses the cache, and where scratch0 holds the host's address.
    var begin: UnsafeMutablePointer<UInt8>, done: UnsafeMutablePointer<UInt8>
}

/// A site whose cache may be taken away.
struct CachedSite {
    /// Behind the call of the stub, by which the site is known.
    var returnPlace: UnsafeMutablePointer<UInt8>
    var refill: Refill
    /// Where to go when the TLB does not know the page either.
    var slow: UnsafeMutablePointer<UInt8>
    /// Offset of the instruction in its page.
    var offset: Int
    /// The host's time when its misses were looked at last.
    var lookedAt: UInt64
    /// How often it is let pass before its looks are counted again.
    var reprieve = 0
}

// Memory operands: alone by the TLB or by a cache of the site, or together with others of the block that share a base.
extension BlockTranslator {
    /// The operand is reached without a look at the TLB and without a change of RFLAGS.
    func isGentle(_ index: Int, _ role: AccessRole, alignment: UInt8 = 0) -> Bool {
        if loop != nil { return true }
        guard let plan = groups?[index, role], let group = groups?.groups[plan.group], group.isReached else {
            return false
        }
        return alignment == 0 || isProven(group, plan, alignment)
    }

    private func isProven(_ group: AccessGroup, _ plan: AccessPlan, _ alignment: UInt8) -> Bool {
        group.provenAlignment >= alignment && (plan.offset &- group.provenOffset) & Int64(alignment) == 0
    }

    /// Before `reach`: sees to the flags.
    mutating func prepareReach(_ index: Int, _ role: AccessRole, alignment: UInt8 = 0) {
        if isGentle(index, role, alignment: alignment) {
            prepareFlags(body[index])
        } else {
            prepareClobber(body[index])
        }
    }

    /// Reaches an operand. Changes both scratch registers, of which the second is free afterwards, and RFLAGS where the
    /// access is not gentle.
    mutating func reach(
        _ index: Int, _ role: AccessRole, bytes: Int, isWrite: Bool, alignment: UInt8 = 0
    ) -> Access {
        if let loop { return reach(index, in: loop) }
        guard let plan = groups?[index, role] else {
            emitOwnAddress(index, role)
            held = nil
            return reachAlone(bytes: bytes, isWrite: isWrite, alignment: alignment)
        }
        if !(groups?.groups[plan.group].isReached ?? false) {
            reachGroup(index, role, plan)
        } else if held != .group(plan.group) {
            emitter.load(Host.scratch0, Self.groupPlace(plan.group))
        }
        held = .group(plan.group)
        guard let group = groups?.groups[plan.group] else { return Access(place: .memory(Host.scratch0)) }
        var access = Access(
            place: .memory(Host.scratch0, Int32(truncatingIfNeeded: plan.offset &- group.low)))
        if alignment != 0, !isProven(group, plan, alignment) {
            var tested = Host.scratch0
            if access.place.displacement != 0 {
                tested = Host.scratch1
                emitter.address(tested, access.place)
            }
            emitter.instruction(Encoding(), 0xF6, reg: 0, .register(tested))
            emitter.byte(alignment)
            access.slow.append(emitter.jump(if: Emitter.ifNotEqual))
            groups?.prove(plan.group, plan.offset, alignment: alignment)
        }
        return access
    }

    /// Reaches the group of an access, if it has one, before another access of the same instruction is made that the
    /// interpreter may have to make instead.
    mutating func reachGroup(_ index: Int, _ role: AccessRole) {
        guard let plan = groups?[index, role], let group = groups?.groups[plan.group], !group.isReached else { return }
        reachGroup(index, role, plan)
        held = nil
    }

    private static func groupPlace(_ group: Int) -> Place {
        .state(StateLayout.groups + Int32(group) * 8)
    }

    /// The linear address of a single operand, in scratch0.
    private mutating func emitOwnAddress(_ index: Int, _ role: AccessRole) {
        let item = body[index]
        guard role == .stack else { return emitAddress(item) }
        let isLeave = item.kind == .special && item.raw.opcode == 0xC9
        let pops = isLeave || isPop(item)
        let base = isLeave ? Host.rbp : Host.guestStack
        if pops {
            emitter.move(Host.scratch0, base)
        } else {
            emitter.address(Host.scratch0, .memory(base, -8))
        }
    }

    private func isPop(_ item: BlockInstruction) -> Bool {
        switch (item.kind, item.raw.opcode) {
        case (.special, 0x58...0x5F), (.system, 0x9D), (.flow, 0xC2), (.flow, 0xC3): true
        default: false
        }
    }

    /// What is added to the base for an access.
    private func ownDisplacement(_ index: Int, _ role: AccessRole) -> Int64 {
        let item = body[index]
        guard role == .operand else {
            return isPop(item) || item.kind == .special && item.raw.opcode == 0xC9 ? 0 : -8
        }
        let isCode = item.instruction.base == Instruction.ripRegister
        return item.instruction.displacement &+ (isCode ? Int64(start) : 0)
    }

    // MARK: groups

    /// The first access of a group: the host's address of the group's lowest byte comes into scratch0, and is kept.
    private mutating func reachGroup(_ index: Int, _ role: AccessRole, _ plan: AccessPlan) {
        guard let group = groups?.groups[plan.group] else { return }
        let to = Host.scratch0
        // From the base as it stands now.
        let low = Int32(truncatingIfNeeded: group.low &- plan.offset &+ ownDisplacement(index, role))
        if group.base == Instruction.ripRegister {
            emitter.load(to, .state(StateLayout.codePage))
            emitter.address(to, .memory(to, low))
        } else {
            var place = Place(base: Place.none, displacement: low)
            if group.base < 16 { place.base = fetch(group.base, into: to) }
            if group.index < 16 {
                place.index = fetch(group.index, into: Host.scratch1)
                place.scale = group.scale
            }
            if low == 0, place.index == Place.none {
                if place.base != to { emitter.move(to, place.base) }
            } else {
                emitter.address(to, place)
            }
        }
        if let slots, let bytes = SiteCache.sizes.first(where: { $0 >= group.bytes }),
            let slot = slots.take(bytes: bytes, isWrite: group.isWrite)
        {
            let refill = emitCached(slot, bytes: bytes, isWrite: group.isWrite)
            cold.append(.ungroup(from: [], refill: refill, offset: body[index].offset))
        } else {
            // Kernels begin their stacks at the ends of pages: not a byte more than there is.
            let slow = emitLookup(bytes: group.bytes, isWrite: group.isWrite)
            _ = singleOperand()
            cold.append(.ungroup(from: slow, refill: nil, offset: body[index].offset))
        }
        emitter.store(Self.groupPlace(plan.group), to)
        groups?.reach(plan.group)
    }

    // MARK: single accesses

    /// - Parameter address: in scratch0.
    private mutating func reachAlone(bytes: Int, isWrite: Bool, alignment: UInt8) -> Access {
        guard let slot = slots?.take(bytes: bytes, isWrite: isWrite) else {
            let slow = emitLookup(bytes: bytes, isWrite: isWrite, alignment: alignment)
            return Access(place: singleOperand(), slow: slow)
        }
        var slow: [UnsafeMutablePointer<UInt8>] = []
        if alignment != 0 {
            emitter.instruction(Encoding(), 0xF6, reg: 0, .register(Host.scratch0))
            emitter.byte(alignment)
            slow.append(emitter.jump(if: Emitter.ifNotEqual))
        }
        let refill = emitCached(slot, bytes: bytes, isWrite: isWrite)
        return Access(place: .memory(Host.scratch0), slow: slow, refill: refill)
    }

    /// Turns the linear address in scratch0 into the host's by a site's cache.
    private mutating func emitCached(_ slot: Int32, bytes: Int, isWrite: Bool) -> Refill {
        let begin = emitter.cursor
        // See `SiteTrial` for this one.
        emitter.op(0x2B, Host.scratch0, .state(slot + SiteCache.tag))
        emitter.op(0x3B, Host.scratch0, .state(slot + SiteCache.limit))
        let from = emitter.jump(if: Emitter.ifAboveOrEqual)
        emitter.op(0x03, Host.scratch0, .state(slot + SiteCache.host))
        return Refill(
            from: from, slot: slot, isWrite: isWrite, bytes: bytes, begin: begin, done: emitter.cursor)
    }

    /// The jumps of an access lead to the interpreter, which goes on behind the instruction: here.
    mutating func interpretSlowly(_ index: Int, _ access: Access) {
        guard !access.slow.isEmpty || access.refill != nil else { return }
        held = nil
        guard let refill = access.refill else { return interpretSlowly(index, access.slow) }
        cold.append(
            .refill(
                refill, slow: access.slow, site: site(index), back: emitter.cursor, offset: body[index].offset))
    }

    // MARK: out of line

    mutating func emitRefill(
        _ refill: Refill, _ slow: [UnsafeMutablePointer<UInt8>], _ site: Int, _ back: UnsafeMutablePointer<UInt8>,
        _ offset: Int
    ) {
        emitRefillCall(refill, offset)
        for place in slow { emitter.linkHere(place) }
        emitter.constant(Host.scratch1, UInt32(site))
        emitter.call(stubs.interpret)
        emitter.jump(to: back)
    }

    /// A look at the TLB; with the page found it goes on where the host's address is wanted, else falls through.
    private mutating func emitRefillCall(_ refill: Refill, _ offset: Int) {
        emitter.linkHere(refill.from)
        emitter.address(Host.scratch1, .state(refill.slot))
        emitter.call(refill.isWrite ? stubs.refillWrite : stubs.refillRead)
        let returnPlace = emitter.cursor
        Emitter.link(emitter.jump(if: Emitter.ifAboveOrEqual), to: refill.done)
        cachedSites.append(
            CachedSite(
                returnPlace: returnPlace, refill: refill, slow: emitter.cursor, offset: offset, lookedAt: 0))
    }

    /// The block's rest is run without groups.
    mutating func emitUngroup(_ from: [UnsafeMutablePointer<UInt8>], _ refill: Refill?, _ offset: Int) {
        if let refill { emitRefillCall(refill, offset) }
        for place in from { emitter.linkHere(place) }
        emitter.constant(Host.scratch1, UInt32(firstSite + sites.count))
        let place = emitter.jump()
        Emitter.link(place, to: stubs.ungroup)
        sites.append(
            ChainSite(place: place, target: offset, page: page, needsSavedEntry: true, isForward: false, mode: key))
    }
}

/// Hands out site caches and cells of loops; the slots of a kind go round.
final class SlotAllocator {
    private var nextLoop = 0

    private let cpu: SoftCPU
    private var next = [Int](repeating: 0, count: SiteCache.kinds)
    /// Of the code that is translated.
    var isUser = false

    init(_ cpu: SoftCPU) { self.cpu = cpu }

    func take(bytes: Int, isWrite: Bool) -> Int32? {
        guard let kind = SiteCache.kind(bytes: bytes, isWrite: isWrite, isUser: isUser) else { return nil }
        let slot = SiteCache.slot(kind: kind, next[kind])
        next[kind] = (next[kind] + 1) % SiteCache.ring
        cpu.prepareSite(slot, bytes: SiteCache.sizes[kind / 4])
        return slot
    }

    /// A loop's cell.
    func takeLoop() -> Int32 {
        let cell = TranslationTables.loops + Int32(nextLoop * TranslationTables.loopBytes)
        nextLoop = (nextLoop + 1) % TranslationTables.loopCount
        return cell
    }
}
