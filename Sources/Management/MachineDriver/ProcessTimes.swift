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

/// What the host's kernel counts for one thread.
struct ThreadTimes {
    /// Nanoseconds, and nanoseconds that it waited for a processor.
    let total: UInt64
    let waited: UInt64
    /// The processor that it ran on last.
    let processor: Int32

    /// Nil for a thread that is gone.
    init?(process: Int32, thread: Int32) {
        let folder = "/proc/\(process)/task/\(thread)/"
        guard let text = TextFile.read(folder + "stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        // The processor is the 37th field behind the name.
        guard fields.count > 36, let processor = Int32(fields[36]) else { return nil }
        self.processor = processor
        let figures = (TextFile.read(folder + "schedstat") ?? "").split { $0 == " " || $0 == "\n" }.map {
            UInt64($0) ?? 0
        }
        total = figures.first ?? 0
        waited = figures.count > 1 ? figures[1] : 0
    }
}
