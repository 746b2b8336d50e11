// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// One instruction of a block that is being translated.
struct BlockInstruction {
    var decoded: DecodedInstruction
    var raw: RawInstruction
    var kind: InstructionKind
    var effect: FlagEffect
    /// Bytes from the page's start.
    var offset: Int
    /// Something behind it may look at the flags that it leaves.
    var flagsAreLive = false

    var instruction: Instruction { decoded.instruction }
    var length: Int { Int(decoded.instruction.length) }
    var end: Int { offset + length }
}

/// A direct jump inside a page that is linked when its target is known.
struct ChainSite {
    /// Of the jump's displacement, in the writable mapping.
    var place: UnsafeMutablePointer<UInt8>
    /// Offset of the target in the page.
    var target: Int
    var page: UInt64
    /// RFLAGS holds the flags; else they are saved, or nobody wants them.
    var needsSavedEntry: Bool
    /// It jumps on: no poll is needed.
    var isForward: Bool
    /// Bits of the key of its code beside the address.
    var mode: UInt64
}

/// Where translated code begins, in the writable mapping.
struct BlockEntries {
    /// The flags are saved.
    var saved: UnsafeMutablePointer<UInt8>
    /// RFLAGS holds the flags.
    var native: UnsafeMutablePointer<UInt8>
    /// As `native`, without a look at what wants attention.
    var unpolled: UnsafeMutablePointer<UInt8>
}

/// Translates one block.
struct BlockTranslator {
    /// Where the arithmetic flags are.
    enum FlagPlace { case native, saved, both, nowhere }

    /// Code out of line, which is emitted in the end.
    enum Cold {
        /// Interprets an instruction and goes on behind it.
        case interpret(
            from: [UnsafeMutablePointer<UInt8>], site: Int, back: UnsafeMutablePointer<UInt8>)
        /// As above, where the site's cache may be filled first.
        case refill(
            Refill, slow: [UnsafeMutablePointer<UInt8>], site: Int, back: UnsafeMutablePointer<UInt8>, offset: Int)
        /// Runs the rest of the block without groups, from an offset on.
        case ungroup(from: [UnsafeMutablePointer<UInt8>], refill: Refill?, offset: Int)
        /// Leaves for a target in the page.
        case chain(from: UnsafeMutablePointer<UInt8>, target: Int, flags: FlagPlace, source: Int)
        /// Leaves for a target in another page.
        case far(from: UnsafeMutablePointer<UInt8>, target: Int, flags: FlagPlace)
        /// As above, from a site that is not linked or whose cell is stale.
        case unlinked(
            from: [UnsafeMutablePointer<UInt8>], site: FarSite, flags: FlagPlace, restoresCounter: Bool)
        /// An address that was not in its entry of the jump table, and that may be none of code.
        case transfer(unknown: UnsafeMutablePointer<UInt8>, site: Int, stub: UnsafeMutablePointer<UInt8>)
        case poll(from: UnsafeMutablePointer<UInt8>, offset: Int, restoresCounter: Bool, saving: Bool)
    }

