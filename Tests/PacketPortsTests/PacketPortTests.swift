// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import HostIO
import PacketPorts
import Testing

@Suite struct LoopbackTests {
    let loop: EventLoop
    let first: LoopbackPort, second: LoopbackPort
    let collector = Collector()

    init() throws {
        loop = try EventLoop()
        (first, second) = LoopbackPort.pair(on: loop, limit: 4)
        second.receiver = collector
    }

    @Test func framesComeInOrder() {
        for number in 0..<3 { #expect(first.send(frame(number)) == .accepted) }
        #expect(collector.frames.isEmpty)
        loop.drain()
        #expect(collector.frames == (0..<3).map { frame($0) })
    }

    @Test func pushesBack() {
        let sender = Collector()
        first.receiver = sender
        collector.isBusy = true
        for number in 0..<4 { #expect(first.send(frame(number)) == .accepted) }
        #expect(first.send(frame(4)) == .busy)
        loop.drain()
        #expect(collector.frames.isEmpty && sender.readiness == 0)
        collector.isBusy = false
        second.receiverIsReady()
        loop.drain()
        #expect(collector.frames.count == 4 && sender.readiness == 1)
        #expect(first.send(frame(4)) == .accepted)
    }

    @Test func headersNeedOffloads() {
        #expect(first.setHeader(size: 0) && !first.setHeader(size: 12))
        let (with, _) = LoopbackPort.pair(on: loop, offloads: .checksum)
        #expect(with.setHeader(size: 12) && with.headerSize == 12)
    }
}

@Suite struct HubTests {
    @Test func repeatsToAllOthers() throws {
        let loop = try EventLoop()
        let (near, far) = LoopbackPort.pair(on: loop)
        let hub = PacketHub(identifier: 3)
        let ports = [hub.makePort(), hub.makePort()]
        let uplink = hub.makePort(uplink: near)
        let collectors = [Collector(), Collector(), Collector()]
        for (port, collector) in zip(ports, collectors) { port.receiver = collector }
        far.receiver = collectors[2]
        #expect(ports[0].send(frame(1)) == .accepted)
        loop.drain()
        #expect(collectors.map(\.frames.count) == [0, 1, 1])
        #expect(far.send(frame(2)) == .accepted)
        loop.drain()
        #expect(collectors.map(\.frames.count) == [1, 2, 1])
        #expect(uplink.description == "type=hubport,hubid=3")
        // A busy port keeps its frames.
        collectors[0].isBusy = true
        _ = ports[1].send(frame(3))
        collectors[0].isBusy = false
        ports[0].receiverIsReady()
        #expect(collectors[0].frames.last == frame(3))
    }
}

@Suite struct DeliveryTests {
    @Test func keepsAndBounds() {
        var delivery = PacketDelivery(limit: 2)
        let collector = Collector()
        collector.isBusy = true
        for number in 0..<3 { unsafe frame(number).withUnsafeBytes { unsafe delivery.deliver($0, to: collector) } }
        #expect(delivery.isBlocked && delivery.dropped == 1)
        collector.isBusy = false
        // Order is kept: a new frame waits behind the old ones.
        unsafe frame(9).withUnsafeBytes { unsafe delivery.deliver($0, to: collector) }
        #expect(delivery.dropped == 2)
        delivery.resume(collector)
        #expect(collector.frames == [frame(0), frame(1)] && !delivery.isBlocked)
    }
}

@Suite struct SocketPortTests {
    let loop: EventLoop
    init() throws { loop = try EventLoop() }

    private func pair() throws -> (StreamSocketPort, StreamSocketPort) {
        let server = try StreamSocketPort(listeningAt: SocketAddress(parsing: "127.0.0.1:0"), on: loop)
        let client = try StreamSocketPort(connectingTo: server.address, on: loop)
        return (server, client)
    }

    @Test func streamsCarryFramesBothWays() throws {
        let (server, client) = try pair()
        let atServer = Collector(), atClient = Collector()
        server.receiver = atServer
        client.receiver = atClient
        #expect(loop.pump { server.isConnected && client.isConnected })
        for number in 0..<200 { #expect(client.send(frame(number, count: 1 + number * 7)) == .accepted) }
        #expect(server.send(frame(7)) == .accepted)
        #expect(loop.pump { atServer.frames.count == 200 && atClient.frames.count == 1 })
        #expect(atServer.frames == (0..<200).map { frame($0, count: 1 + $0 * 7) })
        #expect(atClient.frames == [frame(7)])
        #expect(server.description.hasPrefix("index=0,type=socket,connection from"))
    }

    @Test func servesTheNextPeer() throws {
        let (server, client) = try pair()
        let collector = Collector()
        server.receiver = collector
        #expect(loop.pump { server.isConnected && client.isConnected })
        client.close()
        #expect(loop.pump { !server.isConnected })
        // Without a peer frames are lost, as without a cable.
        #expect(server.send(frame(0)) == .accepted)
        let second = try StreamSocketPort(connectingTo: server.address, on: loop)
        #expect(loop.pump { server.isConnected && second.isConnected })
        #expect(second.send(frame(5)) == .accepted)
        #expect(loop.pump { collector.frames == [frame(5)] })
        #expect(collector.links == [true, false, true])
    }

    @Test func aBusyReceiverStopsTheStream() throws {
        let (server, client) = try pair()
        let atServer = Collector(), atClient = Collector()
        atServer.isBusy = true
        server.receiver = atServer
        client.receiver = atClient
        #expect(loop.pump { server.isConnected && client.isConnected })
        let large = frame(1, count: 60000)
        var sent = 0
        #expect(
            loop.pump {
                if client.send(large) == .accepted { sent += 1 } else { return true }
                return sent > 2000
            })
        #expect(sent < 2000 && atServer.frames.isEmpty)
        atServer.isBusy = false
        server.receiverIsReady()
        #expect(loop.pump { atServer.frames.count == sent && atClient.readiness > 0 })
    }

    @Test func framesOfImpossibleLengthEndTheConnection() throws {
        let (server, client) = try pair()
        let collector = Collector()
        server.receiver = collector
        Console.shared.redirect { _ in }
        defer { Console.shared.redirect(nil) }
        #expect(loop.pump { server.isConnected && client.isConnected })
        _ = client.send([UInt8](repeating: 0xFF, count: 200_000))
        #expect(loop.pump { !server.isConnected })
        #expect(collector.frames.isEmpty)
    }

    @Test func datagrams() throws {
        let first = try SocketAddress(parsing: "127.0.0.1:0")
        let receiver = try DatagramSocketPort(sendingTo: first, receivingAt: first, on: loop)
        let sender = try DatagramSocketPort(sendingTo: receiver.localAddress, receivingAt: first, on: loop)
        let collector = Collector()
        receiver.receiver = collector
        #expect(sender.send(frame(3)) == .accepted)
        #expect(loop.pump { collector.frames == [frame(3)] })
        collector.isBusy = true
        _ = sender.send(frame(4))
        _ = sender.send(frame(5))
        #expect(loop.pump { collector.refusals > 0 })
        loop.drain()
        collector.isBusy = false
        receiver.receiverIsReady()
        #expect(loop.pump { collector.frames.count == 3 })
    }

    @Test(arguments: [
        ("1.2", "host address '1.2' doesn't contain ':' separating host from port"),
        ("1.2.3.4:x", "port number 'x' is invalid"),
    ]) func addressErrors(text: String, message: String) {
        #expect(throws: UserError(message)) { _ = try SocketAddress(parsing: text) }
    }

    @Test func addresses() throws {
        #expect(try SocketAddress(parsing: ":80") == SocketAddress(address: 0, port: 80))
        #expect(try SocketAddress(parsing: "10.0.2.2:1").text == "10.0.2.2:1")
        #expect(SocketAddress(address: 0xE000_0001, port: 0).isMulticast)
    }

    @Test func groupsMustBeGroups() throws {
        let message = "specified mcastaddr 127.0.0.1 (0x7f000001) does not contain a multicast address"
        #expect(throws: UserError(message)) {
            _ = try DatagramSocketPort(group: SocketAddress(parsing: "127.0.0.1:1234"), on: loop)
        }
    }

    @Test func busyAddress() throws {
        let server = try StreamSocketPort(listeningAt: SocketAddress(parsing: "127.0.0.1:0"), on: loop)
        #expect(throws: UserError.self) { _ = try StreamSocketPort(listeningAt: server.address, on: loop) }
    }
}

@Suite struct TapTests {
    @Test func descriptorsThatAreNoTaps() throws {
        let loop = try EventLoop()
        #expect(throws: UserError("n0: Can't use file descriptor 4000", because: "Bad file descriptor")) {
            _ = try TapPort(inheriting: 4000, identifier: "n0", on: loop)
        }
    }

    @Test func namesThatAreTooLong() throws {
        let loop = try EventLoop()
        var options = TapOptions()
        options.interface = "an-interface-with-a-long-name"
        options.script = nil
        #expect(throws: UserError.self) { _ = try TapPort(options, on: loop) }
    }
}

@Suite struct AnnouncementTests {
    /// RFC 903: a request of the card's own address, in an Ethernet frame of the shortest length.
    @Test func theFrameIsAReverseRequest() {
        let address: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0x56]
        let frame = Announcement.frame(of: address)
        #expect(frame.count == 60)
        #expect(frame.prefix(6).allSatisfy { $0 == 0xFF } && Array(frame[6..<12]) == address)
        #expect(Array(frame[12..<22]) == [0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3])
        #expect(Array(frame[22..<28]) == address && Array(frame[32..<38]) == address)
        #expect(frame[28..<32].allSatisfy { $0 == 0 } && frame[38...].allSatisfy { $0 == 0 })
    }
}
