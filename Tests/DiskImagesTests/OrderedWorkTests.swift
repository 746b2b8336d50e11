// SPDX-License-Identifier: Apache-2.0

import DiskImages
import HostSystem
import Synchronization
import Testing

@Suite struct OrderedWorkTests {
    private struct Failed: Error, Equatable {}

    @Test(arguments: [1, 2, 7]) func numbersGoInOrder(_ threads: Int) throws {
        let work = OrderedWork<Int>()
        let handedOut = Counter()
        let order = Results()
        let all = try (0..<threads).map { index in
            try HostThread(name: "order-\(index)") {
                while true {
                    let number = handedOut.next()
                    guard number < 2000 else { return }
                    work.add(number * 3, number: number) { order.add($0) }
                }
            }
        }
        for thread in all { thread.join() }
        #expect(order.all == (0..<2000).map { $0 * 3 })
    }

    @Test func whatComesEarlyWaits() {
        let work = OrderedWork<String>()
        var done: [String] = []
        work.add("c", number: 2) { done.append($0) }
        work.add("b", number: 1) { done.append($0) }
        #expect(done.isEmpty)
        work.add("a", number: 0) { done.append($0) }
        #expect(done == ["a", "b", "c"])
        work.add("d", number: 3) { done.append($0) }
        #expect(done.last == "d")
    }

    @Test func nothingComesAfterAFailure() {
        let work = OrderedWork<Int>()
        var done: [Int] = []
        work.add(1, number: 1) { done.append($0) }
        #expect(throws: Failed.self) {
            try work.add(0, number: 0) { (_: Int) throws(Failed) in throw Failed() }
        }
        work.add(2, number: 2) { done.append($0) }
        #expect(done.isEmpty)
    }

    @Test func whatCameBackLastIsLentFirst() {
        let pool = LendingPool([1, 2, 3])
        #expect(pool.take() == 3)
        #expect(pool.take() == 2)
        pool.give(3)
        #expect(pool.take() == 3)
        pool.close()
        #expect(pool.take() == nil)
    }

    @Test func whoWaitsGetsWhatComesBackOrTheEnd() throws {
        let pool = LendingPool([1])
        #expect(pool.take() == 1)
        let got = Results()
        func taking() throws -> HostThread {
            try HostThread(name: "pool") {
                let item = pool.take()
                got.add(item)
            }
        }
        let first = try taking()
        pool.give(5)
        first.join()
        #expect(got.all == [5])
        let second = try taking()
        pool.close()
        second.join()
        #expect(got.all == [5, nil])
    }
}

private final class Results: Sendable {
    private let items = Mutex<[Int?]>([])
    var all: [Int?] { items.withLock { $0 } }
    func add(_ item: Int?) { items.withLock { $0.append(item) } }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    func next() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}
