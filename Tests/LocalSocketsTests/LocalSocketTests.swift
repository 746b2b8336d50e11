// SPDX-License-Identifier: Apache-2.0

import Glibc
import HostSystem
import LocalSockets
import Testing

@Suite struct LocalSocketTests {
    /// A listener, a connection to it and the listener's end of that.
    private final class Pair {
        let listener: FileDescriptor
        let client: FileDescriptor
        let server: FileDescriptor
        let path: String

        init(_ name: String) throws {
            path = "/tmp/roost-test-\(getpid())-\(name)"
            listener = try LocalSocket.listen(path: path, mode: 0o600)
            client = try LocalSocket.connect(path: path)
            server = try Self.accepted(listener.number)
        }

        private static func accepted(_ listener: Int32) throws(Errno) -> FileDescriptor {
            guard let connection = try LocalSocket.accept(listener) else { throw Errno(EAGAIN) }
            return connection
        }

        // unlink copies the path.
        deinit { _ = unsafe unlink(path) }
    }

    @Test func bytesGoBothWays() throws {
        let pair = try Pair("bytes")
        #expect(try LocalSocket.send(pair.client.number, Array("hello".utf8)) == 5)
        var buffer: [UInt8] = [1]
        var descriptors: [Int32] = []
        #expect(try LocalSocket.receive(pair.server.number, limit: 3, into: &buffer, descriptors: &descriptors) == 3)
        #expect(buffer == [1] + Array("hel".utf8))
        #expect(try LocalSocket.receive(pair.server.number, limit: 99, into: &buffer, descriptors: &descriptors) == 2)
        #expect(descriptors.isEmpty)
        #expect(try LocalSocket.send(pair.server.number, [9, 8, 7], from: 2) == 1)
        var answer: [UInt8] = []
        _ = try LocalSocket.receive(pair.client.number, limit: 99, into: &answer, descriptors: &descriptors)
        #expect(answer == [7])
    }

    @Test func nothingThereIsNotTheEnd() throws {
        let pair = try Pair("empty")
        var buffer: [UInt8] = []
        var descriptors: [Int32] = []
        #expect(throws: Errno.wouldBlock) {
            try LocalSocket.receive(pair.server.number, limit: 10, into: &buffer, descriptors: &descriptors)
        }
        shutdown(pair.client.number, Int32(SHUT_WR))
        #expect(try LocalSocket.receive(pair.server.number, limit: 10, into: &buffer, descriptors: &descriptors) == 0)
    }

    @Test func aDescriptorComesAlong() throws {
        let pair = try Pair("passing")
        let sent = try FileDescriptor.open("/proc/self/status")
        _ = try LocalSocket.send(pair.client.number, [1], passing: sent.number)
        var buffer: [UInt8] = []
        var descriptors: [Int32] = []
        _ = try LocalSocket.receive(pair.server.number, limit: 10, into: &buffer, descriptors: &descriptors)
        let number = try #require(descriptors.first)
        let received = FileDescriptor(owning: number)
        #expect(number != sent.number)
        var mine = stat(), theirs = stat()
        // Both records live on this frame.
        #expect(unsafe fstat(sent.number, &mine) == 0 && fstat(received.number, &theirs) == 0)
        #expect(mine.st_ino == theirs.st_ino)
    }

    @Test func whoIsThere() throws {
        let pair = try Pair("peer")
        let peer = try LocalSocket.peer(of: pair.server.number)
        #expect(peer.process == getpid() && peer.user == geteuid() && peer.group == getegid())
    }

    @Test func aSecondListenerIsRefusedAndAForgottenFileIsReplaced() throws {
        let path = "/tmp/roost-test-\(getpid())-second"
        // unlink copies the path.
        defer { _ = unsafe unlink(path) }
        do {
            let first = try LocalSocket.listen(path: path, mode: 0o600)
            #expect(throws: Errno(EADDRINUSE)) { _ = try LocalSocket.listen(path: path, mode: 0o600) }
            #expect(try LocalSocket.accept(first.number) != nil)
        }
        #expect(throws: Errno(ECONNREFUSED)) { _ = try LocalSocket.connect(path: path) }
        let again = try LocalSocket.listen(path: path, mode: 0o600)
        #expect(try LocalSocket.accept(again.number) == nil)
    }

    @Test func pathsThatCannotBe() {
        #expect(throws: Errno(ENAMETOOLONG)) {
            _ = try LocalSocket.listen(path: "/tmp/" + String(repeating: "x", count: 200), mode: 0o600)
        }
        #expect(throws: Errno(ENOENT)) { _ = try LocalSocket.connect(path: "/tmp/roost-no-such-socket") }
    }
}
