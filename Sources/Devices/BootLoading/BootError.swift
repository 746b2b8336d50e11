// SPDX-License-Identifier: Apache-2.0

/// Why a kernel cannot be started, in one line for the person who typed it.
public struct BootError: Error, Equatable, Sendable, CustomStringConvertible {
    /// One line: what failed, on which file, and why.
    public let description: String
    /// A failure that `description` tells.
    public init(_ description: String) { self.description = description }
}

/// What a part of guest-physical memory is for: the types of the E820 map.
public enum MemoryMapKind: UInt32, Sendable {
    case usable = 1
    case reserved = 2
    case acpiTables = 3
    case acpiStorage = 4
    case unusable = 5
}

/// One line of the map that the guest is given.
public struct MemoryMapEntry: Equatable, Sendable {
    /// The first guest-physical address.
    public var start: UInt64
    /// Length in bytes.
    public var count: UInt64
    /// What the guest may do with it.
    public var kind: MemoryMapKind

    /// One range.
    public init(start: UInt64, count: UInt64, kind: MemoryMapKind) {
        self.start = start
        self.count = count
        self.kind = kind
    }

    /// The address after the last.
    public var end: UInt64 { start &+ count }

    /// The map of a PC as its firmware would give it.
    /// - Parameters:
    ///   - lowMemoryEnd: where RAM below 4 GiB ends; more than 1 MiB.
    ///   - highMemoryCount: bytes of RAM from 4 GiB on.
    ///   - reserved: further ranges that hold no RAM, such as the window of configuration space, which a kernel only uses
    ///     where the map reserves it.
    public static func standardPC(
        lowMemoryEnd: UInt64, highMemoryCount: UInt64, reserved: [Range<UInt64>] = []
    ) -> [MemoryMapEntry] {
        let baseMemoryEnd: UInt64 = 0x9FC00
        let romStart: UInt64 = 0xF0000
        let megabyte: UInt64 = 0x10_0000
        let flashStart: UInt64 = 0xFFFC_0000
        var map = [
            MemoryMapEntry(start: 0, count: baseMemoryEnd, kind: .usable),
            MemoryMapEntry(start: baseMemoryEnd, count: 0xA0000 - baseMemoryEnd, kind: .reserved),
            MemoryMapEntry(start: romStart, count: megabyte - romStart, kind: .reserved),
            MemoryMapEntry(start: megabyte, count: max(lowMemoryEnd, megabyte) - megabyte, kind: .usable),
        ]
        map += reserved.map {
            MemoryMapEntry(start: $0.lowerBound, count: $0.upperBound - $0.lowerBound, kind: .reserved)
        }
        map.append(MemoryMapEntry(start: flashStart, count: (1 << 32) - flashStart, kind: .reserved))
        if highMemoryCount > 0 { map.append(MemoryMapEntry(start: 1 << 32, count: highMemoryCount, kind: .usable)) }
        return map.filter { $0.count > 0 }.sorted { $0.start < $1.start }
    }
}
