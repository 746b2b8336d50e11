// SPDX-License-Identifier: Apache-2.0

public import GuestMemory
public import MachineModel

/// A parallel flash chip with Intel's command set (Common Flash Interface, primary vendor command set 1), one byte wide
/// with sectors of 4 KiB: where firmware keeps its code and its variables.
///
/// While the chip is in array mode its content is ROM in the guest's memory; any write is a command and comes here, and
/// in all other modes the ROM is taken away, so that reads come here as well.
@safe
public final class ParallelFlash: Device {
    /// QEMU's name, for `info qtree`, logs and saved states.
    public let name = "cfi.pflash01"
    /// Bytes that are erased together.
    public static let sectorSize = 4096

    /// What a write or read means now.
    public enum Mode: Equatable, Sendable {
        case array, status, identity, query
        /// The next write is a byte to program.
        case program
        /// The next write confirms an erasure.
        case erase
        /// The next write says how many bytes follow, less one.
        case bufferCount
        case bufferData(left: Int)
        case bufferConfirm
        /// The next write locks or unlocks; nothing is locked.
        case lock
    }

    /// Everything of the guest's view beside the content.
    public struct State: Equatable, Sendable {
        /// What the last command made of reads and writes.
        public internal(set) var mode = Mode.array
        /// The status register: bit 7 ready, bits 5 and 4 failed erase and program.
        public internal(set) var status: UInt8 = Status.ready
        /// Bytes of a buffered write.
        var buffer: [UInt8] = []
        var bufferStart = 0
    }

    enum Status {
        static let ready: UInt8 = 0x80, failedErase: UInt8 = 0x20, failedProgram: UInt8 = 0x10
    }
    private enum Command {
        static let readArray: UInt8 = 0xFF, readStatus: UInt8 = 0x70, clearStatus: UInt8 = 0x50
        static let readIdentity: UInt8 = 0x90, query: UInt8 = 0x98
        static let program: UInt8 = 0x10, programAlternate: UInt8 = 0x40, erase: UInt8 = 0x20, buffer: UInt8 = 0xE8
        static let confirm: UInt8 = 0xD0, lock: UInt8 = 0x60
        static let resets: [UInt8] = [0x00, 0xF0]
    }
    /// Intel, and a number that is nobody's.
    private static let identity: [UInt8] = [0x89, 0x18, 0x00, 0x00]
    private static let bufferSize = 2048

    /// What a saved machine keeps.
    public private(set) var state = State()
    /// Guest-physical.
    public let base: UInt64
    private let memory: GuestMemory
    private let region: GuestMemory.MovableRegion
    private let content: UnsafeMutableRawPointer
    private let count: Int
    private let isReadOnly: Bool
    /// Makes changed bytes durable.
    private let store: (_ offset: Int, _ bytes: [UInt8]) -> Bool

    /// A chip whose content is in a read-only movable region.
    /// - Parameters:
    ///   - base: where the chip is, guest-physical; below 4 GiB less its size.
    ///   - store: writes bytes to the image; false when that failed. Called with the machine lock held.
    public init(
        memory: GuestMemory, region: GuestMemory.MovableRegion, base: UInt64, isReadOnly: Bool,
        store: @escaping (_ offset: Int, _ bytes: [UInt8]) -> Bool
    ) {
        self.memory = memory
        self.region = region
        self.base = base
        self.isReadOnly = isReadOnly
        self.store = store
        let chip = memory.region(region)
        // The region's memory lives as long as `memory`.
        unsafe content = chip.base
        count = Int(chip.count)
        memory.moveRegion(region, to: base)
    }

    /// Maps the chip's registers at its place, under the ROM.
    public func map(in space: AddressSpace) {
        space.map(
            WordWindow(
                read: { [unowned self] in read(Int(truncatingIfNeeded: $0), $1) },
                write: { [unowned self] in write(Int(truncatingIfNeeded: $0), $1, $2) }),
            at: base, count: UInt64(count), name: name)
    }

    /// Back to reading the array; the content stays.
    public func reset() {
        state = State()
        enter(.array)
    }

    /// The content's end, as many bytes as real mode sees below 1 MiB.
    public func tail(_ length: Int) -> [UInt8] {
        let length = min(length, count)
        // The last `length` of `count` bytes.
        return unsafe Array(UnsafeRawBufferPointer(start: content + count - length, count: length))
    }

    private func enter(_ mode: Mode) {
        state.mode = mode
        memory.moveRegion(region, to: mode == .array ? base : nil)
    }

    // MARK: Reading

