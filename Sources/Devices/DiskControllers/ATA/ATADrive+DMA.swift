// SPDX-License-Identifier: Apache-2.0

extension ATADrive {
    /// Bytes of the DMA transfer that waits or runs.
    public var dmaByteCount: Int {
        isPacketDevice ? state.packet.rest : state.sectorsLeft * Self.sectorSize
    }

    /// The DMA transfer goes from the host to the drive.
    public var dmaIsWrite: Bool { isPacketDevice ? state.packet.isWrite : ATACommand.isWriteDMA(state.command) }

    func waitForDMA() {
        state.phase = .dmaWaiting
        state.task.status = Self.readyStatus | TaskFile.Status.dataRequest
        port?.driveWantsDMA(self)
    }

    /// Moves the data to or from guest memory; the port is told when that is done.
    /// - Parameter segments: the scatter list, as far as it reaches.
    public func startDMA(_ segments: [GuestSegment]) {
        guard state.phase == .dmaWaiting else { return }
        state.phase = .dmaRunning
        state.task.status = TaskFile.Status.busy | TaskFile.Status.seekComplete | TaskFile.Status.dataRequest
        if isPacketDevice { return startPacketDMA(segments) }
        let wanted = dmaByteCount
        let available = min(segments.byteCount, wanted) / Self.sectorSize * Self.sectorSize
        let part = segments.slice(from: 0, count: available)
        if state.command == ATACommand.dataSetManagement { return trim(part, isShort: available < wanted) }
        guard available > 0 else { return endDMA(byteCount: 0, isShort: true) }
        let offset = Int64(clamping: state.sector) * Int64(Self.sectorSize)
        let done = { [self] (error: (any Error)?) in
            if error != nil {
                port?.driveEndedDMA(self, byteCount: 0, isShort: false)
                return failAtSector()
            }
            advance(available / Self.sectorSize)
            endDMA(byteCount: available, isShort: available < wanted)
        }
        if dmaIsWrite {
            medium.write(
                part, at: offset, isForced: ATACommand.isForced(state.command) || !state.hasWriteCache, done: done)
        } else {
            medium.read(part, at: offset, done: done)
        }
    }

    /// Gives up a transfer that waits or runs: the guest stopped the controller.
    public func cancelDMA() {
        guard state.phase == .dmaWaiting || state.phase == .dmaRunning else { return }
        // What the host already does is finished, and the drive is told as ever.
        if state.phase == .dmaRunning { medium.waitForWorkers() }
    }

    func endDMA(byteCount: Int, isShort: Bool) {
        if isShort {
            // The list was too short: the transfer ends without an interrupt.
            state.phase = .idle
            state.task.status = Self.readyStatus
            port?.driveEndedDMA(self, byteCount: byteCount, isShort: true)
            port?.driveEndedCommand(self)
            return
        }
        port?.driveEndedDMA(self, byteCount: byteCount, isShort: false)
        succeed()
    }

    // MARK: TRIM

    private func trim(_ segments: [GuestSegment], isShort: Bool) {
        let bytes = medium.memory.gather(segments, count: segments.byteCount)
        var ranges: [Range<UInt64>] = []
        for entry in 0..<bytes.count / 8 {
            var value: UInt64 = 0
            for index in 0..<8 { value |= UInt64(bytes[entry * 8 + index]) << UInt64(index * 8) }
            let sector = value & 0xFFFF_FFFF_FFFF, count = value >> 48
            guard count > 0 else { continue }
            guard sector <= sectorCount, count <= sectorCount - sector else {
                port?.driveEndedDMA(self, byteCount: bytes.count, isShort: false)
                return fail()
            }
            ranges.append(sector..<sector + count)
        }
        trimNext(ranges[...], byteCount: bytes.count, isShort: isShort)
    }

    private func trimNext(_ ranges: ArraySlice<Range<UInt64>>, byteCount: Int, isShort: Bool) {
        guard let range = ranges.first else { return endDMA(byteCount: byteCount, isShort: isShort) }
        medium.discard(
            at: Int64(clamping: range.lowerBound) * Int64(Self.sectorSize),
            count: Int64(clamping: range.upperBound - range.lowerBound) * Int64(Self.sectorSize)
        ) { [self] _ in trimNext(ranges.dropFirst(), byteCount: byteCount, isShort: isShort) }
    }

    // MARK: Queued commands

    /// Starts a queued command of an AHCI port; it does not touch the registers.
    /// - Parameter done: true for success.
    func startQueued(
        isWrite: Bool, isForced: Bool, sector: UInt64, count: Int, segments: [GuestSegment],
        done: @escaping (Bool) -> Void
    ) {
        let bytes = count * Self.sectorSize
        guard !isPacketDevice, sector <= sectorCount, UInt64(count) <= sectorCount - sector,
            segments.byteCount >= bytes
        else { return done(false) }
        let part = segments.slice(from: 0, count: bytes)
        let offset = Int64(clamping: sector) * Int64(Self.sectorSize)
        if isWrite {
            medium.write(part, at: offset, isForced: isForced || !state.hasWriteCache) { done($0 == nil) }
        } else {
            medium.read(part, at: offset) { done($0 == nil) }
        }
    }
}
