// SPDX-License-Identifier: Apache-2.0

internal import CLinux

/// The processor that this program runs on.
public enum HostProcessor {
    private static let firstExtendedLeaf: UInt32 = 0x8000_0000

    /// CPUID's answer: EAX, EBX, ECX and EDX; nil for a leaf that the processor does not have.
    public static func identification(_ leaf: UInt32, _ index: UInt32 = 0) -> [UInt32]? {
        let base = leaf & firstExtendedLeaf
        guard leaf <= words(base, 0)[0] else { return nil }
        return words(leaf, index)
    }

    private static func words(_ leaf: UInt32, _ index: UInt32) -> [UInt32] {
        var words: [UInt32] = [0, 0, 0, 0]
        // Four words are written, which is as long as the array.
        unsafe roost_host_cpuid(leaf, index, &words)
        return words
    }

    /// A model-specific register of the first processor; nil where the kernel does not show it to this process.
    public static func modelSpecificRegister(_ number: UInt32) -> UInt64? {
        guard let file = try? FileDescriptor.open("/dev/cpu/0/msr") else { return nil }
        var value: UInt64 = 0
        // The eight bytes live on this frame.
        let count = unsafe withUnsafeMutableBytes(of: &value) { bytes in
            try? unsafe file.read(into: bytes, at: Int64(number))
        }
        return count == MemoryLayout<UInt64>.size ? value : nil
    }
}
