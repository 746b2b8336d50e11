// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import GuestMemory
internal import HostSystem
internal import PCIBus
public import PacketPorts

extension GigabitController {
    private typealias Register = GigabitRegister
    private static let descriptorCount = 16
    private static let shortest = 60
    /// Without and with the long-packet bit.
    private static let longest = 1518, longestLong = 16384
    private static let batch = 64

    private enum Received {
        static let done: UInt32 = 1, end: UInt32 = 2, ignoreChecksum: UInt32 = 4, tagged: UInt32 = 8
    }

    private func ringSize(_ base: Int) -> Int { Int(self[base + GigabitRing.length]) / Self.descriptorCount }

    private func ringAddress(_ base: Int, _ index: Int) -> UInt64 {
        (UInt64(self[base + GigabitRing.low]) | UInt64(self[base + GigabitRing.high]) << 32)
            &+ UInt64(index * Self.descriptorCount)
    }

    // MARK: sending

    /// Reads descriptors of both rings. The machine lock is held.
    func gather() -> [[UInt8]] {
        guard self[Register.transmitControl] & GigabitBit.Transmit.enable != 0, isBusMaster else { return [] }
        var frames: [[UInt8]] = []
        for ring in 0..<(model.isExpress ? 2 : 1) { gather(Register.transmitBase + ring * Register.ringStep, &frames) }
        return frames
    }

    private func gather(_ base: Int, _ frames: inout [[UInt8]]) {
        let size = ringSize(base)
        guard size > 0, Int(self[base + GigabitRing.head]) < size else { return }
        var causes: UInt32 = 0
        var taken = 0
        while self[base + GigabitRing.head] != self[base + GigabitRing.tail], taken < Self.batch {
            taken += 1
            let head = Int(self[base + GigabitRing.head])
            let place = ringAddress(base, head)
            let insertsTags = self[Register.control] & GigabitBit.Control.vlanMode != 0
            // A descriptor outside of memory ends the round; the guest sees a ring that does not move.
            guard let bytes = try? memory.read(at: place, count: Self.descriptorCount) else { break }
            let words = (0..<4).map { bytes.load(UInt32.self, at: $0 * 4) ?? 0 }
            let result = transmitter.take(
                words, memory: memory, vlanType: UInt16(truncatingIfNeeded: self[Register.vlanType]),
                insertsTags: insertsTags)
            frames += result.frames
            if result.reports {
                try? memory.store(words[3] | 1, at: place &+ 12)
                causes |= GigabitBit.Cause.transmitted
            }
            self[base + GigabitRing.head] = UInt32((head + 1) % size)
        }
        if taken == Self.batch { kick() }
        guard taken > 0 else { return }
        causes |= GigabitBit.Cause.transmitQueueEmpty
        if model.isExpress {
            causes |= GigabitBit.Cause.transmitQueue << UInt32(base == Register.transmitBase ? 0 : 1)
        }
        raise(causes)
    }

    /// Sends what the guest has queued. On the loop's thread.
    func transmit() {
        guard unsent.isEmpty else { return }
        let frames = takeFrames()
        for (index, frame) in frames.enumerated() {
            if port.send(frame) == .busy {
                unsent = Array(frames[index...])
                return
            }
        }
    }

    // MARK: receiving

    /// Whether a frame is for this card. The machine lock is held.
    func passes(_ frame: UnsafeRawBufferPointer) -> Bool {
        let control = self[Register.receiveControl]
        guard frame.count >= 14 else { return false }
        // At least 14 bytes are there.
        if unsafe frame[12] == 0x81 && frame[13] == 0, control & GigabitBit.Receive.vlanFilter != 0, frame.count >= 16 {
            let tag = unsafe Int(frame[14]) << 8 | Int(frame[15])
            let word = self[Register.vlanTable + (tag >> 5 & 0x7F) * 4]
            if word >> UInt32(tag & 0x1F) & 1 == 0 { return false }
        }
        let isGroup = unsafe frame[0] & 1 != 0
        if isGroup, unsafe frame.prefix(6).allSatisfy({ $0 == 0xFF }) {
            return control & GigabitBit.Receive.broadcast != 0
        }
        if control & (isGroup ? GigabitBit.Receive.allMulticast : GigabitBit.Receive.allUnicast) != 0 { return true }
        for entry in 0..<16 {
            let low = self[Register.addresses + entry * 8], high = self[Register.addresses + entry * 8 + 4]
            guard high >> 31 != 0 else { continue }
            let isEqual = (0..<6).allSatisfy { index in
                let byte = index < 4 ? low >> UInt32(index * 8) : high >> UInt32((index - 4) * 8)
                return unsafe UInt8(truncatingIfNeeded: byte) == frame[index]
            }
            if isEqual { return true }
        }
        guard isGroup else { return false }
        let shift = [4, 3, 2, 0][Int(control >> 12 & 3)]
        let hash = unsafe (Int(frame[5]) << 8 | Int(frame[4])) >> shift & 0xFFF
        return self[Register.multicastTable + (hash >> 5) * 4] >> UInt32(hash & 31) & 1 != 0
    }

