// SPDX-License-Identifier: Apache-2.0

import GuestMemory
import RandomKit
import Testing
import Virtio
import VirtqueueDriver

/// A queue and its driver on bare memory.
private struct Pair {
    let memory = GuestMemory()
    let driver: VirtqueueDriver
    let queue: Virtqueue
    let chain: DescriptorChain

    init(size: UInt16 = 8, features: VirtioFeatures = [.indirectDescriptors, .version1]) throws {
        try memory.addRegion(name: "ram", start: 0, count: 1 << 20)
        try memory.addRegion(name: "more", start: 1 << 20, count: 1 << 20)
        try memory.addRegion(name: "rom", start: 1 << 24, count: 4096, isReadOnly: true)
        driver = VirtqueueDriver(memory, base: 0x1000, end: 1 << 19, size: size)
        driver.usesEventIndex = features.contains(.eventIndex)
        queue = Virtqueue(index: 0, maximumSize: 256, memory: memory)
        chain = DescriptorChain(memory: memory)
        configure(features)
    }

    func configure(_ features: VirtioFeatures) {
        queue.layout.size = driver.size
        queue.layout.descriptors = driver.descriptors
        queue.layout.available = driver.available
        queue.layout.used = driver.used
        queue.configure(features: features)
    }
}

@Suite struct VirtqueueTests {
    @Test(arguments: [false, true]) func oneRequest(indirect: Bool) throws {
        let pair = try Pair()
        pair.driver.usesIndirect = indirect
        let head = pair.driver.add(reading: [[1, 2, 3], [4, 5]], writing: [2, 4])
        #expect(pair.queue.take(into: pair.chain))
        #expect(pair.chain.head == head)
        #expect(pair.chain.readableCount == 5 && pair.chain.writableCount == 6)
        #expect(pair.chain.readBytes(limit: 100) == [1, 2, 3, 4, 5])
        #expect(pair.chain.readBytes(limit: 4) == [1, 2, 3, 4])
        #expect(pair.chain.load(UInt16.self, at: 2) == 0x0403)
        #expect(pair.chain.load(UInt32.self, at: 2) == nil)
        #expect(pair.chain.write([9, 8, 7], at: 1) == 3)
        #expect(!pair.queue.take(into: pair.chain))
        pair.queue.complete(pair.chain.head, written: 4)
        #expect(pair.driver.takeUsed().isEmpty)
        #expect(pair.queue.publish())
        #expect(pair.driver.takeUsed() == [.init(head: head!, written: 4, bytes: [0, 9, 8, 7, 0, 0])])
        #expect(!pair.queue.publish())
    }

    @Test func headersAndTailsComeOff() throws {
        let pair = try Pair()
        pair.driver.add(reading: [[1, 2], [3, 4, 5]], writing: [1, 2])
        #expect(pair.queue.take(into: pair.chain))
        #expect(pair.chain.dropReadable(3))
        #expect(pair.chain.readBytes(limit: 9) == [4, 5])
        #expect(!pair.chain.dropReadable(3))
        let last = pair.chain.takeLastWritableByte()
        #expect(last != nil && pair.chain.writableCount == 2)
        #expect(pair.chain.dropWritableTail(1) && pair.chain.writableCount == 1)
        #expect(!pair.chain.dropWritableTail(2))
        #expect(pair.chain.write([7, 7, 7]) == 1)
        #expect(pair.chain.dropReadable(2) && pair.chain.readableCount == 0)
        let left = unsafe pair.chain.readableVectors.count
        #expect(left == 0)
    }

    @Test func buffersMayCrossRegions() throws {
        let pair = try Pair()
        pair.driver.setDescriptor(0, address: (1 << 20) - 2, count: 4, flags: 2)
        pair.driver.makeAvailable(0)
        #expect(pair.queue.take(into: pair.chain))
        let parts = unsafe pair.chain.writableVectors.count
        #expect(parts == 2)
        #expect(pair.chain.write([1, 2, 3, 4]) == 4)
        #expect(try pair.memory.read(at: (1 << 20) - 2, count: 4) == [1, 2, 3, 4])
    }