    private func read(_ offset: Int, _ size: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<min(max(size, 0), 8) { value |= UInt64(readByte(offset &+ index)) << UInt64(index * 8) }
        return value
    }

    private func readByte(_ offset: Int) -> UInt8 {
        guard (0..<count).contains(offset) else { return 0xFF }
        switch state.mode {
        case .array: return unsafe content.load(fromByteOffset: offset, as: UInt8.self)
        case .identity: return Self.identity[offset & 3]
        case .query: return queryByte(offset & 0xFF)
        default: return state.status
        }
    }

    /// The query table: "QRY", command set 1, sizes.
    private func queryByte(_ place: Int) -> UInt8 {
        switch place {
        case 0x10: return 0x51
        case 0x11: return 0x52
        case 0x12: return 0x59
        case 0x13: return 1
        case 0x15: return 0x31
        case 0x1B: return 0x45
        case 0x1C: return 0x55
        case 0x1F, 0x20: return 7
        case 0x21: return 0x0A
        case 0x27: return UInt8(count.trailingZeroBitCount)
        case 0x2A: return UInt8(Self.bufferSize.trailingZeroBitCount)
        case 0x2C: return 1
        case 0x2D: return UInt8(truncatingIfNeeded: count / Self.sectorSize - 1)
        case 0x2E: return UInt8(truncatingIfNeeded: (count / Self.sectorSize - 1) >> 8)
        case 0x2F: return UInt8(truncatingIfNeeded: Self.sectorSize >> 8)
        case 0x30: return UInt8(truncatingIfNeeded: Self.sectorSize >> 16)
        case 0x31: return 0x50
        case 0x32: return 0x52
        case 0x33: return 0x49
        case 0x34, 0x35: return 0x31
        default: return 0
        }
    }

    // MARK: Writing

    private func write(_ offset: Int, _ size: Int, _ value: UInt64) {
        guard (0..<count).contains(offset) else { return }
        let byte = UInt8(truncatingIfNeeded: value)
        switch state.mode {
        case .array, .status, .identity, .query: command(byte)
        case .program:
            let bytes = (0..<min(max(size, 0), 8)).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
            program(bytes, at: offset)
            enter(.status)
        case .erase:
            if byte == Command.confirm { erase(offset) } else if byte == Command.readArray { return enter(.array) }
            enter(.status)
        case .bufferCount:
            state.buffer = []
            state.bufferStart = offset
            enter(.bufferData(left: min(Int(byte) + 1, Self.bufferSize)))
        case .bufferData(let left):
            if state.buffer.isEmpty { state.bufferStart = offset }
            state.buffer.append(byte)
            enter(left > 1 ? .bufferData(left: left - 1) : .bufferConfirm)
        case .bufferConfirm:
            guard byte == Command.confirm else { return enter(.array) }
            program(state.buffer, at: state.bufferStart)
            state.buffer = []
            enter(.status)
        case .lock:
            state.status |= Status.ready
            enter(byte == Command.readArray ? .array : .status)
        }
    }

    private func command(_ byte: UInt8) {
        switch byte {
        case Command.readStatus: enter(.status)
        case Command.clearStatus:
            state.status = 0
            enter(.array)
        case Command.readIdentity: enter(.identity)
        case Command.query: enter(.query)
        case Command.program, Command.programAlternate: enter(.program)
        case Command.erase: enter(.erase)
        case Command.buffer:
            state.status |= Status.ready
            enter(.bufferCount)
        case Command.lock: enter(.lock)
        default: enter(.array)
        }
    }

    private func program(_ bytes: [UInt8], at offset: Int) {
        let length = min(bytes.count, count - offset)
        state.status |= Status.ready
        guard !isReadOnly else {
            state.status |= Status.failedProgram
            return
        }
        // offset + length lies in the chip.
        for index in 0..<length {
            unsafe content.storeBytes(of: bytes[index], toByteOffset: offset + index, as: UInt8.self)
        }
        if !store(offset, Array(bytes.prefix(length))) { state.status |= Status.failedProgram }
    }

    private func erase(_ offset: Int) {
        state.status |= Status.ready
        guard !isReadOnly else {
            state.status |= Status.failedErase
            return
        }
        let start = offset / Self.sectorSize * Self.sectorSize
        let length = min(Self.sectorSize, count - start)
        // start + length lies in the chip.
        unsafe (content + start).initializeMemory(as: UInt8.self, repeating: 0xFF, count: length)
        if !store(start, [UInt8](repeating: 0xFF, count: length)) { state.status |= Status.failedErase }
    }
}
