// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import GuestMemory
internal import HostSystem

/// Which parts of guest memory have been decoded by any processor of the machine, and who must be told of a change.
///
/// For each page there is a word with one bit for each 64 bytes that hold decoded code. A page with any bit set has the
/// flag `code` in `GuestMemory`, which keeps it out of the write TLBs, so that each store to it comes to `written`. A store
/// that touches no marked bytes costs no more than that; one that does clears the page's marks and tells all processors
/// to drop their blocks of the page. Marks are made before the bytes are read, and a processor that had the page in its
/// write TLB answers a new mark with a change of its own, since it may have written in between.
final class CodePages: CodePageObserver, MemoryMapObserver, @unchecked Sendable {
    private struct Marks {
        // Changed only with the machine lock held, in one store.
        var firstPage: UInt64
        let pageCount: UInt64
        let flags: UnsafeMutablePointer<UInt8>
        let words: UnsafeMutablePointer<UInt64>
    }

    /// Log2 of the bytes of one mark.
    private static let granuleShift: UInt64 = 6

    // As many as regions, in their order; the words themselves are changed atomically.
    private let marks: UnsafeMutableBufferPointer<Marks>
    private var owned: [OwnedWords] = []
    // Guards `processors`, which changes only while the machine is assembled.
    private let lock = Lock()
    private var processors: [Unmanaged<SoftCPU>] = []

    private final class OwnedWords {
        let mapping: MemoryMapping
        init(_ mapping: consuming MemoryMapping) { self.mapping = mapping }
    }

    /// Covers the regions that the memory has now.
    init(_ memory: GuestMemory) throws(Errno) {
        var marks: [Marks] = []
        for region in memory.regions {
            let pages = region.count / GuestMemory.pageSize
            let mapping = try MemoryMapping.anonymous(count: Int(pages) * 8)
            marks.append(
                Marks(
                    firstPage: region.start / GuestMemory.pageSize, pageCount: pages, flags: region.pageFlags,
                    words: mapping.base.assumingMemoryBound(to: UInt64.self)))
            owned.append(OwnedWords(mapping))
        }
        self.marks = .allocate(capacity: marks.count)
        _ = self.marks.initialize(from: marks)
    }

    deinit { marks.deallocate() }

    /// A processor that is told of changes until `remove`.
    func add(_ cpu: SoftCPU) { lock.withLock { processors.append(.passUnretained(cpu)) } }

    func remove(_ cpu: SoftCPU) {
        lock.withLock { processors.removeAll { $0.toOpaque() == Unmanaged.passUnretained(cpu).toOpaque() } }
    }

    private func find(_ page: UInt64) -> (word: UnsafeMutablePointer<UInt64>, flag: UnsafeMutablePointer<UInt8>)? {
        for marks in marks where page &- marks.firstPage < marks.pageCount {
            let index = Int(page &- marks.firstPage)
            return (marks.words + index, marks.flags + index)
        }
        return nil
    }

    /// The marks of bytes `offset..<offset + count` of a page.
    private static func mask(offset: Int, count: Int) -> UInt64 {
        let first = UInt64(offset) >> granuleShift
        let last = min(63, UInt64(offset + max(count, 1) - 1) >> granuleShift)
        return (UInt64.max << first) & (UInt64.max >> (63 - last))
    }

    /// Notes that `cpu` is about to decode bytes of a page.
    func mark(page: UInt64, offset: Int, count: Int, by cpu: SoftCPU) {
        guard let (word, flag) = find(page) else { return }
        let mask = Self.mask(offset: offset, count: count)
        // Whoever clears the marks after this look posts a change, which is taken after the decoding.
        if roost_atomic_load64(word) & mask == mask { return }
        lock.lock()
        _ = roost_atomic_or64(word, mask)
        let old = roost_atomic_or8(flag, GuestMemory.PageFlags.code.rawValue)
        let isNew = old & GuestMemory.PageFlags.code.rawValue == 0
        if isNew { tellOthers(than: cpu) { $0.postCodeChange(page: page, isMark: true) } }
        lock.unlock()
        // The page may stand in write TLBs: out of them, here at once and elsewhere as soon as they look.
        if isNew { cpu.dropWriteTranslation(ofPage: page) }
    }

    /// Called after a processor's store to a page with the flag `code`, and before its next instruction.
    func written(page: UInt64, offset: Int, count: Int, by cpu: SoftCPU) {
        guard let (word, _) = find(page) else { return }
        // The store is before the look at the marks, as a decoder's mark is before its reads: one sees the other.
        roost_fence()
        guard roost_atomic_load64(word) & Self.mask(offset: offset, count: count) != 0 else { return }
        rewritten(page: page, by: cpu)
    }

    /// Code at addresses that now lead elsewhere is decoded anew, and no processor keeps a translation to the old place.
    func memoryRegionMoved(_ index: Int, of memory: GuestMemory) {
        let region = memory.region(index: index)
        marks[index].firstPage = region.start / GuestMemory.pageSize
        let pages = Int(region.count / GuestMemory.pageSize)
        let hasCode = (0..<pages).contains {
            region.pageFlags[$0] & GuestMemory.PageFlags.code.rawValue != 0
        }
        lock.withLock {
            tellOthers(than: nil) { processor in
                if hasCode { processor.postAllCodeChanged() }
                processor.forgetTranslations()
            }
        }
    }

