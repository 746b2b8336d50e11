// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// The schedules: a list of 1024 frames for what comes regularly, and a circle of queues for the rest (EHCI 1.0, chapters 3
/// and 4). There are no isochronous devices: their descriptors are passed over.
extension EHCIController {
    /// Queues of a frame or of the circle: more is a circle without a head. Transfers of a queue at a time, and bytes.
    private static let longestSchedule = 1024, mostTransfers = 64, bytesAtATime = 512 << 10
    /// Frames that are caught up on when the timer is late.
    private static let mostFrames: UInt32 = 64
    private static let frameMask: UInt32 = 0x3FF

    /// What became of a transfer.
    private enum Progress {
        /// It is done: the queue goes on.
        case done
        /// The device is not ready, or the queue stops here.
        case stays
    }

    /// Walks the frames that began since the last time, the current one among them.
    func runPeriodic(to frame: UInt32) {
        var number = lastFrame & Self.frameMask
        let last = frame & Self.frameMask
        let missed = (last &- number) & Self.frameMask
        if missed > Self.mostFrames { number = (last &- Self.mostFrames) & Self.frameMask }
        lastFrame = frame
        do {
            while true {
                try runFrame(number)
                guard number != last, isRunning else { return }
                number = (number &+ 1) & Self.frameMask
            }
        } catch { fail() }
    }

    private func runFrame(_ number: UInt32) throws(GuestMemoryError) {
        var link: UInt32 = try memory.load(at: UInt64(registers.periodicList) &+ UInt64(number) * 4)
        var budget = Self.bytesAtATime
        for _ in 0..<Self.longestSchedule {
            guard link & EHCI.Link.ends == 0 else { return }
            let place = UInt64(link & ~0x1F)
            if link & EHCI.Link.kindMask == EHCI.Link.queue {
                let capabilities: UInt32 = try memory.load(at: place &+ EHCI.Queue.capabilities)
                if capabilities & EHCI.Queue.startMask != 0 { try runQueue(place, &budget) }
            }
            link = try memory.load(at: place)
        }
    }

    /// Goes round the circle until nothing moves any more.
    func runAsynchronous() {
        var budget = Self.bytesAtATime
        do {
            var moved = true
            while moved, budget > 0 {
                let before = budget
                try runCircle(&budget)
                moved = budget < before
            }
        } catch { fail() }
    }

    private func runCircle(_ budget: inout Int) throws(GuestMemoryError) {
        let first = UInt64(registers.asynchronousList)
        var place = first
        for _ in 0..<Self.longestSchedule {
            try runQueue(place, &budget)
            let link: UInt32 = try memory.load(at: place)
            guard link & EHCI.Link.ends == 0, link & EHCI.Link.kindMask == EHCI.Link.queue else { return }
            place = UInt64(link & ~0x1F)
            guard place != first, budget > 0 else { return }
        }
    }

    /// Does the transfers of a queue (4.10): the one in its overlay, then those that follow.
    private func runQueue(_ queue: UInt64, _ budget: inout Int) throws(GuestMemoryError) {
        for _ in 0..<Self.mostTransfers {
            let token: UInt32 = try memory.load(at: queue &+ EHCI.Queue.token)
            if token & EHCI.Token.halted != 0 { return }
            if token & EHCI.Token.active == 0 {
                guard try advance(queue, token) else { return }
                continue
            }
            guard budget > 0, try transfer(queue, token, &budget) == .done else { return }
        }
    }

    /// Fetches the next transfer of a queue into its overlay (4.10.2).
    /// - Returns: false where there is none that can be done.
    private func advance(_ queue: UInt64, _ old: UInt32) throws(GuestMemoryError) -> Bool {
        let alternate: UInt32 = try memory.load(at: queue &+ EHCI.Queue.alternate)
        var next: UInt32 = try memory.load(at: queue &+ EHCI.Queue.next)
        let wasShort = old >> 16 & EHCI.Token.lengthMask != 0
        if wasShort, alternate & EHCI.Link.ends == 0 { next = alternate }
        guard next & EHCI.Link.ends == 0 else { return false }
        let place = UInt64(next & ~0x1F)
        var token: UInt32 = try memory.load(at: place &+ 8)
        guard token & EHCI.Token.active != 0 else { return false }
        let characteristics: UInt32 = try memory.load(at: queue &+ EHCI.Queue.characteristics)
        if characteristics & EHCI.Queue.takesToggle == 0 {
            token = token & ~EHCI.Token.toggle | old & EHCI.Token.toggle
        }
        try memory.store(UInt32(place), at: queue &+ EHCI.Queue.current)
        let links: UInt64 = try memory.load(at: place)
        try memory.store(links, at: queue &+ EHCI.Queue.next)
        for index in 0..<UInt64(EHCI.bufferCount) {
            let buffer: UInt32 = try memory.load(at: place &+ 12 &+ index * 4)
            try memory.store(buffer, at: queue &+ EHCI.Queue.buffers &+ index * 4)
        }
        try memory.store(token, at: queue &+ EHCI.Queue.token)
        return true
    }

