// SPDX-License-Identifier: Apache-2.0

internal import CLinux
public import CPUInterface
internal import Glibc
internal import HostSystem
public import MachineModel
internal import Synchronization

/// One vCPU that runs on the host's own processor.
///
/// `run` and all state changes are for the vCPU's thread, or for others while it is outside `run`.
@safe
public final class KVMProcessor: VirtualCPU, @unchecked Sendable {
    /// Its place among the machine's processors, from 0.
    public let index: Int
    let file: FileDescriptor
    /// The region shared with the kernel: what made it exit. Mapped as long as this object.
    let exit: UnsafeMutablePointer<kvm_run>
    private let mapping: MemoryMapping
    /// The machine whose memory and interrupt controllers it uses.
    package let machine: KVMMachine
    private let ports: AddressSpace
    private let devices: AddressSpace
    /// What RESET puts back; read when the vCPU was new.
    private(set) var resetState = ResetState()
    private let isKicked = Atomic<Bool>(false)
    /// pthread_t of the thread inside `run`, 0 outside; guarded by `kickLock`.
    private var runner: pthread_t = 0
    private let kickLock = Lock()
    /// The kernel's number of the thread in `run`; 0 before the first time.
    public private(set) var hostThreadIdentifier = 0
    /// Handed to the kernel at the next `run`.
    public var debugPoints = DebugPoints()
    /// Family, model and stepping: EDX after RESET.
    let processorSignature: UInt64

    /// The signal that takes a vCPU's thread out of the guest.
    private static let kickSignal = SIGUSR1

