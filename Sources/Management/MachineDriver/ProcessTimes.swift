// SPDX-License-Identifier: Apache-2.0

internal import HostInventory

/// What the host's kernel counts for a process.
struct ProcessTimes {
    /// Nanoseconds in user code, in the kernel, and together.
    let user: UInt64, system: UInt64
    var total: UInt64 { user &+ system }
    /// KiB of memory in use.
    let residentKiB: UInt64

    /// Nanoseconds of the kernel's clock tick, 1/100 s.
    private static let tick: UInt64 = 10_000_000

    /// Nil for a process that is gone.
    init?(_ process: Int32) {
        guard let text = TextFile.read("/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        // The fields behind the name: user time is the 12th, system time the 13th, resident pages the 22nd.
        guard fields.count > 21, let user = UInt64(fields[11]), let system = UInt64(fields[12]),
            let pages = UInt64(fields[21])
        else { return nil }
        self.user = user &* Self.tick
        self.system = system &* Self.tick
        residentKiB = pages &* 4
    }
}
