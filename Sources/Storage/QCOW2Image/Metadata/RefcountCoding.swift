// SPDX-License-Identifier: Apache-2.0

internal import BlockLayer

/// Counts of 1 to 64 bits in a refcount block (specification, "Host cluster management").
enum RefcountCoding {
    /// The count with an index, for a width of `1 << order` bits.
    @inline(__always)
    static func get(_ region: ByteRegion, _ index: Int, order: Int) -> UInt64 {
        switch order {
        case 4: return UInt64(region.bigEndian(at: index * 2, as: UInt16.self))
        case 3: return UInt64(region[index])
        case 5: return UInt64(region.bigEndian(at: index * 4, as: UInt32.self))
        case 6: return region.bigEndian(at: index * 8, as: UInt64.self)
        default:
            let bits = 1 << order
            let perByte = 8 >> order
            return UInt64(region[index / perByte] >> UInt8(index % perByte * bits)) & ((1 << UInt64(bits)) - 1)
        }
    }

    /// Stores a count, which must fit.
    static func set(_ region: ByteRegion, _ index: Int, _ value: UInt64, order: Int) {
        switch order {
        case 4: region.storeBigEndian(UInt16(truncatingIfNeeded: value), at: index * 2)
        case 3: region[index] = UInt8(truncatingIfNeeded: value)
        case 5: region.storeBigEndian(UInt32(truncatingIfNeeded: value), at: index * 4)
        case 6: region.storeBigEndian(value, at: index * 8)
        default:
            let bits = 1 << order
            let perByte = 8 >> order
            let shift = UInt8(index % perByte * bits)
            let mask = UInt8((1 << bits) - 1) << shift
            region[index / perByte] = region[index / perByte] & ~mask | UInt8(truncatingIfNeeded: value) << shift & mask
        }
    }
}
