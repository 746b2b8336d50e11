// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import HostSystem
public import StateCoding

/// What a saved machine keeps of the kernel's interrupt controllers and of its clock.
public struct KVMMachineState: SavedState, Equatable {
    /// `kvm_irqchip` of both PICs and of the I/O APIC.
    var controllers: [[UInt8]]
    /// kvmclock's time in nanoseconds.
    var clock: UInt64

    /// Refuses other kinds or numbers of interrupt controllers.
    public func problem(replacing current: KVMMachineState) -> String? {
        // The first word names the chip.
        let pairs = zip(controllers, current.controllers)
        guard controllers.count == current.controllers.count,
            pairs.allSatisfy({ $0.count == $1.count && $0.prefix(4) == $1.prefix(4) })
        else { return "its tables have other lengths" }
        return nil
    }
}

extension KVMMachine: PlainlyStateful {
    /// The vCPUs stand still.
    public var state: KVMMachineState {
        get {
            let controllers = controllersAtReset.map { image in
                var image = image
                // The kernel fills the struct, as large as the array, of the chip that its first word names.
                _ = unsafe image.withUnsafeMutableBytes {
                    unsafe roost_ioctl_pointer(file, ROOST_KVM_GET_IRQCHIP, $0.baseAddress!)
                }
                return image
            }
            var clock = kvm_clock_data()
            // Filled on this frame.
            _ = unsafe roost_ioctl_pointer(file, ROOST_KVM_GET_CLOCK, &clock)
            return KVMMachineState(controllers: controllers, clock: clock.clock)
        }
        set {
            for image in newValue.controllers {
                var image = image
                // Copied from the array, which is as large as the struct.
                _ = unsafe image.withUnsafeMutableBytes {
                    unsafe roost_ioctl_pointer(file, ROOST_KVM_SET_IRQCHIP, $0.baseAddress!)
                }
            }
            var clock = kvm_clock_data()
            clock.clock = newValue.clock
            // Copied from this frame.
            _ = unsafe roost_ioctl_pointer(file, ROOST_KVM_SET_CLOCK, &clock)
        }
    }
}
