// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// The memory that instructions of a region write, as it was before and as the interpreter left it.
struct LockstepJournal {
    private struct Entry {
        var linear: UInt64
        var place: UnsafeMutableRawPointer
        var count: Int
        var offset: Int
    }

    private var entries: [Entry] = []
    private var before: [UInt8] = []
    private var after: [UInt8] = []

    private static let pageSize: UInt64 = 4096

    mutating func clear() {
        entries.removeAll(keepingCapacity: true)
        before.removeAll(keepingCapacity: true)
        after.removeAll(keepingCapacity: true)
    }

    /// Notes what lies where an instruction is about to write.
    /// - Returns: false where some of its memory is no RAM, or the access faults.
    mutating func note(_ accesses: [LockstepRegion.Access], _ cpu: SoftCPU) -> Bool {
        for access in accesses {
            let first = min(access.bytes, Int(Self.pageSize - (access.linear & (Self.pageSize - 1))))
            guard note(access, at: access.linear, first, cpu) else { return false }
            guard first == access.bytes || note(access, at: access.linear &+ UInt64(first), access.bytes - first, cpu)
            else { return false }
        }
        return true
    }

    private mutating func note(_ access: LockstepRegion.Access, at linear: UInt64, _ count: Int, _ cpu: SoftCPU) -> Bool
    {
        guard let place = cpu.hostPlace(of: linear, size: count, isWrite: access.isWrite) else { return false }
        guard access.isWrite else { return true }
        entries.append(Entry(linear: linear, place: place, count: count, offset: before.count))
        before += UnsafeRawBufferPointer(start: place, count: count)
        return true
    }

    /// Keeps what was written, and puts back what was there.
    mutating func undo() {
        for entry in entries { after += UnsafeRawBufferPointer(start: entry.place, count: entry.count) }
        for entry in entries.reversed() {
            before.withUnsafeBytes {
                entry.place.copyMemory(from: $0.baseAddress.unsafelyUnwrapped + entry.offset, byteCount: entry.count)
            }
        }
    }

    /// Lines for people about memory that does not hold what the interpreter had written.
    func differences() -> [String] {
        var lines: [String] = []
        for entry in entries {
            let wanted = after[entry.offset..<entry.offset + entry.count]
            let found = UnsafeRawBufferPointer(start: entry.place, count: entry.count)
            guard !found.elementsEqual(wanted) else { continue }
            lines.append("memory at 0x\(String(entry.linear, radix: 16)): \(hex(wanted)), \(hex(found))")
        }
        return lines
    }

    private func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    }
}
