// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Testing

@Suite struct CounterTests {
    @Test func eachKindOfRequestHasItsPlace() {
        var counters = BlockCounters()
        #expect(counters == BlockCounters() && counters.lastEnd == 0)
        counters.count(.read, at: 0, count: 512, failed: false, start: 10, end: 15)
        counters.count(.write, at: 4096, count: 1024, failed: false, start: 20, end: 30)
        counters.count(.writeZeroes, at: 0, count: 100, failed: false, start: 30, end: 31)
        counters.count(.flush, at: 0, count: 0, failed: false, start: 40, end: 47)
        counters.count(.discard, at: 0, count: 65536, failed: false, start: 50, end: 53)
        #expect([counters.reads, counters.writes, counters.flushes, counters.discards] == [1, 2, 1, 1])
        #expect([counters.readBytes, counters.writtenBytes, counters.discardedBytes] == [512, 1124, 65536])
        #expect([counters.readNanoseconds, counters.writeNanoseconds] == [5, 11])
        #expect([counters.flushNanoseconds, counters.discardNanoseconds] == [7, 3])
        #expect(counters.highestWrite == 5120 && counters.lastEnd == 53)
    }

    @Test func failuresMoveNothing() {
        var counters = BlockCounters()
        for operation in [BlockOperation.read, .write, .writeZeroes, .flush, .discard] {
            counters.count(operation, at: -5, count: -1, failed: true, start: 0, end: 9)
        }
        #expect([counters.failedReads, counters.failedWrites] == [1, 2])
        #expect([counters.failedFlushes, counters.failedDiscards] == [1, 1])
        #expect(counters.reads == 0 && counters.writtenBytes == 0 && counters.highestWrite == 0)
    }
}