    @Test func indicesWrap() throws {
        let pair = try Pair(size: 4)
        for round in 0..<70000 {
            #expect(pair.driver.add(reading: [[UInt8(truncatingIfNeeded: round)]]) != nil)
            guard pair.queue.take(into: pair.chain) else { throw Failure(round: round) }
            pair.queue.complete(pair.chain.head, written: 0)
            _ = pair.queue.publish()
            guard pair.driver.takeUsed().count == 1 else { throw Failure(round: round) }
        }
        #expect(pair.queue.failure == nil)
    }
    private struct Failure: Error { let round: Int }

    @Test func untakenRequestsComeAgain() throws {
        let pair = try Pair()
        let first = pair.driver.add(reading: [[1]]), second = pair.driver.add(reading: [[2]])
        #expect(pair.queue.take(into: pair.chain) && pair.queue.take(into: pair.chain))
        pair.queue.untake(2)
        #expect(pair.queue.take(into: pair.chain) && pair.chain.head == first)
        #expect(pair.queue.take(into: pair.chain) && pair.chain.head == second)
        pair.queue.untake(5)
        #expect(pair.queue.inFlight == 2)
    }

    // MARK: Suppression

    @Test func interruptsByFlag() throws {
        let pair = try Pair(features: .version1)
        for wanted in [true, false, true] {
            pair.driver.setInterrupts(wanted)
            pair.driver.add(reading: [[1]])
            #expect(pair.queue.take(into: pair.chain))
            pair.queue.complete(pair.chain.head, written: 0)
            #expect(pair.queue.publish() == wanted)
        }
    }

    @Test func interruptsByEventIndex() throws {
        let pair = try Pair(features: [.eventIndex, .version1])
        pair.driver.setUsedEvent(1)
        var raised: [Bool] = []
        for _ in 0..<4 {
            pair.driver.add(reading: [[1]])
            #expect(pair.queue.take(into: pair.chain))
            pair.queue.complete(pair.chain.head, written: 0)
            raised.append(pair.queue.publish())
        }
        #expect(raised == [false, true, false, false])
        // A batch that passes the event raises once.
        pair.driver.setUsedEvent(5)
        for _ in 0..<3 { pair.driver.add(reading: [[1]]) }
        while pair.queue.take(into: pair.chain) { pair.queue.complete(pair.chain.head, written: 0) }
        #expect(pair.queue.publish())
    }

    @Test(arguments: [VirtioFeatures.version1, [.version1, .eventIndex]])
    func notifications(features: VirtioFeatures) throws {
        let pair = try Pair(features: features)
        #expect(!pair.queue.enableNotifications())
        pair.driver.add(reading: [[1]])
        #expect(pair.driver.wantsNotification)
        pair.queue.disableNotifications()
        #expect(pair.queue.take(into: pair.chain))
        pair.driver.add(reading: [[2]])
        #expect(!pair.driver.wantsNotification)
        // What came in meanwhile is noticed without a notification.
        #expect(pair.queue.enableNotifications())
        #expect(pair.queue.take(into: pair.chain))
        #expect(!pair.queue.enableNotifications())
        pair.driver.add(reading: [[3]])
        #expect(pair.driver.wantsNotification)
    }

    @Test func legacyInterruptOnEmpty() throws {
        let pair = try Pair(features: .notifyOnEmpty)
        pair.driver.setInterrupts(false)
        pair.driver.add(reading: [[1]])
        pair.driver.add(reading: [[1]])
        #expect(pair.queue.take(into: pair.chain))
        pair.queue.complete(pair.chain.head, written: 0)
        #expect(!pair.queue.publish())
        #expect(pair.queue.take(into: pair.chain))
        pair.queue.complete(pair.chain.head, written: 0)
        #expect(pair.queue.publish())
    }

