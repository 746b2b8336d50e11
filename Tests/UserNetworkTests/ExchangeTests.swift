// SPDX-License-Identifier: Apache-2.0

import Diagnostics
import HostIO
import HostSystem
import PacketPorts
import Testing
import UserNetwork

/// The guest's side of the network.
private final class Guest: PacketReceiver {
    var frames: [[UInt8]] = []
    var isBusy = false
    func receive(_ frame: UnsafeRawBufferPointer) -> PacketDisposition {
        if isBusy { return .busy }
        // Copied within the call.
        unsafe frames.append(Array(frame))
        return .accepted
    }
    func portIsReady() {}
    func linkChanged(isUp: Bool) {}
    var packets: [Parsed] { frames.compactMap { Parsed($0) } }
}

@Suite struct UserNetworkTests {
    private let loop: EventLoop
    private let guest = Guest()

    init() throws { loop = try EventLoop() }

    private func start(_ change: (inout UserNetworkOptions) -> Void = { _ in }) throws -> UserNetwork {
        var options = UserNetworkOptions()
        // Router advertisements would come in between.
        options.ipv6 = false
        change(&options)
        let network = try UserNetwork(options, on: loop)
        network.receiver = guest
        return network
    }

    private func pump(until condition: () -> Bool) -> Bool {
        let deadline = monotonicNanoseconds() + 10_000_000_000
        while !condition() {
            guard monotonicNanoseconds() < deadline else { return false }
            loop.runOnce(timeoutMilliseconds: 5)
        }
        return true
    }

    /// Tells the network who the guest is, and returns the gateway's address.
    private func meet(_ network: UserNetwork) throws -> [UInt8] {
        #expect(network.send(Frames.arpRequest(for: Frames.host)) == .accepted)
        #expect(pump { guest.packets.contains { $0.type == 0x806 } })
        let reply = try #require(guest.packets.first { $0.type == 0x806 })
        #expect(reply.word(6) == 2 && Array(reply.payload[14..<18]) == Frames.host)
        guest.frames = []
        return Array(reply.payload[8..<14])
    }

    @Test func resolvesAddresses() throws {
        let network = try start()
        let gateway = try meet(network)
        #expect(gateway == [0x52, 0x55, 10, 0, 2, 2])
        #expect(network.description == "index=0,type=user,net=10.0.2.0,restrict=off")
    }

    @Test func givesAddresses() throws {
        let network = try start {
            $0.hostName = "guest7"
            $0.dhcpStart = "10.0.2.40"
            $0.domainName = "example.test"
            $0.bootFile = "pxe.0"
        }
        #expect(network.send(Frames.dhcpDiscover()) == .accepted)
        #expect(pump { guest.packets.contains { $0.protocolNumber == 17 } })
        let offer = try #require(guest.packets.first { $0.protocolNumber == 17 })
        #expect(offer.word(0) == 67 && offer.word(2) == 68)
        let message = Array(offer.payload[8...])
        #expect(message[0] == 2 && Array(message[16..<20]) == [10, 0, 2, 40])
        let text = String(decoding: message, as: UTF8.self)
        #expect(text.contains("guest7") && text.contains("example.test") && text.contains("pxe.0"))
    }

    @Test func answersPings() throws {
        let network = try start()
        let gateway = try meet(network)
        _ = network.send(Frames.echoRequest(to: Frames.host, mac: gateway, [1, 2, 3, 4]))
        #expect(pump { guest.packets.contains { $0.protocolNumber == 1 } })
        let reply = try #require(guest.packets.first { $0.protocolNumber == 1 })
        #expect(reply.payload[0] == 0 && Array(reply.payload[8..<12]) == [1, 2, 3, 4])
    }

    @Test func busyGuestsGetTheirFramesLater() throws {
        let network = try start()
        guest.isBusy = true
        _ = network.send(Frames.arpRequest(for: Frames.host))
        loop.runOnce(timeoutMilliseconds: 0)
        #expect(guest.frames.isEmpty)
        guest.isBusy = false
        network.receiverIsReady()
        #expect(guest.frames.count == 1)
    }

    @Test func datagramsReachTheHostAndComeBack() throws {
        let network = try start()
        let gateway = try meet(network)
        // The host's side: a socket on loopback that answers with the frame's bytes reversed.
        let echo = try HostEcho(on: loop)
        _ = network.send(
            Frames.udp(5000, to: Frames.host, Int(echo.port), mac: gateway, [10, 20, 30]))
        #expect(pump { guest.packets.contains { $0.protocolNumber == 17 } })
        let reply = try #require(guest.packets.first { $0.protocolNumber == 17 })
        #expect(reply.word(0) == Int(echo.port) && reply.word(2) == 5000)
        #expect(Array(reply.payload[8...]) == [30, 20, 10])
    }