    let reader: CodeReader
    let stubs: Stubs
    let mode: TranslationMode
    let key: UInt64
    let page: UInt64
    let start: Int
    var emitter: Emitter
    /// For what stands out of line.
    var coldEmitter: Emitter
    var body: [BlockInstruction] = []
    var cold: [Cold] = []
    var sites: [ChainSite] = []
    var farSites: [FarSite] = []
    /// Nil where jumps to other pages are not linked.
    var farCells: FarCellAllocator?
    /// As `firstSite`, of `farSites`.
    var firstFarSite = 0
    var flags = FlagPlace.native
    /// The host's vector registers are the guest's from here on.
    var hasVectors = false
    /// As `hasVectors` for the x87 unit.
    var hasFPU = false
    /// Offset of the block's instructions in the data area.
    var dataOffset = 0
    /// Nothing is linked with it, not even itself, and it ends before what lockstep mode runs once.
    var isAlone = false
    /// Instructions at most.
    var limit = BlockTranslator.maximumInstructions
    /// First index that `sites` will have in the translator's list.
    let firstSite: Int
    var entries: BlockEntries
    /// Nil in a block whose accesses are made one by one.
    var groups: AccessGroups?
    /// Nil where accesses have no caches.
    var slots: SlotAllocator?
    /// Gives cells to loops; nil where they are run as they stand.
    var loopCells: SlotAllocator?
    /// The loop whose body is being emitted a second time, with its accesses looked up before it.
    var loop: AccessLoop?
    /// Where jumps to the block's own start go if it has such a loop.
    var loopGate: UnsafeMutablePointer<UInt8>?
    /// Whose address scratch0 holds since the last instruction.
    var held: HeldAddress?
    var cachedSites: [CachedSite] = []
    /// Reached from the middle of another translation of the same code, when its groups do not hold.
    var isPlain = false
    /// Other processors look at the same memory.
    var keepsLocks = true
    /// What the code may use of the host.
    var abilities = HostAbilities.host

    static let maximumInstructions = 64

    init(
        reader: CodeReader, stubs: Stubs, mode: TranslationMode, key: UInt64, page: UInt64, start: Int,
        place: UnsafeMutablePointer<UInt8>, coldPlace: UnsafeMutablePointer<UInt8>, firstSite: Int
    ) {
        self.reader = reader
        self.stubs = stubs
        self.mode = mode
        self.key = key
        self.page = page
        self.start = start
        self.firstSite = firstSite
        emitter = Emitter(at: place)
        coldEmitter = Emitter(at: coldPlace)
        entries = BlockEntries(saved: place, native: place, unpolled: place)
    }

    // MARK: analysis

    /// Decodes the block.
    /// - Returns: false where not even its first instruction lies in the page whole.
    mutating func decode() -> Bool {
        var offset = start
        while body.count < limit, let decoded = reader.decode(at: offset, from: start) {
            let raw = RawInstruction(
                reader.pointer(offset), count: Int(decoded.instruction.length), is64: reader.is64)
            var kind = InstructionKind(raw, decoded)
            if kind == .shaped || kind == .verbatim, !isAllowed(raw, decoded) { kind = .interpreted }
            if kind == .floating, !mode.hasFPU { kind = .interpreted }
            if kind == .system, raw.map == 1, raw.modRM == 0xF9, raw.opcode == 1, !reader.showsRDTSCP {
                kind = .interpreted
            }
            if !reader.is64, !isReachable(decoded) { kind = .interpreted }
            let effect = kind == .interpreted ? .unknown : FlagEffect.of(raw, decoded)
            let item = BlockInstruction(
                decoded: decoded, raw: raw, kind: kind, effect: effect, offset: offset)
            if isAlone, !body.isEmpty, !LockstepRegion.isComparable(item) { break }
            body.append(item)
            if isAlone, !LockstepRegion.isComparable(item) { break }
            offset += Int(decoded.instruction.length)
            if decoded.status == .undefined || decoded.endsBlock || endsBlock(kind, raw) { break }
        }
        findLiveFlags()
        return !body.isEmpty
    }

    private func endsBlock(_ kind: InstructionKind, _ raw: RawInstruction) -> Bool {
        kind == .interpreted && InstructionKind.changesMode(raw)
    }

    /// Whether the host has the instruction, and the processor's mode lets a vector instruction run without a check.
    private func isAllowed(_ raw: RawInstruction, _ decoded: DecodedInstruction) -> Bool {
        guard abilities.contains(raw.hostNeeds) else { return false }
        if raw.isVEX, raw.map == 1, raw.opcode == 0x77 { return mode.hasAVX }
        guard let shape = Shape.of(raw, decoded) else { return true }
        if shape.isMMX { return mode.hasFPU }
        guard shape.isVector else { return true }
        if shape.isFloatingPoint, !mode.masksVectorTraps { return false }
        return raw.isVEX ? mode.hasAVX : mode.hasSSE
    }

