// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import QCOW2Image
import RandomKit
import Testing

@Suite struct RecentPlacesTests {
    @Test func anAnswerIsOfThisVersionAndCluster() {
        var places = RecentPlaces()
        #expect(places.host(of: 0, version: 0) == nil)
        places.remember(5, at: 65536, version: 1)
        #expect(places.host(of: 5, version: 1) == 65536)
        #expect(places.host(of: 5, version: 2) == nil)
        #expect(places.host(of: 5 + 8192, version: 1) == nil)
        places.remember(5 + 8192, at: 131_072, version: 1)
        #expect(places.host(of: 5, version: 1) == nil)
        #expect(places.host(of: 5 + 8192, version: 1) == 131_072)
        #expect(places.host(of: 1 << 50, version: 1) == nil)
    }

    @Test func whatIsReadMayNotBeWritten() {
        var places = RecentPlaces()
        #expect(places.host(of: -1, version: 0, isWrite: true) == nil)
        places.remember(5, at: 65536, version: 1)
        #expect(places.host(of: 5, version: 1, isWrite: true) == nil)
        places.remember(5, at: 65536, version: 1, isWritable: true)
        #expect(places.host(of: 5, version: 1, isWrite: true) == 65536)
        #expect(places.host(of: 5, version: 1) == 65536)
        #expect(places.host(of: 5, version: 2, isWrite: true) == nil)
    }

    /// Against a dictionary that forgets nothing: what is told is right, if not everything is told.
    @Test func whatIsToldIsRight() {
        var places = RecentPlaces()
        var truth: [Int64: Int64] = [:]
        var version: UInt64 = 0
        var random = SeededGenerator(seed: 3)
        for _ in 0..<20_000 {
            let cluster = Int64.random(in: 0..<20_000, using: &random)
            if Int.random(in: 0..<500, using: &random) == 0 {
                version &+= 1
                truth = [:]
            }
            if let told = places.host(of: cluster, version: version) { #expect(truth[cluster] == told) }
            let host = Int64.random(in: 0..<1 << 40, using: &random)
            truth[cluster] = host
            places.remember(cluster, at: host, version: version)
            #expect(places.host(of: cluster, version: version) == host)
        }
    }

    /// A cluster that was written in place is written elsewhere once a snapshot has it too.
    @Test func writesInPlaceEndWithASnapshot() throws {
        let images = Images()
        let path = try images.create("w.qcow2", size: 4 << 20)
        let node = try images.open(path)
        func put(_ byte: UInt8, at offset: Int64) throws {
            try node.write([UInt8](repeating: byte, count: 4096), at: offset)
        }
        for offset in stride(from: Int64(0), to: 65536, by: 4096) { try put(1, at: offset) }
        try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 0))
        #expect(try node.readBytes(at: 4096, count: 1) == [1])
        for offset in stride(from: Int64(0), to: 65536, by: 4096) { try put(2, at: offset) }
        let view = try node.openSnapshot(identifier: "1")
        #expect(try view.readBytes(at: 0, count: 65536) == [UInt8](repeating: 1, count: 65536))
        try view.close()
        #expect(try node.readBytes(at: 0, count: 65536) == [UInt8](repeating: 2, count: 65536))
        try node.close()
        try expectClean(images, path, "after writes before and behind a snapshot")
    }

    /// A cluster that moves, goes or comes back is read from where it is now.
    @Test func readsFollowTheTables() throws {
        let images = Images()
        let node = try images.open(try images.create("r.qcow2", size: 4 << 20))
        func put(_ byte: UInt8) throws { try node.write([UInt8](repeating: byte, count: 65536), at: 1 << 20) }
        func look() throws -> UInt8 { try node.readBytes(at: (1 << 20) + 4096, count: 4096)[7] }
        try put(1)
        #expect(try look() == 1)
        try node.createSnapshot(SnapshotInformation(identifier: "", name: "s", dateSeconds: 0))
        try put(2)
        #expect(try look() == 2)
        try node.applySnapshot(identifier: "1")
        #expect(try look() == 1)
        try node.writeZeroes(at: 1 << 20, count: 65536, flags: .mayUnmap)
        #expect(try look() == 0)
        try put(3)
        #expect(try look() == 3)
        try node.discard(at: 1 << 20, count: 65536)
        try node.flush()
        #expect(try look() == 0)
        try put(4)
        #expect(try look() == 4)
        try node.resize(to: 1 << 20, preallocation: .off, exact: true)
        try node.resize(to: 4 << 20, preallocation: .off, exact: true)
        #expect(try look() == 0)
        try put(5)
        #expect(try look() == 5)
        try node.makeEmpty()
        #expect(try look() == 0)
        try node.close()
    }
}
