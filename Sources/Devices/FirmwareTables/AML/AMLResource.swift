// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding

/// A resource that a device uses or a bus passes on (ACPI 6.4, 6.4).
package enum AMLResource {
    /// `count` ports from `port`.
    case ports(UInt16, count: UInt8)
    /// An edge-triggered, active-high ISA interrupt.
    case isaInterrupt(UInt8)
    /// Interrupts by global number.
    case interrupts([UInt32], isEdge: Bool, isShared: Bool)
    /// A fixed range below 4 GiB.
    case memory(UInt32, count: UInt32, isWritable: Bool)
    /// Bus numbers that a bridge passes on.
    case busNumbers(ClosedRange<UInt16>)
    /// Ports that a bridge passes on.
    case portWindow(ClosedRange<UInt16>)
    /// Memory that a bridge passes on; 64-bit where it ends above 4 GiB.
    case memoryWindow(Range<UInt64>, isCacheable: Bool)

    private enum Tag {
        static let interrupt: UInt8 = 0x22, ports: UInt8 = 0x47, end: UInt8 = 0x79, fixedMemory: UInt8 = 0x86
        static let doubleWordSpace: UInt8 = 0x87, wordSpace: UInt8 = 0x88, interrupts: UInt8 = 0x89
        static let quadWordSpace: UInt8 = 0x8A
    }
    private enum Space {
        static let memory: UInt8 = 0, ports: UInt8 = 1, busNumbers: UInt8 = 2
        /// The range's ends are both fixed; the bridge passes it on.
        static let fixed: UInt8 = 0x0C
        /// All ports, not only those that ISA decodes.
        static let entireRange: UInt8 = 3
        static let writable: UInt8 = 1, cacheable: UInt8 = 2
    }

    /// A buffer with the descriptors and the end mark.
    package static func template(_ resources: [AMLResource]) -> AMLTerm {
        var builder = ByteBuilder()
        for resource in resources { resource.encode(into: &builder) }
        builder.append(Tag.end)
        builder.append(UInt8(0))
        return AML.buffer(builder.bytes)
    }

    private func encode(into builder: inout ByteBuilder) {
        switch self {
        case .ports(let port, let count):
            builder.append(Tag.ports)
            builder.append(UInt8(1))
            builder.append(port)
            builder.append(port)
            builder.append(UInt8(1))
            builder.append(count)
        case .isaInterrupt(let number):
            builder.append(Tag.interrupt)
            builder.append(UInt16(1) << UInt16(number & 15))
        case .interrupts(let numbers, let isEdge, let isShared):
            builder.append(Tag.interrupts)
            builder.append(UInt16(2 + 4 * numbers.count))
            builder.append(1 | (isEdge ? 2 : 0) | (isShared ? 8 : 0) as UInt8)
            builder.append(UInt8(numbers.count))
            for number in numbers { builder.append(number) }
        case .memory(let base, let count, let isWritable):
            builder.append(Tag.fixedMemory)
            builder.append(UInt16(9))
            builder.append(UInt8(isWritable ? 1 : 0))
            builder.append(base)
            builder.append(count)
        case .busNumbers(let range): Self.words(range, Space.busNumbers, flags: 0, into: &builder)
        case .portWindow(let range): Self.words(range, Space.ports, flags: Space.entireRange, into: &builder)
        case .memoryWindow(let range, let isCacheable):
            let flags = Space.writable | (isCacheable ? Space.cacheable : 0)
            if range.upperBound <= 1 << 32 {
                Self.space(range, UInt32.self, Tag.doubleWordSpace, flags: flags, into: &builder)
            } else {
                Self.space(range, UInt64.self, Tag.quadWordSpace, flags: flags, into: &builder)
            }
        }
    }

    private static func words(
        _ range: ClosedRange<UInt16>, _ sort: UInt8, flags: UInt8, into builder: inout ByteBuilder
    ) {
        builder.append(Tag.wordSpace)
        builder.append(UInt16(13))
        builder.append(sort)
        builder.append(Space.fixed)
        builder.append(flags)
        builder.append(UInt16(0))
        builder.append(range.lowerBound)
        builder.append(range.upperBound)
        builder.append(UInt16(0))
        builder.append(UInt16(truncatingIfNeeded: range.count))
    }

    private static func space<Value: FixedWidthInteger>(
        _ range: Range<UInt64>, _ type: Value.Type, _ tag: UInt8, flags: UInt8, into builder: inout ByteBuilder
    ) {
        builder.append(tag)
        builder.append(UInt16(3 + 5 * Value.bitWidth / 8))
        builder.append(Space.memory)
        builder.append(Space.fixed)
        builder.append(flags)
        builder.append(Value(0))
        builder.append(Value(truncatingIfNeeded: range.lowerBound))
        builder.append(Value(truncatingIfNeeded: range.upperBound - 1))
        builder.append(Value(0))
        builder.append(Value(truncatingIfNeeded: range.upperBound - range.lowerBound))
    }
}
