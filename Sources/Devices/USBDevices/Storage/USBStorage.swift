// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer
public import DiskControllers
public import StateCoding

/// QEMU's usb-storage: one disk or CD-ROM drive by bulk-only transport (USB Mass Storage Class, Bulk-Only Transport 1.0).
///
///     command ──▶ data to or from the host ──▶ status ──▶ command
///         (a command block that makes no sense: halted until a reset of the transport)
public final class USBStorage: USBDevice, @unchecked Sendable {
    /// Where the transport is.
    enum Phase: UInt8, Codable, Sendable {
        case command, toHost, fromHost, status, broken
    }

    /// What a saved machine keeps; no command is under way then.
    struct State: SavedState, Equatable {
        var common = USBDeviceState()
        var phase = Phase.command
        var tag: UInt32 = 0
        /// Bytes of the data stage that the host still expects or sends.
        var expected = 0
        /// Of them, those that the drive had none for, or no use for.
        var residue = 0
        /// 0 good, 1 failed, 2 the phases did not fit.
        var result: UInt8 = 0
        /// Bytes that are here for the host, or from it.
        var buffer: [UInt8] = []
        /// Of the medium: what is still to be moved.
        var offset: Int64 = 0
        var mediumRest = 0
        var isForced = false
        /// The command, while its parameters come.
        var block: [UInt8] = []
        var parameterCount = 0
        var disk: SCSIDisk.State?
        var disc: CDROMCommands.State?

        func problem(replacing current: State) -> String? {
            guard (disk == nil) == (current.disk == nil), (disc == nil) == (current.disc == nil) else {
                return "it has another drive"
            }
            guard expected >= 0, residue >= 0, mediumRest >= 0, offset >= 0, parameterCount >= 0, block.count <= 16,
                buffer.count <= USBStorage.longestPiece * 2, common.configuration <= 1, expected <= Int(UInt32.max),
                offset <= 1 << 60, mediumRest <= 1 << 32, parameterCount <= Int(UInt16.max),
                phase != .fromHost || buffer.count <= max(mediumRest, parameterCount)
            else { return "its values cannot be" }
            return nil
        }
    }

    private enum Wrapper {
        static let commandSignature: UInt32 = 0x4342_5355, statusSignature: UInt32 = 0x5342_5355
        static let commandSize = 31
    }
    private enum Request { static let reset: UInt16 = 0x21FF, unitCount: UInt16 = 0xA1FE }
    private enum Endpoint { static let toHost = 1, fromHost = 2 }
    /// What is read from or written to the medium at a time, unless the host takes more at once.
    static let pieceSize = 64 << 10
    /// What a controller may ask for at once.
    static let longestPiece = 16 << 20

    /// What answers.
    public let target: any SCSITarget
    private var state = State()
    /// The host's storage works on a piece.
    public private(set) var isWorking = false
    /// Answers of the medium to commands before the last reset count no more.
    private var generation = 0

    /// A drive that is plugged in nowhere.
    /// - Parameter serial: nil for one made of the drive's name.
    public init(target: any SCSITarget, serial: String) {
        self.target = target
        @Sendable func packet(_ speed: USBSpeed) -> UInt16 { speed == .superSpeed ? 1024 : speed == .high ? 512 : 64 }
        super.init(
            name: "usb-storage",
            description: USBDescription(
                vendor: 0x46F4, product: 1, strings: ["QEMU", "QEMU USB HARDDRIVE", serial], attributes: 0xC0, power: 0,
                interface: (8, 6, 0x50),
                endpoints: [
                    USBEndpoint(
                        number: Endpoint.toHost, direction: .in, kind: .bulk, packetSize: packet, interval: { _ in 0 }),
                    USBEndpoint(
                        number: Endpoint.fromHost, direction: .out, kind: .bulk, packetSize: packet,
                        interval: { _ in 0 }),
                ]),
            speeds: [.full, .high, .superSpeed])
    }

    public override func reset() {
        super.reset()
        target.reset()
        resetTransport()
    }

    public override func removed() { target.medium.cancelAll() }

    private func resetTransport() {
        generation &+= 1
        isWorking = false
        state = State()
    }

    override func request(_ setup: USBSetup, data: [UInt8]) -> USBOutcome {
        switch setup.code {
        case Request.reset:
            resetTransport()
            return .taken
        case Request.unitCount: return .data([0])
        default: return .stalled
        }
    }

    // MARK: from the host

    override func receive(endpoint: Int, data: [UInt8]) -> USBOutcome {
        switch state.phase {
        case .command: return begin(data)
        case .fromHost:
            guard !isWorking else { return .notReady }
            take(data)
            return .taken
        default: return fall()
        }
    }

    /// The host and the device do not agree where they are: both endpoints halt until the host resets the transport.
    private func fall() -> USBOutcome {
        state.phase = .broken
        halt(Endpoint.toHost, .in)
        halt(Endpoint.fromHost, .out)
        return .stalled
    }

    override func haltCleared(endpoint: Int, direction: USBDirection) {
        // Without a reset of the transport the halt stays.
        if state.phase == .broken { halt(endpoint, direction) }
    }

