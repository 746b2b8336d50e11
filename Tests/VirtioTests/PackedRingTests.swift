// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import RandomKit
import Testing
import Virtio
import VirtqueueDriver

/// A packed queue and its driver on bare memory.
private struct Pair {
    let memory = GuestMemory()
    let driver: PackedDriver
    let queue: Virtqueue
    let chain: DescriptorChain

    init(size: Int = 8, features: VirtioFeatures = [.indirectDescriptors, .version1]) throws {
        try memory.addRegion(name: "ram", start: 0, count: 2 << 20)
        driver = PackedDriver(memory, base: 0x1000, size: size)
        queue = Virtqueue(index: 0, maximumSize: 256, memory: memory)
        chain = DescriptorChain(memory: memory)
        configure(queue, features)
    }

    func configure(_ queue: Virtqueue, _ features: VirtioFeatures) {
        queue.layout.size = UInt16(driver.size)
        queue.layout.descriptors = driver.ring
        queue.layout.available = driver.driverArea
        queue.layout.used = driver.deviceArea
        queue.configure(features: features.union(.packedRing))
    }
}

@Suite struct PackedRingTests {
    @Test(arguments: [false, true]) func oneRequest(indirect: Bool) throws {
        let pair = try Pair()
        pair.driver.usesIndirect = indirect
        #expect(!pair.queue.hasRequests)
        #expect(pair.driver.add(77, reading: [[1, 2, 3], [4, 5]], writing: [2, 4]))
        #expect(pair.queue.hasRequests && pair.queue.take(into: pair.chain))
        #expect(pair.chain.head == 77 && pair.chain.readableCount == 5 && pair.chain.writableCount == 6)
        #expect(pair.chain.readBytes(limit: 100) == [1, 2, 3, 4, 5])
        #expect(!pair.queue.take(into: pair.chain))
        pair.queue.complete(77, written: 4)
        #expect(pair.driver.takeUsed().isEmpty)
        #expect(pair.queue.publish() && !pair.queue.publish())
        #expect(pair.driver.takeUsed() == [.init(identifier: 77, written: 4)])
    }

    /// Sizes that are no power of two are allowed; requests of several lengths go round and round, done in any order.
    @Test(arguments: [2, 3, 8, 13]) func requestsGoRoundInAnyOrder(size: Int) throws {
        let pair = try Pair(size: size)
        var random = SeededGenerator(seed: UInt64(size))
        var waiting: [UInt16] = [], unused = Array(UInt16(0)..<UInt16(size)), done: [PackedDriver.Used] = []
        var expected: [PackedDriver.Used] = []
        for _ in 0..<2000 {
            pair.driver.usesIndirect = random.next() & 7 == 0
            let parts = Int(random.next() % 3) + 1
            if let identifier = unused.last, pair.driver.add(identifier, writing: [Int](repeating: 8, count: parts)) {
                unused.removeLast()
            }
            if random.next() & 1 == 0, pair.queue.take(into: pair.chain) { waiting.append(pair.chain.head) }
            if random.next() & 3 == 0, !waiting.isEmpty {
                let identifier = waiting.remove(at: Int(random.next() % UInt64(waiting.count)))
                let written = Int(random.next() % 8)
                pair.queue.complete(identifier, written: written)
                expected.append(.init(identifier: identifier, written: written))
            }
            if random.next() & 7 == 0 { _ = pair.queue.publish() }
            let used = pair.driver.takeUsed()
            unused += used.map(\.identifier)
            done += used
        }
        _ = pair.queue.publish()
        done += pair.driver.takeUsed()
        #expect(done.map(\.identifier) == expected.map(\.identifier))
        #expect(done.map(\.written) == expected.map(\.written))
        #expect(done.count > 100)
        #expect(pair.queue.failure == nil)
    }

