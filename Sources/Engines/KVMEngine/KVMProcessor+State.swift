// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Diagnostics
internal import HostSystem
public import StateCoding

/// What a saved machine keeps of one vCPU: the kernel's own structs, which it checks again when they come back.
struct KVMProcessorState: SavedState, Equatable {
    struct Register: Codable, Equatable {
        var number: UInt32
        var value: UInt64
    }
    /// `kvm_regs`, `kvm_sregs`, `kvm_debugregs`, `kvm_xcrs`, `kvm_xsave`, `kvm_lapic_state`, `kvm_vcpu_events`.
    var general: [UInt8], special: [UInt8], debug: [UInt8], extendedControl: [UInt8], extended: [UInt8]
    var localController: [UInt8], events: [UInt8]
    var multiprocessing: UInt32
    /// Model-specific registers, the time-stamp counter among them.
    var registers: [Register]

    func problem(replacing current: KVMProcessorState) -> String? {
        let pairs = zip(tables, current.tables)
        guard pairs.allSatisfy({ $0.count == $1.count }), registers.count <= 4096 else {
            return "its tables have other lengths"
        }
        return nil
    }

    private var tables: [[UInt8]] {
        [general, special, debug, extendedControl, extended, localController, events]
    }
}

extension KVMProcessor: Stateful {
    private static let timeStampCounter: UInt32 = 0x10, deadline: UInt32 = 0x6E0

    /// All that the kernel keeps of the vCPU; it must be outside `run`.
    public func saveState(as name: String) throws(StateError) -> StateRecord {
        try StateRecord(name: name, savedState)
    }

    /// Refuses what cannot be decoded; the result hands the state to the kernel.
    public func checkState(_ record: StateRecord) throws(StateError) -> () -> Void {
        let new = try record.decode(replacing: savedState)
        return { [self] in restore(new) }
    }

    private func read(_ request: UInt, size: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: size)
        // The array is as large as the struct that the request fills.
        _ = unsafe bytes.withUnsafeMutableBytes {
            unsafe roost_ioctl_pointer(file.number, request, $0.baseAddress!)
        }
        return bytes
    }

    private func write(_ request: UInt, _ bytes: [UInt8], _ what: String) {
        var copy = bytes
        // As large as the struct that the request reads: its length was compared with that of `read`.
        let status = unsafe copy.withUnsafeMutableBytes {
            unsafe roost_ioctl_pointer(file.number, request, $0.baseAddress!)
        }
        if status < 0 { complain(what) }
    }

    /// What the kernel does not take stays as it was, which the guest may notice.
    private func complain(_ what: String) {
        Console.shared.warning("KVM does not take the \(what) that was saved for vCPU \(index): \(Errno.current)")
    }

    private var savedState: KVMProcessorState {
        // First: it lets a pending INIT or SIPI take effect.
        var multiprocessing = kvm_mp_state()
        // Filled on this frame.
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_MP_STATE, &multiprocessing)
        let numbers = resetState.modelSpecific.map(\.number) + [Self.timeStampCounter]
        return KVMProcessorState(
            general: read(ROOST_KVM_GET_REGS, size: MemoryLayout<kvm_regs>.size),
            special: read(ROOST_KVM_GET_SREGS, size: MemoryLayout<kvm_sregs>.size),
            debug: read(ROOST_KVM_GET_DEBUGREGS, size: MemoryLayout<kvm_debugregs>.size),
            extendedControl: read(ROOST_KVM_GET_XCRS, size: MemoryLayout<kvm_xcrs>.size),
            extended: extendedState,
            localController: read(ROOST_KVM_GET_LAPIC, size: MemoryLayout<kvm_lapic_state>.size),
            events: read(ROOST_KVM_GET_VCPU_EVENTS, size: MemoryLayout<kvm_vcpu_events>.size),
            multiprocessing: multiprocessing.mp_state,
            registers: numbers.compactMap { number in
                modelSpecificRegister(number).map { KVMProcessorState.Register(number: number, value: $0) }
            })
    }

    private func restore(_ saved: KVMProcessorState) {
        // The base of the local APIC is in the special registers, and the form of its registers depends on it. The
        // deadline counts in the time stamp and means nothing before the controller is in its mode.
        write(ROOST_KVM_SET_SREGS, saved.special, "special registers")
        write(ROOST_KVM_SET_REGS, saved.general, "registers")
        write(ROOST_KVM_SET_XCRS, saved.extendedControl, "extended control registers")
        extendedState = saved.extended
        for register in saved.registers where register.number != Self.deadline {
            setModelSpecificRegister(register.number, register.value)
        }
        write(ROOST_KVM_SET_LAPIC, saved.localController, "local APIC")
        for register in saved.registers where register.number == Self.deadline {
            setModelSpecificRegister(register.number, register.value)
        }
        var multiprocessing = kvm_mp_state(mp_state: saved.multiprocessing)
        // Copied from this frame.
        if unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_MP_STATE, &multiprocessing) < 0 {
            complain("state of start-up")
        }
        write(ROOST_KVM_SET_VCPU_EVENTS, saved.events, "pending events")
        write(ROOST_KVM_SET_DEBUGREGS, saved.debug, "debug registers")
    }
}
