// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import X86CPU

/// Four- or five-level page tables in a flat machine's memory, allocated from 1 MiB on.
final class PageTables {
    static let present: UInt64 = 1, writable: UInt64 = 2, user: UInt64 = 4, accessed: UInt64 = 0x20
    static let dirty: UInt64 = 0x40, large: UInt64 = 0x80, global: UInt64 = 0x100, noExecute: UInt64 = 1 << 63

    let memory: GuestMemory
    let levels: Int
    private(set) var root: UInt64
    private var next: UInt64 = 0x10_0000

    init(_ memory: GuestMemory, levels: Int = 4) {
        self.memory = memory
        self.levels = levels
        root = next
        next += 4096
    }

    func allocate() -> UInt64 {
        defer { next += 4096 }
        return next
    }

    /// The physical address of the entry for `linear` at a level (1: 4 KiB pages), making tables above it.
    func entryAddress(_ linear: UInt64, level: Int = 1) throws -> UInt64 {
        var table = root
        var current = levels
        while true {
            let place = table + (linear >> UInt64(12 + 9 * (current - 1)) & 511) * 8
            if current == level { return place }
            var entry = try memory.load(UInt64.self, at: place)
            if entry & Self.present == 0 {
                entry = allocate() | Self.present | Self.writable | Self.user
                try memory.store(entry, at: place)
            }
            table = entry & 0xFF_FFFF_F000
            current -= 1
        }
    }

    /// Maps one page: `flags` without the present bit, which is added.
    func map(_ linear: UInt64, to physical: UInt64, _ flags: UInt64, level: Int = 1) throws {
        let size = level > 1 ? Self.large : 0
        try memory.store(physical | flags | size | Self.present, at: try entryAddress(linear, level: level))
    }

    func entry(_ linear: UInt64, level: Int = 1) throws -> UInt64 {
        try memory.load(UInt64.self, at: try entryAddress(linear, level: level))
    }
}