    /// The next vCPU of a machine.
    /// - Parameter features: its CPUID, identifiers included.
    public init(
        machine: KVMMachine, index: Int, features: [CPUIDEntry], ports: AddressSpace, devices: AddressSpace
    ) throws(KVMUnusable) {
        self.index = index
        self.machine = machine
        self.ports = ports
        self.devices = devices
        processorSignature = UInt64(features.first { $0.function == 1 }?.eax ?? 0)
        do {
            file = FileDescriptor(
                owning: try retrying { roost_ioctl(machine.file, ROOST_KVM_CREATE_VCPU, UInt(index)) })
            mapping = try MemoryMapping.map(
                count: machine.system.runRegionSize, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED,
                descriptor: file.number)
        } catch { throw KVMUnusable("KVM cannot make vCPU \(index): \(error)") }
        // The kernel's region starts with this struct and is at least as large.
        unsafe exit = mapping.base.assumingMemoryBound(to: kvm_run.self)
        let table = unsafe KVMSystem.kernelTable(features)
        defer { unsafe table.deallocate() }
        // A header and as many entries as it says.
        guard unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_CPUID2, table) == 0 else {
            throw KVMUnusable("KVM refuses the processor's features: \(Errno.current)")
        }
        resetState = captureResetState()
        Self.installKickSignal
    }

    /// An empty handler: the signal only has to end KVM_RUN.
    private static let installKickSignal: Void = {
        var action = sigaction()
        unsafe action.__sigaction_handler.sa_handler = { _ in }
        // Installed once for the process; the handler does nothing.
        unsafe sigaction(kickSignal, &action, nil)
    }()

    /// By a signal to the thread in the guest; `run` then returns `.kicked`.
    public func kick() {
        isKicked.store(true, ordering: .sequentiallyConsistent)
        kickLock.withLock {
            // Without a thread inside, `run` sees the flag when it enters.
            guard runner != 0 else { return }
            unsafe exit.pointee.immediate_exit = 1
            _ = pthread_kill(runner, Self.kickSignal)
        }
    }

    /// KVM_RUN until someone else must act; only on the vCPU's own thread.
    public func run() -> CPUExit {
        kickLock.withLock { runner = pthread_self() }
        hostThreadIdentifier = Int(roost_thread_number())
        applyDebugPoints()
        defer {
            kickLock.withLock {
                runner = 0
                unsafe exit.pointee.immediate_exit = 0
            }
        }
        while true {
            if isKicked.load(ordering: .sequentiallyConsistent) {
                completePendingAccess()
                isKicked.store(false, ordering: .sequentiallyConsistent)
                return .kicked
            }
            offerExternalInterrupt()
            let status = roost_ioctl(file.number, ROOST_KVM_RUN, 0)
            if status < 0 {
                let error = Errno.current
                if error == .interrupted || error == .wouldBlock {
                    // Cleared before the loop looks at what the kick or the PIC wants.
                    kickLock.withLock { unsafe exit.pointee.immediate_exit = 0 }
                    continue
                }
                return .failed("KVM cannot run vCPU \(index): \(error)")
            }
            if let exit = handleExit() { return exit }
        }
    }

    /// Has the processor look at the PIC again, where that is not the kernel's. Any thread.
    public func noteExternalInterrupt() {
        kickLock.withLock {
            guard runner != 0 else { return }
            unsafe exit.pointee.immediate_exit = 1
            _ = pthread_kill(runner, Self.kickSignal)
        }
    }

    /// Gives the kernel the interrupt of a PIC that is not its own, or asks to be told when the guest can take one.
    private func offerExternalInterrupt() {
        guard index == 0, let source = machine.externalInterrupts else { return }
        if source.isRequesting, unsafe exit.pointee.ready_for_interrupt_injection != 0,
            let vector = source.acknowledge()
        {
            var interrupt = kvm_interrupt()
            interrupt.irq = UInt32(vector)
            // Copied from this frame.
            _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_INTERRUPT, &interrupt)
            // It is taken before another one is.
            unsafe exit.pointee.ready_for_interrupt_injection = 0
        }
        unsafe exit.pointee.request_interrupt_window = source.isRequesting ? 1 : 0
    }

    /// The registers that an IN or a device load produced are written when KVM_RUN is entered again; doing that with
    /// immediate_exit set leaves a state that can be looked at or saved.
    ///
    /// An access that the kernel splits (a string instruction, one that crosses a page) comes back for its next part, and
    /// ends only when all of them are served; then KVM_RUN is interrupted.
    private func completePendingAccess() {
        unsafe exit.pointee.immediate_exit = 1
        defer { unsafe exit.pointee.immediate_exit = 0 }
        while roost_ioctl(file.number, ROOST_KVM_RUN, 0) == 0 {
            // The kernel filled the member of the union that the reason names.
            switch Int32(bitPattern: unsafe exit.pointee.exit_reason) {
            case KVM_EXIT_IO: servePort()
            case KVM_EXIT_MMIO: serveDevice()
            default: return
            }
        }
    }

    // MARK: exits

    /// Serves one exit; nil goes back into the guest.
    private func handleExit() -> CPUExit? {
        // The kernel filled the member of the union that the reason names.
        switch Int32(bitPattern: unsafe exit.pointee.exit_reason) {
        case KVM_EXIT_IO:
            servePort()
            return nil
        case KVM_EXIT_MMIO:
            serveDevice()
            return nil
        case KVM_EXIT_IRQ_WINDOW_OPEN, KVM_EXIT_INTR, KVM_EXIT_UNKNOWN:
            return nil
        case KVM_EXIT_IOAPIC_EOI:
            machine.externalInterrupts?.endOfInterrupt(vector: unsafe exit.pointee.eoi.vector)
            return nil
        case KVM_EXIT_SHUTDOWN:
            return .shutdown
        case KVM_EXIT_SYSTEM_EVENT:
            return .shutdown
        case KVM_EXIT_DEBUG:
            return .debug(debugStop())
        case KVM_EXIT_FAIL_ENTRY:
            let reason = unsafe exit.pointee.fail_entry.hardware_entry_failure_reason
            return .failed("the host's processor refuses the state of vCPU \(index) (reason 0x\(hex(reason)))")
        case KVM_EXIT_INTERNAL_ERROR:
            let suberror = unsafe exit.pointee.internal.suberror
            return .failed(
                "KVM gave up on vCPU \(index) (internal error \(suberror)): it met an instruction that it cannot emulate "
                    + "at 0x\(hex(registers.rip)); the software CPU (-accel tcg) can")
        case let reason:
            return .failed("KVM left vCPU \(index) for a reason that Roost does not know (\(reason))")
        }
    }

    private func hex(_ value: UInt64) -> String { String(value, radix: 16) }

    private func servePort() {
        let access = unsafe exit.pointee.io
        let size = Int(access.size)
        // The kernel places `count` items of `size` bytes inside the shared region, at an offset that it chose.
        let data = unsafe UnsafeMutableRawPointer(exit) + Int(access.data_offset)
        for item in 0..<Int(access.count) {
            let place = unsafe data + item * size
            if Int32(access.direction) == KVM_EXIT_IO_IN {
                let value = ports.read(UInt64(access.port), size: size)
                unsafe withUnsafeBytes(of: value.littleEndian) {
                    unsafe place.copyMemory(from: $0.baseAddress!, byteCount: size)
                }
            } else {
                var value: UInt64 = 0
                unsafe withUnsafeMutableBytes(of: &value) {
                    unsafe $0.baseAddress!.copyMemory(from: place, byteCount: size)
                }
                ports.write(UInt64(access.port), size: size, value: value)
            }
        }
    }

    private func serveDevice() {
        let address = unsafe exit.pointee.mmio.phys_addr
        let size = Int(unsafe exit.pointee.mmio.len)
        let isWrite = unsafe exit.pointee.mmio.is_write != 0
        // The data field holds 8 bytes, the most that one exit moves.
        var value: UInt64 = 0
        if isWrite {
            unsafe withUnsafeBytes(of: exit.pointee.mmio.data) { data in
                for byte in 0..<min(size, 8) { unsafe value |= UInt64(data[byte]) << UInt64(byte * 8) }
            }
            devices.write(address, size: size, value: value)
        } else {
            value = devices.read(address, size: size)
            unsafe withUnsafeMutableBytes(of: &exit.pointee.mmio.data) { data in
                for byte in 0..<min(size, 8) {
                    unsafe data[byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8))
                }
            }
        }
    }

    // MARK: state

    /// Not runnable: after HLT, or waiting for a startup interrupt.
    public var isHalted: Bool {
        var state = kvm_mp_state()
        // Filled on this frame.
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_MP_STATE, &state)
        return state.mp_state != UInt32(KVM_MP_STATE_RUNNABLE)
    }

    /// As the guest's page tables say now; nil where nothing is mapped.
    public func physicalAddress(ofLinear address: UInt64) -> UInt64? {
        var translation = kvm_translation()
        translation.linear_address = address
        // Copied from and to this frame.
        guard unsafe roost_ioctl_pointer(file.number, ROOST_KVM_TRANSLATE, &translation) == 0,
            translation.valid != 0
        else { return nil }
        return translation.physical_address
    }

    /// Sends an NMI.
    public func raiseNonMaskableInterrupt() { _ = roost_ioctl(file.number, ROOST_KVM_NMI, 0) }
}