    private var bufferSize: Int {
        let control = self[Register.receiveControl]
        let shift = Int(control >> 16 & 3)
        if control & GigabitBit.Receive.largeBuffers != 0, shift > 0 { return 32768 >> shift }
        return 2048 >> shift
    }

    /// Descriptors that the guest has given.
    private func available(_ base: Int) -> Int {
        let size = ringSize(base), head = Int(self[base + GigabitRing.head]), tail = Int(self[base + GigabitRing.tail])
        guard size > 0, head < size, tail < size || tail == size else { return 0 }
        return (tail - head + size) % size
    }

    private enum Reception { case dropped, busy, stored }

    /// Puts a frame into the ring. The machine lock is held.
    private func store(_ lent: UnsafeRawBufferPointer) -> Reception {
        let control = self[Register.receiveControl]
        guard control & GigabitBit.Receive.enable != 0, isBusMaster, isLinkUp else { return .dropped }
        let limit = control & GigabitBit.Receive.long != 0 ? Self.longestLong : Self.longest
        guard lent.count <= limit, unsafe passes(lent) else { return .dropped }
        var frame = unsafe Array(lent)
        var tag: UInt16?
        if self[Register.control] & GigabitBit.Control.vlanMode != 0, frame.count >= 18,
            UInt32(frame[12]) << 8 | UInt32(frame[13]) == self[Register.vlanType] & 0xFFFF
        {
            tag = UInt16(frame[14]) << 8 | UInt16(frame[15])
            frame.removeSubrange(12..<16)
        }
        if frame.count < Self.shortest { frame += [UInt8](repeating: 0, count: Self.shortest - frame.count) }
        if control & GigabitBit.Receive.stripChecksum == 0 { frame += [0, 0, 0, 0] }
        let base = Register.receiveBase
        let needed = (frame.count + bufferSize - 1) / bufferSize
        guard available(base) >= needed else {
            raise(GigabitBit.Cause.overrun)
            return .busy
        }
        var done = 0
        while done < frame.count {
            let part = min(bufferSize, frame.count - done)
            let isLast = done + part == frame.count
            fill(base, Array(frame[done..<done + part]), isLast: isLast, tag: tag)
            done += part
        }
        var causes = GigabitBit.Cause.received
        if model.isExpress { causes |= GigabitBit.Cause.receiveQueue }
        let threshold = ringSize(base) >> (Int(control >> 8 & 3) + 1)
        if available(base) <= threshold { causes |= GigabitBit.Cause.receiveThreshold }
        raise(causes)
        return .stored
    }

    private func fill(_ base: Int, _ part: [UInt8], isLast: Bool, tag: UInt16?) {
        let head = Int(self[base + GigabitRing.head])
        let place = ringAddress(base, head)
        // A descriptor or buffer outside of memory loses its part, as a bus error would.
        if let buffer: UInt64 = try? memory.load(at: place), buffer != 0 { try? memory.write(part, at: buffer) }
        var status = Received.done | Received.ignoreChecksum
        if isLast { status |= Received.end }
        if tag != nil { status |= Received.tagged }
        let extended: UInt32 = 1 << 15
        if model.isExpress, self[Register.receiveFilter] & extended != 0 {
            try? memory.store(UInt64(0), at: place)
            try? memory.store(UInt32(part.count) | UInt32(tag ?? 0) << 16, at: place &+ 12)
            try? memory.store(status, at: place &+ 8)
        } else {
            try? memory.store(UInt32(part.count), at: place &+ 8)
            try? memory.store(status | UInt32(tag ?? 0) << 16, at: place &+ 12)
        }
        self[base + GigabitRing.head] = UInt32((head + 1) % max(ringSize(base), 1))
    }
}

extension GigabitController: PacketReceiver {
    /// Stores a frame in the guest's descriptors; without any it asks the port to wait.
    public func receive(_ frame: UnsafeRawBufferPointer) -> PacketDisposition {
        let outcome = machineLock.withLock {
            let outcome = unsafe store(frame)
            if outcome == .busy { isPortWaiting = true }
            return outcome
        }
        return outcome == .busy ? .busy : .accepted
    }

    /// Sends what the port refused, then goes on with the guest's descriptors.
    public func portIsReady() {
        while let frame = unsent.first {
            if port.send(frame) == .busy { return }
            unsent.removeFirst()
        }
        transmit()
    }

    /// Shows in STATUS and in the PHY, with an interrupt; takes the machine lock.
    public func linkChanged(isUp: Bool) { machineLock.withLock { setLink(isUp) } }
}
