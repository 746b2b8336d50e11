// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// The commands of a SCSI disk (SBC-3, SPC-4), whatever cable it hangs on.
public final class SCSIDisk: SCSITarget {
    /// What a saved machine keeps.
    public struct State: Equatable, Sendable, Codable {
        /// Of the last command that failed.
        public var sense = Sense.none
        /// To be told before anything else.
        public var attention: Sense?
        /// The host has switched the write cache off.
        public var hasWriteCache = true
    }

    /// What the disk says of itself.
    public struct Identity: Equatable, Sendable {
        public var vendor = "QEMU"
        public var product = "QEMU HARDDISK"
        public var revision = "2.5+"
        public var serial = ""
        /// A stick that can be pulled.
        public var isRemovable = false
        /// 512 or 4096 bytes.
        public var blockSize = 512
        /// QEMU's defaults.
        public init() {}
    }

    private enum Command {
        static let testUnitReady: UInt8 = 0x00, requestSense: UInt8 = 0x03, inquiry: UInt8 = 0x12
        static let modeSelect: UInt8 = 0x15, modeSense: UInt8 = 0x1A, startStop: UInt8 = 0x1B, prevent: UInt8 = 0x1E
        static let formatCapacities: UInt8 = 0x23, readCapacity: UInt8 = 0x25, verify: UInt8 = 0x2F
        static let synchronize: UInt8 = 0x35, modeSelectLong: UInt8 = 0x55, modeSenseLong: UInt8 = 0x5A
        static let serviceActionIn: UInt8 = 0x9E, reportUnits: UInt8 = 0xA0, synchronizeLong: UInt8 = 0x91
        static let reads: [UInt8] = [0x08, 0x28, 0xA8, 0x88], writes: [UInt8] = [0x0A, 0x2A, 0xAA, 0x8A]
    }
    private static let forceUnitAccess: UInt8 = 8, cachePage: UInt8 = 0x08, longReadCapacity: UInt8 = 0x10
    private static let longestTransfer: UInt64 = 1 << 30

    /// The guest's view.
    public internal(set) var state = State()
    public let medium: DriveMedium
    private let identity: Identity
    private let hasWriteCache: Bool

    /// A disk over a medium.
    /// - Parameter hasWriteCache: what is written may wait for a flush, until the host says otherwise.
    public init(medium: DriveMedium, identity: Identity, hasWriteCache: Bool = true) {
        self.medium = medium
        self.identity = identity
        self.hasWriteCache = hasWriteCache
        reset()
    }

    public func reset() {
        state = State()
        state.hasWriteCache = hasWriteCache
    }

    /// Puts a saved state back.
    public func restore(_ saved: State) { state = saved }

    public func mediumFailed(_ sense: Sense) { state.sense = sense }

    public func execute(_ block: [UInt8]) -> SCSIReply {
        let command = CommandBlock(bytes: block)
        if command[0] == Command.requestSense {
            let data = state.attention?.data ?? state.sense.data
            (state.attention, state.sense) = (nil, .none)
            return .data(Array(data.prefix(Int(command[4]))))
        }
        if let attention = state.attention, command[0] != Command.inquiry, command[0] != Command.reportUnits {
            state.attention = nil
            state.sense = attention
            return .failed(attention)
        }
        let reply = perform(command)
        if case .failed(let sense) = reply { state.sense = sense } else { state.sense = .none }
        return reply
    }

    private var blockCount: UInt64 { medium.count(of: identity.blockSize) }
    private var isReadOnly: Bool { medium.node?.isReadOnly ?? true }

    private func perform(_ command: CommandBlock) -> SCSIReply {
        switch command[0] {
        case Command.inquiry: return inquiry(command)
        case Command.reportUnits:
            return .data(Array(([0, 0, 0, 8] + [UInt8](repeating: 0, count: 12)).prefix(limit(command, 6))))
        case _ where medium.node == nil: return .failed(.noMedium)
        case Command.testUnitReady, Command.startStop, Command.prevent, Command.verify: return .done
        case Command.readCapacity: return capacity()
        case Command.serviceActionIn where command[1] & 0x1F == Self.longReadCapacity: return longCapacity(command)
        case Command.formatCapacities: return formatCapacities(command)
        case Command.modeSense: return modeSense(command, limit: Int(command[4]), isShort: true)
        case Command.modeSenseLong: return modeSense(command, limit: command.word(7), isShort: false)
        case Command.modeSelect: return .parameters(count: Int(command[4]))
        case Command.modeSelectLong: return .parameters(count: command.word(7))
        case Command.synchronize, Command.synchronizeLong: return .flush
        case let code where Command.reads.contains(code): return transfer(command, isWrite: false)
        case let code where Command.writes.contains(code):
            return isReadOnly ? .failed(.writeProtected) : transfer(command, isWrite: true)
        default: return .failed(.invalidCommand)
        }
    }

    private func limit(_ command: CommandBlock, _ place: Int) -> Int { Int(truncatingIfNeeded: command.long(place)) }

