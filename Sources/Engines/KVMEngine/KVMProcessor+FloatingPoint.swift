// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import CPUInterface
internal import HostSystem

/// The XSAVE area in its standard form (SDM vol. 1, "XSAVE Area"), which KVM uses also where the guest has no XSAVE.
enum ExtendedState {
    /// sizeof(struct kvm_xsave).
    static let count = 4096
    /// x87 and SSE.
    static let legacyCount = 512
    /// XSTATE_BV: which components are not in their initial state; its first byte.
    static let featuresOffset = 512
    /// Bits of XSTATE_BV.
    static let floatingPoint: UInt8 = 1, sse: UInt8 = 2, vectors: UInt8 = 4
    /// The upper halves of YMM0...YMM15.
    static let vectorRange = 576..<832
    static let controlWordOffset = 0, controlsOffset = 24
    static let resetControlWord: [UInt8] = [0x7F, 0x03], resetControls: [UInt8] = [0x80, 0x1F, 0, 0]

    /// The state of RESET.
    static var initial: [UInt8] {
        var image = [UInt8](repeating: 0, count: count)
        fillControls(&image)
        return image
    }

    static func fillControls(_ image: inout [UInt8]) {
        image.replaceSubrange(controlWordOffset..<controlWordOffset + 2, with: resetControlWord)
        image.replaceSubrange(controlsOffset..<controlsOffset + 4, with: resetControls)
    }
}

extension KVMProcessor {
    /// x87, SSE and AVX state and what else the host has, as KVM_GET_XSAVE gives it.
    var extendedState: [UInt8] {
        get {
            var image = [UInt8](repeating: 0, count: ExtendedState.count)
            // The kernel fills the struct, which is as large as the array.
            _ = unsafe image.withUnsafeMutableBytes {
                unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_XSAVE, $0.baseAddress!)
            }
            return image
        }
        set {
            guard newValue.count == ExtendedState.count else { return }
            var image = newValue
            // Copied from the array, which is as large as the struct.
            _ = unsafe image.withUnsafeMutableBytes {
                unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_XSAVE, $0.baseAddress!)
            }
        }
    }

    /// Sets x87, SSE and AVX and leaves other components alone.
    func setFloatingPoint(_ registers: X86Registers) {
        guard registers.fxsave.count == ExtendedState.legacyCount,
            registers.ymmHigh.count == ExtendedState.vectorRange.count
        else { return }
        var image = extendedState
        image.replaceSubrange(..<ExtendedState.legacyCount, with: registers.fxsave)
        image[ExtendedState.featuresOffset] |= ExtendedState.floatingPoint | ExtendedState.sse
        // An image that nobody filled stands for the state of RESET.
        if registers.fxsave.allSatisfy({ $0 == 0 }) { ExtendedState.fillControls(&image) }
        let hadVectors = image[ExtendedState.featuresOffset] & ExtendedState.vectors != 0
        // A host without AVX refuses the component, and its absence means zero.
        if hadVectors || registers.ymmHigh.contains(where: { $0 != 0 }) {
            image.replaceSubrange(ExtendedState.vectorRange, with: registers.ymmHigh)
            image[ExtendedState.featuresOffset] |= ExtendedState.vectors
        }
        extendedState = image
    }

    /// XCR0 for a guest that has not used XSETBV.
    func resetExtendedControl() {
        var registers = kvm_xcrs()
        registers.nr_xcrs = 1
        registers.xcrs.0 = kvm_xcr(xcr: 0, reserved: 0, value: 1)
        // Copied from this frame. It fails only on a processor without XSAVE, which has no such register.
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_XCRS, &registers)
    }
}
