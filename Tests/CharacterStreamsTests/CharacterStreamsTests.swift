// SPDX-License-Identifier: Apache-2.0

import CharacterStreams
import Glibc
import HostIO
import HostSystem
import Testing

/// A front end that keeps what comes, as far as it is allowed to.
final class Listener: CharacterFrontend {
    var capacity = 1000
    var received: [UInt8] = []
    var events: [CharacterEvent] = []
    var readyCount = 0
    var receiveCapacity: Int { capacity }
    func receive(_ bytes: ArraySlice<UInt8>) { received += bytes }
    func handle(_ event: CharacterEvent) { events.append(event) }
    func outputIsReady() { readyCount += 1 }
    var text: String { String(decoding: received, as: UTF8.self) }
}

func run(_ loop: EventLoop, until condition: () -> Bool) {
    let end = monotonicNanoseconds() + 5_000_000_000
    while !condition(), monotonicNanoseconds() < end { loop.runOnce(timeoutMilliseconds: 20) }
    #expect(condition())
}

@Suite struct CharacterStreamsTests {
    let loop: EventLoop
    let folder: String

    init() throws {
        loop = try EventLoop()
        var template = Array("/tmp/roost-chardev-XXXXXX".utf8CString)
        folder = unsafe String(cString: mkdtemp(&template))
    }

    func pair(telnet: Bool = false) throws -> (server: SocketStream, client: SocketStream, Listener, Listener) {
        var options = SocketStream.Options(address: .unix(path: folder + "/s", isAbstract: false))
        options.isServer = true
        options.isTelnet = telnet
        let server = try SocketStream(label: "server", options: options, loop: loop)
        options.isServer = false
        options.isTelnet = false
        let client = try SocketStream(label: "client", options: options, loop: loop)
        let listeners = (Listener(), Listener())
        server.frontend = listeners.0
        client.frontend = listeners.1
        run(loop) { server.isOpen && client.isOpen }
        return (server, client, listeners.0, listeners.1)
    }

    @Test func aLogHasACopyOfTheOutput() throws {
        let path = folder + "/log"
        let ring = RingStream(label: "r", capacity: 100)
        for (appends, wanted) in [(false, "one"), (true, "oneone"), (false, "one")] {
            let logged = try LoggedStream(ring, path: path, appends: appends)
            #expect(logged.send(Array("one".utf8)) == 3)
            let file = try FileDescriptor.open(path)
            #expect(try file.size() == Int64(wanted.utf8.count))
            #expect(logged.label == "r" && logged.filename == "ringbuf" && logged.isOpen)
        }
        #expect(throws: Errno.self) { try LoggedStream(ring, path: folder + "/none/log", appends: false) }
    }

