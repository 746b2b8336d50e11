// SPDX-License-Identifier: Apache-2.0

extension Array where Element == UInt8 {
    /// Appends a register, little-endian.
    mutating func append<Value: FixedWidthInteger>(register value: Value) {
        for index in 0..<(Value.bitWidth / 8) {
            append(UInt8(truncatingIfNeeded: value >> Value(truncatingIfNeeded: index * 8)))
        }
    }
}
