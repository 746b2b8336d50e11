// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import HostSystem

/// The kernel's virtualization facility, /dev/kvm, with a machine of its making.
public final class KVMSystem: @unchecked Sendable {
    let file: FileDescriptor
    /// The machine (KVM_CREATE_VM), made at once because some hosts refuse only that.
    let machineFile: FileDescriptor
    /// Bytes of the region shared with the kernel for each vCPU.
    let runRegionSize: Int
    private static let path = "/dev/kvm"
    private static let nestedModule = "/sys/module/kvm_pvm"
    private static let needed: [(Int32, String)] = [
        (KVM_CAP_IRQCHIP, "an in-kernel interrupt controller"), (KVM_CAP_USER_MEMORY, "user memory regions"),
        (KVM_CAP_IMMEDIATE_EXIT, "immediate exit"), (KVM_CAP_SIGNAL_MSI, "message-signalled interrupts"),
        (KVM_CAP_IRQ_ROUTING, "interrupt routing"),
    ]

    /// Opens /dev/kvm, checks that it offers what a machine needs, and makes a machine.
    /// - Parameter allowNested: also where KVM has no hardware below it (kvm_pvm), which runs no Linux guest.
    /// - Throws: a sentence for each way it can be unusable.
    public init(allowNested: Bool = false) throws(KVMUnusable) {
        var findings = KVMFindings()
        let opened: FileDescriptor
        do throws(Errno) { opened = try FileDescriptor.open(Self.path, flags: O_RDWR) } catch {
            findings.openError = error
            findings.processorCanVirtualize = Self.processorHasVirtualization
            throw findings.refusal ?? KVMUnusable("cannot open \(Self.path): \(error)")
        }
        let number = opened.number
        file = opened
        findings.interfaceVersion = roost_ioctl(number, ROOST_KVM_GET_API_VERSION, 0)
        findings.isNestedWithoutHardware = !allowNested && Self.isNestedWithoutHardware
        findings.missing = Self.needed.filter { Self.extensionValue($0.0, of: number) == 0 }.map { $0.1 }
        if let refusal = findings.refusal { throw refusal }
        runRegionSize = Int(roost_ioctl(number, ROOST_KVM_GET_VCPU_MMAP_SIZE, 0))
        do throws(Errno) {
            machineFile = FileDescriptor(owning: try retrying { roost_ioctl(number, ROOST_KVM_CREATE_VM, 0) })
        } catch {
            findings.machineError = error
            throw findings.refusal ?? KVMUnusable("KVM cannot make a machine: \(error)")
        }
    }

    /// Whether KVM runs on kvm_pvm: no VT-x or SVM behind it.
    public static var isNestedWithoutHardware: Bool {
        // access(2) reads only the string.
        unsafe access(nestedModule, F_OK) == 0
    }

    /// The value of KVM_CHECK_EXTENSION; 0 where the kernel does not have it.
    private static func extensionValue(_ capability: Int32, of file: Int32) -> Int {
        Int(max(0, roost_ioctl(file, ROOST_KVM_CHECK_EXTENSION, UInt(capability))))
    }

    /// The same of this facility.
    func extensionValue(_ capability: Int32) -> Int { Self.extensionValue(capability, of: file.number) }

    /// The most vCPUs that one machine can have: identifiers are of 8 bits, of which one addresses all.
    public var maximumProcessors: Int { min(max(extensionValue(KVM_CAP_MAX_VCPUS), 1), 255) }

    /// Whether the local APIC's timer knows TSC-deadline mode, which KVM_GET_SUPPORTED_CPUID does not say.
    public var hasDeadlineTimer: Bool { extensionValue(KVM_CAP_TSC_DEADLINE_TIMER) != 0 }

    private static var processorHasVirtualization: Bool {
        guard let file = try? FileDescriptor.open("/proc/cpuinfo") else { return false }
        var text = [UInt8](repeating: 0, count: 8192)
        // The buffer lives through the call; a short read is fine, the flags stand near the beginning.
        let count = unsafe text.withUnsafeMutableBytes { (try? unsafe file.read(into: $0)) ?? 0 }
        let words = String(decoding: text.prefix(count), as: UTF8.self).split(whereSeparator: \.isWhitespace)
        return words.contains("vmx") || words.contains("svm")
    }
}