    @Test func requestsCanBeGivenBack() throws {
        let pair = try Pair(size: 4)
        for round in 0..<9 {
            #expect(pair.driver.add(1, writing: [1, 1]) && pair.driver.add(2, writing: [2]))
            for _ in 0..<2 { #expect(pair.queue.take(into: pair.chain)) }
            pair.queue.untake(round % 3)
            for _ in 0..<round % 3 { #expect(pair.queue.take(into: pair.chain)) }
            #expect(pair.chain.head == 2)
            for identifier: UInt16 in [1, 2] { pair.queue.complete(identifier, written: 1) }
            #expect(pair.queue.publish() && pair.driver.takeUsed().count == 2)
        }
    }

    @Test func interruptsComeAsAskedFor() throws {
        let pair = try Pair(size: 5, features: [.eventIndex, .version1])
        func useOne() -> Bool {
            pair.driver.add(3, writing: [1])
            _ = pair.queue.take(into: pair.chain)
            pair.queue.complete(3, written: 1)
            defer { _ = pair.driver.takeUsed() }
            return pair.queue.publish()
        }
        pair.driver.ask(1)
        #expect(!useOne())
        pair.driver.ask(0)
        #expect(useOne())
        // At a place that comes up again and again, over the ring's end.
        for _ in 0..<20 {
            var place = pair.driver.nextUsedPlace
            pair.driver.ask(2, place: place)
            #expect(useOne() && !useOne())
            place = pair.driver.nextUsedPlace
            let isLast = place & 0x7FFF == 4
            pair.driver.ask(2, place: isLast ? (place & 0x8000) ^ 0x8000 : place + 1)
            #expect(!useOne() && useOne())
        }
    }

    @Test(arguments: [false, true]) func notificationsAreAskedFor(byPlace: Bool) throws {
        let pair = try Pair(size: 3, features: byPlace ? [.eventIndex, .version1] : [.version1])
        func wish() -> UInt64 { pair.driver.load(2, at: pair.driver.deviceArea + 2) }
        pair.queue.disableNotifications()
        #expect(wish() == 1)
        #expect(!pair.queue.enableNotifications() && wish() == (byPlace ? 2 : 0))
        if byPlace { #expect(pair.driver.load(2, at: pair.driver.deviceArea) == 0x8000) }
        pair.driver.add(1, writing: [1])
        #expect(pair.queue.enableNotifications())
    }

    @Test func aSavedQueueGoesOn() throws {
        let pair = try Pair(size: 3)
        for _ in 0..<4 {
            pair.driver.add(1, writing: [1])
            #expect(pair.queue.take(into: pair.chain))
            pair.queue.complete(1, written: 1)
            _ = pair.queue.publish()
            _ = pair.driver.takeUsed()
        }
        // One that was taken is taken again.
        pair.driver.add(2, writing: [1])
        #expect(pair.queue.take(into: pair.chain))
        let state = pair.queue.state
        let other = Virtqueue(index: 0, maximumSize: 256, memory: pair.memory)
        other.restore(state, features: [.packedRing, .version1])
        #expect(other.take(into: pair.chain) && pair.chain.head == 2)
        other.complete(2, written: 1)
        #expect(other.publish() && pair.driver.takeUsed() == [.init(identifier: 2, written: 1)])
    }

    /// What no correct driver does breaks the queue, and nothing else.
    @Test func rubbishBreaksTheQueue() throws {
        for seed in 1...300 {
            let pair = try Pair(size: 7)
            var random = SeededGenerator(seed: UInt64(seed))
            for place in 0..<7 * 2 {
                pair.driver.store(random.next() >> (random.next() & 63), 8, at: pair.driver.ring + UInt64(place * 8))
            }
            for _ in 0..<20 where pair.queue.take(into: pair.chain) {
                _ = pair.chain.readBytes(limit: 64)
                pair.queue.complete(pair.chain.head, written: Int(random.next() & 0xFFFF))
                _ = pair.queue.publish()
                pair.queue.untake(1)
            }
        }
    }

    @Test func ringsMustBeInMemory() throws {
        let memory = GuestMemory()
        try memory.addRegion(name: "ram", start: 0, count: 1 << 16)
        for (ring, area) in [(UInt64(8), UInt64(4096)), (1 << 16, 4096), (0, 1 << 20), (0, 4098)] {
            let queue = Virtqueue(index: 0, maximumSize: 8, memory: memory)
            (queue.layout.descriptors, queue.layout.available, queue.layout.used) = (ring, 4096, area)
            queue.configure(features: [.packedRing, .version1])
            #expect(queue.failure == .badRing && !queue.isReady)
        }
    }
}
