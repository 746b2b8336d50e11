// SPDX-License-Identifier: Apache-2.0

extension GuestMemory {
    /// Copies guest memory out; the range may span adjacent regions.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at address: UInt64) throws(GuestMemoryError) {
        var done = 0
        while done < buffer.count {
            let (source, length) = try unsafe run(
                at: address &+ UInt64(done), wanting: buffer.count - done, writable: false)
            // `length` bytes are valid on both sides: `run` bounds the source, the loop bounds the buffer.
            unsafe (buffer.baseAddress! + done).copyMemory(from: source, byteCount: length)
            done += length
        }
    }

    /// Copies bytes into guest memory and marks the pages; the range may span adjacent regions.
    /// - Parameter force: also into read-only regions, for loading firmware.
    public func write(
        _ buffer: UnsafeRawBufferPointer, at address: UInt64, force: Bool = false
    ) throws(GuestMemoryError) {
        var done = 0
        while done < buffer.count {
            let place = address &+ UInt64(done)
            let (target, length) = try unsafe run(at: place, wanting: buffer.count - done, writable: !force)
            // As in read(into:at:).
            unsafe target.copyMemory(from: buffer.baseAddress! + done, byteCount: length)
            markWritten(at: place, count: length)
            done += length
        }
    }

    /// A copy of `count` bytes.
    public func read(at address: UInt64, count: Int) throws(GuestMemoryError) -> [UInt8] {
        guard count >= 0, count <= 1 << 40 else { throw GuestMemoryError(address: address, count: count) }
        // Checked before the allocation, so that a guest's length cannot make the host allocate without bound.
        try checkRange(at: address, count: count)
        var bytes = [UInt8](repeating: 0, count: count)
        var failure: GuestMemoryError?
        unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(GuestMemoryError) { try unsafe read(into: buffer, at: address) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Copies an array into guest memory.
    public func write(_ bytes: [UInt8], at address: UInt64, force: Bool = false) throws(GuestMemoryError) {
        var failure: GuestMemoryError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(GuestMemoryError) {
                try unsafe write(buffer, at: address, force: force)
            } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Loads a little-endian integer in one access; not necessarily aligned.
    @inlinable
    public func load<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self, at address: UInt64
    ) throws(GuestMemoryError) -> Value {
        guard let place = unsafe hostPointer(at: address, count: MemoryLayout<Value>.size, writable: false) else {
            throw GuestMemoryError(address: address, count: MemoryLayout<Value>.size)
        }
        // hostPointer bounds the access to the value's size; every bit pattern is a valid integer.
        return unsafe Value(littleEndian: place.loadUnaligned(as: Value.self))
    }

    /// Stores a little-endian integer in one access and marks its page.
    @inlinable
    public func store<Value: FixedWidthInteger & BitwiseCopyable>(
        _ value: Value, at address: UInt64
    ) throws(GuestMemoryError) {
        guard let place = unsafe hostPointer(at: address, count: MemoryLayout<Value>.size, writable: true) else {
            throw GuestMemoryError(address: address, count: MemoryLayout<Value>.size)
        }
        // As in load.
        unsafe place.storeBytes(of: value.littleEndian, as: Value.self)
        markWritten(at: address, count: MemoryLayout<Value>.size)
    }

    /// Throws unless all of the range is memory.
    public func checkRange(at address: UInt64, count: Int) throws(GuestMemoryError) {
        var done: UInt64 = 0
        while done < UInt64(count) {
            guard let region = region(at: address &+ done), address &+ done >= address else {
                throw GuestMemoryError(address: address, count: count)
            }
            done += region.end - (address + done)
        }
    }

    /// The longest run of host memory that starts at `address`, at most `wanting` bytes.
    private func run(
        at address: UInt64, wanting: Int, writable: Bool
    ) throws(GuestMemoryError) -> (UnsafeMutableRawPointer, Int) {
        guard let region = region(at: address), !(writable && region.isReadOnly) else {
            throw GuestMemoryError(address: address, count: wanting)
        }
        let offset = address - region.start
        // offset < region.count, see region(at:).
        return unsafe (region.base + Int(offset), Int(min(UInt64(wanting), region.count - offset)))
    }
}
