// SPDX-License-Identifier: Apache-2.0

import BlockJobs
import BlockLayer
import HostSystem
import StorageTestKit
import Testing

@Suite struct ThrottleTests {
    private func limits(_ kind: IOLimits.Kind, _ average: UInt64, maximum: UInt64 = 0, length: UInt64 = 1) -> IOLimits {
        var limits = IOLimits(), limit = IOLimits.Limit()
        (limit.average, limit.maximum, limit.length) = (average, maximum, length)
        limits.limits[kind] = limit
        return limits
    }

    /// How long some work takes, in seconds.
    private func time(_ body: () throws -> Void) rethrows -> Double {
        let start = monotonicNanoseconds()
        try body()
        return Double(monotonicNanoseconds() - start) / 1e9
    }

    @Test func requestsWait() throws {
        let disks = try Disks()
        let backend = try disks.addDrive()
        try disks.devices.setLimits(limits(.writtenBytes, 1 << 20), of: "d0")
        // A tenth of a second's worth comes at once; the other 256 KiB take a quarter of a second.
        let writing = try time { for place in 0..<6 { try backend.fill(1, at: Int64(place) << 16, count: 65536) } }
        #expect(writing > 0.2)
        // Reading is not limited: at this speed it would not end.
        try disks.devices.setLimits(limits(.writtenBytes, 1), of: "d0")
        _ = try backend.readBytes(at: 0, count: 1 << 20)
        try disks.devices.setLimits(limits(.requests, 20), of: "d0")
        #expect(try time { for _ in 0..<8 { _ = try backend.readBytes(at: 0, count: 1) } } > 0.2)
        #expect(backend.throttle?.limits.group == "d0")
        try disks.devices.setLimits(IOLimits(), of: "d0")
        #expect(backend.throttle == nil)
    }

    @Test func aStandingMachineIsLetThrough() throws {
        let disks = try Disks()
        let backend = try disks.addDrive()
        try disks.devices.setLimits(limits(.bytes, 1), of: "d0")
        let writer = try HostThread(name: "writer") {
            #expect(throws: Never.self) { for _ in 0..<4 { try backend.fill(1, at: 0, count: 65536) } }
        }
        disks.devices.setThrottlesOpen(true)
        writer.join()
    }

    @Test func whatCannotBeIsRefused() {
        #expect(limits(.bytes, 1, maximum: 10, length: 5).problem == nil)
        #expect(limits(.bytes, 10, maximum: 1).problem == "bps_max/iops_max cannot be lower than bps/iops")
        #expect(limits(.bytes, 0, maximum: 1).problem == "bps_max/iops_max require corresponding bps/iops values")
        #expect(limits(.bytes, 1, length: 2).problem == "burst length set without burst rate")
        #expect(limits(.bytes, 1, length: 0).problem == "the burst length cannot be 0")
        #expect(limits(.bytes, .max).problem?.hasPrefix("bps/iops/max values must be within") == true)
        var both = limits(.bytes, 1)
        both.limits[.readBytes] = both.limits[.bytes]
        #expect(both.problem?.contains("cannot be used at the same time") == true)
        var size = IOLimits()
        size.requestSize = 4096
        #expect(size.problem == "iops size requires an iops value to be set" && !size.isOn)
    }
}
