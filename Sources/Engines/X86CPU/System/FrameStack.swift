// SPDX-License-Identifier: Apache-2.0

/// A stack that a transfer between privilege levels or modes writes to or reads from before it becomes the processor's.
struct FrameStack {
    let segment: SegmentState
    /// The whole stack-pointer register.
    private(set) var pointer: UInt64
    /// The part of it that counts.
    let mask: UInt64
    /// Bytes of an element: 2, 4 or 8.
    let size: UInt64
    /// Rights of the accesses.
    let access: AccessClass
    /// Error code of #SS where the segment does not hold the element.
    let code: UInt32

    /// The stack in force.
    init(_ state: State, size: UInt64, code: UInt32 = 0) {
        segment = state.segment(SegmentRegister.ss).pointee
        pointer = state[register: Register.rsp]
        mask = state.stackMask
        self.size = size
        access = state.pointee.accessClass
        self.code = code
    }

    /// Another stack of code at `privilege`.
    init(_ segment: SegmentState, pointer: UInt64, size: UInt64, privilege: UInt8, isLong: Bool, code: UInt32) {
        self.segment = segment
        self.pointer = pointer
        mask = isLong ? .max : segment.attributes & SegmentAttribute.big != 0 ? 0xFFFF_FFFF : 0xFFFF
        self.size = size
        access = privilege == 3 ? .user : .supervisor
        self.code = code
    }

    private func address(_ state: State, _ offset: UInt64, isWrite: Bool) throws(CPUFault) -> UInt64 {
        if mask == .max { return offset }
        guard state.segmentAllows(segment, offset, size: Int(size), isWrite: isWrite) else {
            throw state.fault(Vector.stackFault, code: code)
        }
        return (segment.base &+ offset) & 0xFFFF_FFFF
    }

    /// Writes one element below the others.
    mutating func push(_ state: State, _ value: UInt64) throws(CPUFault) {
        let offset = (pointer &- size) & mask
        let address = try address(state, offset, isWrite: true)
        let size = size
        try state.withAccess(access) { () throws(CPUFault) in
            switch size {
            case 2: try state.store(address, UInt16(truncatingIfNeeded: value))
            case 4: try state.store(address, UInt32(truncatingIfNeeded: value))
            default: try state.store(address, value)
            }
        }
        pointer = pointer & ~mask | offset
    }

    /// Writes the five elements of a 64-bit frame, the first on top: with one look at the TLB where it knows the page.
    mutating func push(_ state: State, frame: InlineArray<5, UInt64>) throws(CPUFault) {
        let bytes = 5 * MemoryLayout<UInt64>.size
        let low = pointer &- UInt64(bytes)
        if size == 8, mask == .max {
            let saved = state.pointee.accessClass
            state.setAccessClass(access)
            let host = state.writablePointer(low, size: bytes)
            state.setAccessClass(saved)
            if let host {
                for index in 0..<5 { host.storeBytes(of: frame[index], toByteOffset: 32 - index * 8, as: UInt64.self) }
                pointer = low
                return
            }
        }
        for index in 0..<5 { try push(state, frame[index]) }
    }

    /// Reads one element and leaves it behind.
    mutating func pop(_ state: State) throws(CPUFault) -> UInt64 {
        let value = try peek(state, 0)
        pointer = pointer & ~mask | (pointer &+ size) & mask
        return value
    }

    /// Reads an element, counted from the top.
    func peek(_ state: State, _ index: UInt64) throws(CPUFault) -> UInt64 {
        let address = try address(state, (pointer &+ index &* size) & mask, isWrite: false)
        let size = size
        return try state.withAccess(access) { () throws(CPUFault) in
            switch size {
            case 2: UInt64(try state.load(address, as: UInt16.self))
            case 4: UInt64(try state.load(address, as: UInt32.self))
            default: try state.load(address, as: UInt64.self)
            }
        }
    }

    /// Moves the pointer over bytes that are not wanted.
    mutating func skip(_ bytes: UInt64) { pointer = pointer & ~mask | (pointer &+ bytes) & mask }

    /// Makes the pointer the processor's.
    func commit(_ state: State) {
        state[register: Register.rsp] = mask == .max ? pointer : pointer & 0xFFFF_FFFF
    }
}
