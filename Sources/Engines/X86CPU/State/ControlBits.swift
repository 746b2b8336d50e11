// SPDX-License-Identifier: Apache-2.0

/// Bits of CR0.
enum ControlRegister0 {
    static let protection: UInt64 = 1 << 0, monitorCoprocessor: UInt64 = 1 << 1, emulation: UInt64 = 1 << 2
    static let taskSwitched: UInt64 = 1 << 3, extensionType: UInt64 = 1 << 4, numericError: UInt64 = 1 << 5
    static let writeProtect: UInt64 = 1 << 16, alignmentMask: UInt64 = 1 << 18, notWriteThrough: UInt64 = 1 << 29
    static let cacheDisable: UInt64 = 1 << 30, paging: UInt64 = 1 << 31
    /// All that exist.
    static let all: UInt64 =
        protection | monitorCoprocessor | emulation | taskSwitched | extensionType | numericError | writeProtect
        | alignmentMask | notWriteThrough | cacheDisable | paging
}

/// Bits of CR4.
enum ControlRegister4 {
    static let virtual8086: UInt64 = 1 << 0, virtualInterrupts: UInt64 = 1 << 1, timeStampDisable: UInt64 = 1 << 2
    static let debuggingExtensions: UInt64 = 1 << 3, pageSizeExtensions: UInt64 = 1 << 4, pae: UInt64 = 1 << 5
    static let machineCheck: UInt64 = 1 << 6, globalPages: UInt64 = 1 << 7, performanceCounter: UInt64 = 1 << 8
    static let osFXSR: UInt64 = 1 << 9, osSIMDExceptions: UInt64 = 1 << 10, umip: UInt64 = 1 << 11
    static let fiveLevel: UInt64 = 1 << 12, fsgsbase: UInt64 = 1 << 16, pcid: UInt64 = 1 << 17
    static let osXSAVE: UInt64 = 1 << 18, smep: UInt64 = 1 << 20, smap: UInt64 = 1 << 21
    static let protectionKeys: UInt64 = 1 << 22
}

/// Bits of IA32_EFER.
enum ExtendedFeature {
    static let systemCall: UInt64 = 1 << 0, longMode: UInt64 = 1 << 8, longModeActive: UInt64 = 1 << 10
    static let noExecute: UInt64 = 1 << 11, fastFXSR: UInt64 = 1 << 14
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// IA-32e mode: 64-bit or compatibility.
    @inline(__always) var isLongMode: Bool { pointee.efer & ExtendedFeature.longModeActive != 0 }
    @inline(__always) var isProtected: Bool { pointee.cr0 & ControlRegister0.protection != 0 }
    @inline(__always) var isVirtual8086: Bool { pointee.systemFlags & Flag.virtual8086 != 0 }
    /// Protected mode, and not V86.
    @inline(__always) var isProtectedProper: Bool { isProtected && !isVirtual8086 }
    @inline(__always) var is64Bit: Bool { pointee.codeWidth == .bits64 }
}
