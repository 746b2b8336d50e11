// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import Compression

/// One piece of a saved machine on its way: what it is, and its bytes.
public struct StateFrame: Equatable, Sendable {
    /// What a frame holds.
    public enum Kind: UInt32, Sendable {
        /// Which machine this is, first of all.
        case header = 1
        /// Contents of guest memory.
        case memory
        /// A `StateRecord`.
        case section
        /// Nothing follows.
        case end
        /// How many channels more the memory comes by (a 32-bit number), after the header.
        case channels
        /// What follows on this channel is newer than all that came before it on any: a round's number.
        case barrier
    }
    /// Says what the payload is.
    public var kind: Kind
    /// The bytes behind kind and length.
    public var payload: [UInt8]

    /// A frame.
    public init(kind: Kind, payload: [UInt8]) {
        self.kind = kind
        self.payload = payload
    }

    /// The most bytes that a payload has.
    public static let maximumPayload = 8 << 20
    /// Of a frame's own head: kind, length, checksum.
    public static let headSize = 12
    /// The first bytes of a saved machine.
    public static let magic: [UInt8] = Array("ROOSTVM1".utf8)

    /// Head and payload.
    public var encoded: [UInt8] {
        var builder = ByteBuilder()
        builder.append(kind.rawValue)
        builder.append(UInt32(payload.count))
        builder.append(Self.checksum(builder.bytes, payload))
        builder.append(bytes: payload)
        return builder.bytes
    }

    fileprivate static func checksum(_ head: [UInt8], _ payload: [UInt8]) -> UInt32 {
        var checksum = Checksum32()
        checksum.add(head)
        checksum.add(payload)
        return checksum.value
    }
}

/// Takes a saved machine apart. Nothing that it returns was not covered by a checksum.
public struct StateStreamReader {
    /// Gives exactly this many bytes.
    public typealias Source = (_ count: Int) throws(StateError) -> [UInt8]
    private let source: Source
    private var hasStarted = false

    /// - Parameter source: throws where the stream ends too early.
    public init(_ source: @escaping Source) { self.source = source }

    /// The next frame.
    public mutating func next() throws(StateError) -> StateFrame {
        if !hasStarted {
            guard try source(StateFrame.magic.count) == StateFrame.magic else {
                throw StateError("this is no saved state of a machine of Roost")
            }
            hasStarted = true
        }
        var reader = ByteReader(try source(StateFrame.headSize))
        let kindNumber: UInt32, count: UInt32, checksum: UInt32
        do throws(ByteRangeError) {
            kindNumber = try reader.read()
            count = try reader.read()
            checksum = try reader.read()
        } catch { throw StateError("the saved state ends too early") }
        guard let kind = StateFrame.Kind(rawValue: kindNumber), count <= UInt32(StateFrame.maximumPayload) else {
            throw StateError("the saved state is damaged, or of a newer version")
        }
        let payload = count > 0 ? try source(Int(count)) : []
        guard payload.count == Int(count),
            StateFrame.checksum(Array(reader.bytes.prefix(8)), payload) == checksum
        else { throw StateError("the saved state is damaged: a checksum does not agree") }
        return StateFrame(kind: kind, payload: payload)
    }
}

extension StateRecord {
    private static let longestName = 4096

    /// The section as a frame.
    public var frame: StateFrame {
        var builder = ByteBuilder()
        builder.append(version)
        builder.append(UInt32(name.utf8.count))
        builder.append(text: name)
        builder.append(bytes: payload)
        return StateFrame(kind: .section, payload: builder.bytes)
    }

    /// The section that a frame holds.
    public init(frame: StateFrame) throws(StateError) {
        var reader = ByteReader(frame.payload)
        do throws(ByteRangeError) {
            let version: UInt32 = try reader.read()
            let count: UInt32 = try reader.read()
            guard count <= UInt32(Self.longestName) else {
                throw ByteRangeError(offset: reader.offset, wanted: Int(count), available: reader.remaining)
            }
            let name = String(decoding: try reader.read(count: Int(count)), as: UTF8.self)
            self.init(name: name, version: version, payload: try reader.read(count: reader.remaining))
        } catch { throw StateError("the saved state is damaged: \(error)") }
    }
}

/// What the first frame says: a state is only for a machine of the same description.
public struct StateHeader: SavedState, Equatable {
    /// "pc-q35-7.2".
    public var machine: String
    /// "kvm" or "tcg".
    public var accelerator: String
    /// As in `-cpu`.
    public var processorModel: String
    /// As in `-smp`; must agree.
    public var processorCount: Int
    /// Guest memory, in the order of its regions.
    public var memory: [Region]

    /// One range of guest memory.
    public struct Region: Codable, Equatable, Sendable {
        /// The region's name in the machine's assembly.
        public var name: String
        /// Its length in bytes.
        public var count: UInt64

        /// Everything by name.
        public init(name: String, count: UInt64) {
            self.name = name
            self.count = count
        }
    }

    /// Everything by name.
    public init(
        machine: String, accelerator: String, processorModel: String, processorCount: Int, memory: [Region]
    ) {
        self.machine = machine
        self.accelerator = accelerator
        self.processorModel = processorModel
        self.processorCount = processorCount
        self.memory = memory
    }

    /// The first difference in words for the person: machine, accelerator, model, memory.
    public func problem(replacing current: StateHeader) -> String? {
        func differs(_ what: String, _ saved: String, _ here: String) -> String? {
            saved == here ? nil : "its \(what) is \(saved) and this machine's is \(here)"
        }
        return differs("machine type", machine, current.machine)
            ?? differs("accelerator", accelerator, current.accelerator)
            ?? differs("processor model", processorModel, current.processorModel)
            ?? differs("number of vCPUs", "\(processorCount)", "\(current.processorCount)")
            ?? (memory == current.memory ? nil : "its memory is laid out differently (give the same -m)")
    }
}
