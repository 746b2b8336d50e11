// SPDX-License-Identifier: Apache-2.0

/// Translated code by linear address, for jumps whose target is not known to be in the same page. Translated code looks
/// into it itself; an entry is good while `CPUState.fetchKey` is its key.
struct JumpTable {
    struct Entry {
        var linear: UInt64
        var key: UInt64
        /// Where the code is run, with the flags saved.
        var code: UnsafeRawPointer?
        /// The linear address of its page.
        var page: UInt64
    }

    static let count = 8192
    static let linearOffset: Int32 = 0, keyOffset: Int32 = 8, codeOffset: Int32 = 16, pageOffset: Int32 = 24

    let entries: UnsafeMutablePointer<Entry>

    init() {
        entries = .allocate(capacity: Self.count)
        entries.initialize(repeating: Self.empty, count: Self.count)
    }

    /// No key has all bits set.
    private static var empty: Entry { Entry(linear: .max, key: .max, code: nil, page: 0) }

    func deallocate() { entries.deallocate() }

    func clear() { entries.update(repeating: Self.empty, count: Self.count) }

    @inline(__always)
    func entry(_ linear: UInt64) -> UnsafeMutablePointer<Entry> {
        entries + Int(truncatingIfNeeded: linear) & (Self.count - 1)
    }
}
