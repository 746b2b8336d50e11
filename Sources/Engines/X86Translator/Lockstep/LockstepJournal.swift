// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// The memory that instructions of a region write, as it was before and as the interpreter left it.
struct LockstepJournal {
    private struct Entry {
        var linear: UInt64
        var place: UnsafeMutableRawPointer
        var count: Int
        /// In `before` and `after`.
        var offset: Int
    }

    private var entries: [Entry] = []
    private var used = 0
    /// Room for the longest writes of a block's every instruction.
    private let before = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
    private let after = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)

    private static let pageSize: UInt64 = 4096
    private static let capacity = 64 * BlockTranslator.maximumInstructions

    func deallocate() {
        before.deallocate()
        after.deallocate()
    }

    mutating func clear() {
        entries.removeAll(keepingCapacity: true)
        used = 0
    }

    /// Notes what lies where an instruction is about to write.
    /// - Returns: false where some of its memory is no RAM, or the access faults.
    mutating func note(_ linear: UInt64, _ bytes: Int, isWrite: Bool, _ cpu: SoftCPU) -> Bool {
        let first = min(bytes, Int(Self.pageSize - (linear & (Self.pageSize - 1))))
        guard notePart(linear, first, isWrite, cpu) else { return false }
        return first == bytes || notePart(linear &+ UInt64(first), bytes - first, isWrite, cpu)
    }

    private mutating func notePart(_ linear: UInt64, _ count: Int, _ isWrite: Bool, _ cpu: SoftCPU) -> Bool {
        guard let place = cpu.hostPlace(of: linear, size: count, isWrite: isWrite) else { return false }
        guard isWrite else { return true }
        guard used + count <= Self.capacity else { return false }
        entries.append(Entry(linear: linear, place: place, count: count, offset: used))
        (before + used).copyMemory(from: place, byteCount: count)
        used += count
        return true
    }

    /// Keeps what was written, and puts back what was there.
    func undo() {
        for entry in entries { (after + entry.offset).copyMemory(from: entry.place, byteCount: entry.count) }
        restore()
    }

    /// Puts back what was there, after translated code came to write some of it.
    func restore() {
        for entry in entries.reversed() {
            entry.place.copyMemory(from: before + entry.offset, byteCount: entry.count)
        }
    }

    /// Memory holds what the interpreter had written.
    var agrees: Bool { entries.allSatisfy(agrees) }

    private func agrees(_ entry: Entry) -> Bool {
        let (a, b) = (UnsafeRawPointer(after + entry.offset), UnsafeRawPointer(entry.place))
        for index in 0..<entry.count
        where a.load(fromByteOffset: index, as: UInt8.self) != b.load(fromByteOffset: index, as: UInt8.self) {
            return false
        }
        return true
    }

    /// Lines for people about memory that does not.
    func differences() -> [String] {
        entries.filter { !agrees($0) }.map { entry in
            "memory at 0x\(String(entry.linear, radix: 16)): \(hex(after + entry.offset, entry.count)), "
                + hex(entry.place, entry.count)
        }
    }

    private func hex(_ place: UnsafeMutableRawPointer, _ count: Int) -> String {
        UnsafeRawBufferPointer(start: place, count: count).map {
            ($0 < 16 ? "0" : "") + String($0, radix: 16)
        }.joined(separator: " ")
    }
}
