// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import CPUInterface
internal import HostSystem

extension KVMProcessor {
    private static let debugException: UInt32 = 1
    private static let breakpointException: UInt32 = 3
    private static let singleStepBit: UInt64 = 1 << 14
    /// The processor has four address registers.
    private static let addressRegisters = 4

    /// Tells the kernel what `debugPoints` asks for: breakpoints and watchpoints share the four debug registers.
    func applyDebugPoints() {
        var request = kvm_guest_debug()
        if !debugPoints.isEmpty {
            request.control = UInt32(KVM_GUESTDBG_ENABLE)
            if debugPoints.singleStep { request.control |= UInt32(KVM_GUESTDBG_SINGLESTEP) }
            var slots: [(address: UInt64, control: UInt64)] = debugPoints.breakpoints.sorted().map { ($0, 0) }
            for watch in debugPoints.watchpoints {
                // R/W field: 1 on writes, 3 on reads and writes; LEN field: 1, 2, 8, 4 bytes as 0, 1, 2, 3.
                let kind: UInt64 = watch.onRead ? 3 : 1
                let length: UInt64 = watch.count >= 8 ? 2 : watch.count >= 4 ? 3 : watch.count >= 2 ? 1 : 0
                slots.append((watch.address, kind | length << 2))
            }
            if !slots.isEmpty { request.control |= UInt32(ROOST_KVM_GUESTDBG_USE_HW_BP) }
            var control: UInt64 = 1 << 10
            var addresses: [UInt64] = [0, 0, 0, 0]
            for (place, slot) in slots.prefix(Self.addressRegisters).enumerated() {
                addresses[place] = slot.address
                control |= 2 << UInt64(place * 2) | slot.control << UInt64(16 + place * 4)
            }
            request.arch.debugreg = (addresses[0], addresses[1], addresses[2], addresses[3], 0, 0, 0, control)
        }
        // Copied from this frame.
        _ = unsafe roost_ioctl_pointer(file.number, ROOST_KVM_SET_GUEST_DEBUG, &request)
    }

    /// What a KVM_EXIT_DEBUG was for.
    func debugStop() -> DebugStop {
        // The kernel filled the union's debug member.
        let arch = unsafe exit.pointee.debug.arch
        guard arch.exception == Self.debugException else { return .breakpoint }
        if arch.dr6 & Self.singleStepBit != 0 { return .step }
        for place in 0..<Self.addressRegisters where arch.dr6 & (1 << UInt64(place)) != 0 {
            let kind = arch.dr7 >> UInt64(16 + place * 4) & 3
            if kind == 0 { return .breakpoint }
            let watch = place - debugPoints.breakpoints.count
            if debugPoints.watchpoints.indices.contains(watch) {
                return .watchpoint(address: debugPoints.watchpoints[watch].address)
            }
        }
        return .breakpoint
    }
}
