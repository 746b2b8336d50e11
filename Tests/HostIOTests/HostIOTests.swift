// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostIO
import HostSystem
import Synchronization
import Testing

@Suite struct EventLoopTests {
    @Test func postedWorkRunsOnTheLoop() throws {
        let loop = try EventLoop()
        let count = Atomic<Int>(0)
        let thread = try HostThread(name: "poster") {
            for _ in 0..<100 { loop.post { _ = count.add(1, ordering: .relaxed) } }
            loop.post { loop.stop() }
        }
        loop.run()
        thread.join()
        #expect(count.load(ordering: .relaxed) == 100)
    }

    @Test func timersFireInOrderOfTheirDeadlines() throws {
        let loop = try EventLoop()
        var order: [Int] = []
        let now = monotonicNanoseconds()
        let late = loop.makeTimer {
            order.append(2)
            loop.stop()
        }
        let early = loop.makeTimer { order.append(1) }
        let never = loop.makeTimer { order.append(3) }
        late.arm(at: now + 3_000_000)
        never.arm(at: now + 2_000_000)
        early.arm(at: now + 1_000_000)
        never.cancel()
        loop.run()
        #expect(order == [1, 2])
        #expect(!early.isArmed && !never.isArmed)
    }

    @Test func aWatchSeesBytesAndTheEnd() throws {
        let loop = try EventLoop()
        var ends: [Int32] = [0, 0]
        #expect(unsafe pipe(&ends) == 0)
        let reader = FileDescriptor(owning: ends[0])
        var writer: FileDescriptor? = FileDescriptor(owning: ends[1])
        var seen = 0
        var hungUp = false
        let watch = try loop.watch(reader.number, .readable) { readiness in
            if readiness.contains(.readable) {
                var buffer = [UInt8](repeating: 0, count: 16)
                seen += unsafe buffer.withUnsafeMutableBytes { (try? unsafe reader.read(into: $0)) ?? 0 }
            }
            if readiness.contains(.hangup) { hungUp = true }
        }
        try writer?.writeAll([1, 2, 3])
        loop.runOnce(timeoutMilliseconds: 1000)
        #expect(seen == 3 && !hungUp)
        writer = nil
        loop.runOnce(timeoutMilliseconds: 1000)
        #expect(hungUp)
        watch.cancel()
        loop.runOnce(timeoutMilliseconds: 0)
    }

    @Test func aPoolDoesAllWorkBeforeItEnds() throws {
        let pool = try WorkerPool(name: "test", count: 3)
        let count = Atomic<Int>(0)
        for _ in 0..<1000 { pool.submit { _ = count.add(1, ordering: .relaxed) } }
        pool.finish()
        #expect(count.load(ordering: .relaxed) == 1000)
    }
}

@Suite struct IOUringTests {
    @Test func writesAndReadsBack() throws {
        let ring: IOUring
        do { ring = try IOUring(entries: 8) } catch {
            print("skipped: this kernel offers no io_uring (\(error))")
            return
        }
        let path = "/tmp/roost-uring-\(getpid())"
        let file = try FileDescriptor.open(path, flags: O_RDWR | O_CREAT | O_EXCL)
        _ = unsafe unlink(path)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { unsafe bytes.deallocate() }
        for index in 0..<4096 { unsafe bytes[index] = UInt8(truncatingIfNeeded: index) }
        let vector = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
        defer { unsafe vector.deallocate() }
        unsafe vector.initialize(to: iovec(iov_base: bytes.baseAddress, iov_len: 4096))
        var results: [UInt64: Int32] = [:]
        func wait(_ token: UInt64) throws {
            try ring.submit()
            while results[token] == nil { ring.takeCompletions { results[$0.token] = $0.result } }
        }
        #expect(unsafe ring.write(file.number, vector, count: 1, offset: 8192, token: 1))
        try wait(1)
        for index in 0..<4096 { unsafe bytes[index] = 0 }
        #expect(unsafe ring.read(file.number, vector, count: 1, offset: 8192, token: 2))
        try wait(2)
        #expect(ring.synchronize(file.number, token: 3))
        try wait(3)
        #expect(results == [1: 4096, 2: 4096, 3: 0] && ring.inFlight == 0)
        #expect(unsafe bytes[255] == 255 && bytes[4095] == 255)
    }
}
