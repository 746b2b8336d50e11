// SPDX-License-Identifier: Apache-2.0

internal import Glibc
package import HostSystem

/// Why /dev/kvm cannot run machines here, for a person.
public struct KVMUnusable: Error, Equatable, CustomStringConvertible, Sendable {
    /// What is wrong, without a full stop.
    public let reason: String
    /// What to do about it; may be empty.
    public let remedy: String

    init(_ reason: String, remedy: String = "") {
        self.reason = reason
        self.remedy = remedy
    }

    /// "reason; remedy".
    public var description: String { remedy.isEmpty ? reason : "\(reason); \(remedy)" }
}

/// What was found out about /dev/kvm: everything that decides whether it is usable. A value, so that every way in which
/// it can be unusable has a test.
package struct KVMFindings {
    /// open(2) failed with this.
    package var openError: Errno?
    /// The processor shows VT-x or SVM.
    package var processorCanVirtualize = true
    /// KVM_GET_API_VERSION.
    package var interfaceVersion: Int32 = Self.expectedVersion
    /// KVM runs without hardware below it.
    package var isNestedWithoutHardware = false
    /// Names of what is needed and not there.
    package var missing: [String] = []
    /// KVM_CREATE_VM failed with this.
    package var machineError: Errno?

    /// The only version that was ever released.
    package static let expectedVersion: Int32 = 12

    /// KVM that works.
    package init() {}

    /// Why KVM is unusable; nil when it is not.
    package var refusal: KVMUnusable? {
        if let openError { return explainOpening(openError) }
        if interfaceVersion < 0 {
            return KVMUnusable(
                "/dev/kvm is not the kernel's virtualization device",
                remedy: "remove it and load the module: modprobe kvm-intel, or modprobe kvm-amd")
        }
        if interfaceVersion != Self.expectedVersion {
            return KVMUnusable(
                "/dev/kvm speaks interface version \(interfaceVersion) where \(Self.expectedVersion) is needed",
                remedy: "update the host's kernel")
        }
        if isNestedWithoutHardware {
            return KVMUnusable(
                "/dev/kvm is a nested one without hardware below it (kvm_pvm), which runs no operating system",
                remedy: "use the software CPU here (-accel tcg), or a host with VT-x or SVM")
        }
        if let first = missing.first {
            return KVMUnusable("/dev/kvm lacks \(first)", remedy: "update the host's kernel")
        }
        return machineError.map(explainMachine)
    }

    private func explainOpening(_ error: Errno) -> KVMUnusable {
        switch error.code {
        case ENOENT, ENXIO, ENODEV:
            return processorCanVirtualize
                ? KVMUnusable(
                    "/dev/kvm does not exist although the processor can virtualize",
                    remedy: "load its module: modprobe kvm-intel, or modprobe kvm-amd")
                : KVMUnusable(
                    "/dev/kvm does not exist and the processor shows neither VT-x nor SVM",
                    remedy: "switch it on in the firmware's set-up, or allow nested virtualization where this is a "
                        + "virtual machine")
        case EACCES, EPERM:
            return KVMUnusable(
                "no permission to open /dev/kvm",
                remedy: "add yourself to its group (sudo usermod -aG kvm $USER) and log in again")
        case EBUSY: return explainMachine(error)
        default: return KVMUnusable("cannot open /dev/kvm: \(error)")
        }
    }

    private func explainMachine(_ error: Errno) -> KVMUnusable {
        guard error.code == EBUSY else { return KVMUnusable("KVM cannot make a machine: \(error)") }
        return KVMUnusable(
            "another hypervisor holds the processor's virtualization unit", remedy: "stop that one first")
    }
}
