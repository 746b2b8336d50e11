// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface
internal import GuestMemory

/// Walks all page tables of a processor for `info tlb` and `info mem` (SDM vol. 3, chapter "Paging").
struct PageTables {
    /// One mapped page.
    struct Page {
        var linear: UInt64
        var physical: UInt64
        var count: UInt64
        /// The entry's own bits, and what the levels above allow.
        var entry: UInt64
        var isUser: Bool
        var isWritable: Bool
    }
    private struct Level {
        var shift: UInt64
        var entries: UInt64
        var mayBePage: Bool
    }
    private let memory: GuestMemory
    private let root: UInt64
    private let levels: [Level]
    private let entrySize: UInt64
    /// Addresses above are sign-extended.
    private let linearBits: UInt64
    /// A guest may build tables that loop: no more entries than this are read.
    private static let mostEntries = 16 << 20
    private static let mostPages = 1 << 18

    /// nil while paging is off.
    init?(_ registers: X86Registers, memory: GuestMemory) {
        let paging: UInt64 = 1 << 31, physicalExtension: UInt64 = 1 << 5, largePages: UInt64 = 1 << 4
        guard registers.cr0 & paging != 0 else { return nil }
        self.memory = memory
        if registers.efer & (1 << 10) != 0 {
            let hasFive = registers.cr4 & (1 << 12) != 0
            let upper = hasFive ? [Level(shift: 48, entries: 512, mayBePage: false)] : []
            levels =
                upper + [
                    Level(shift: 39, entries: 512, mayBePage: false), Level(shift: 30, entries: 512, mayBePage: true),
                    Level(shift: 21, entries: 512, mayBePage: true), Level(shift: 12, entries: 512, mayBePage: true),
                ]
            (root, entrySize, linearBits) = (registers.cr3 & 0x000F_FFFF_FFFF_F000, 8, hasFive ? 57 : 48)
        } else if registers.cr4 & physicalExtension != 0 {
            levels = [
                Level(shift: 30, entries: 4, mayBePage: false), Level(shift: 21, entries: 512, mayBePage: true),
                Level(shift: 12, entries: 512, mayBePage: true),
            ]
            (root, entrySize, linearBits) = (registers.cr3 & 0xFFFF_FFE0, 8, 64)
        } else {
            levels = [
                Level(shift: 22, entries: 1024, mayBePage: registers.cr4 & largePages != 0),
                Level(shift: 12, entries: 1024, mayBePage: true),
            ]
            (root, entrySize, linearBits) = (registers.cr3 & 0xFFFF_F000, 4, 64)
        }
    }

    /// All pages by ascending table place; the flag says whether the walk was cut short.
    func pages() -> (pages: [Page], isComplete: Bool) {
        var pages: [Page] = []
        let isComplete = visit { page in
            pages.append(page)
            return pages.count < Self.mostPages
        }
        return (pages, isComplete)
    }

    /// Shows `body` all pages by ascending table place, until it wants no more.
    /// - Returns: whether these were all.
    func visit(_ body: (Page) -> Bool) -> Bool {
        var budget = Self.mostEntries
        walk(root, 0, 0, isUser: true, isWritable: true, &budget, body)
        return budget > 0
    }

    private func walk(
        _ table: UInt64, _ depth: Int, _ linear: UInt64, isUser: Bool, isWritable: Bool, _ budget: inout Int,
        _ body: (Page) -> Bool
    ) {
        let level = levels[depth]
        let isLast = depth == levels.count - 1
        guard let bytes = try? memory.read(at: table, count: Int(level.entries * entrySize)) else { return }
        for index in 0..<level.entries {
            budget -= 1
            guard budget > 0 else { return }
            let start = Int(index * entrySize)
            let entry = bytes[start..<start + Int(entrySize)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard entry & 1 != 0 else { continue }
            let address = linear | index << level.shift
            // The directory-pointer entries of 32-bit PAE have neither bit.
            let hasRights = !(levels.count == 3 && depth == 0)
            let user = isUser && (!hasRights || entry & 4 != 0), writable = isWritable && (!hasRights || entry & 2 != 0)
            if isLast || (level.mayBePage && entry & 0x80 != 0) {
                let count: UInt64 = 1 << level.shift
                let physical = entry & 0x000F_FFFF_FFFF_F000 & ~(count - 1)
                let page = Page(
                    linear: extended(address), physical: physical, count: count, entry: entry, isUser: user,
                    isWritable: writable)
                if !body(page) { budget = 0 }
            } else {
                walk(
                    entry & 0x000F_FFFF_FFFF_F000, depth + 1, address, isUser: user, isWritable: writable, &budget,
                    body)
            }
        }
    }

    private func extended(_ address: UInt64) -> UInt64 {
        guard linearBits < 64, address >> (linearBits - 1) & 1 != 0 else { return address }
        return address | ~UInt64(0) << linearBits
    }
}

extension PageTables {
    private static let cut = "(stopped: the tables are too large or loop)\n"

