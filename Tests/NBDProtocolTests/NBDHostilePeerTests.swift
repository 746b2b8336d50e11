// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Glibc
import HostSystem
import NBDProtocol
import RandomKit
import StorageTestKit
import Testing

/// A unix socket in clear, for peers that do not keep to the protocol.
private func connect(_ path: String) throws -> Int32 {
    let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // The test's paths are short; the rest of the array is zero.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8.prefix(100)) }
    let status = unsafe withUnsafePointer(to: &address) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
    try #require(status == 0)
    return socket
}

@Suite struct NBDHostilePeerTests {
    private static let optionMagic: [UInt8] = [0x49, 0x48, 0x41, 0x56, 0x45, 0x4F, 0x50, 0x54]

    /// Sends the bytes to a fresh server, reads until it hangs up, and sees that a good client is still served.
    private func attack(_ attacks: [[UInt8]]) throws {
        let folder = Folder()
        let disk = MemoryNode([UInt8](repeating: 1, count: 65536))
        let path = folder.file("s")
        let server = try NBDServer(NBDServedExport(node: disk), on: .unix(path: path), mostClients: 0)
        try onThread { server.run(isPersistent: true) }
        defer { server.stop() }
        for bytes in attacks {
            let socket = try connect(path)
            // The array lives for the call; a server that hung up already makes it fail, which is fine.
            _ = unsafe send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            _ = shutdown(socket, Int32(SHUT_WR))
            var buffer = [UInt8](repeating: 0, count: 65536)
            // The buffer holds what is asked for.
            while unsafe recv(socket, &buffer, buffer.count, 0) > 0 {}
            close(socket)
        }
        #expect(try NBDListing.exports(of: .unix(path: path)).count == 1)
        #expect(disk.content == [UInt8](repeating: 1, count: 65536))
    }

    @Test func rubbishIsNoHarm() throws {
        var generator = SeededGenerator(seed: 77)
        var attacks: [[UInt8]] = []
        for round in 0..<200 {
            var bytes: [UInt8] = [0, 0, 0, UInt8(round % 4)]
            for _ in 0..<Int.random(in: 0...6, using: &generator) {
                bytes += Self.optionMagic + [0, 0, 0, UInt8.random(in: 0...12, using: &generator)]
                let count = Int.random(in: 0...40, using: &generator)
                bytes += [0, 0, 0, UInt8(Bool.random(using: &generator) ? count : 200)]
                bytes += (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) & 0x1F }
            }
            attacks.append(bytes)
        }
        try attack(attacks)
    }

    @Test func hugeLengthsAreRefused() throws {
        let option = [0, 0, 0, 3] + Self.optionMagic
        try attack([
            option + [0, 0, 0, 7, 0xFF, 0xFF, 0xFF, 0xFF], option + [0, 0, 0, 10, 0x7F, 0xFF, 0xFF, 0xFF],
            // A name longer than its option.
            option + [0, 0, 0, 7, 0, 0, 0, 6, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0],
            // A count of queries that are not there.
            option + [0, 0, 0, 8, 0, 0, 0, 0] + Self.optionMagic
                + [0, 0, 0, 10, 0, 0, 0, 8, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        ])
    }

    @Test func requestsOutsideOfTheDiskAreRefused() throws {
        let begin = [0, 0, 0, 3] + Self.optionMagic + [0, 0, 0, 1, 0, 0, 0, 0]
        var attacks: [[UInt8]] = []
        for command in 0...9 as ClosedRange<UInt8> {
            for offset in [0x00, 0x7F, 0xFF] as [UInt8] {
                let request: [UInt8] = [0x25, 0x60, 0x95, 0x13, 0, 0, 0, command] + [UInt8](repeating: 9, count: 8)
                let place: [UInt8] = [offset, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]
                // Only past the end, so that the disk's content shows whether something got through.
                attacks.append(begin + request + place + [0, 0, 1, 0] + [UInt8](repeating: 0, count: 256))
                attacks.append(begin + request + place + [0xFF, 0xFF, 0xFF, 0xFF])
            }
        }
        try attack(attacks)
    }

    /// A server of one answer.
    private func serve(_ bytes: [UInt8]) throws -> BlockError? {
        let folder = Folder()
        let path = folder.file("s")
        let listener = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // As in connect.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8.prefix(100)) }
        let status = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(status == 0 && listen(listener, 1) == 0)
        try onThread {
            let client = accept(listener, nil, nil)
            // The array lives for the call.
            _ = unsafe send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
            _ = shutdown(client, Int32(SHUT_WR))
            var buffer = [UInt8](repeating: 0, count: 4096)
            while unsafe recv(client, &buffer, buffer.count, 0) > 0 {}
            close(client)
            close(listener)
        }
        let graph = BlockGraph(drivers: [NBDDriver()])
        do throws(BlockError) {
            let node = try graph.open(nil, options: BlockOptions.parse("driver=nbd,path=\(path)"), flags: .writable)
            _ = try node.readBytes(at: 0, count: 512)
            return nil
        } catch {
            return error
        }
    }

    @Test func aServerOfRubbishIsAnError() throws {
        let greeting: [UInt8] = Array("NBDMAGIC".utf8)
        #expect(try serve([]) != nil)
        #expect(
            try serve([UInt8](repeating: 0x41, count: 300))?.message == "Bad initial magic received: 0x4141414141414141"
        )
        #expect(try serve(greeting + [UInt8](repeating: 0x42, count: 300)) != nil)
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<60 {
            let rest = (0..<400).map { _ in UInt8.random(in: 0...255, using: &generator) }
            #expect(try serve(greeting + Self.optionMagic + rest) != nil)
            // An old server: a size, flags and then replies that nobody asked for.
            #expect(try serve(greeting + [0, 0, 0x42, 2, 0x81, 0x86, 0x12, 0x53] + rest) != nil)
        }
    }
}
