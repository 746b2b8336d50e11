// SPDX-License-Identifier: Apache-2.0

internal import CX86Native
internal import Glibc
internal import HostSystem

/// Memory for native code that is never writable and executable at one address: one memfd mapped twice. Host memory is
/// taken up only by the pages that code was written to.
///
/// Not synchronised; its owner serialises `append`. Code that was appended never moves or changes.
struct CodeMemory: ~Copyable {
    private let writable: MemoryMapping
    private let executable: MemoryMapping
    private(set) var used = 0

    /// Code starts at multiples of this: a fetch line of the host.
    static let alignment = 16

    /// - Parameter capacity: bytes, a multiple of the page size.
    init(capacity: Int) throws(Errno) {
        let descriptor = FileDescriptor(owning: try retrying { roost_memfd("roost-code") })
        _ = try retrying { ftruncate(descriptor.number, capacity) }
        let first = try MemoryMapping.map(
            count: capacity, protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, descriptor: descriptor.number)
        let second = try MemoryMapping.map(
            count: capacity, protection: PROT_READ | PROT_EXEC, flags: MAP_SHARED, descriptor: descriptor.number)
        writable = first
        executable = second
    }

    var capacity: Int { writable.count }

    /// Where all code is called.
    var executableStart: UnsafeRawPointer { UnsafeRawPointer(executable.base) }

    /// Copies code and gives back where it can be called; nil when the memory is full.
    mutating func append(_ code: [UInt8]) -> UnsafeRawPointer? {
        guard code.count <= capacity - used else { return nil }
        code.withUnsafeBytes { (writable.base + used).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        let place = UnsafeRawPointer(executable.base) + used
        used = min(capacity, (used + code.count + Self.alignment - 1) & ~(Self.alignment - 1))
        return place
    }
}