    /// `info tlb`: one line a page.
    var tlbText: String {
        let letters: [(UInt64, Character)] = [
            (63, "X"), (8, "G"), (7, "P"), (6, "D"), (5, "A"), (4, "C"), (3, "T"), (2, "U"), (1, "W"),
        ]
        let (pages, isComplete) = pages()
        var text = ""
        for page in pages {
            let flags = letters.map { bit, letter -> Character in
                // Bit 7 is PAT, not the size, in the entry of a small page.
                if bit == 7 && page.count == 4096 { return "-" }
                return page.entry >> bit & 1 != 0 ? letter : "-"
            }
            text += "\(hex(page.linear, 16)): \(hex(page.physical, 16)) \(String(flags))\n"
        }
        return text + (isComplete ? "" : Self.cut)
    }

    /// `info mem`: adjacent pages with the same rights together.
    var rangesText: String {
        let (pages, isComplete) = pages()
        var text = ""
        var current: (start: UInt64, end: UInt64, rights: String)?
        func close() {
            guard let range = current else { return }
            text +=
                "\(hex(range.start, 16))-\(hex(range.end, 16)) \(hex(range.end &- range.start, 16)) \(range.rights)\n"
        }
        for page in pages {
            let rights = (page.isUser ? "u" : "-") + "r" + (page.isWritable ? "w" : "-")
            if let range = current, range.end == page.linear, range.rights == rights {
                current?.end = page.linear &+ page.count
            } else {
                close()
                current = (page.linear, page.linear &+ page.count, rights)
            }
        }
        close()
        return text + (isComplete ? "" : Self.cut)
    }
}

/// A range of memory as the guest sees it.
struct LinearMapping: Equatable {
    var linear: UInt64, physical: UInt64, count: UInt64
}

extension PageTables {
    private static let mostMappings = 1 << 20

    /// What the page tables of all processors show, by linear address, adjacent pages together; as physical memory where
    /// no processor pages. nil where the tables are too large or loop.
    static func mappings(_ processors: [X86Registers], _ memory: GuestMemory) -> [LinearMapping]? {
        var found: [LinearMapping] = []
        for root in Set(processors.compactMap { PageTables($0, memory: memory) }) {
            var isFirst = true
            let isComplete = root.visit { page in
                if !isFirst, let last = found.last, last.linear &+ last.count == page.linear,
                    last.physical &+ last.count == page.physical
                {
                    found[found.count - 1].count += page.count
                } else {
                    found.append(LinearMapping(linear: page.linear, physical: page.physical, count: page.count))
                }
                isFirst = false
                return found.count < mostMappings
            }
            guard isComplete else { return nil }
        }
        guard !found.isEmpty else {
            return DumpPiece.all(of: memory).map {
                LinearMapping(linear: $0.address, physical: $0.address, count: $0.count)
            }
        }
        found.sort { ($0.linear, $0.physical, $0.count) < ($1.linear, $1.physical, $1.count) }
        return found.reduce(into: []) { kept, next in if kept.last != next { kept.append(next) } }
    }
}

extension PageTables: Hashable {
    static func == (a: PageTables, b: PageTables) -> Bool {
        a.root == b.root && a.linearBits == b.linearBits && a.levels.count == b.levels.count
    }

    func hash(into hasher: inout Hasher) { hasher.combine(root) }
}
