// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem

/// Why /dev/kvm cannot run machines here, as one sentence for a person.
public struct KVMUnusable: Error, CustomStringConvertible, Sendable {
    /// What is wrong and what to do about it.
    public let description: String
}

/// The kernel's virtualization facility: /dev/kvm.
public final class KVMSystem: @unchecked Sendable {
    let file: FileDescriptor
    /// Bytes of the region shared with the kernel for each vCPU.
    let runRegionSize: Int
    private static let path = "/dev/kvm"
    private static let nestedModule = "/sys/module/kvm_pvm"
    private static let expectedVersion: Int32 = 12

    /// Opens /dev/kvm and checks that it offers what a machine needs.
    /// - Parameter allowNested: also where KVM has no hardware below it (kvm_pvm), which runs no Linux guest.
    /// - Throws: a sentence for each way it can be unusable.
    public init(allowNested: Bool = false) throws(KVMUnusable) {
        do {
            file = try FileDescriptor.open(Self.path, flags: O_RDWR)
        } catch {
            throw Self.explain(error)
        }
        let version = roost_ioctl(file.number, ROOST_KVM_GET_API_VERSION, 0)
        guard version == Self.expectedVersion else {
            throw KVMUnusable(
                description: "/dev/kvm speaks interface version \(version) where \(Self.expectedVersion) is needed; "
                    + "update the host's kernel")
        }
        runRegionSize = Int(roost_ioctl(file.number, ROOST_KVM_GET_VCPU_MMAP_SIZE, 0))
        if !allowNested, Self.isNestedWithoutHardware {
            throw KVMUnusable(
                description: "/dev/kvm is a nested one without hardware below it (kvm_pvm), which runs no operating "
                    + "system; use the software CPU here (-accel tcg), or a host with VT-x or SVM")
        }
        let needed: [(Int32, String)] = [
            (KVM_CAP_IRQCHIP, "an in-kernel interrupt controller"), (KVM_CAP_USER_MEMORY, "user memory regions"),
            (KVM_CAP_IMMEDIATE_EXIT, "immediate exit"), (KVM_CAP_SIGNAL_MSI, "message-signalled interrupts"),
        ]
        for (capability, name) in needed where extensionValue(capability) == 0 {
            throw KVMUnusable(description: "/dev/kvm lacks \(name); update the host's kernel")
        }
    }

    /// Whether KVM runs on kvm_pvm: no VT-x or SVM behind it.
    public static var isNestedWithoutHardware: Bool {
        // access(2) reads only the string.
        unsafe access(nestedModule, F_OK) == 0
    }

    /// The value of KVM_CHECK_EXTENSION; 0 where the kernel does not have it.
    func extensionValue(_ capability: Int32) -> Int {
        Int(max(0, roost_ioctl(file.number, ROOST_KVM_CHECK_EXTENSION, UInt(capability))))
    }

    /// The most vCPUs that one machine can have.
    public var maximumProcessors: Int { max(extensionValue(KVM_CAP_MAX_VCPUS), 1) }

    private static func explain(_ error: Errno) -> KVMUnusable {
        switch error.code {
        case ENOENT, ENXIO, ENODEV:
            let hasUnit = processorHasVirtualization
            return KVMUnusable(
                description: hasUnit
                    ? "/dev/kvm does not exist although the processor can virtualize; load its module: "
                        + "modprobe kvm-intel, or modprobe kvm-amd"
                    : "/dev/kvm does not exist and the processor shows neither VT-x nor SVM; switch it on in the "
                        + "firmware's set-up, or allow nested virtualization where this is a virtual machine")
        case EACCES, EPERM:
            return KVMUnusable(
                description: "no permission to open /dev/kvm; add yourself to its group (sudo usermod -aG kvm $USER) "
                    + "and log in again")
        case EBUSY:
            return KVMUnusable(description: "/dev/kvm is held by another hypervisor; stop that one first")
        default:
            return KVMUnusable(description: "cannot open /dev/kvm: \(error)")
        }
    }

    private static var processorHasVirtualization: Bool {
        guard let file = try? FileDescriptor.open("/proc/cpuinfo") else { return false }
        var text = [UInt8](repeating: 0, count: 8192)
        // The buffer lives through the call; a short read is fine, the flags stand near the beginning.
        let count = unsafe text.withUnsafeMutableBytes { (try? unsafe file.read(into: $0)) ?? 0 }
        let words = String(decoding: text.prefix(count), as: UTF8.self).split(whereSeparator: \.isWhitespace)
        return words.contains("vmx") || words.contains("svm")
    }
}
