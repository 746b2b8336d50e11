// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostSystem
import StorageTestKit
import Synchronization
import Testing

@Suite struct FileDescriptorTests {
    private let folder = Folder()

    private func text(_ file: borrowing FileDescriptor, at offset: Int64, count: Int) throws -> String {
        var bytes = [UInt8](repeating: 0, count: count)
        // The array lives for the call.
        let done = try unsafe bytes.withUnsafeMutableBytes { try unsafe file.read(into: $0, at: offset) }
        return String(decoding: bytes.prefix(done), as: UTF8.self)
    }

    private func failure(of body: () throws -> Void) -> Errno? {
        do {
            try body()
            return nil
        } catch { return error as? Errno }
    }

    private func read(_ file: borrowing FileDescriptor, _ room: inout [UInt8]) throws -> Int {
        // The array lives for the call.
        try unsafe room.withUnsafeMutableBytes { try unsafe file.read(into: $0) }
    }

    @Test func bytesAreWrittenAndRead() throws {
        let path = folder.file("f")
        let file = try FileDescriptor.open(path, flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
        try file.writeAll(Array("hello world".utf8))
        try file.writeAll([])
        let size = try file.size()
        let (middle, end) = (try text(file, at: 6, count: 100), try text(file, at: 11, count: 5))
        #expect(size == 11 && middle == "world" && end == "")
        #expect(throws: Errno(EEXIST)) { _ = try FileDescriptor.open(path, flags: O_RDWR | O_CREAT | O_EXCL) }
        #expect(throws: Errno.noEntry) { _ = try FileDescriptor.open(folder.file("none")) }
        let reader = try FileDescriptor.open(path)
        let refusal = failure { try reader.writeAll([1]) }
        #expect(refusal == Errno(EBADF))
    }

    @Test func aDescriptorIsClosedWithItsOwner() throws {
        var ends: [Int32] = [-1, -1]
        // pipe fills the two numbers.
        let result = unsafe pipe(&ends)
        try #require(result == 0)
        let reader = FileDescriptor(owning: ends[0])
        var room = [UInt8](repeating: 0, count: 4)
        do {
            let writer = FileDescriptor(owning: ends[1])
            let second = try writer.duplicate()
            #expect(second.number != writer.number)
            try second.writeAll([1, 2])
            // Lent, so that it stays open.
            try FileDescriptor.writeAll([3], to: writer.number)
            try FileDescriptor.writeAll([4], to: writer.number)
        }
        let count = try read(reader, &room)
        #expect(count == 4 && room == [1, 2, 3, 4])
        // The end of the file, for all writers are gone.
        let rest = try read(reader, &room)
        #expect(rest == 0)
    }

    @Test func waitingIsSwitchedOff() throws {
        let path = folder.file("pipe")
        // mkfifo copies the path.
        let result = unsafe mkfifo(path, 0o600)
        try #require(result == 0)
        let pipe = try FileDescriptor.open(path, flags: O_RDWR)
        try pipe.setNonBlocking(true)
        var room = [UInt8](repeating: 0, count: 4)
        let refusal = failure { _ = try read(pipe, &room) }
        #expect(refusal == .wouldBlock)
    }

    @Test func setsOfDescriptorsGiveDuplicatesByAccess() throws {
        let sets = DescriptorSets()
        let (reader, writer) = (
            try FileDescriptor.open("/dev/null").release(),
            try FileDescriptor.open("/dev/null", flags: O_WRONLY).release()
        )
        #expect(sets.add(reader, set: nil, opaque: "note") == 0)
        #expect(sets.add(writer, set: 0, opaque: nil) == 0)
        #expect(try sets.add(FileDescriptor.open("/dev/null").release(), set: nil, opaque: nil) == 1)
        #expect(sets.sets[0]?.map(\.number) == [reader, writer] && sets.sets[0]?[0].opaque == "note")
        #expect(!sets.remove(set: 5, descriptor: nil) && !sets.remove(set: 0, descriptor: 9999))
        #expect(sets.remove(set: 0, descriptor: reader) && sets.sets[0]?.map(\.number) == [writer])
        #expect(sets.remove(set: 0, descriptor: nil) && sets.sets[0] == nil)
        #expect(sets.remove(set: 1, descriptor: nil) && sets.sets.isEmpty)
    }

    @Test func namesOfSetsAreOpened() throws {
        let shared = DescriptorSets.shared
        let number = try FileDescriptor.open("/dev/zero").release()
        let set = shared.add(number, set: 4711, opaque: nil)
        defer { _ = shared.remove(set: set, descriptor: nil) }
        let file = try FileDescriptor.open("/dev/fdset/4711")
        #expect(file.number != number)
        #expect(throws: Errno.accessDenied) { _ = try FileDescriptor.open("/dev/fdset/4711", flags: O_WRONLY) }
        for name in ["/dev/fdset/4712", "/dev/fdset/", "/dev/fdset/x", "/dev/fdset/-1"] {
            #expect(throws: Errno.noEntry) { _ = try FileDescriptor.open(name) }
        }
    }
}

@Suite struct ThreadTests {
    @Test func aLockLetsOneInAtATime() throws {
        let lock = Lock()
        let state = Mutex((inside: 0, most: 0, sum: 0))
        let threads = try (0..<4).map { number in
            try HostThread(name: "a-long-name-of-a-thread-\(number)") {
                for _ in 0..<500 {
                    lock.withLock {
                        state.withLock {
                            $0.inside += 1
                            $0.most = max($0.most, $0.inside)
                        }
                        state.withLock {
                            $0.sum += 1
                            $0.inside -= 1
                        }
                    }
                }
            }
        }
        for thread in threads { thread.join() }
        let (most, sum, inside) = state.withLock { ($0.most, $0.sum, $0.inside) }
        #expect(most == 1 && sum == 2000 && inside == 0)
    }

