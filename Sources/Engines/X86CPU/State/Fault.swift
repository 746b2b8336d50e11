// SPDX-License-Identifier: Apache-2.0

/// An exception is pending in `CPUState.fault…`. Thrown by everything that may fault, before any state changes.
struct CPUFault: Error {}

/// Exception vectors (SDM vol. 3, "Exception and Interrupt Vectors").
enum Vector {
    static let divideError: UInt8 = 0, debug: UInt8 = 1, nonMaskable: UInt8 = 2, breakpoint: UInt8 = 3
    static let overflow: UInt8 = 4, boundRange: UInt8 = 5, invalidOpcode: UInt8 = 6, deviceNotAvailable: UInt8 = 7
    static let doubleFault: UInt8 = 8, invalidTSS: UInt8 = 10, segmentNotPresent: UInt8 = 11, stackFault: UInt8 = 12
    static let generalProtection: UInt8 = 13, pageFault: UInt8 = 14, floatingPoint: UInt8 = 16
    static let alignmentCheck: UInt8 = 17, machineCheck: UInt8 = 18, simdFloatingPoint: UInt8 = 19
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Makes an exception without error code pending. `throw state.fault(Vector.invalidOpcode)`.
    @inline(never)
    func fault(_ vector: UInt8) -> CPUFault {
        pointee.faultVector = vector
        pointee.faultHasErrorCode = false
        pointee.faultIsNonCanonical = false
        pointee.faultErrorCode = 0
        return CPUFault()
    }

    /// Makes an exception with an error code pending.
    @inline(never)
    func fault(_ vector: UInt8, code: UInt32) -> CPUFault {
        pointee.faultVector = vector
        pointee.faultHasErrorCode = true
        pointee.faultIsNonCanonical = false
        pointee.faultErrorCode = code
        return CPUFault()
    }

    /// #GP(0), the most frequent one.
    @inline(never)
    func generalProtection(_ code: UInt32 = 0) -> CPUFault { fault(Vector.generalProtection, code: code) }

    /// An access to a non-canonical linear address: #SS(0) where the instruction names or implies the stack segment,
    /// else #GP(0). The run loop decides, since only it knows the instruction.
    @inline(never)
    func nonCanonical(_ address: UInt64) -> CPUFault {
        let fault = generalProtection()
        pointee.faultIsNonCanonical = true
        pointee.faultAddress = address
        return fault
    }
}