    @Test func connectionsReachTheHost() throws {
        let network = try start()
        let gateway = try meet(network)
        let server = try StreamSocketPort(listeningAt: SocketAddress(parsing: "127.0.0.1:0"), on: loop)
        let atServer = Guest()
        server.receiver = atServer
        let port = Int(server.address.port)
        func segment(_ sequence: UInt32, _ acknowledge: UInt32, _ flags: UInt8, _ data: [UInt8] = []) {
            _ = network.send(
                Frames.tcp(
                    6000, to: Frames.host, port, mac: gateway, sequence: sequence, acknowledge: acknowledge,
                    flags: flags, data))
        }
        segment(100, 0, 2)
        #expect(pump { guest.packets.contains { $0.protocolNumber == 6 && $0.payload[13] == 0x12 } })
        let answer = try #require(guest.packets.first { $0.protocolNumber == 6 })
        #expect(answer.long(8) == 101)
        let next = answer.long(4) &+ 1
        segment(101, next, 0x10)
        // A message in the socket port's own framing: its length, then its bytes.
        segment(101, next, 0x18, [0, 0, 0, 3, 7, 8, 9])
        #expect(pump { atServer.frames == [[7, 8, 9]] })
        _ = server.send([1, 2])
        #expect(pump { guest.packets.contains { $0.protocolNumber == 6 && !$0.segment.isEmpty } })
        let data = try #require(guest.packets.first { $0.protocolNumber == 6 && !$0.segment.isEmpty })
        #expect(data.segment == [0, 0, 0, 2, 1, 2])
        #expect(network.connections.contains("TCP[ESTABLISHED]"))
    }

    @Test func forwardedPortsReachTheGuest() throws {
        let free = try StreamSocketPort(listeningAt: SocketAddress(parsing: "127.0.0.1:0"), on: loop)
        let port = free.address.port
        free.close()
        let network = try start { $0.hostForwards = ["tcp:127.0.0.1:\(port)-:22"] }
        _ = try meet(network)
        let client = try StreamSocketPort(
            connectingTo: SocketAddress(parsing: "127.0.0.1:\(port)"), on: loop)
        #expect(pump { guest.packets.contains { $0.protocolNumber == 6 && $0.payload[13] == 2 } })
        let request = try #require(guest.packets.first { $0.protocolNumber == 6 })
        #expect(request.word(2) == 22 && request.target == Frames.guest)
        // The port is taken now.
        #expect(throws: UserError.self) { try network.addForward("tcp:127.0.0.1:\(port)-:23") }
        #expect(network.removeForward(isUDP: false, address: 0x7F00_0001, port: port))
        #expect(!network.removeForward(isUDP: false, address: 0x7F00_0001, port: port))
        client.close()
    }

    @Test func takenPortsAreAnError() throws {
        let taken = try StreamSocketPort(listeningAt: SocketAddress(parsing: "127.0.0.1:0"), on: loop)
        let rule = "tcp:127.0.0.1:\(taken.address.port)-:22"
        #expect {
            _ = try start { $0.hostForwards = [rule] }
        } throws: { error in
            "\(error)".hasPrefix("Could not set up host forwarding rule '\(rule)'")
        }
    }

    @Test func rubbishIsDropped() throws {
        let network = try start()
        var seed: UInt64 = 5
        for round in 0..<4000 {
            var bytes: [UInt8] = []
            for _ in 0..<(round % 200) {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(UInt8(truncatingIfNeeded: seed >> 33))
            }
            if round % 2 == 0, bytes.count > 34 {
                bytes.replaceSubrange(12..<15, with: [8, 0, 0x45])
                // To the network itself: nothing leaves this process.
                bytes.replaceSubrange(30..<34, with: Frames.host)
            } else if bytes.count > 14 {
                bytes.replaceSubrange(12..<14, with: [8, 6])
            }
            #expect(network.send(bytes) == .accepted)
        }
        #expect(network.send([UInt8](repeating: 0, count: 100_000)) == .accepted)
        guest.frames = []
        _ = try meet(network)
    }
}

/// A socket of the host that sends each datagram back, reversed.
private final class HostEcho {
    let port: UInt16
    private let watch: EventLoop.Watch

    init(on loop: EventLoop) throws {
        let socket = try EchoSocket()
        port = socket.port
        watch = try loop.watch(socket.number, .readable) { _ in socket.answer() }
    }
    deinit { watch.cancel() }
}