    private mutating func findLiveFlags() {
        guard let last = body.last else { return }
        var isLive = true
        if last.kind == .flow {
            if let target = last.nearTarget { isLive = liveAtTarget(target, last) }
        } else if last.kind != .interpreted,
            body.count == Self.maximumInstructions || last.end == CodeReader.pageSize
        {
            isLive = reader.needsFlags(at: last.end)
        }
        for index in body.indices.reversed() {
            body[index].flagsAreLive = isLive
            let effect = body[index].effect
            isLive = effect.contains(.reads) || isLive && !effect.contains(.replaces)
        }
    }

    private func liveAtTarget(_ target: Int, _ last: BlockInstruction) -> Bool {
        guard target >= 0, target < CodeReader.pageSize else { return true }
        let isConditional = !last.decoded.endsBlock
        return reader.needsFlags(at: target) || isConditional && reader.needsFlags(at: last.end)
    }

    // MARK: emission

    /// The block's code, what stands out of line and the sites that lead out; the instructions are at `dataOffset` in the
    /// data area by then.
    mutating func emit() {
        let is64 = UInt8(truncatingIfNeeded: key) & StateLayout.widthMask == StateLayout.width64
        let isGrouped = is64 && !isPlain
        if isPlain { slots = nil }
        if isGrouped { groups = AccessGroups(body, start: start) }
        emitEntry()
        for index in body.indices { emit(index) }
        if let last = body.last, !last.endsFlow { emitContinuation(at: last.end, last) }
        if isGrouped, !isAlone, let loopCells, !needsFlags, let loop = AccessLoop(body, start: start) {
            emitLoop(loop, loopCells.takeLoop())
        }
        swap(&emitter, &coldEmitter)
        emitCold()
        swap(&emitter, &coldEmitter)
    }

    /// Its first instructions look at the flags that they find.
    private var needsFlags: Bool {
        body[0].effect.contains(.reads) || body[0].flagsAreLive && !body[0].effect.contains(.replaces)
    }

    /// No instruction looks at the flags or changes them, and they cannot stay in RFLAGS all along.
    private var passesFlags: Bool {
        body.allSatisfy { $0.effect.isEmpty } && body.contains { $0.clobbersFlags }
    }

    /// Of a block that passes the flags on: they are saved at once, so that nothing in it has to spare them.
    private mutating func emitPassingEntry() {
        flags = .native
        entries.unpolled = emitter.cursor
        saveFlags()
        let overPoll = emitter.jump()
        flags = .native
        entries.native = emitter.cursor
        saveFlags()
        entries.saved = emitter.cursor
        emitPlainPoll()
        emitter.linkHere(overPoll)
        flags = .saved
    }

    /// Looks whether attention is wanted; destroys RFLAGS.
    private mutating func emitPlainPoll() {
        emitter.arithmetic(7, .state(StateLayout.attention), 0, wide: false)
        let wanted = emitter.jump(if: Emitter.ifNotEqual)
        cold.append(.poll(from: wanted, offset: start, restoresCounter: false, saving: false))
    }

    private mutating func emitEntry() {
        if needsFlags, passesFlags { return emitPassingEntry() }
        entries.saved = emitter.cursor
        if needsFlags {
            flags = .saved
            ensureNativeFlags()
            flags = .native
        }
        entries.native = emitter.cursor
        if needsFlags {
            // JRCXZ looks at no flag.
            emitter.move(Host.scratch0, Host.rcx)
            emitter.load(Host.rcx, .state(StateLayout.attention), wide: false)
            emitter.bytes(0xE3, 5)
            let wanted = emitter.jump()
            emitter.move(Host.rcx, Host.scratch0)
            cold.append(.poll(from: wanted, offset: start, restoresCounter: true, saving: true))
        } else {
            emitPlainPoll()
            flags = .nowhere
        }
        entries.unpolled = emitter.cursor
    }

