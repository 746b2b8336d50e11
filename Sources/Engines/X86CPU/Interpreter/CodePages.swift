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
final class CodePages: CodePageObserver, @unchecked Sendable {
    private struct Marks {
        let firstPage: UInt64
        let pageCount: UInt64
        let flags: UnsafeMutablePointer<UInt8>
        let words: UnsafeMutablePointer<UInt64>
    }

    /// Log2 of the bytes of one mark.
    private static let granuleShift: UInt64 = 6

    // Immutable after init; the words themselves are changed atomically.
    private let marks: [Marks]
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
        self.marks = marks
    }

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
        if roost_atomic_or64(word, mask) & mask == mask { return }
        if roost_atomic_or8(flag, GuestMemory.PageFlags.code.rawValue) & GuestMemory.PageFlags.code.rawValue == 0 {
            // The page may stand in write TLBs: out of them, here at once and elsewhere as soon as they look.
            cpu.dropWriteTranslation(ofPage: page)
            tellOthers(page, than: cpu, isMark: true)
        }
    }

    /// Called after a processor's store to a page with the flag `code`, and before its next instruction.
    func written(page: UInt64, offset: Int, count: Int, by cpu: SoftCPU) {
        guard let (word, flag) = find(page), roost_atomic_load64(word) & Self.mask(offset: offset, count: count) != 0
        else { return }
        clear(word, flag)
        cpu.blocks.drop(page: page)
        tellOthers(page, than: cpu, isMark: false)
    }

    /// A device or the loader wrote somewhere in the page.
    func codePageWritten(_ page: UInt64) {
        guard let (word, flag) = find(page) else { return }
        clear(word, flag)
        tellOthers(page, than: nil, isMark: false)
    }

    /// A processor that may have written to a freshly marked page through its write TLB.
    func rewritten(page: UInt64, by cpu: SoftCPU) {
        guard let (word, flag) = find(page) else { return }
        clear(word, flag)
        cpu.blocks.drop(page: page)
        tellOthers(page, than: cpu, isMark: false)
    }

    private func clear(_ word: UnsafeMutablePointer<UInt64>, _ flag: UnsafeMutablePointer<UInt8>) {
        _ = roost_atomic_and8(flag, ~GuestMemory.PageFlags.code.rawValue)
        _ = roost_atomic_and64(word, 0)
    }

    private func tellOthers(_ page: UInt64, than cpu: SoftCPU?, isMark: Bool) {
        lock.lock()
        defer { lock.unlock() }
        let own = cpu.map { Unmanaged.passUnretained($0).toOpaque() }
        for processor in processors where processor.toOpaque() != own {
            processor._withUnsafeGuaranteedRef { $0.postCodeChange(page: page, isMark: isMark) }
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
            blocks.dropAll()
        }
        for page in changes.marked where dropWriteTranslation(ofPage: page) {
            codePages.rewritten(page: page, by: self)
        }
        for page in changes.dropped { blocks.drop(page: page) }
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
        return found
    }
}
