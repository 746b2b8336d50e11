// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Reads code of one guest-physical page, each byte once, so that all that looks at it sees the same; and of a second page
/// what belongs to an instruction that ends there.
final class CodeReader {
    private let cpu: SoftCPU
    private let page: UInt64
    /// Nil where instructions that end in another page are not wanted.
    private let nextPage: UInt64?
    private let mode: UInt8
    private let bytes: UnsafeMutablePointer<UInt8>
    /// A bit for each 64 bytes that were read.
    private var read: UInt64 = 0

    static let pageSize = 4096
    private static let granule = 64
    /// More than the longest instruction has.
    private static let window = 16
    static let bufferSize = pageSize + window

    /// - Parameter buffer: room for `bufferSize` bytes.
    init(_ cpu: SoftCPU, page: UInt64, nextPage: UInt64? = nil, mode: UInt8, buffer: UnsafeMutablePointer<UInt8>) {
        self.cpu = cpu
        self.page = page
        self.nextPage = nextPage
        self.mode = mode
        bytes = buffer
    }

    var is64: Bool { mode & StateLayout.codeWidthMask == StateLayout.codeWidth64 }
    var showsRDTSCP: Bool { cpu.showsRDTSCP }

    func pointer(_ offset: Int) -> UnsafePointer<UInt8> { UnsafePointer(bytes + offset) }

    /// - Returns: false where the page is no memory.
    private func provide(_ offset: Int, _ count: Int) -> Bool {
        for granule in offset / Self.granule...(offset + count - 1) / Self.granule
        where read & 1 << UInt64(granule) == 0 {
            let start = granule * Self.granule
            guard cpu.copyCode(page: page, offset: start, count: Self.granule, to: bytes + start) else {
                return false
            }
            read |= 1 << UInt64(granule)
        }
        return true
    }

    /// The instruction at an offset in the page; nil where it does not lie in the page whole, or in both.
    func decode(at offset: Int, from start: Int) -> DecodedInstruction? {
        guard offset < Self.pageSize else { return nil }
        let available = min(Self.window, Self.pageSize - offset)
        guard provide(offset, available) else { return nil }
        var decoded = decode(offset, available, start)
        if decoded.status == .incomplete, let nextPage {
            let rest = Self.window - available
            guard cpu.copyCode(page: nextPage, offset: 0, count: rest, to: bytes + Self.pageSize) else { return nil }
            decoded = decode(offset, Self.window, start)
        }
        return decoded.status == .incomplete ? nil : decoded
    }

    private func decode(_ offset: Int, _ available: Int, _ start: Int) -> DecodedInstruction {
        decodeForTranslation(bytes + offset, available: available, mode: mode, offset: offset - start, on: cpu)
    }

    /// Whether code at an offset may look at the arithmetic flags that it finds.
    func needsFlags(at offset: Int) -> Bool {
        var offset = offset
        for _ in 0..<8 {
            guard let decoded = decode(at: offset, from: offset), decoded.status == .complete else {
                return true
            }
            let raw = RawInstruction(bytes + offset, count: Int(decoded.instruction.length), is64: is64)
            let kind = InstructionKind(raw, decoded)
            if kind == .interpreted { return true }
            let effect = FlagEffect.of(raw, decoded)
            if effect.contains(.reads) { return true }
            if effect.contains(.replaces) { return false }
            if kind == .flow {
                guard raw.map == 0, raw.opcode == 0xE9 || raw.opcode == 0xEB || raw.opcode == 0xE8 else {
                    return true
                }
                let target =
                    offset + Int(truncatingIfNeeded: Int64(bitPattern: decoded.instruction.immediate))
                guard target >= 0, target < Self.pageSize else { return true }
                offset = target
            } else {
                offset += Int(decoded.instruction.length)
            }
        }
        return true
    }
}