    private func begin(_ data: [UInt8]) -> USBOutcome {
        func long(_ place: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(data[place + $1]) << UInt32($1 * 8) } }
        guard data.count == Wrapper.commandSize, long(0) == Wrapper.commandSignature, data[13] & 0xF == 0,
            (1...16).contains(Int(data[14]))
        else { return fall() }
        state.tag = long(4)
        state.expected = Int(long(8))
        state.residue = 0
        state.result = 0
        state.buffer = []
        state.mediumRest = 0
        state.parameterCount = 0
        state.block = Array(data[15..<15 + Int(data[14])])
        let isToHost = data[12] & 0x80 != 0
        state.phase = state.expected == 0 ? .status : isToHost ? .toHost : .fromHost
        follow(target.execute(state.block))
        return .taken
    }

    /// Does what the drive answered.
    private func follow(_ reply: SCSIReply) {
        switch reply {
        case .done: break
        case .failed: state.result = 1
        case .data(let bytes):
            if state.phase == .toHost {
                state.buffer = Array(bytes.prefix(state.expected))
            } else {
                mismatch(bytes.count)
            }
        case .read(let offset, let count):
            guard state.phase == .toHost else { return mismatch(count) }
            (state.offset, state.mediumRest) = (offset, min(count, state.expected))
        case .write(let offset, let count, let isForced):
            guard state.phase == .fromHost else { return mismatch(count) }
            (state.offset, state.mediumRest, state.isForced) = (offset, min(count, state.expected), isForced)
        case .parameters(let count):
            guard state.phase == .fromHost || count == 0 else { return mismatch(count) }
            state.parameterCount = min(count, state.expected)
        case .flush:
            work { [target] done in target.medium.flush { done([], $0) } }
        }
    }

    /// The device has data where the host expects none, or the other way round.
    private func mismatch(_ count: Int) {
        let phaseError: UInt8 = 2
        if count > 0 { state.result = phaseError }
    }

    private func take(_ data: [UInt8]) {
        let part = min(data.count, state.expected)
        state.expected -= part
        if state.parameterCount == 0, state.mediumRest == 0 { state.residue += part }
        if state.parameterCount > 0 {
            state.buffer += data.prefix(max(0, min(part, state.parameterCount - state.buffer.count)))
            if state.buffer.count == state.parameterCount || state.expected == 0 {
                let parameters = state.buffer
                (state.buffer, state.parameterCount) = ([], 0)
                follow(target.receive(parameters, for: state.block))
            }
        } else if state.mediumRest > 0 {
            state.buffer += data.prefix(max(0, min(part, state.mediumRest - state.buffer.count)))
            if state.buffer.count >= min(state.mediumRest, Self.pieceSize) || state.expected == 0 { writePiece() }
        }
        if state.expected == 0 { state.phase = .status }
    }

    private func writePiece() {
        let piece = state.buffer
        state.buffer = []
        // What does not come stays unwritten: whole sectors only.
        state.mediumRest -= piece.count
        let offset = state.offset
        state.offset += Int64(piece.count)
        work { [target, isForced = state.isForced] done in
            target.medium.write(piece, at: offset, isForced: isForced) { done([], $0) }
        }
    }

    /// Lets the host's storage work; the endpoints wait.
    private func work(_ start: (@escaping ([UInt8], BlockError?) -> Void) -> Void) {
        isWorking = true
        let current = generation
        start { [weak self] bytes, error in
            guard let self, current == generation else { return }
            isWorking = false
            if error != nil {
                target.mediumFailed(state.phase == .toHost ? .readError : .writeError)
                state.result = 1
                state.mediumRest = 0
            } else {
                state.buffer += bytes
            }
            wake(Endpoint.toHost, .in)
            wake(Endpoint.fromHost, .out)
        }
    }

    // MARK: to the host

    override func send(endpoint: Int, capacity: Int) -> USBOutcome {
        switch state.phase {
        case .toHost: return sendData(capacity)
        case .status:
            guard !isWorking else { return .notReady }
            // A host that does not fetch all of it is lost.
            guard capacity >= 13 else { return fall() }
            state.phase = .command
            return .data(status)
        // The host asks for the status before it has sent what it announced.
        case .fromHost, .command: return .notReady
        case .broken: return .stalled
        }
    }

    private func sendData(_ capacity: Int) -> USBOutcome {
        guard !isWorking else { return .notReady }
        let wanted = min(capacity, state.expected, Self.longestPiece)
        if state.mediumRest > 0, state.buffer.count < wanted {
            let count = min(state.mediumRest, max(wanted - state.buffer.count, Self.pieceSize))
            let offset = state.offset
            state.offset += Int64(count)
            state.mediumRest -= count
            work { [target] done in target.medium.read(count: count, at: offset) { done($0, $1) } }
            // A medium without threads has answered already.
            if isWorking || state.buffer.isEmpty && state.result == 0 { return .notReady }
        }
        var part = Array(state.buffer.prefix(wanted))
        state.buffer.removeFirst(part.count)
        state.expected -= wanted
        // Hosts that expect more than there is get zeroes, and hear in the status how many: firmware takes short packets
        // for failures.
        state.residue += wanted - part.count
        part += [UInt8](repeating: 0, count: wanted - part.count)
        if state.expected == 0 {
            state.buffer = []
            state.mediumRest = 0
            state.phase = .status
        }
        return .data(part)
    }

    private var status: [UInt8] {
        func bytes(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
        return bytes(Wrapper.statusSignature) + bytes(state.tag) + bytes(UInt32(truncatingIfNeeded: state.residue))
            + [state.result]
    }

    // MARK: saving

    private var saved: State {
        var saved = state
        saved.common = common
        saved.disk = (target as? SCSIDisk)?.state
        saved.disc = (target as? CDROMCommands)?.state
        return saved
    }

    public override func saveState(as name: String) throws(StateError) -> StateRecord {
        guard !isWorking else {
            throw StateError("device '\(name)' cannot be saved while a drive works on a command; try again")
        }
        return try StateRecord(name: name, saved)
    }

    public override func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let new = try record.decode(replacing: saved)
        return { [self] in
            resetTransport()
            state = new
            common = new.common
            if let disk = new.disk { (target as? SCSIDisk)?.restore(disk) }
            if let disc = new.disc { (target as? CDROMCommands)?.restore(disc) }
        }
    }
}
