// SPDX-License-Identifier: Apache-2.0

/// Bits of `SegmentState.attributes`.
enum SegmentAttribute {
    static let accessed: UInt32 = 1 << 0
    /// Code: readable. Data: writable.
    static let readWrite: UInt32 = 1 << 1
    /// Data: expand-down. Code: conforming.
    static let expandDown: UInt32 = 1 << 2
    static let code: UInt32 = 1 << 3
    /// Code or data, not a system descriptor.
    static let codeOrData: UInt32 = 1 << 4
    static let privilegeShift: UInt32 = 5
    static let present: UInt32 = 1 << 7
    static let long: UInt32 = 1 << 13
    /// D/B.
    static let big: UInt32 = 1 << 14
    static let granularity: UInt32 = 1 << 15
    static let unusable: UInt32 = 1 << 16
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The linear address of `size` bytes at an offset in a segment of 16- or 32-bit code, after all checks of the
    /// segment (SDM vol. 3, "Limit Checking" and "Type Checking").
    @inline(never)
    func checkedAddress(_ index: Int, _ offset: UInt64, size: Int, isWrite: Bool) throws(CPUFault) -> UInt64 {
        let segment = segment(index).pointee
        guard segmentAllows(segment, offset, size: size, isWrite: isWrite) else {
            throw fault(index == SegmentRegister.ss ? Vector.stackFault : Vector.generalProtection, code: 0)
        }
        return (segment.base &+ offset) & 0xFFFF_FFFF
    }

    func segmentAllows(_ segment: SegmentState, _ offset: UInt64, size: Int, isWrite: Bool) -> Bool {
        let attributes = segment.attributes
        let last = offset &+ UInt64(size) &- 1
        let inProtectedMode = pointee.cr0 & 1 != 0 && pointee.systemFlags & Flag.virtual8086 == 0
        if !inProtectedMode { return last <= UInt64(segment.limit) }
        if attributes & SegmentAttribute.unusable != 0 { return false }
        let isCode = attributes & SegmentAttribute.code != 0
        if isWrite || isCode {
            guard isWrite != isCode, attributes & SegmentAttribute.readWrite != 0 else { return false }
        }
        if !isCode, attributes & SegmentAttribute.expandDown != 0 {
            let top: UInt64 = attributes & SegmentAttribute.big != 0 ? 0xFFFF_FFFF : 0xFFFF
            return offset > UInt64(segment.limit) && last <= top
        }
        return last <= UInt64(segment.limit)
    }
}
