// SPDX-License-Identifier: Apache-2.0

/// Where a packet command's data is.
public struct PacketTransfer: Equatable, Sendable, Codable {
    /// The command block's bytes are still to come.
    public var awaitsCommand = false
    /// Bit 0 of the feature register at PACKET: data goes by DMA, not through the port.
    public var usesDMA = false
    /// Most bytes of one block by PIO.
    public var byteCountLimit = 0
    /// Bytes for the host that are here already.
    public var data: [UInt8] = []
    /// The range of the medium that is still to be read, in bytes.
    public var offset: Int64 = 0
    /// How many bytes of that range are left.
    public var mediumRest = 0
    /// Bytes come from the host.
    public var isWrite = false

    /// Bytes that are still to move.
    var rest: Int { data.count + mediumRest }
}

extension ATADrive {
    static let packetSize = 12
    /// What PIO takes from the medium at a time: 16 sectors.
    private static let pieceSize = 16 * CDROMCommands.sectorSize

    /// Interrupt reasons, in the sector count register.
    private enum Reason {
        static let command: UInt8 = 1, toHost: UInt8 = 2, done: UInt8 = 3
    }

    private func set(reason: UInt8) { TaskFile.set(reason, in: &state.task.count) }

    /// PACKET: the command block comes as a block of data.
    func beginPacket() {
        state.packet = PacketTransfer()
        // Overlapped commands are not supported.
        guard state.task.feature & 2 == 0 else { return fail() }
        state.packet.usesDMA = state.task.feature & 1 != 0
        state.packet.byteCountLimit = Int(state.task.byteCount)
        state.packet.awaitsCommand = true
        set(reason: Reason.command)
        offer([UInt8](repeating: 0, count: Self.packetSize), phase: .blockOut, interrupts: false)
    }

    func packetBlockFilled(_ block: [UInt8]) {
        guard state.packet.awaitsCommand, let commands = packetCommands else { return failPacket(.invalidCommand) }
        state.packet.awaitsCommand = false
        beginWork()
        switch commands.execute(block) {
        case .done: endPacket()
        case .failed(let sense): failPacket(sense)
        case .data(let bytes):
            state.packet.data = bytes
            bytes.isEmpty ? endPacket() : movePacketData()
        case .read(let offset, let count):
            state.packet.offset = offset
            state.packet.mediumRest = count
            movePacketData()
        case .flush:
            medium.flush { [self] error in
                if case .failed(let sense)? = error.map({ _ in commands.fail(.writeError) }) {
                    failPacket(sense)
                } else {
                    endPacket()
                }
            }
        // A CD-ROM drive takes no data.
        case .write, .parameters: failPacket(.invalidCommand)
        }
    }

    private func movePacketData() {
        if state.packet.usesDMA {
            set(reason: Reason.toHost)
            return waitForDMA()
        }
        offerPacketBlock()
    }

    /// PIO: a block of at most as many bytes as the host wants at a time.
    private func offerPacketBlock() {
        guard state.packet.rest > 0 else { return endPacket() }
        if state.packet.data.isEmpty { return readPiece() }
        var limit = state.packet.byteCountLimit
        // 0 is what old hosts write that mean the most; the register cannot say an odd 64 KiB.
        if limit == 0 || limit == 0xFFFF { limit = 0xFFFE }
        var length = min(state.packet.data.count, limit)
        if length < state.packet.data.count, length % 2 != 0 { length = max(length - 1, 1) }
        let block = Array(state.packet.data.prefix(length))
        state.packet.data.removeFirst(length)
        state.task.byteCount = UInt16(truncatingIfNeeded: length)
        set(reason: Reason.toHost)
        // The data register has 16 bits: an odd end is padded.
        offer(block.count % 2 == 0 ? block : block + [0], phase: .blockIn)
    }

    private func readPiece() {
        let length = min(state.packet.mediumRest, Self.pieceSize)
        beginWork()
        medium.read(count: length, at: state.packet.offset) { [self] bytes, error in
            guard error == nil else { return mediumFailed() }
            state.packet.data = bytes
            state.packet.offset += Int64(length)
            state.packet.mediumRest -= length
            offerPacketBlock()
        }
    }

    func packetBlockTaken() { offerPacketBlock() }

    func startPacketDMA(_ segments: [GuestSegment]) {
        let wanted = state.packet.rest
        if state.packet.mediumRest == 0 {
            let count = medium.memory.scatter(state.packet.data, into: segments)
            return endPacketDMA(byteCount: count, isShort: false)
        }
        let available = min(segments.byteCount, wanted)
        guard available > 0 else { return endPacketDMA(byteCount: 0, isShort: true) }
        // A list that is too short for the data takes its beginning.
        medium.read(segments.slice(from: 0, count: available), at: state.packet.offset) { [self] error in
            guard error == nil else {
                port?.driveEndedDMA(self, byteCount: 0, isShort: false)
                return mediumFailed()
            }
            endPacketDMA(byteCount: available, isShort: available < wanted)
        }
    }

    private func endPacketDMA(byteCount: Int, isShort: Bool) {
        port?.driveEndedDMA(self, byteCount: byteCount, isShort: isShort)
        endPacket()
    }

    private func mediumFailed() {
        if case .failed(let sense)? = packetCommands?.fail(.readError) { failPacket(sense) }
    }

    private func endPacket() {
        state.packet = PacketTransfer()
        set(reason: Reason.done)
        succeed()
    }

    private func failPacket(_ sense: Sense) {
        state.packet = PacketTransfer()
        set(reason: Reason.done)
        fail(sense.key << 4 | TaskFile.Failure.aborted)
    }
}
