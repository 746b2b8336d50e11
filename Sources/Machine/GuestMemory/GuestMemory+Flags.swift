// SPDX-License-Identifier: Apache-2.0

internal import CAtomic

// The flags of pages, which processors, devices and migration change at the same time: each change is one step on one bit.
extension GuestMemory.Region {
    /// Sets the dirty flag of a page, counted from the region's first.
    /// - Returns: the flags that it had.
    @discardableResult
    public func setDirty(page: Int) -> GuestMemory.PageFlags {
        precondition(page >= 0 && UInt64(page) < count / GuestMemory.pageSize)
        // The page lies in the region, which has a flag byte for each.
        return GuestMemory.PageFlags(
            rawValue: unsafe roost_fetch_or8(pageFlags + page, GuestMemory.PageFlags.dirty.rawValue))
    }

    /// Clears the dirty flag of a page, counted from the region's first.
    /// - Returns: whether it was set.
    public func takeDirty(page: Int) -> Bool {
        precondition(page >= 0 && UInt64(page) < count / GuestMemory.pageSize)
        // As in `setDirty`.
        let old = unsafe roost_fetch_and8(pageFlags + page, ~GuestMemory.PageFlags.dirty.rawValue)
        return GuestMemory.PageFlags(rawValue: old).contains(.dirty)
    }
}

extension GuestMemory {
    /// Notes that bytes were changed by a device or the loader: sets the dirty flag, and drops decoded code.
    public func markWritten(at address: UInt64, count: Int) {
        guard count > 0, let region = region(at: address) else { return }
        let first = (address - region.start) / Self.pageSize
        let last = min((address - region.start + UInt64(count) - 1), region.count - 1) / Self.pageSize
        // The bytes are written before the flags are looked at, as a decoder sets its flag before it reads.
        roost_full_fence()
        for page in first...last {
            // page lies inside the region, so the flag byte exists.
            var flags = PageFlags(rawValue: unsafe region.pageFlags[Int(page)])
            if !flags.contains(.dirty) { flags = region.setDirty(page: Int(page)) }
            if flags.contains(.code) {
                codePageObserver?.codePageWritten(region.start / Self.pageSize + page)
            }
        }
    }
}