    // MARK: Malformed rings

    /// What is done to the rings, and how the queue breaks.
    enum Malformed: CaseIterable {
        case headOutOfRange, nextOutOfRange, loopOfOne, longLoop, indexJump, emptyBuffer, hole, wrapAround,
            romForWriting
        case readableAfterWritable, indirectOfOddLength, indirectEmpty, indirectInHole, indirectNested, indirectAndNext
        case indirectLoop, indirectOutOfRange
    }

    private func apply(_ kind: Malformed, _ driver: VirtqueueDriver) -> VirtqueueError {
        let table: UInt64 = 0x40000
        func indirect(_ count: UInt32) { driver.setDescriptor(0, address: table, count: count, flags: 4) }
        switch kind {
        case .headOutOfRange:
            driver.makeAvailable(8)
            return .descriptorOutOfRange(8)
        case .nextOutOfRange:
            driver.setDescriptor(0, address: 0x8000, count: 1, flags: 1, next: 9)
            driver.makeAvailable(0)
            return .descriptorOutOfRange(9)
        case .loopOfOne:
            driver.setDescriptor(0, address: 0x8000, count: 1, flags: 1, next: 0)
            driver.makeAvailable(0)
            return .loop
        case .longLoop:
            for index in 0..<8 {
                driver.setDescriptor(
                    UInt16(index), address: 0x8000, count: 1, flags: 1, next: UInt16((index + 1) % 8))
            }
            driver.makeAvailable(3)
            return .loop
        case .indexJump:
            driver.setAvailableIndex(9)
            return .availableIndexJumped(9)
        case .emptyBuffer:
            driver.setDescriptor(0, address: 0x8000, count: 0, flags: 0)
            driver.makeAvailable(0)
            return .emptyBuffer
        case .hole:
            driver.setDescriptor(0, address: (2 << 20) - 1, count: 2, flags: 0)
            driver.makeAvailable(0)
            return .notMemory((2 << 20) - 1)
        case .wrapAround:
            driver.setDescriptor(0, address: .max - 3, count: .max, flags: 2)
            driver.makeAvailable(0)
            return .notMemory(.max - 3)
        case .romForWriting:
            driver.setDescriptor(0, address: 1 << 24, count: 8, flags: 2)
            driver.makeAvailable(0)
            return .notMemory(1 << 24)
        case .readableAfterWritable:
            driver.setDescriptor(0, address: 0x8000, count: 1, flags: 3, next: 1)
            driver.setDescriptor(1, address: 0x8000, count: 1, flags: 0)
            driver.makeAvailable(0)
            return .readableAfterWritable
        case .indirectOfOddLength:
            indirect(17)
            driver.makeAvailable(0)
            return .badIndirectTable
        case .indirectEmpty:
            indirect(0)
            driver.makeAvailable(0)
            return .badIndirectTable
        case .indirectInHole:
            driver.setDescriptor(0, address: 1 << 30, count: 16, flags: 4)
            driver.makeAvailable(0)
            return .notMemory(1 << 30)
        case .indirectNested:
            indirect(16)
            driver.setDescriptor(0, address: table, count: 16, flags: 4, table: table)
            driver.makeAvailable(0)
            return .badIndirectTable
        case .indirectAndNext:
            driver.setDescriptor(0, address: table, count: 16, flags: 5)
            driver.makeAvailable(0)
            return .badIndirectTable
        case .indirectLoop:
            indirect(32)
            driver.setDescriptor(0, address: 0x8000, count: 1, flags: 1, next: 1, table: table)
            driver.setDescriptor(1, address: 0x8000, count: 1, flags: 1, next: 0, table: table)
            driver.makeAvailable(0)
            return .loop
        case .indirectOutOfRange:
            indirect(32)
            driver.setDescriptor(0, address: 0x8000, count: 1, flags: 1, next: 2, table: table)
            driver.makeAvailable(0)
            return .descriptorOutOfRange(2)
        }
    }

