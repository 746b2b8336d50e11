// SPDX-License-Identifier: Apache-2.0

/// A segment or system descriptor of eight bytes (SDM vol. 3, "Segment Descriptors"); gates are read as `Gate`.
struct Descriptor {
    var raw: UInt64
    /// Linear address in its table.
    var address: UInt64 = 0
    /// Bits 32...63 of the base that 16-byte system descriptors have.
    var baseHigh: UInt64 = 0

    /// As `X86Segment.attributes`.
    var attributes: UInt32 { UInt32(truncatingIfNeeded: raw >> 40) & 0xF0FF }
    var base: UInt64 { raw >> 16 & 0xFF_FFFF | (raw >> 56) << 24 | baseHigh << 32 }
    var limit: UInt32 {
        let field = UInt32(truncatingIfNeeded: raw & 0xFFFF | raw >> 32 & 0xF_0000)
        return attributes & SegmentAttribute.granularity != 0 ? field << 12 | 0xFFF : field
    }
    var type: UInt8 { UInt8(truncatingIfNeeded: raw >> 40) & 15 }
    var privilege: UInt8 { UInt8(truncatingIfNeeded: raw >> 45) & 3 }
    var isPresent: Bool { raw >> 47 & 1 != 0 }
    /// Code or data, not a system descriptor.
    var isSegment: Bool { raw >> 44 & 1 != 0 }
    var isCode: Bool { isSegment && type & 8 != 0 }
    var isConforming: Bool { isCode && type & 4 != 0 }
    var isReadable: Bool { isSegment && (type & 8 == 0 || type & 2 != 0) }
    var isWritableData: Bool { isSegment && type & 10 == 2 }
    var isAccessed: Bool { type & 1 != 0 }
    var isLong: Bool { raw >> 53 & 1 != 0 }
    var isBig: Bool { raw >> 54 & 1 != 0 }

    /// The hidden part that a register gets.
    func segment(_ selector: UInt16) -> SegmentState {
        SegmentState(base: base, limit: limit, attributes: attributes, selector: selector)
    }
}

/// Types of system descriptors.
enum SystemType {
    static let availableTSS16: UInt8 = 1, ldt: UInt8 = 2, busyTSS16: UInt8 = 3, callGate16: UInt8 = 4
    static let taskGate: UInt8 = 5, interruptGate16: UInt8 = 6, trapGate16: UInt8 = 7
    static let availableTSS: UInt8 = 9, busyTSS: UInt8 = 11, callGate: UInt8 = 12, interruptGate: UInt8 = 14
    static let trapGate: UInt8 = 15
}

extension UInt16 {
    /// Requested privilege level.
    @inline(__always) var requestedPrivilege: UInt8 { UInt8(truncatingIfNeeded: self) & 3 }
    /// Selects nothing.
    @inline(__always) var isNullSelector: Bool { self & 0xFFFC == 0 }
    /// As error codes hold it.
    @inline(__always) var selectorCode: UInt32 { UInt32(self & 0xFFFC) }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// The linear address of a selector's descriptor of `size` bytes; nil beyond the table.
    func descriptorAddress(_ selector: UInt16, size: UInt64 = 8) -> UInt64? {
        let offset = UInt64(selector & 0xFFF8)
        if selector & 4 == 0 {
            return offset &+ size &- 1 <= UInt64(pointee.gdtLimit) ? pointee.gdtBase &+ offset : nil
        }
        let table = segment(SegmentRegister.ldtr).pointee
        guard table.attributes & SegmentAttribute.unusable == 0, !table.selector.isNullSelector else { return nil }
        return offset &+ size &- 1 <= UInt64(table.limit) ? table.base &+ offset : nil
    }

    /// Reads a descriptor.
    /// - Parameters:
    ///   - vector: of the exception with the selector as error code where there is none.
    ///   - external: the EXT bit of that code.
    func descriptor(
        _ selector: UInt16, orRaise vector: UInt8 = Vector.generalProtection, external: UInt32 = 0
    ) throws(CPUFault) -> Descriptor {
        guard !selector.isNullSelector, let address = descriptorAddress(selector) else {
            throw fault(vector, code: selector.selectorCode | external)
        }
        return Descriptor(raw: try asSupervisor { () throws(CPUFault) in try load(address) }, address: address)
    }

    /// Reads an LDT, TSS or call-gate descriptor, whose second half exists in long mode.
    func readUpperHalf(_ selector: UInt16, _ address: UInt64, orRaise vector: UInt8) throws(CPUFault) -> UInt64 {
        guard descriptorAddress(selector, size: 16) != nil else { throw fault(vector, code: selector.selectorCode) }
        return try asSupervisor { () throws(CPUFault) in try load(address &+ 8) }
    }

    /// Sets a code or data descriptor's accessed bit.
    func markAccessed(_ descriptor: Descriptor) throws(CPUFault) {
        guard !descriptor.isAccessed else { return }
        try changeDescriptorType(descriptor) { $0 | 1 }
    }

    /// Changes the byte of a descriptor that holds its type, in one step.
    func changeDescriptorType(_ descriptor: Descriptor, _ change: (UInt8) -> UInt8) throws(CPUFault) {
        try asSupervisor { () throws(CPUFault) in try modify(descriptor.address &+ 5, isLocked: true, change) }
    }
}
