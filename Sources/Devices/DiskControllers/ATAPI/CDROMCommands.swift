// SPDX-License-Identifier: Apache-2.0

public import BlockLayer

/// The commands of a CD-ROM drive (MMC-6), whatever cable it hangs on.
///
/// Media are data discs of one track; one that is larger than a CD is called a DVD. A medium that is changed while the
/// guest looks shows as an open tray, then as a new disc.
public final class CDROMCommands {
    /// What a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// Of the last command that failed.
        public var sense = Sense.none
        /// To be told before anything else.
        public var attention: Sense?
        /// No medium can be read until it is closed.
        public var isTrayOpen = false
        /// The guest does not want the disc taken out.
        public var isLocked = false
        /// GET EVENT STATUS NOTIFICATION: a disc was put in, or somebody wants it out.
        public var newMedia = false
        /// Somebody outside pressed the button while the guest keeps the disc locked.
        public var ejectRequested = false
    }

    /// Bytes of a sector.
    public static let sectorSize = 2048

    /// The guest's view.
    public internal(set) var state = State()
    /// The disc.
    public let medium: DriveMedium
    /// Told when the tray opens or closes by the guest's wish.
    public var trayMoved: (_ isOpen: Bool) -> Void = { _ in }
    private let product: String

    /// - Parameter product: the name in INQUIRY.
    public init(medium: DriveMedium, product: String = "QEMU DVD-ROM") {
        self.medium = medium
        self.product = product
    }

    /// Power-on: a lock is gone, an open tray stays open.
    public func reset() {
        let open = state.isTrayOpen
        state = State()
        state.isTrayOpen = open
        state.attention = nil
    }

    /// Puts a saved state back.
    public func restore(_ saved: State) { state = saved }

    /// A command was given up.
    func endCommand() { state.sense = .none }

    // MARK: The person's side

    /// There is a disc in a closed tray.
    public var isReady: Bool { medium.node != nil && !state.isTrayOpen }

    /// Opens the tray.
    /// - Parameter force: even when the guest has locked it.
    /// - Returns: false when the guest has locked it; it is told that somebody wants the disc.
    public func open(force: Bool) -> Bool {
        guard !state.isLocked || force else {
            state.ejectRequested = true
            return false
        }
        if !state.isTrayOpen {
            state.isTrayOpen = true
            trayMoved(true)
        }
        return true
    }

    /// Replaces the disc; the tray is open.
    public func change(to node: (any BlockNode)?) {
        medium.replace(node)
        state.newMedia = node != nil
    }

    /// Closes the tray.
    public func close() {
        guard state.isTrayOpen else { return }
        state.isTrayOpen = false
        if medium.node != nil {
            state.attention = .mediumChanged
            state.newMedia = true
        }
        trayMoved(false)
    }

    private var sectorCount: UInt64 { isReady ? medium.count(of: Self.sectorSize) : 0 }

    /// The media event that was not told yet: 1 a wish to eject, 2 a new disc.
    func takeEvent() -> UInt8 {
        defer { (state.newMedia, state.ejectRequested) = (false, false) }
        return state.ejectRequested ? 1 : state.newMedia ? 2 : 0
    }

    // MARK: Commands

    /// Runs a command.
    public func execute(_ block: [UInt8]) -> SCSIReply {
        let command = CommandBlock(bytes: block)
        if command[0] == 0x03 {
            let data = state.attention?.data ?? state.sense.data
            state.attention = nil
            state.sense = .none
            return .data(Array(data.prefix(Int(command[4]))))
        }
        // INQUIRY and the event status tell about changes without using them up.
        if command[0] != 0x12, command[0] != 0x4A, command[0] != 0x46, let attention = state.attention {
            state.attention = nil
            return fail(attention)
        }
        let reply = perform(command)
        if case .failed(let sense) = reply { return fail(sense) }
        state.sense = .none
        return reply
    }

    /// The medium could not be read.
    func fail(_ sense: Sense) -> SCSIReply {
        state.sense = sense
        return .failed(sense)
    }

    private func perform(_ command: CommandBlock) -> SCSIReply {
        switch command[0] {
        case 0x00: return needMedium { .done }
        case 0x12: return inquiry(command)
        case 0x1A: return modeSense(command, page: command[2], limit: Int(command[4]), isShort: true)
        case 0x5A: return modeSense(command, page: command[2], limit: command.word(7), isShort: false)
        case 0x1B: return startStop(command)
        case 0x1E:
            state.isLocked = command[4] & 1 != 0
            return .done
        case 0x25: return needMedium { capacity() }
        case 0x28: return read(at: command.long(2), count: UInt64(command.word(7)))
        case 0xA8: return read(at: command.long(2), count: command.long(6))
        case 0xBE: return readCD(command)
        case 0x2B:
            return needMedium { command.long(2) < sectorCount ? .done : .failed(.outOfRange) }
        case 0x43: return needMedium { tableOfContents(command) }
        case 0x46: return configuration(command)
        case 0x4A: return eventStatus(command)
        case 0x51: return needMedium { discInformation(command) }
        case 0xAD: return needMedium { discStructure(command) }
        case 0xBB: return .done
        case 0xBD:
            var reply = ReplyBuilder()
            reply.zeros(8)
            return .data(reply.limited(to: command.word(8)))
        case 0x35: return .done
        default: return .failed(.invalidCommand)
        }
    }

    private func needMedium(_ body: () -> SCSIReply) -> SCSIReply {
        if state.isTrayOpen { return .failed(.trayOpen) }
        return medium.node == nil ? .failed(.noMedium) : body()
    }

    private func inquiry(_ command: CommandBlock) -> SCSIReply {
        guard command[1] & 1 == 0 else { return .failed(.invalidField) }
        var reply = ReplyBuilder()
        // A CD-ROM drive with removable media; no standard claimed, response format 2 of ATAPI 3.
        reply.append(5, 0x80, 0, 0x21, 31, 0, 0, 0)
        reply.append(text: "QEMU", count: 8)
        reply.append(text: product, count: 16)
        reply.append(text: "2.5+", count: 4)
        return .data(reply.limited(to: command.word(3)))
    }

    private func capacity() -> SCSIReply {
        guard sectorCount > 0 else { return .failed(.noMedium) }
        var reply = ReplyBuilder()
        reply.append(long: min(sectorCount - 1, 0xFFFF_FFFF))
        reply.append(long: UInt64(Self.sectorSize))
        return .data(reply.bytes)
    }

    private func read(at sector: UInt64, count: UInt64) -> SCSIReply {
        needMedium {
            guard count > 0 else { return .done }
            guard sector <= sectorCount, count <= sectorCount - sector, count <= 1 << 20 else {
                return .failed(.outOfRange)
            }
            return .read(offset: Int64(sector) * Int64(Self.sectorSize), count: Int(count) * Self.sectorSize)
        }
    }

    /// Only user data of data sectors.
    private func readCD(_ command: CommandBlock) -> SCSIReply {
        switch command[9] & 0xF8 {
        case 0x00: needMedium { .done }
        case 0x10: read(at: command.long(2), count: UInt64(command.triple(6)))
        default: .failed(.invalidField)
        }
    }

    private func startStop(_ command: CommandBlock) -> SCSIReply {
        guard command[4] & 0xF0 == 0, command[4] & 2 != 0 else { return .done }
        if command[4] & 1 != 0 {
            close()
            return .done
        }
        if state.isLocked { return .failed(.removalPrevented) }
        return open(force: false) ? .done : .failed(.removalPrevented)
    }
}
