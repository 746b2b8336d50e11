// SPDX-License-Identifier: Apache-2.0

public import GuestMemory

/// Pages of guest memory that are still to be sent: a bit each, by region.
public struct PageSet: Sendable {
    private var words: [[UInt64]]
    /// Pages in the set.
    public private(set) var count = 0

    /// The empty set, or all pages of the memory.
    public init(_ memory: GuestMemory, isFull: Bool = false) {
        words = memory.regions.map { [UInt64](repeating: 0, count: (Int($0.count / GuestMemory.pageSize) + 63) / 64) }
        guard isFull else { return }
        for (region, range) in memory.regions.enumerated() {
            for page in 0..<Int(range.count / GuestMemory.pageSize) { insert(page, region: region) }
        }
    }

    /// Adds a page of a region.
    public mutating func insert(_ page: Int, region: Int) {
        let bit: UInt64 = 1 << UInt64(page & 63)
        if words[region][page >> 6] & bit == 0 { count += 1 }
        words[region][page >> 6] |= bit
    }

    /// Adds what was written since the flags were last taken, and clears the flags. The vCPUs are parked.
    public mutating func takeDirty(of memory: GuestMemory) {
        let dirty = GuestMemory.PageFlags.dirty.rawValue
        let everyDirty = UInt64(dirty) &* 0x0101_0101_0101_0101
        for (index, region) in memory.regions.enumerated() {
            let total = Int(region.count / GuestMemory.pageSize)
            var page = 0
            while page < total {
                // Eight flag bytes at once, where the region has them: most are clean.
                if total - page >= 8,
                    unsafe UnsafeRawPointer(region.pageFlags + page).loadUnaligned(as: UInt64.self) & everyDirty == 0
                {
                    page += 8
                    continue
                }
                let end = min(page + 8, total)
                while page < end {
                    // The page lies in the region, which has a flag byte for each. A device's thread that finds the
                    // flag set has written before it looked, so that its bytes go with the page, which is read later.
                    if unsafe region.pageFlags[page] & dirty != 0, region.takeDirty(page: page) {
                        insert(page, region: index)
                    }
                    page += 1
                }
            }
        }
    }

    /// Takes the first run of neighbouring pages out, at most `limit` long; nil when the set is empty.
    public mutating func takeRun(limit: Int) -> (region: Int, pages: Range<Int>)? {
        guard count > 0 else { return nil }
        for region in words.indices {
            guard let word = words[region].firstIndex(where: { $0 != 0 }) else { continue }
            let first = word * 64 + words[region][word].trailingZeroBitCount
            var end = first
            while end - first < limit, end >> 6 < words[region].count,
                words[region][end >> 6] & 1 << UInt64(end & 63) != 0
            {
                words[region][end >> 6] &= ~(1 << UInt64(end & 63))
                end += 1
            }
            count -= end - first
            return (region, first..<end)
        }
        return nil
    }
}