    /// Does the transfer in a queue's overlay and writes back what became of it.
    private func transfer(
        _ queue: UInt64, _ token: UInt32, _ budget: inout Int
    ) throws(GuestMemoryError) -> Progress {
        let characteristics: UInt32 = try memory.load(at: queue &+ EHCI.Queue.characteristics)
        let parts = try buffers(queue, token)
        let longest = parts.reduce(0) { $0 + $1.count }
        let kind = token >> 8 & 3
        var new = token & ~EHCI.Token.results
        var moved = 0
        var progress = Progress.done
        switch try exchange(characteristics, kind, parts, longest) {
        case nil:
            new = new & ~EHCI.Token.active | EHCI.Token.halted | EHCI.Token.transactionError
            progress = .stays
        case .notReady: return .stays
        case .stalled:
            new = new & ~EHCI.Token.active | EHCI.Token.halted
            progress = .stays
        case .data(let bytes):
            try store(bytes, in: parts)
            moved = bytes.count
            new &= ~EHCI.Token.active
        case .taken:
            moved = longest
            new &= ~EHCI.Token.active
        }
        budget -= max(moved, 64)
        let left = (token >> 16 & EHCI.Token.lengthMask) &- UInt32(truncatingIfNeeded: moved)
        new = new & ~(EHCI.Token.lengthMask << 16) | (left & EHCI.Token.lengthMask) << 16
        if progress == .stays { registers.status |= EHCI.Status.error }
        let isShort = kind == 1 && left != 0 && progress == .done
        if new & EHCI.Token.interrupts != 0 || isShort { registers.status |= EHCI.Status.complete }
        let current: UInt32 = try memory.load(at: queue &+ EHCI.Queue.current)
        try memory.store(new, at: queue &+ EHCI.Queue.token)
        try memory.store(new, at: UInt64(current & ~0x1F) &+ 8)
        return progress
    }

    /// Where the bytes of a transfer are, page by page (3.5.4).
    private func buffers(
        _ queue: UInt64, _ token: UInt32
    ) throws(GuestMemoryError) -> [(address: UInt64, count: Int)] {
        var left = Int(token >> 16 & EHCI.Token.lengthMask)
        var page = UInt64(token >> 12 & 7)
        let first: UInt32 = try memory.load(at: queue &+ EHCI.Queue.buffers)
        var offset = Int(first) & (EHCI.pageCount - 1)
        var parts: [(address: UInt64, count: Int)] = []
        while left > 0, page < UInt64(EHCI.bufferCount) {
            let pointer: UInt32 = try memory.load(at: queue &+ EHCI.Queue.buffers &+ page * 4)
            let count = min(left, EHCI.pageCount - offset)
            parts.append((UInt64(pointer & ~0xFFF) &+ UInt64(offset), count))
            left -= count
            offset = 0
            page += 1
        }
        return parts
    }

    private func store(
        _ bytes: [UInt8], in parts: [(address: UInt64, count: Int)]
    ) throws(GuestMemoryError) {
        var rest = bytes[...]
        for part in parts where !rest.isEmpty {
            try memory.write(Array(rest.prefix(part.count)), at: part.address)
            rest = rest.dropFirst(part.count)
        }
    }

    /// Lets a device do a transfer.
    /// - Returns: nil when nobody answers.
    private func exchange(
        _ characteristics: UInt32, _ kind: UInt32, _ parts: [(address: UInt64, count: Int)], _ longest: Int
    ) throws(GuestMemoryError) -> USBOutcome? {
        let address = UInt8(truncatingIfNeeded: characteristics & 0x7F), endpoint = Int(characteristics >> 8 & 0xF)
        guard let device = device(with: address) else { return nil }
        var bytes: [UInt8] = []
        if kind != 1 { for part in parts { bytes += try memory.read(at: part.address, count: part.count) } }
        switch kind {
        case 0: return endpoint == 0 ? device.pipe.write(bytes, device) : device.write(endpoint: endpoint, data: bytes)
        case 1:
            return endpoint == 0
                ? device.pipe.read(longest, device) : device.read(endpoint: endpoint, capacity: longest)
        case 2: return endpoint == 0 ? device.pipe.begin(bytes, device) : .stalled
        default: return nil
        }
    }
}