    /// READ and WRITE of 6, 10, 12 and 16 bytes.
    private func transfer(_ command: CommandBlock, isWrite: Bool) -> SCSIReply {
        let place: UInt64, count: UInt64
        switch command[0] >> 5 {
        case 0:
            place = UInt64(command.triple(1) & 0x1F_FFFF)
            count = command[4] == 0 ? 256 : UInt64(command[4])
        case 1: (place, count) = (command.long(2), UInt64(command.word(7)))
        case 5: (place, count) = (command.long(2), command.long(6))
        default: (place, count) = (command.long(2) << 32 | command.long(6), command.long(10))
        }
        guard count > 0 else { return .done }
        guard place < blockCount, count <= blockCount - place,
            count <= Self.longestTransfer / UInt64(identity.blockSize)
        else { return .failed(.outOfRange) }
        let offset = Int64(place) * Int64(identity.blockSize), bytes = Int(count) * identity.blockSize
        guard isWrite else { return .read(offset: offset, count: bytes) }
        let isForced = command[0] >> 5 != 0 && command[1] & Self.forceUnitAccess != 0 || !state.hasWriteCache
        return .write(offset: offset, count: bytes, isForced: isForced)
    }

    // MARK: Reports

    private func inquiry(_ command: CommandBlock) -> SCSIReply {
        let limit = command.word(3)
        if command[1] & 1 != 0 { return vitalData(command[2], limit) }
        guard command[2] == 0 else { return .failed(.invalidField) }
        var reply = ReplyBuilder()
        // A direct-access device of SPC-3, response format 2, with command queuing.
        reply.append(0, identity.isRemovable ? 0x80 : 0, 5, 2, 31, 0, 0, 2)
        reply.append(text: identity.vendor, count: 8)
        reply.append(text: identity.product, count: 16)
        reply.append(text: identity.revision, count: 4)
        return .data(reply.limited(to: limit))
    }

    /// Vital product data (SPC-4, 7.8).
    private func vitalData(_ page: UInt8, _ limit: Int) -> SCSIReply {
        var body = ReplyBuilder()
        let serialPage: UInt8 = 0x80, identityPage: UInt8 = 0x83, limitsPage: UInt8 = 0xB0, kindPage: UInt8 = 0xB1
        let largest = 36
        switch page {
        case 0: body.append(0, serialPage, identityPage, limitsPage, kindPage)
        case serialPage where !identity.serial.isEmpty:
            body.append(text: identity.serial, count: min(identity.serial.utf8.count, largest))
        case identityPage:
            let text = Array((identity.serial.isEmpty ? "drive" : identity.serial).utf8.prefix(largest))
            body.append(2, 0, 0, UInt8(text.count))
            body.bytes += text
        case limitsPage: body.zeros(60)
        case kindPage: body.zeros(60)
        default: return .failed(.invalidField)
        }
        var reply = ReplyBuilder()
        reply.append(0, page)
        reply.append(word: body.bytes.count)
        reply.bytes += body.bytes
        return .data(reply.limited(to: limit))
    }

    private func capacity() -> SCSIReply {
        var reply = ReplyBuilder()
        reply.append(long: min(max(blockCount, 1) - 1, 0xFFFF_FFFF))
        reply.append(long: UInt64(identity.blockSize))
        return .data(reply.bytes)
    }

    private func longCapacity(_ command: CommandBlock) -> SCSIReply {
        let last = max(blockCount, 1) - 1
        var reply = ReplyBuilder()
        reply.append(long: last >> 32)
        reply.append(long: last & 0xFFFF_FFFF)
        reply.append(long: UInt64(identity.blockSize))
        reply.zeros(20)
        return .data(reply.limited(to: limit(command, 10)))
    }

    /// READ FORMAT CAPACITIES (MMC-6, 6.24), which old systems ask sticks: the size of the medium that is there.
    private func formatCapacities(_ command: CommandBlock) -> SCSIReply {
        var reply = ReplyBuilder()
        let formatted: UInt64 = 2
        reply.append(0, 0, 0, 8)
        reply.append(long: min(blockCount, 0xFFFF_FFFF))
        reply.append(long: formatted << 24 | UInt64(identity.blockSize))
        return .data(reply.limited(to: command.word(7)))
    }

    /// The caching page alone.
    private func modeSense(_ command: CommandBlock, limit: Int, isShort: Bool) -> SCSIReply {
        let page = command[2] & 0x3F, control = command[2] >> 6, all: UInt8 = 0x3F
        guard control != 3 else { return .failed(.savingNotSupported) }
        var pages = ReplyBuilder()
        switch page {
        case Self.cachePage, all:
            let cache: UInt8 = control == 1 || state.hasWriteCache ? 4 : 0
            pages.append(Self.cachePage, 18, cache)
            pages.zeros(17)
        case 0: break
        default: return .failed(.invalidField)
        }
        // Bit 4: forced accesses are obeyed; bit 7: write-protected.
        let specific: UInt8 = (isReadOnly ? 0x80 : 0) | 0x10
        var reply = ReplyBuilder()
        if isShort {
            reply.append(UInt8(truncatingIfNeeded: pages.bytes.count + 3), 0, specific, 0)
        } else {
            reply.append(word: pages.bytes.count + 6)
            reply.append(0, specific, 0, 0, 0, 0)
        }
        reply.bytes += pages.bytes
        return .data(reply.limited(to: limit))
    }

    /// MODE SELECT: the write cache can be switched.
    public func receive(_ parameters: [UInt8], for block: [UInt8]) -> SCSIReply {
        let isShort = block.first == Command.modeSelect
        let data = CommandBlock(bytes: parameters)
        let descriptors = isShort ? Int(data[3]) : data.word(6)
        let page = (isShort ? 4 : 8) + descriptors
        guard parameters.count > page else { return .done }
        guard data[page] & 0x3F == Self.cachePage, parameters.count > page + 2 else {
            state.sense = .invalidField
            return .failed(.invalidField)
        }
        state.hasWriteCache = data[page + 2] & 4 != 0
        return .done
    }
}
