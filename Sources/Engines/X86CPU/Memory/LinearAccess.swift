// SPDX-License-Identifier: Apache-2.0

// Loads and stores at linear addresses. The fast path is one compare against the TLB of the current access class; all
// else (misses, page crossings, device registers, faults, watchpoints, pages with decoded code) is the slow path's.
extension UnsafeMutablePointer where Pointee == CPUState {
    /// Loads a little-endian value.
    @inline(__always)
    func load<Value: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ address: UInt64, as type: Value.Type = Value.self
    ) throws(CPUFault) -> Value {
        let entry = pointee.readTLB + Int(truncatingIfNeeded: (address >> 12) & pointee.tlbMask)
        if address ^ entry.pointee.tag <= UInt64(4096 - MemoryLayout<Value>.size) {
            let host = UnsafeRawPointer(bitPattern: UInt(entry.pointee.page &+ address & 4095)).unsafelyUnwrapped
            return host.loadUnaligned(as: Value.self)
        }
        return Value(truncatingIfNeeded: try slowLoad(address, size: MemoryLayout<Value>.size))
    }

    /// Stores a little-endian value. All of it is written or, with a fault, nothing.
    @inline(__always)
    func store<Value: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ address: UInt64, _ value: Value
    ) throws(CPUFault) {
        let entry = pointee.writeTLB + Int(truncatingIfNeeded: (address >> 12) & pointee.tlbMask)
        if address ^ entry.pointee.tag <= UInt64(4096 - MemoryLayout<Value>.size) {
            let host = UnsafeMutableRawPointer(bitPattern: UInt(entry.pointee.page &+ address & 4095)).unsafelyUnwrapped
            host.storeBytes(of: value, as: Value.self)
            return
        }
        try slowStore(address, size: MemoryLayout<Value>.size, value: UInt64(truncatingIfNeeded: value))
    }

    /// The host address for a read-modify-write of `size` bytes that is plain RAM in one page and writable now;
    /// nil sends the caller to separate load and store (after `probeWrite`, so that a fault comes before any effect).
    @inline(__always)
    func writablePointer(_ address: UInt64, size: Int) -> UnsafeMutableRawPointer? {
        let entry = pointee.writeTLB + Int(truncatingIfNeeded: (address >> 12) & pointee.tlbMask)
        guard address ^ entry.pointee.tag <= UInt64(4096 - size) else { return nil }
        return UnsafeMutableRawPointer(bitPattern: UInt(entry.pointee.page &+ address & 4095))
    }
}
