// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
public import HostSystem
public import X86CPU

/// Turns the hot blocks of one processor's 64-bit code into code of the host, which has the same instruction set: most
/// instructions are emitted almost as they were found, with memory operands led through the software TLB.
///
///     run ──► find ──► enter ══► translated code ══► leave ──► link, or back to the interpreter
///                                      ║  ▲
///                                      ▼  ║
///                               interpret (one instruction)
///
/// Everything happens on the processor's thread. Code is kept by guest-physical address, so that address spaces share it,
/// and it is forgotten by page when the page changes, or altogether when its memory is full.
public final class Translator: CodeTranslator {
    typealias EnterCode = @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer) -> UInt64

    let cpu: Unmanaged<SoftCPU>
    let state: UnsafeMutableRawPointer
    let translation: UnsafeMutablePointer<TranslationState>
    let area: CodeArea
    let data: MemoryMapping
    let stubs: Stubs
    let enter: EnterCode
    let table: JumpTable
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: CodeReader.bufferSize)
    /// Where the next block's code goes: what is run again and again, and what stands out of line.
    var cursor: UnsafeMutablePointer<UInt8>, coldCursor: UnsafeMutablePointer<UInt8>
    /// The area's second half, which holds what stands out of line.
    let coldStart: UnsafeMutablePointer<UInt8>
    var dataUsed = 0
    /// Bytes of code and of the data area that were used since memory was given back.
    var codeEnd = 0, dataEnd = 0
    private(set) var mode = TranslationMode(bits: 0)
    /// What the keys of the jump table stand for.
    var keySources: (UInt64, UInt64, UInt64) = (0, 0, 0)
    /// By physical address and mode.
    var blocks = BlockTable()
    /// As `blocks` for code whose accesses are made one by one.
    var plainBlocks = BlockTable()
    var cachedSites: [CachedSite] = []
    var crossings = CrossingBlocks()
    /// The site that counts its looks.
    var trial: SiteTrial?
    let slots: SlotAllocator
    let cachesEverywhere: Bool
    private var isOnlyProcessor = false
    private(set) var abilities = HostAbilities.host
    /// The keys in `blocks` of each page.
    var pages: [UInt64: [UInt64]] = [:]
    private var drops: [UInt64: Int] = [:]
    var sites: [ChainSite] = []
    var farSites: [FarSite] = []
    let farCells: FarCellAllocator
    /// How often code was forgotten.
    var dropCount = 0
    private let maximumDrops: Int
    /// What was translated, linked and forgotten since the start; for tests and reports.
    package internal(set) var statistics = TranslatorStatistics()
    let counts = InterpretedCounts()
    /// Where each instruction is compared with the interpreter.
    var lockstep: Lockstep?
    /// Names for perf(1).
    private(set) var perfMap: PerfMap?

    /// Room for one block's code, and what the data area keeps for it.
    static let blockBytes = 64 << 10
    static let dataBytes =
        (BlockTranslator.maximumInstructions + 1) * MemoryLayout<Instruction>.stride + headerBytes
    /// Before a block's instructions: its offset in the page.
    static let headerBytes = 8
    static let modeBits: UInt64 = 14

    /// Gives a processor a translator.
    /// - Parameters:
    ///   - cacheBytes: bound of the memory for code and what belongs to it.
    ///   - threshold: how often a block is interpreted before it is translated.
    ///   - maximumDrops: a page that was rewritten so often is left to the interpreter.
    ///   - perfMap: where translated code is named.
    ///   - isOnlyProcessor: nothing but itself changes memory by more than single stores.
    ///   - cachesEverywhere: accesses of kernel code have caches of their own as those of user code have.
    /// - Throws: the host's error where it refuses the memory.
    public static func install(
        on cpu: SoftCPU, cacheBytes: Int, threshold: Int32 = 24, maximumDrops: Int = 200,
        perfMap: PerfMap? = nil, isOnlyProcessor: Bool = false, cachesEverywhere: Bool = false
    ) throws(Errno) {
        let translator = try Translator(
            cpu, cacheBytes: cacheBytes, maximumDrops: maximumDrops, cachesEverywhere: cachesEverywhere)
        translator.isOnlyProcessor = isOnlyProcessor
        translator.perfMap = perfMap
        cpu.translation.pointee.threshold = threshold
        cpu.translator = translator
    }

    /// Gives a processor a translator whose every instruction is compared with the interpreter.
    /// - Throws: the host's error where it refuses the memory.
    public static func installInLockstep(on cpu: SoftCPU, cacheBytes: Int) throws(Errno) {
        let translator = try Translator(cpu, cacheBytes: cacheBytes, maximumDrops: .max, cachesEverywhere: false)
        translator.lockstep = Lockstep()
        translator.translation.pointee.run = runTranslationInLockstep
        cpu.translation.pointee.threshold = -1
        cpu.translator = translator
    }

    /// For tests: code of a processor that is translated from now on uses no more of the host than this.
    package static func limit(_ cpu: SoftCPU, to abilities: HostAbilities) { of(cpu)?.abilities = abilities }

    /// The translator of a processor; nil where all is interpreted.
    static func of(_ cpu: SoftCPU) -> Translator? { cpu.translator as? Translator }

    /// What the translator of a processor did so far; nil where there is none.
    package static func statistics(of cpu: SoftCPU) -> TranslatorStatistics? { of(cpu)?.statistics }

    /// Bytes of code and of what belongs to it, now and at most.
    var usedBytes: Int { codeBytes + dataUsed }
    var capacity: Int { area.count + data.count }
    var blockCount: Int { blocks.count }

    private init(
        _ cpu: SoftCPU, cacheBytes: Int, maximumDrops: Int, cachesEverywhere: Bool
    ) throws(Errno) {
        slots = SlotAllocator(cpu)
        self.cachesEverywhere = cachesEverywhere
        self.maximumDrops = maximumDrops
        self.cpu = .passUnretained(cpu)
        state = cpu.translationState
        table = JumpTable(state)
        farCells = FarCellAllocator(state)
        translation = cpu.translation
        // Code takes about as many bytes as the decoded instructions that are kept for the interpreter.
        let half = max(cacheBytes / 2, 16 * Self.blockBytes) & ~4095
        area = try CodeArea(count: half)
        data = try MemoryMapping.anonymous(count: half)
        let helper = unsafeBitCast(interpretForTranslation, to: UInt.self)
        stubs = Stubs(
            at: area.start, code: area.executable(area.start), helper: UInt64(helper), hasAVX: cpu.hostHasAVX)
        enter = unsafeBitCast(area.executable(stubs.enter), to: EnterCode.self)
        cursor = stubs.end
        coldStart = area.start + area.count / 2
        coldCursor = coldStart
        translation.pointee.context = Unmanaged.passUnretained(self).toOpaque()
        translation.pointee.run = runTranslation
    }

    deinit {
        blocks.deallocate()
        plainBlocks.deallocate()
        counts.deallocate()
        buffer.deallocate()
    }

    // MARK: running

    func run(_ first: UInt64) -> Int32 {
        cpu._withUnsafeGuaranteedRef { cpu in
            cpu.saveFlagsForTranslation()
            var linear = first
            var isHot = true
            var direct: UnsafeRawPointer?
            // What the code may do without a check.
            var mayHaveChanged = true
            let mode = cpu.codeMode
            while true {
                if mayHaveChanged {
                    updateMode(cpu)
                    updateKeys(cpu)
                }
                mayHaveChanged = false
                guard let code = direct ?? find(linear, cpu, translates: isHot) else {
                    cpu.takeFlagsOfTranslation()
                    return isHot ? Outcome.next.rawValue : goBack(cpu, mode)
                }
                isHot = false
                direct = nil
                translation.pointee.codePage = linear & ~UInt64(CodeReader.pageSize - 1)
                let result = enter(state, code)
                statistics.exits &+= 1
                let reason = UInt32(truncatingIfNeeded: result)
                let site = Int(result >> 32)
                switch reason {
                case ExitReason.chain:
                    cpu.translationRIP = translation.pointee.codePage &+ UInt64(sites[site].target)
                    link(site)
                case ExitReason.ungroup:
                    cpu.translationRIP = translation.pointee.codePage &+ UInt64(sites[site].target)
                    direct = ungroup(site, cpu)
                case ExitReason.demote: demote(site, cpu)
                case ExitReason.poll: cpu.translationRIP = translation.pointee.codePage &+ UInt64(site)
                case ExitReason.lookup: mayHaveChanged = true
                case ExitReason.missed: break
                case ExitReason.far: link(far: site, cpu)
                case ExitReason.returned:
                    if !Self.isCanonical(cpu.translationRIP) { return refuseReturn(site, cpu) }
                case ExitReason.branched:
                    mayHaveChanged = true
                    cpu.saveFlagsForTranslation()
                case ExitReason.left, ExitReason.faulted:
                    mayHaveChanged = true
                    if reason == ExitReason.faulted, !cpu.deliverForTranslation() {
                        return Outcome.fault.rawValue
                    }
                    guard cpu.settleForTranslation() else { return Outcome.exit.rawValue }
                default: return Int32(bitPattern: reason)
                }
                if cpu.isAttentionWanted {
                    cpu.takeFlagsOfTranslation()
                    return goBack(cpu, mode)
                }
                linear = cpu.translationRIP
            }
        }
    }

    /// The interpreter goes on with blocks of the mode that it came with; for another one it starts anew.
    private func goBack(_ cpu: SoftCPU, _ mode: UInt8) -> Int32 {
        cpu.codeMode == mode ? Outcome.branch.rawValue : Outcome.exit.rawValue
    }

    func updateMode(_ cpu: SoftCPU) { mode = cpu.translationMode }

    func modeKey(_ cpu: SoftCPU) -> UInt64 { cpu.fetchKey & 0xFF | mode.bits }

    /// - Returns: where the code of a linear address runs.
    private func find(_ linear: UInt64, _ cpu: SoftCPU, translates: Bool) -> UnsafeRawPointer? {
        let keys = jumpKeys(cpu)
        if let known = table.find(linear, keys) { return known }
        guard let physical = cpu.physicalCode(at: linear) else { return nil }
        let key = physical << Self.modeBits | modeKey(cpu)
        var tag = linear &+ (cpu.isGlobalCode(at: linear) ? keys.global : keys.space)
        let page = linear & ~UInt64(CodeReader.pageSize - 1)
        if let known = table.recall(linear, JumpTable.mark(key, drops: dropCount), tag: tag, page: page) {
            return known
        }
        guard let (entries, isCrossing) = blockEntries(linear, physical, key, cpu, translates: translates) else {
            return nil
        }
        if isCrossing, !cpu.isGlobalCode(at: page &+ UInt64(CodeReader.pageSize)) { tag = linear &+ keys.space }
        let code = area.executable(entries.saved)
        let mark = isCrossing ? 0 : JumpTable.mark(key, drops: dropCount)
        table.enter(
            linear, JumpTable.Entry(tag: tag, code: code, page: page, mark: mark),
            inForce: (translation.pointee.userKeys, translation.pointee.kernelKeys))
        return code
    }

    /// The block at an address, and whether it is one instruction that ends in another page.
    private func blockEntries(
        _ linear: UInt64, _ physical: UInt64, _ key: UInt64, _ cpu: SoftCPU, translates: Bool
    ) -> (BlockEntries, isCrossing: Bool)? {
        switch blocks.find(key) {
        case .block(let known): return (known, false)
        case .untranslatable: break
        case .unknown:
            guard translates else { return nil }
            if let made = translate(physical, key, cpu) { return (made, false) }
        }
        return crossing(linear, physical, key, cpu, translates: translates).map { ($0, true) }
    }

    // MARK: translating

    /// - Parameters:
    ///   - isPlain: its accesses are made one by one.
    ///   - nextPage: for one instruction that ends in that page; the block is not kept.
    func translate(
        _ physical: UInt64, _ key: UInt64, _ cpu: SoftCPU, isPlain: Bool = false, nextPage: UInt64? = nil
    ) -> BlockEntries? {
        makeRoom()
        let page = physical >> 12
        guard drops[page, default: 0] < maximumDrops else { return nil }
        let start = Int(physical & UInt64(CodeReader.pageSize - 1))
        let modeKey = key & (1 << Self.modeBits - 1)
        let reader = CodeReader(
            cpu, page: page, nextPage: nextPage, mode: UInt8(truncatingIfNeeded: modeKey), buffer: buffer)
        var block = BlockTranslator(
            reader: reader, stubs: stubs, mode: mode, key: modeKey, page: page, start: start,
            place: cursor, coldPlace: coldCursor, firstSite: sites.count)
        block.abilities = abilities
        guard block.decode() else {
            if nextPage == nil { remember(nil, key, page, isPlain) }
            return nil
        }
        block.dataOffset = keepInstructions(block)
        block.isPlain = isPlain
        block.keepsLocks = !isOnlyProcessor
        slots.isUser = UInt8(truncatingIfNeeded: modeKey) & StateLayout.userBit != 0
        if slots.isUser || cachesEverywhere { block.slots = slots }
        block.loopCells = slots
        block.farCells = farCells
        block.firstFarSite = farSites.count
        block.emit()
        finish(block)
        if nextPage == nil { remember(block.entries, key, page, isPlain) }
        return block.entries
    }

    func keyOf(_ physical: UInt64, _ cpu: SoftCPU) -> UInt64 { physical << Self.modeBits | modeKey(cpu) }

    private func remember(_ entries: BlockEntries?, _ key: UInt64, _ page: UInt64, _ isPlain: Bool) {
        if isPlain { plainBlocks.set(key, entries) } else { blocks.set(key, entries) }
        pages[page, default: []].append(key)
    }

    // MARK: forgetting

    /// Forgets the blocks of a guest-physical page, by its number.
    package func drop(page: UInt64) {
        if let lockstep, lockstep.forget(page: page) { noteDrop() }
        let hadCrossings = crossings.drop(page: page)
        let keys = pages.removeValue(forKey: page) ?? []
        guard hadCrossings || !keys.isEmpty else { return }
        for key in keys {
            blocks.remove(key)
            plainBlocks.remove(key)
        }
        drops[page, default: 0] += 1
        noteDrop()
        statistics.drops += 1
    }

    private func noteDrop() {
        dropCount &+= 1
        if dropCount % JumpTable.markedDrops == 0 { table.forgetMarks() }
    }

    /// Forgets all blocks; the memory for code is empty again.
    package func dropAll() {
        blocks.removeAll()
        plainBlocks.removeAll()
        crossings.removeAll()
        cachedSites.removeAll(keepingCapacity: true)
        trial = nil
        pages.removeAll(keepingCapacity: true)
        drops.removeAll()
        sites.removeAll(keepingCapacity: true)
        farSites.removeAll(keepingCapacity: true)
        farCells.removeAll()
        lockstep?.forget()
        table.clear()
        noteEnds()
        (cursor, coldCursor) = (stubs.end, coldStart)
        dataUsed = 0
        dropCount &+= 1
        statistics.flushes += 1
    }
}
