// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import GuestMemory
internal import StateCoding

/// Pages of guest memory as frames: where they are, and their bytes unless all are zero.
enum MemoryFrames {
    private enum Kind: UInt32 { case data = 0, zero }
    private static let headSize = 24
    static let pageSize = Int(GuestMemory.pageSize)
    /// Pages of one frame at most.
    static let runLimit = 256

    /// The frames of a run: pages of zeros are told apart from others.
    static func frames(_ memory: GuestMemory, region index: Int, pages: Range<Int>) -> [StateFrame] {
        let region = memory.regions[index]
        var frames: [StateFrame] = []
        var start = pages.lowerBound
        while start < pages.upperBound {
            // The pages lie in the region, whose memory lives as long as `memory`.
            let isZero = unsafe Self.isZero(region.base + start * pageSize)
            var end = start + 1
            while end < pages.upperBound {
                let next = unsafe Self.isZero(region.base + end * pageSize)
                guard next == isZero else { break }
                end += 1
            }
            var builder = ByteBuilder()
            builder.append(UInt32(index))
            builder.append(isZero ? Kind.zero.rawValue : Kind.data.rawValue)
            builder.append(UInt64(start))
            builder.append(UInt64(end - start))
            if !isZero {
                let count = (end - start) * pageSize
                let bytes = unsafe UnsafeRawBufferPointer(start: region.base + start * pageSize, count: count)
                unsafe builder.append(bytes: bytes)
            }
            frames.append(StateFrame(kind: .memory, payload: builder.bytes))
            start = end
        }
        return frames
    }

    /// How many pages a frame of `frames` has, as zeros and with their bytes.
    static func pageCounts(of frame: StateFrame) -> (zero: UInt64, data: UInt64) {
        var reader = ByteReader(frame.payload)
        do throws(ByteRangeError) {
            let _: UInt32 = try reader.read()
            let kind: UInt32 = try reader.read()
            let _: UInt64 = try reader.read()
            let count: UInt64 = try reader.read()
            return kind == Kind.zero.rawValue ? (count, 0) : (0, count)
        } catch { return (0, 0) }
    }

    private static func isZero(_ page: UnsafeMutableRawPointer) -> Bool {
        // One page of 512 aligned words.
        for word in 0..<pageSize / 8 where unsafe page.load(fromByteOffset: word * 8, as: UInt64.self) != 0 {
            return false
        }
        return true
    }

    /// Where a frame's pages are.
    struct Place {
        let region: GuestMemory.Region
        /// The first page and how many, inside the region.
        let first: UInt64, count: UInt64
        let isZero: Bool
    }

    /// Whether a frame is of this machine's memory, and whole.
    static func look(at frame: StateFrame, in memory: GuestMemory) throws(StateError) -> Place {
        var reader = ByteReader(frame.payload)
        let index: UInt32, kindNumber: UInt32, first: UInt64, count: UInt64
        do throws(ByteRangeError) {
            index = try reader.read()
            kindNumber = try reader.read()
            first = try reader.read()
            count = try reader.read()
        } catch { throw StateError("the saved state is damaged: \(error)") }
        guard let kind = Kind(rawValue: kindNumber), memory.regions.indices.contains(Int(index)) else {
            throw StateError("the saved state is of memory that this machine does not have")
        }
        let region = memory.regions[Int(index)]
        let total = region.count / GuestMemory.pageSize
        guard first <= total, count <= total - first else {
            throw StateError("the saved state is of memory that this machine does not have")
        }
        let size = kind == .zero ? 0 : count * GuestMemory.pageSize
        guard UInt64(reader.remaining) == size else {
            throw StateError("the saved state is damaged: a frame of memory has another length")
        }
        return Place(region: region, first: first, count: count, isZero: kind == .zero)
    }

    /// Puts a frame's pages into memory. Nothing runs yet.
    static func apply(_ frame: StateFrame, to memory: GuestMemory) throws(StateError) {
        let found = try look(at: frame, in: memory)
        let region = found.region
        // Inside the region, as `look` made sure.
        let place = unsafe region.base + Int(found.first) * pageSize
        let size = Int(found.count) * pageSize
        if found.isZero {
            for page in 0..<Int(found.count) where unsafe !isZero(place + page * pageSize) {
                // Inside the region, as above. A page that is zero already costs the host nothing as long as nobody
                // writes it.
                unsafe (place + page * pageSize).initializeMemory(as: UInt8.self, repeating: 0, count: pageSize)
            }
        } else {
            // `size` bytes from `place` lie in the region, and as many follow the head of the frame.
            unsafe frame.payload.withUnsafeBytes {
                unsafe place.copyMemory(from: $0.baseAddress! + headSize, byteCount: size)
            }
        }
        // Code that was decoded from what was there is gone; a region without a place has none.
        guard region.isMapped else { return }
        memory.markWritten(at: region.start &+ found.first &* GuestMemory.pageSize, count: size)
    }
}