    @Test func waitersAreWokenAndDeadlinesPass() throws {
        let lock = Lock()
        let ready = Atomic(false)
        let thread = try HostThread(name: "waker") {
            lock.withLock {
                ready.store(true, ordering: .relaxed)
                lock.broadcast()
            }
        }
        lock.withLock { while !ready.load(ordering: .relaxed) { lock.wait() } }
        thread.join()
        let start = monotonicNanoseconds()
        #expect(!lock.withLock { lock.wait(until: start) })
        #expect(!lock.withLock { lock.wait(until: start + 1_000_000) })
        #expect(monotonicNanoseconds() >= start + 1_000_000)
    }

    @Test func eventFilesCollectSignals() throws {
        let event = try EventFile()
        #expect(!event.take())
        for _ in 0..<100 { event.signal() }
        #expect(event.take() && !event.take())
    }

    @Test func mappedMemoryIsZeroAndGivenBack() throws {
        let mapping = try MemoryMapping.anonymous(count: 3 * 4096)
        func byte(_ offset: Int) -> UInt8 {
            // Inside the mapping.
            unsafe mapping.base.load(fromByteOffset: offset, as: UInt8.self)
        }
        for offset in [0, 4096, 12287] {
            #expect(byte(offset) == 0)
            unsafe mapping.base.storeBytes(of: 7, toByteOffset: offset, as: UInt8.self)
        }
        mapping.discard(first: 1)
        #expect(byte(0) == 0 && byte(4096) == 7)
        mapping.discard(first: -5)
        mapping.discard(first: .max)
        #expect(byte(4096) == 0 && byte(12287) == 0)
        #expect(throws: Errno.invalidArgument) { _ = try MemoryMapping.anonymous(count: 0) }
        #expect(throws: Errno.invalidArgument) { _ = try MemoryMapping.anonymous(count: -1) }
        #expect(throws: Errno.noMemory) { _ = try MemoryMapping.anonymous(count: 1 << 60) }
    }

    @Test func interruptedCallsAreMadeAgain() throws {
        var calls = 0
        let result = try retrying { () -> Int32 in
            calls += 1
            if calls < 4 {
                errno = EINTR
                return -1
            }
            return 5
        }
        #expect(result == 5 && calls == 4)
        #expect(throws: Errno.noSpace) {
            _ = try retrying { () -> Int in
                errno = ENOSPC
                return -1
            }
        }
        #expect(Errno.noEntry.description == "No such file or directory")
    }
}