    /// A device or the loader wrote somewhere in the page.
    func codePageWritten(_ page: UInt64) { clear(page, than: nil) }

    /// A processor wrote to decoded bytes of the page, or may have through its write TLB before it saw a fresh mark.
    func rewritten(page: UInt64, by cpu: SoftCPU) {
        clear(page, than: cpu)
        cpu.blocks.drop(page: page)
    }

    /// A processor that does not know any more which pages were marked, and may have written to any of them.
    func everythingRewritten(by cpu: SoftCPU) {
        lock.withLock { tellOthers(than: cpu) { $0.postAllCodeChanged() } }
    }

    private func clear(_ page: UInt64, than cpu: SoftCPU?) {
        guard let (word, flag) = find(page) else { return }
        lock.lock()
        defer { lock.unlock() }
        // Flag and marks change together under the lock, so that no marked page is without its flag.
        _ = roost_atomic_and64(word, 0)
        _ = roost_atomic_and8(flag, ~GuestMemory.PageFlags.code.rawValue)
        tellOthers(than: cpu) { $0.postCodeChange(page: page, isMark: false) }
    }

    /// The lock is held.
    private func tellOthers(than cpu: SoftCPU?, _ tell: (SoftCPU) -> Void) {
        let own = cpu.map { Unmanaged.passUnretained($0).toOpaque() }
        for processor in processors where processor.toOpaque() != own {
            processor._withUnsafeGuaranteedRef(tell)
        }
    }
}

/// Changes of code that other threads have posted to a processor.
struct PostedCodeChanges {
    /// Pages whose blocks are stale.
    var dropped: [UInt64] = []
    /// Pages that another processor decodes from now on.
    var marked: [UInt64] = []
    /// More were posted than were worth listing: everything is stale.
    var overflowed = false
    /// Another processor lost count: everything decoded is stale.
    var allDropped = false
    static let limit = 256
}

extension SoftCPU {
    /// Posts a change from any thread; the processor takes it at its next block.
    func postCodeChange(page: UInt64, isMark: Bool) {
        codeChangeLock.withLock {
            if postedCodeChanges.dropped.count + postedCodeChanges.marked.count >= PostedCodeChanges.limit {
                postedCodeChanges.overflowed = true
            } else if isMark {
                postedCodeChanges.marked.append(page)
            } else {
                postedCodeChanges.dropped.append(page)
            }
        }
        raiseAttention(Attention.codeChanged)
    }

    /// Posts that any code may have changed.
    func postAllCodeChanged() {
        codeChangeLock.withLock { postedCodeChanges.allDropped = true }
        raiseAttention(Attention.codeChanged)
    }

    /// Answers `Attention.codeChanged`, which it clears. On the processor's thread, between blocks.
    func processCodeChanges() {
        clearAttention(Attention.codeChanged)
        let changes = codeChangeLock.withLock {
            let changes = postedCodeChanges
            postedCodeChanges = PostedCodeChanges()
            return changes
        }
        if changes.overflowed {
            // Rare: a list that is incomplete is answered by forgetting everything.
            _ = dropWriteTranslations(to: nil)
            codePages.everythingRewritten(by: self)
        }
        if changes.overflowed || changes.allDropped {
            blocks.dropAll()
            translator?.dropAll()
        }
        for page in changes.marked where dropWriteTranslation(ofPage: page) {
            codePages.rewritten(page: page, by: self)
        }
        for page in changes.dropped { blocks.drop(page: page) }
    }

    /// Answers the marks that other processors have set, before translations go that tell whether this one wrote to the
    /// marked pages unnoticed. Also in the middle of a block.
    func answerMarks() {
        // What was written comes before the look, as a decoder's mark comes before its reads.
        roost_fence()
        guard roost_atomic_load32(attentionWord) & Attention.codeChanged != 0 else { return }
        let (marked, overflowed) = codeChangeLock.withLock {
            let marked = postedCodeChanges.marked
            postedCodeChanges.marked = []
            return (marked, postedCodeChanges.overflowed)
        }
        if overflowed { codePages.everythingRewritten(by: self) }
        for page in marked where dropWriteTranslation(ofPage: page) { codePages.rewritten(page: page, by: self) }
    }

    /// Takes a guest-physical page out of the write TLBs of all access classes. The TLBs do not know physical pages, so
    /// all entries that lead to the page's host memory go.
    /// - Returns: whether there were any, so that the page may have been written without notice.
    @discardableResult
    func dropWriteTranslation(ofPage page: UInt64) -> Bool {
        guard
            let host = environment.memory.hostPointer(
                at: page &* GuestMemory.pageSize, count: Int(GuestMemory.pageSize), writable: false)
        else { return false }
        return dropWriteTranslations(to: UInt64(UInt(bitPattern: host)))
    }

    private func dropWriteTranslations(to host: UInt64?) -> Bool {
        var found = false
        let mmu = state.pointee.mmu
        for index in 0..<mmu.pointee.contextCount where mmu.pointee.contexts[index].dropWrites(to: host) {
            found = true
        }
        if state.dropSites(where: { _, page in host.map { page == $0 } ?? true }) { found = true }
        return found
    }
}
