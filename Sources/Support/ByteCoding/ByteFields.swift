// SPDX-License-Identifier: Apache-2.0

/// The order of an integer's bytes in a file, a packet or a register.
public enum ByteOrder: Sendable {
    case little
    case big
}

extension RandomAccessCollection where Element == UInt8, Index == Int {
    /// The integer whose bytes begin `offset` bytes after the first element, or nil where it does not fit.
    ///
    /// Any offset is accepted, so that one taken from a file or a guest can be passed unchecked.
    @inlinable
    public func load<Value: FixedWidthInteger>(
        _ type: Value.Type = Value.self, at offset: Int, order: ByteOrder = .little
    ) -> Value? {
        let size = Value.bitWidth / 8
        guard offset >= 0, count >= size, offset <= count &- size else { return nil }
        let first = startIndex &+ offset
        var value: Value.Magnitude = 0
        for index in 0..<size {
            let shift = order == .little ? index &* 8 : (size &- 1 &- index) &* 8
            value |= Value.Magnitude(truncatingIfNeeded: self[first &+ index]) &<< shift
        }
        return Value(truncatingIfNeeded: value)
    }

    /// The `count` bytes that begin `offset` bytes after the first element, or nil where they do not all exist.
    @inlinable
    public func bytes(at offset: Int, count wanted: Int) -> [UInt8]? {
        guard offset >= 0, wanted >= 0, count >= wanted, offset <= count &- wanted else { return nil }
        return Array(self[(startIndex &+ offset)..<(startIndex &+ offset &+ wanted)])
    }

    /// The text up to the first zero byte of a fixed field, or all of it; nil where the field does not fit.
    @inlinable
    public func text(at offset: Int, count wanted: Int) -> String? {
        guard let field = bytes(at: offset, count: wanted) else { return nil }
        return String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }
}

extension MutableCollection where Self: RandomAccessCollection, Element == UInt8, Index == Int {
    /// Puts an integer's bytes `offset` bytes after the first element.
    /// - Returns: false, with nothing written, where it does not fit.
    @inlinable
    @discardableResult
    public mutating func store<Value: FixedWidthInteger>(
        _ value: Value, at offset: Int, order: ByteOrder = .little
    ) -> Bool {
        let size = Value.bitWidth / 8
        guard offset >= 0, count >= size, offset <= count &- size else { return false }
        let first = startIndex &+ offset
        for index in 0..<size {
            let shift = order == .little ? index &* 8 : (size &- 1 &- index) &* 8
            self[first &+ index] = UInt8(truncatingIfNeeded: value >> Value(truncatingIfNeeded: shift))
        }
        return true
    }

    /// Puts bytes `offset` bytes after the first element.
    /// - Returns: false, with nothing written, where they do not all fit.
    @inlinable
    @discardableResult
    public mutating func store(bytes source: some Collection<UInt8>, at offset: Int) -> Bool {
        guard offset >= 0, count >= source.count, offset <= count &- source.count else { return false }
        var index = startIndex &+ offset
        for byte in source {
            self[index] = byte
            index &+= 1
        }
        return true
    }
}

/// The sum of all bytes modulo 256: what the checksums of ACPI and SMBIOS are made of.
@inlinable
public func byteSum(_ bytes: some Sequence<UInt8>) -> UInt8 {
    bytes.reduce(0) { $0 &+ $1 }
}
