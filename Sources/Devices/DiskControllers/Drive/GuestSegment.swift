// SPDX-License-Identifier: Apache-2.0

public import BlockLayer
public import GuestMemory

/// A piece of guest memory that a controller's scatter list names.
public struct GuestSegment: Equatable, Sendable {
    /// Guest-physical.
    public var address: UInt64
    /// In bytes.
    public var count: Int

    /// A piece of memory.
    public init(address: UInt64, count: Int) {
        self.address = address
        self.count = count
    }
}

extension Array<GuestSegment> {
    /// All bytes together.
    public var byteCount: Int { reduce(0) { $0 &+ $1.count } }

    /// The bytes from `offset` on, at most `count` of them.
    public func slice(from offset: Int, count: Int) -> [GuestSegment] {
        var skip = offset, left = count
        var result: [GuestSegment] = []
        for segment in self where left > 0 {
            guard skip < segment.count else {
                skip -= segment.count
                continue
            }
            let length = Swift.min(segment.count - skip, left)
            result.append(GuestSegment(address: segment.address &+ UInt64(skip), count: length))
            skip = 0
            left -= length
        }
        return result
    }
}

extension GuestMemory {
    /// The host memory behind the pieces, in order; nil where any byte is no memory, or ROM that is to be written.
    ///
    /// The regions stay valid as long as this object, which each of them keeps.
    public func hostRegions(_ segments: [GuestSegment], writable: Bool) -> [ByteRegion]? {
        var result: [ByteRegion] = []
        for segment in segments {
            var done = 0
            while done < segment.count {
                let place = segment.address &+ UInt64(done)
                guard let region = region(at: place), !(writable && region.isReadOnly) else { return nil }
                let offset = place - region.start
                let length = Int(min(UInt64(segment.count - done), region.count - offset))
                // offset + length lies in the region, which lives as long as this memory.
                result.append(unsafe ByteRegion(unsafe: region.base + Int(offset), count: length, owner: self))
                done += length
            }
        }
        return result
    }

    /// Notes that a device wrote the pieces.
    public func markWritten(_ segments: [GuestSegment]) {
        for segment in segments {
            // A piece may lie in two adjacent regions.
            var done = 0
            while done < segment.count {
                let place = segment.address &+ UInt64(done)
                guard let region = region(at: place) else { return }
                let length = Int(min(UInt64(segment.count - done), region.count - (place - region.start)))
                markWritten(at: place, count: length)
                done += length
            }
        }
    }

    /// Copies bytes into the pieces, as far as they reach.
    /// - Returns: how many bytes were copied.
    public func scatter(_ bytes: [UInt8], into segments: [GuestSegment]) -> Int {
        var done = 0
        for segment in segments where done < bytes.count {
            let length = min(segment.count, bytes.count - done)
            // What is no memory takes nothing, as on the bus.
            guard (try? write(Array(bytes[done..<done + length]), at: segment.address)) != nil else { break }
            done += length
        }
        return done
    }

    /// Copies `count` bytes out of the pieces; fewer where they are shorter or no memory.
    public func gather(_ segments: [GuestSegment], count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for segment in segments where bytes.count < count {
            guard let part = try? read(at: segment.address, count: min(segment.count, count - bytes.count)) else {
                break
            }
            bytes += part
        }
        return bytes
    }
}
