// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostSystem
import Testing

@Suite struct DescriptorSetTests {
    @Test func aSetStandsForTheDescriptorWithTheWantedAccess() throws {
        let sets = DescriptorSets.shared
        var ends: [Int32] = [-1, -1]
        // Fills the two numbers.
        let status = unsafe pipe(&ends)
        #expect(status == 0)
        let number = sets.add(ends[0], set: nil, opaque: "reader")
        #expect(sets.add(ends[1], set: number, opaque: nil) == number)
        #expect(sets.sets[number]?.map(\.opaque) == ["reader", nil])
        let reader = try FileDescriptor.open("/dev/fdset/\(number)")
        let writer = try FileDescriptor.open("/dev/fdset/\(number)", flags: O_WRONLY | O_CREAT)
        try writer.writeAll([7])
        var byte: UInt8 = 0
        // One byte on this frame.
        let count = unsafe Glibc.read(reader.number, &byte, 1)
        #expect(count == 1 && byte == 7)
        #expect(throws: Errno(EACCES)) { _ = try FileDescriptor.open("/dev/fdset/\(number)", flags: O_RDWR) }
        #expect(sets.remove(set: number, descriptor: ends[0]))
        #expect(throws: Errno(EACCES)) { _ = try FileDescriptor.open("/dev/fdset/\(number)") }
        #expect(sets.remove(set: number, descriptor: nil))
        #expect(!sets.remove(set: number, descriptor: nil))
        #expect(throws: Errno.noEntry) { _ = try FileDescriptor.open("/dev/fdset/\(number)") }
    }
}
