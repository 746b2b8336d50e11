// SPDX-License-Identifier: Apache-2.0

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
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: CodeReader.pageSize)
    var cursor: UnsafeMutablePointer<UInt8>
    var dataUsed = 0
    var mode = TranslationMode(bits: 0)
    /// What the keys of the jump table were made from.
    var keySources: (fetch: UInt64, epoch: UInt64, mode: UInt64) = (0, 0, 0)
    /// Ends of what was ever written in the areas since their memory was given back.
    var (codeEnd, dataEnd) = (0, 0)
    /// By physical address and mode.
    var blocks = BlockTable()
    /// As `blocks` for code whose accesses are made one by one.
    var plainBlocks = BlockTable()
    var cachedSites: [CachedSite] = []
    let slots: SlotAllocator
    let cachesEverywhere: Bool
    var isOnlyProcessor = false
    /// The keys in `blocks` of each page.
    var pages: [UInt64: [UInt64]] = [:]
    var drops: [UInt64: Int] = [:]
    var sites: [ChainSite] = []
    var farSites: [FarSite] = []
    let farCells: FarCellAllocator
    /// How often code was forgotten.
    var dropCount = 0
    let maximumDrops: Int
    package internal(set) var statistics = TranslatorStatistics()
    let counts = InterpretedCounts()
    /// Where each instruction is compared with the interpreter.
    var lockstep: Lockstep?
    /// Names for perf(1).
    var perfMap: PerfMap?

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

    /// The translator of a processor; nil where all is interpreted.
    static func of(_ cpu: SoftCPU) -> Translator? { cpu.translator as? Translator }

    /// What the translator of a processor did so far; nil where there is none.
    package static func statistics(of cpu: SoftCPU) -> TranslatorStatistics? { of(cpu)?.statistics }

    /// Bytes of code and of what belongs to it, now and at most.
    var usedBytes: Int { (cursor - area.start) + dataUsed }
    var capacity: Int { area.count + data.count }
    var blockCount: Int { blocks.count }

    private init(
        _ cpu: SoftCPU, cacheBytes: Int, maximumDrops: Int, cachesEverywhere: Bool
    ) throws(Errno) {
        slots = SlotAllocator(cpu)
        self.cachesEverywhere = cachesEverywhere
        self.maximumDrops = maximumDrops
        self.cpu = .passUnretained(cpu)
        precondition(
            Outcome.next.rawValue == 0 && Outcome.branch.rawValue == ExitReason.branched
                && Outcome.fault.rawValue == ExitReason.faulted && Outcome.exit.rawValue == ExitReason.left)
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
        translation.pointee.context = Unmanaged.passUnretained(self).toOpaque()
        translation.pointee.run = runTranslation
    }

    deinit {
        blocks.deallocate()
        plainBlocks.deallocate()
        counts.deallocate()
        buffer.deallocate()
    }
}
