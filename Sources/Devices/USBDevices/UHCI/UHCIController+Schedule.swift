// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory

/// The schedule: a list of 1024 frames, each with transfer descriptors and queues of them (UHCI Design Guide 1.1, 3.4).
extension UHCIController {
    /// Descriptors and queues of a frame: more is a schedule in a circle. Bytes that go in one.
    private static let longestSchedule = 1024, bytesInFrame = 32 << 10

    /// What became of a transfer descriptor.
    private enum Progress {
        /// It is done: the queue goes on.
        case done
        /// It stays as it is, or the queue stops here.
        case stays
    }

    /// Walks the schedule of the current frame.
    func runFrame() {
        let entry = UInt64(registers.list) &+ UInt64(registers.frame & UHCI.listMask) * 4
        var budget = Self.bytesInFrame
        do {
            var link: UInt32 = try memory.load(at: entry)
            for _ in 0..<Self.longestSchedule {
                guard link & UHCI.Link.ends == 0, budget > 0 else { break }
                let place = UInt64(link & ~0xF)
                if link & UHCI.Link.isQueue != 0 {
                    try runQueue(place, &budget)
                } else {
                    _ = try runDescriptor(place, &budget)
                }
                link = try memory.load(at: place)
            }
        } catch {
            // The schedule leads out of memory: nothing goes on until the driver starts again.
            registers.status |= UHCI.Status.hostError | UHCI.Status.halted
            registers.command &= ~UHCI.Command.run
        }
    }

    /// Does the descriptors of a queue, from its element on.
    private func runQueue(_ queue: UInt64, _ budget: inout Int) throws(GuestMemoryError) {
        for _ in 0..<Self.longestSchedule {
            let element: UInt32 = try memory.load(at: queue &+ 4)
            // A queue in a queue is left for the next frame, as its first entry.
            guard element & (UHCI.Link.ends | UHCI.Link.isQueue) == 0, budget > 0 else { return }
            let place = UInt64(element & ~0xF)
            guard try runDescriptor(place, &budget) == .done else { return }
            let next: UInt32 = try memory.load(at: place)
            try memory.store(next & ~UHCI.Link.isDepthFirst, at: queue &+ 4)
            // Breadth first: one descriptor of each queue, then the next queue.
            guard next & UHCI.Link.isDepthFirst != 0 else { return }
        }
    }

    private func runDescriptor(_ place: UInt64, _ budget: inout Int) throws(GuestMemoryError) -> Progress {
        var control: UInt32 = try memory.load(at: place &+ 4)
        guard control & UHCI.Control.active != 0 else { return .stays }
        let token: UInt32 = try memory.load(at: place &+ 8), buffer: UInt32 = try memory.load(at: place &+ 12)
        let longest = Int((token >> 21 &+ 1) & UHCI.Control.lengthMask)
        budget -= max(longest, 8)
        let outcome = try exchange(token, longest, at: UInt64(buffer))
        control &= ~UHCI.Control.results | UHCI.Control.active
        var moved = longest
        var progress = Progress.done
        switch outcome {
        case nil:
            control = control & ~UHCI.Control.active | UHCI.Control.timeout | UHCI.Control.stalled
            registers.status |= UHCI.Status.error
            progress = .stays
            moved = 0
        case .notReady:
            try memory.store(control | UHCI.Control.notReady, at: place &+ 4)
            return .stays
        case .stalled:
            control = control & ~UHCI.Control.active | UHCI.Control.stalled
            registers.status |= UHCI.Status.error
            progress = .stays
            moved = 0
        case .data(let bytes):
            try memory.write(bytes, at: UInt64(buffer))
            moved = bytes.count
            control &= ~UHCI.Control.active
            if moved < longest, control & UHCI.Control.detectsShort != 0 {
                // The driver decides how the queue goes on.
                registers.causes |= 2
                progress = .stays
            }
        case .taken: control &= ~UHCI.Control.active
        }
        // The field holds the length less one.
        control = control & ~UHCI.Control.lengthMask | UInt32(truncatingIfNeeded: moved &- 1) & UHCI.Control.lengthMask
        if control & UHCI.Control.interrupts != 0 { registers.causes |= 1 }
        if registers.causes != 0 { registers.status |= UHCI.Status.interrupt }
        try memory.store(control, at: place &+ 4)
        return progress
    }

    /// Does one packet.
    /// - Returns: nil when nobody answers.
    private func exchange(_ token: UInt32, _ longest: Int, at buffer: UInt64) throws(GuestMemoryError) -> USBOutcome? {
        let address = UInt8(truncatingIfNeeded: token >> 8 & 0x7F), endpoint = Int(token >> 15 & 0xF)
        guard let device = device(with: address) else { return nil }
        switch token & 0xFF {
        case UHCI.Packet.setup:
            let bytes = try memory.read(at: buffer, count: longest)
            return endpoint == 0 ? device.pipe.begin(bytes, device) : .stalled
        case UHCI.Packet.out:
            let bytes = try memory.read(at: buffer, count: longest)
            return endpoint == 0 ? device.pipe.write(bytes, device) : device.write(endpoint: endpoint, data: bytes)
        case UHCI.Packet.in:
            return endpoint == 0
                ? device.pipe.read(longest, device) : device.read(endpoint: endpoint, capacity: longest)
        default: return nil
        }
    }
}
