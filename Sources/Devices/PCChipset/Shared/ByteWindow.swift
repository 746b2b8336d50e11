// SPDX-License-Identifier: Apache-2.0

public import MachineModel

/// Registers one byte wide: a wider access becomes as many byte accesses at ascending addresses, as on the ISA bus.
public final class ByteWindow: RegisterWindow {
    private let count: UInt64
    private let readByte: (UInt64) -> UInt8
    private let writeByte: (UInt64, UInt8) -> Void

    /// - Parameters:
    ///   - count: length of the window; bytes beyond it read as 0xFF and drop what is written.
    ///   - read: answers for an offset below `count`.
    ///   - write: takes a byte at an offset below `count`.
    public init(count: UInt64, read: @escaping (UInt64) -> UInt8, write: @escaping (UInt64, UInt8) -> Void) {
        self.count = count
        readByte = read
        writeByte = write
    }

    /// Lowest byte first; bytes past the window read 0xFF.
    public func read(offset: UInt64, size: Int) -> UInt64 {
        var result: UInt64 = 0
        for index in 0..<UInt64(max(0, min(size, 8))) {
            let place = offset &+ index
            result |= UInt64(place < count ? readByte(place) : 0xFF) << (index * 8)
        }
        return result
    }

    /// Lowest byte first; bytes past the window are dropped.
    public func write(offset: UInt64, size: Int, value: UInt64) {
        for index in 0..<UInt64(max(0, min(size, 8))) where offset &+ index < count {
            writeByte(offset &+ index, UInt8(truncatingIfNeeded: value >> (index * 8)))
        }
    }
}

/// Registers that take whole accesses of any size.
public final class WordWindow: RegisterWindow {
    private let reader: (UInt64, Int) -> UInt64
    private let writer: (UInt64, Int, UInt64) -> Void

    /// A window whose accesses are answered by two closures, called with offset and size in bytes.
    public init(read: @escaping (UInt64, Int) -> UInt64, write: @escaping (UInt64, Int, UInt64) -> Void) {
        reader = read
        writer = write
    }

    /// Handed to the closure whole: `offset` and `size` as the guest chose them.
    public func read(offset: UInt64, size: Int) -> UInt64 { reader(offset, size) }
    /// Handed to the closure whole: `offset` and `size` as the guest chose them.
    public func write(offset: UInt64, size: Int, value: UInt64) { writer(offset, size, value) }
}
