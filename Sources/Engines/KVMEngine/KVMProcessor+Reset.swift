// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import CPUInterface
internal import HostSystem

/// The numbers of model-specific registers that reset and firmware care for.
private enum MSR {
    static let timeStampCounter: UInt32 = 0x10
    static let pageAttributes: UInt32 = 0x277, defaultMemoryType: UInt32 = 0x2FF
    static let variableRanges: ClosedRange<UInt32> = 0x200...0x20F
    static let firstVariableBase: UInt32 = 0x200, firstVariableMask: UInt32 = 0x201
    /// 0...512 KiB, 512...640 KiB, 640...768 KiB, then 32 KiB each up to 1 MiB.
    static let fixedLow: [UInt32] = [0x250, 0x258], fixedVideo: UInt32 = 0x259
    static let fixedHigh: ClosedRange<UInt32> = 0x268...0x26F
    /// MTRRs and the PAT, which KVM_GET_MSR_INDEX_LIST does not list.
    static var unlisted: [UInt32] {
        [pageAttributes, defaultMemoryType, fixedVideo] + fixedLow + fixedHigh + variableRanges
    }
}

extension KVMProcessor {
    /// What RESET puts back besides `X86Registers.atReset`.
    struct ResetState {
        var modelSpecific: [(number: UInt32, value: UInt64)] = []
        var apicBase: UInt64 = 0
        /// The local APIC's registers, `kvm_lapic_state`.
        var localController: [UInt8] = []
        /// Pending exceptions, interrupt shadow, SMM.
        var events = kvm_vcpu_events()
    }

    /// Reads what a new vCPU has: the kernel makes it as after power-on.
    func captureResetState() -> ResetState {
        var state = ResetState()
        for number in machine.system.modelSpecificRegisters + MSR.unlisted where number != MSR.timeStampCounter {
            // The list is of what the kernel knows on any processor; this one may lack some.
            if let value = modelSpecificRegister(number) { state.modelSpecific.append((number, value)) }
        }
        var special = kvm_sregs()
        state.localController = [UInt8](repeating: 0, count: MemoryLayout<kvm_lapic_state>.size)
        // Each call fills the struct that its number names, on this frame or in an array of its size.
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_SREGS, &special)
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_VCPU_EVENTS, &state.events)
        _ = unsafe state.localController.withUnsafeMutableBytes {
            unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_LAPIC, $0.baseAddress!)
        }
        state.apicBase = special.apic_base
        return state
    }

    /// Power-on in the kernel's vCPU; EDX has family, model and stepping.
    public func reset() {
        var initial = X86Registers.atReset
        initial.general[2] = processorSignature
        registers = initial
        extendedState = ExtendedState.initial
        resetExtendedControl()
        resetModelSpecificRegisters()
        resetLocalController()
        var events = resetState.events
        let running = index == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED
        var multiprocessing = kvm_mp_state(mp_state: UInt32(running))
        // Copied from this frame.
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_VCPU_EVENTS, &events)
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_MP_STATE, &multiprocessing)
    }

    /// The base first: the form of the registers depends on its x2APIC bit.
    private func resetLocalController() {
        var special = kvm_sregs()
        // Filled and copied on this frame.
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_SREGS, &special)
        special.apic_base = resetState.apicBase
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_SREGS, &special)
        var image = resetState.localController
        // Copied from the array, which is as large as the struct.
        _ = unsafe image.withUnsafeMutableBytes {
            unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_LAPIC, $0.baseAddress!)
        }
    }

    /// Also takes kvmclock's, steal time's and the like's pages away: a guest that restarts must not have its memory
    /// written by the wish of the one before.
    private func resetModelSpecificRegisters() {
        for (number, value) in resetState.modelSpecific where modelSpecificRegister(number) != value {
            setModelSpecificRegister(number, value)
        }
        setModelSpecificRegister(MSR.timeStampCounter, 0)
    }

    /// Memory types as firmware leaves them: write-back but for the video memory and what lies between RAM and 4 GiB.
    /// - Parameters:
    ///   - deviceStart: where RAM below 4 GiB ends and device memory may begin; rounded up to a power of two below 4 GiB.
    ///   - physicalAddressBits: MAXPHYADDR, 32...52.
    public func setFirmwareMemoryTypes(deviceStart: UInt64, physicalAddressBits: Int) {
        let writeBack: UInt64 = 0x0606_0606_0606_0606, writeProtected: UInt64 = 0x0505_0505_0505_0505
        for number in MSR.fixedLow { setModelSpecificRegister(number, writeBack) }
        setModelSpecificRegister(MSR.fixedVideo, 0)
        for number in MSR.fixedHigh { setModelSpecificRegister(number, writeProtected) }
        let fourGiB: UInt64 = 1 << 32
        var size: UInt64 = 1 << 31
        while fourGiB - size < deviceStart, size > 1 << 20 { size >>= 1 }
        let isValid: UInt64 = 1 << 11
        let width: UInt64 = (1 << UInt64(min(max(physicalAddressBits, 32), 52))) - 1
        setModelSpecificRegister(MSR.firstVariableBase, fourGiB - size)
        setModelSpecificRegister(MSR.firstVariableMask, ~(size - 1) & width | isValid)
        // Enabled, the fixed ranges too; write-back where nothing else is said.
        setModelSpecificRegister(MSR.defaultMemoryType, 0xC06)
    }
}

extension KVMSystem {
    /// The numbers of the registers that KVM keeps for a guest (KVM_GET_MSR_INDEX_LIST).
    var modelSpecificRegisters: [UInt32] {
        // The first call fails for want of room and says how many there are.
        var count: [UInt32] = [0]
        _ = unsafe count.withUnsafeMutableBytes {
            unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_MSR_INDEX_LIST, $0.baseAddress!)
        }
        var list = [UInt32](repeating: 0, count: Int(min(count[0], 4096)) + 1)
        list[0] = UInt32(list.count - 1)
        // A count, and room for as many numbers as it says.
        let status = unsafe list.withUnsafeMutableBytes {
            unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_MSR_INDEX_LIST, $0.baseAddress!)
        }
        return status == 0 ? Array(list.dropFirst().prefix(Int(list[0]))) : []
    }
}