    @Test(arguments: Malformed.allCases) func breaks(kind: Malformed) throws {
        let pair = try Pair()
        let expected = apply(kind, pair.driver)
        #expect(!pair.queue.take(into: pair.chain))
        #expect(pair.queue.failure == expected)
        #expect(!pair.queue.isReady)
        // Nothing works any more, and nothing traps.
        #expect(!pair.queue.take(into: pair.chain) && !pair.queue.hasRequests && !pair.queue.publish())
        #expect(!pair.queue.enableNotifications())
        pair.queue.complete(0, written: 0)
        // A new configuration begins anew.
        pair.configure(.version1)
        #expect(pair.queue.isReady && pair.queue.failure == nil)
    }

    @Test func indirectNeedsItsFeature() throws {
        let pair = try Pair(features: .version1)
        pair.driver.usesIndirect = true
        pair.driver.add(reading: [[1]])
        #expect(!pair.queue.take(into: pair.chain))
        #expect(pair.queue.failure == .badIndirectTable)
    }

    @Test func requestsInFlightAreBounded() throws {
        let pair = try Pair()
        pair.driver.setDescriptor(0, address: 0x8000, count: 1, flags: 0)
        for _ in 0..<8 {
            pair.driver.makeAvailable(0)
            #expect(pair.queue.take(into: pair.chain))
        }
        pair.driver.makeAvailable(0)
        #expect(!pair.queue.take(into: pair.chain))
        #expect(pair.queue.failure == .tooManyInFlight)
    }

    @Test func longIndirectChainsAreBounded() throws {
        let pair = try Pair()
        let table: UInt64 = 0x40000
        for index in 0..<2000 {
            pair.driver.setDescriptor(
                UInt16(index), address: 0x8000, count: 1, flags: 1, next: UInt16(index + 1), table: table)
        }
        pair.driver.setDescriptor(0, address: table, count: 2001 * 16, flags: 4)
        pair.driver.makeAvailable(0)
        #expect(!pair.queue.take(into: pair.chain))
        #expect(pair.queue.failure == .chainTooLong)
    }

    /// Sizes and addresses that cannot be.
    private static let badLayouts: [(UInt16, UInt64)] = [
        (0, 0x1000), (3, 0x1000), (512, 0x1000), (8, 0x1008), (8, 0x100_0000_0000), (8, 0xFFFF_FFFF_FFFF_FFF0),
        (8, 0x1F_FFF0),
    ]

    @Test(arguments: badLayouts) func badLayout(size: UInt16, descriptors: UInt64) throws {
        let pair = try Pair()
        pair.queue.layout.size = size
        pair.queue.layout.descriptors = descriptors
        pair.queue.configure(features: .version1)
        #expect(!pair.queue.isReady && pair.queue.failure == .badRing)
    }

    /// Random rings end in a broken queue or in requests inside memory, always soon.
    @Test func randomRings() throws {
        var generator = SeededGenerator(seed: 7)
        for round in 0..<3000 {
            let features: VirtioFeatures = round % 2 == 0 ? [.indirectDescriptors, .eventIndex] : .indirectDescriptors
            let pair = try Pair(features: features)
            try pair.memory.write(generator.bytes(0x2000), at: 0x1000)
            if round % 3 == 0 { pair.driver.setAvailableIndex(UInt16.random(in: 0...8, using: &generator)) }
            var taken = 0
            while pair.queue.take(into: pair.chain) {
                taken += 1
                _ = pair.chain.readBytes(limit: 4096)
                pair.chain.write([UInt8](repeating: 0x5A, count: 64), at: Int.random(in: 0...64, using: &generator))
                if taken % 2 == 0 { pair.queue.complete(pair.chain.head, written: .max) }
                _ = pair.queue.publish()
                guard taken <= 70000 else { break }
            }
            _ = pair.queue.enableNotifications()
            pair.queue.disableNotifications()
            #expect(taken <= 70000)
        }
    }
}
