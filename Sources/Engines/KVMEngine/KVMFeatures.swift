// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import HostSystem

/// One CPUID leaf as the guest will see it.
public struct CPUIDEntry: Equatable, Sendable {
    /// EAX and ECX of the question.
    public var function: UInt32, index: UInt32
    /// Whether `index` matters (leaves 4, 7, 0xB, 0xD...).
    public var hasIndex: Bool
    /// The answer.
    public var eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32

    /// Everything by name.
    public init(
        function: UInt32, index: UInt32 = 0, hasIndex: Bool = false, eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0,
        edx: UInt32 = 0
    ) {
        self.function = function
        self.index = index
        self.hasIndex = hasIndex
        self.eax = eax
        self.ebx = ebx
        self.ecx = ecx
        self.edx = edx
    }
}

extension KVMSystem {
    private static let maximumEntries = 256
    private static let significantIndex: UInt32 = 1

    /// What this host and kernel can offer a guest (KVM_GET_SUPPORTED_CPUID), without the hypervisor's own leaves.
    public func supportedFeatures() throws(KVMUnusable) -> [CPUIDEntry] {
        let header = MemoryLayout<kvm_cpuid2>.size
        let stride = MemoryLayout<kvm_cpuid_entry2>.stride
        let size = header + stride * Self.maximumEntries
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 8)
        defer { unsafe buffer.deallocate() }
        // A header and room for `nent` entries, which the kernel does not exceed; zero is a valid value of every byte.
        unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        unsafe buffer.storeBytes(of: UInt32(Self.maximumEntries), as: UInt32.self)
        guard unsafe roost_ioctl_pointer(file.number, ROOST_KVM_GET_SUPPORTED_CPUID, buffer) == 0 else {
            throw KVMUnusable("KVM does not say which processor features it offers: \(Errno.current)")
        }
        let count = min(Int(unsafe buffer.load(as: UInt32.self)), Self.maximumEntries)
        return (0..<count).map { place in
            let entry = unsafe (buffer + header + stride * place).load(as: kvm_cpuid_entry2.self)
            return CPUIDEntry(
                function: entry.function, index: entry.index, hasIndex: entry.flags & Self.significantIndex != 0,
                eax: entry.eax, ebx: entry.ebx, ecx: entry.ecx, edx: entry.edx)
        }
    }

    /// The kernel's form of a table of leaves, to be freed by the caller.
    static func kernelTable(_ entries: [CPUIDEntry]) -> UnsafeMutableRawPointer {
        let header = MemoryLayout<kvm_cpuid2>.size
        let stride = MemoryLayout<kvm_cpuid_entry2>.stride
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: header + stride * entries.count, alignment: 8)
        // Header and entries fill the buffer exactly.
        var head = kvm_cpuid2()
        head.nent = UInt32(entries.count)
        unsafe buffer.storeBytes(of: head, as: kvm_cpuid2.self)
        for (place, entry) in entries.enumerated() {
            var kernel = kvm_cpuid_entry2()
            kernel.function = entry.function
            kernel.index = entry.index
            kernel.flags = entry.hasIndex ? significantIndex : 0
            kernel.eax = entry.eax
            kernel.ebx = entry.ebx
            kernel.ecx = entry.ecx
            kernel.edx = entry.edx
            unsafe (buffer + header + stride * place).storeBytes(of: kernel, as: kvm_cpuid_entry2.self)
        }
        return unsafe buffer
    }
}