    mutating func emit(_ index: Int) {
        let item = body[index]
        defer { if !keepsHeld(item) { held = nil } }
        switch item.kind {
        case .nothing: break
        case .interpreted: emitByInterpreter(index)
        case .verbatim: emitVerbatim(item)
        case .shaped: emitShaped(index)
        case .special: emitSpecial(index)
        case .system: emitSystem(index)
        case .floating: emitFloating(index)
        case .flow: emitFlow(index)
        }
    }

    /// What the interpreter's handler of an instruction is told by: its place in the data area.
    func site(_ index: Int) -> Int { dataOffset + index * MemoryLayout<Instruction>.stride }

    private mutating func emitVerbatim(_ item: BlockInstruction) {
        if item.raw.isVEX { prepareVectors(item) }
        prepareFlags(item)
        let bytes = reader.pointer(item.offset)
        for index in 0..<item.length { emitter.byte(bytes[index]) }
        noteFlags(item)
    }

    // MARK: flags

    /// Puts the flags in memory where RFLAGS alone holds them. Changes scratch1.
    mutating func saveFlags() {
        guard flags == .native else { return }
        emitter.move(Host.scratch1, Host.rax)
        Stubs.emitSaveFlags(&emitter, Host.rsp)
        emitter.move(Host.rax, Host.scratch1)
        flags = .both
    }

    /// Puts the flags in RFLAGS where memory alone holds them. Changes scratch1.
    mutating func ensureNativeFlags() {
        guard flags == .saved else { return }
        emitter.move(Host.scratch1, Host.rax)
        Stubs.emitRestoreFlags(&emitter, Host.rsp)
        emitter.move(Host.rax, Host.scratch1)
        flags = .both
    }

    /// The instruction wants RFLAGS as the guest has them: it reads them, or changes some and others stay live.
    func wantsFlags(_ item: BlockInstruction) -> Bool {
        item.effect.contains(.reads)
            || item.effect.contains(.writes) && !item.effect.contains(.replaces) && item.flagsAreLive
    }

    /// Before an instruction that RFLAGS is not destroyed for.
    mutating func prepareFlags(_ item: BlockInstruction) {
        if wantsFlags(item) { ensureNativeFlags() }
    }

    /// Before code that destroys RFLAGS on behalf of an instruction.
    mutating func prepareClobber(_ item: BlockInstruction) {
        let survive =
            item.effect.contains(.reads) || item.flagsAreLive && !item.effect.contains(.replaces)
        if survive { saveFlags() }
        flags = survive && flags != .nowhere ? .saved : .nowhere
    }

    /// After an instruction.
    mutating func noteFlags(_ item: BlockInstruction) {
        if item.effect.contains(.writes) { flags = .native }
    }
}

extension BlockInstruction {
    /// The target of a direct jump or call, from the page's start.
    var nearTarget: Int? {
        switch (raw.map, raw.opcode) {
        case (0, 0x70...0x7F), (0, 0xE2...0xE3), (0, 0xE8), (0, 0xE9), (0, 0xEB), (1, 0x80...0x8F):
            // Relative to the block's start, from which `decoded` counts.
            let start = offset - Int(instruction.offset)
            return start + Int(truncatingIfNeeded: Int64(bitPattern: instruction.immediate))
        default: return nil
        }
    }

    /// Its code needs RFLAGS: it looks at the TLB, or at the table of jump targets.
    fileprivate var clobbersFlags: Bool {
        switch kind {
        case .shaped: return raw.isMemory
        case .special:
            if raw.map == 1 { return raw.opcode < 0xC0 }
            return raw.opcode != 0x8D && !(0x90...0x97).contains(raw.opcode) && !(0xB0...0xBF).contains(raw.opcode)
        case .flow: return nearTarget == nil || raw.opcode == 0xE8
        case .floating, .system: return true
        case .interpreted, .nothing, .verbatim: return false
        }
    }

    /// Control never comes behind it.
    var endsFlow: Bool {
        kind == .flow && decoded.endsBlock || kind == .system && InstructionKind.isSystemCall(raw)
    }
}
