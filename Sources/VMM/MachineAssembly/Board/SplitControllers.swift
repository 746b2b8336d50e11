// SPDX-License-Identifier: Apache-2.0

internal import InterruptControllers
internal import KVMEngine
internal import MachineModel
internal import Synchronization

/// `kernel-irqchip=split`: our PIC and I/O APIC before the kernel's local APICs.
///
/// Called on vCPU threads and by devices: the controllers have their own lock, the rest is set before the machine runs.
final class SplitControllers: ExternalInterruptSource, @unchecked Sendable {
    /// What the controllers send goes to the kernel.
    private final class Kernel: KernelLocalControllers {
        let machine: KVMMachine
        let isRequesting = Atomic<Bool>(false)
        weak var firstProcessor: KVMProcessor?

        init(_ machine: KVMMachine) { self.machine = machine }
        func deliver(address: UInt64, data: UInt32) { machine.deliver(address: address, data: data) }
        func setRoute(pin: Int, address: UInt64, data: UInt32) {
            machine.setRoute(pin: pin, address: address, data: data)
        }
        func setExternalRequest(_ level: Bool) {
            isRequesting.store(level, ordering: .sequentiallyConsistent)
            if level { firstProcessor?.noteExternalInterrupt() }
        }
    }

    private let kernel: Kernel
    let controllers: SplitInterruptControllers

    init(_ machine: KVMMachine) {
        kernel = Kernel(machine)
        controllers = SplitInterruptControllers(kernel: kernel)
    }

    /// Takes the PIC's interrupts.
    var firstProcessor: KVMProcessor? {
        get { kernel.firstProcessor }
        set { kernel.firstProcessor = newValue }
    }

    var isRequesting: Bool { kernel.isRequesting.load(ordering: .sequentiallyConsistent) }
    func acknowledge() -> UInt8? { controllers.acknowledgeExternal() }
    func endOfInterrupt(vector: UInt8) { controllers.endOfInterrupt(vector: vector) }
}