    @Test func datagramsGoBothWays() throws {
        let first = try DatagramStream(label: "a", remote: ("127.0.0.1", 9), local: ("127.0.0.1", 0), loop: loop)
        let port = try #require(
            first.filename.split(separator: "<").first?.split(separator: ":").last.flatMap { UInt16($0) })
        let second = try DatagramStream(label: "b", remote: ("127.0.0.1", port), local: nil, loop: loop)
        // Nobody listens at the discard port: an answer that says so is no end.
        #expect(first.send(Array("lost".utf8)) == 4)
        loop.runOnce(timeoutMilliseconds: 20)
        #expect(first.isOpen && second.isOpen)
        #expect(second.filename.hasSuffix("<->127.0.0.1:\(port)"))
        #expect(throws: StreamSocketError.self) {
            try DatagramStream(label: "c", remote: ("no such host.invalid", 1), local: nil, loop: loop)
        }
    }

    @Test func descriptorsComeAlong() throws {
        var ends: [Int32] = [-1, -1]
        // Fills the two numbers.
        let status = unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends)
        #expect(status == 0)
        let stream = try SocketStream(
            label: "s", descriptor: FileDescriptor(owning: ends[0]), isServer: false, loop: loop)
        let listener = Listener()
        stream.frontend = listener
        #expect(stream.takeReceivedDescriptor() == nil)
        #expect(sendDescriptor(0, over: ends[1]) == 1)
        run(loop) { listener.text == "x" }
        let number = try #require(stream.takeReceivedDescriptor())
        #expect(number > 2 && fcntl(number, F_GETFD) == FD_CLOEXEC)
        #expect(stream.takeReceivedDescriptor() == nil)
        close(number)
        close(ends[1])
        run(loop) { !stream.isOpen }
    }

    /// Sends one byte with a descriptor (SCM_RIGHTS).
    private func sendDescriptor(_ descriptor: Int32, over socket: Int32) -> Int {
        var byte = UInt8(ascii: "x")
        // A header of 16 bytes on 64-bit Linux, then the number, padded to 8.
        var control = [UInt64](repeating: 0, count: 3)
        control[0] = 20
        control[1] = UInt64(UInt32(bitPattern: SOL_SOCKET)) | UInt64(SCM_RIGHTS) << 32
        control[2] = UInt64(UInt32(bitPattern: descriptor))
        // All three live until the call is over.
        return unsafe withUnsafeMutableBytes(of: &byte) { payload in
            unsafe control.withUnsafeMutableBytes { control in
                var part = unsafe iovec(iov_base: payload.baseAddress, iov_len: 1)
                return unsafe withUnsafeMutablePointer(to: &part) { part in
                    var message = unsafe msghdr()
                    unsafe message.msg_iov = part
                    unsafe message.msg_iovlen = 1
                    unsafe message.msg_control = control.baseAddress
                    unsafe message.msg_controllen = control.count
                    return unsafe sendmsg(socket, &message, 0)
                }
            }
        }
    }

    @Test func socketsCarryBothWays() throws {
        let (server, client, atServer, atClient) = try pair()
        #expect(server.send(Array("from the guest".utf8)) == 14)
        #expect(client.send(Array("to the guest".utf8)) == 12)
        run(loop) { atClient.text == "from the guest" && atServer.text == "to the guest" }
        #expect(atServer.events == [.opened])
        client.close()
        run(loop) { !server.isOpen }
        #expect(atServer.events == [.opened, .closed])
        #expect(server.filename == "disconnected:unix:\(folder)/s,server=on")
        // Nobody is there: bytes are dropped, not kept for the next.
        #expect(server.send([1, 2, 3]) == 3)
        server.close()
        let status = unsafe access(folder + "/s", F_OK)
        #expect(status != 0)
    }

    @Test func aFrontEndWithoutRoomLosesNothing() throws {
        let (server, client, atServer, _) = try pair()
        atServer.capacity = 0
        let bytes = (0..<20000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(client.send(bytes) == bytes.count)
        for _ in 0..<5 { loop.runOnce(timeoutMilliseconds: 1) }
        #expect(atServer.received.isEmpty)
        client.close()
        for _ in 0..<5 { loop.runOnce(timeoutMilliseconds: 1) }
        atServer.capacity = 100
        server.resumeInput()
        run(loop) { atServer.received.count == bytes.count }
        #expect(atServer.received == bytes)
        run(loop) { atServer.events.last == .closed }
    }

    @Test func aReaderThatSleepsBoundsTheBuffer() throws {
        let (server, client, atServer, atClient) = try pair()
        atClient.capacity = 0
        var sent = 0
        let block = [UInt8](repeating: 7, count: 10000)
        while true {
            let taken = server.send(block)
            sent += taken
            if taken < block.count { break }
            #expect(sent < 8 << 20)
        }
        #expect(atServer.readyCount == 0)
        atClient.capacity = 1 << 20
        client.resumeInput()
        run(loop) { atClient.received.count == sent }
        #expect(atServer.readyCount == 1)
    }

    @Test func telnetCommandsAreTakenOut() throws {
        let (server, client, atServer, atClient) = try pair(telnet: true)
        run(loop) { atClient.received.count == 12 }
        #expect(client.send([65, 255, 253, 3, 66, 255, 243, 255, 250, 24, 1, 255, 240, 67, 255, 255]) == 16)
        run(loop) { atServer.received == [65, 66, 67, 255] }
        #expect(atServer.events.contains(.breakReceived))
        #expect(server.send([1, 255, 2]) == 3)
        run(loop) { atClient.received.suffix(4) == [1, 255, 255, 2] }
    }

    @Test func aClientTriesAgain() throws {
        var options = SocketStream.Options(address: .unix(path: folder + "/later", isAbstract: false))
        #expect(throws: StreamSocketError.self) { try SocketStream(label: "c", options: options, loop: loop) }
        options.reconnectSeconds = 1
        let client = try SocketStream(label: "c", options: options, loop: loop)
        #expect(client.filename == "disconnected:unix:\(folder)/later")
        options.isServer = true
        let server = try SocketStream(label: "s", options: options, loop: loop)
        run(loop) { client.isOpen && server.isOpen }
    }

    @Test func filesAndPseudoTerminals() throws {
        let file = try FileStream(label: "f", path: folder + "/log", loop: loop)
        #expect(file.send(Array("one\n".utf8)) == 4)
        file.close()
        let more = try FileStream(label: "f", path: folder + "/log", appends: true, loop: loop)
        #expect(more.send(Array("two\n".utf8)) == 4)
        more.close()
        let read = try FileDescriptor.open(folder + "/log")
        #expect(try read.size() == 8)

        let terminal = try PseudoTerminalStream(label: "p", loop: loop)
        let listener = Listener()
        terminal.frontend = listener
        #expect(terminal.filename.hasPrefix("pty:/dev/pts/"))
        do {
            let other = try FileDescriptor.open(terminal.path, flags: O_RDWR | O_NOCTTY)
            try other.writeAll(Array("hello".utf8))
            run(loop) { listener.text == "hello" }
        }
        run(loop) { !terminal.isOpen }
    }

    @Test func theMultiplexerSwitchesAndQuits() throws {
        let (server, client, _, atClient) = try pair()
        var quits = 0
        let multiplexer = Multiplexer(stream: server) { quits += 1 }
        let ends = (multiplexer.makeBackend(), multiplexer.makeBackend())
        let console = Listener(), monitor = Listener()
        ends.0.frontend = console
        ends.1.frontend = monitor
        #expect(client.send(Array("a\u{1}cb\u{1}\u{1}c\u{1}cd\u{1}b".utf8)) > 0)
        run(loop) { console.text == "ad" && monitor.text == "b\u{1}c" }
        #expect(console.events.contains(.breakReceived) && console.events.contains(.focusLost))
        #expect(ends.1.send(Array("(qemu) ".utf8)) == 7)
        run(loop) { atClient.text == "(qemu) " }
        #expect(client.send([1, UInt8(ascii: "x")]) == 2)
        run(loop) { quits == 1 }
    }

    @Test func ringAndNull() {
        let ring = RingStream(label: "r", capacity: 4)
        #expect(ring.send(Array("abcdef".utf8)) == 6)
        #expect(ring.take(3) == Array("cde".utf8) && ring.take(3) == Array("f".utf8))
        #expect(NullStream(label: "n").send([1, 2]) == 2)
    }
}
