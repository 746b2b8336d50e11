// SPDX-License-Identifier: Apache-2.0

import BlockLayer
import Synchronization

/// A layer in memory that knows which of its sectors are its own.
final class LayerNode: BackedNode, EmptyableNode, ResizableNode {
    static let sector = 512

    private struct State {
        var bytes: [UInt8]
        var isOwn: [Bool]
        var flushes = 0
    }
    private let state: Mutex<State>

    let driverName = "layer"
    let isReadOnly = false
    let limits = BlockLimits()
    let location = NodeLocation(filename: "layer")
    let children: [NodeChild] = []
    let backing: (any BlockNode)?
    let backingName: String? = nil
    let backingFormat: String? = nil

    init(sectors: Int, over backing: (any BlockNode)? = nil) {
        self.backing = backing
        state = Mutex(
            State(
                bytes: [UInt8](repeating: 0, count: sectors * Self.sector),
                isOwn: [Bool](repeating: false, count: sectors)))
    }

    var length: Int64 { state.withLock { Int64($0.bytes.count) } }
    var flushes: Int { state.withLock { $0.flushes } }
    var ownSectors: [Int] { state.withLock { state in state.isOwn.indices.filter { state.isOwn[$0] } } }

    func read(_ region: ByteRegion, at offset: Int64) throws(BlockError) {
        try checkRange(at: offset, count: Int64(region.count))
        for place in 0..<region.count {
            let position = Int(offset) + place
            let own: UInt8? = state.withLock { $0.isOwn[position / Self.sector] ? $0.bytes[position] : nil }
            if let own {
                region[place] = own
            } else if let backing, position < Int(backing.length) {
                region[place] = try backing.readBytes(at: Int64(position), count: 1)[0]
            } else {
                region[place] = 0
            }
        }
    }

    func write(_ region: ByteRegion, at offset: Int64, flags: WriteFlags) throws(BlockError) {
        try checkRange(at: offset, count: Int64(region.count))
        guard region.count > 0 else { return }
        let sectors = Int(offset) / Self.sector...(Int(offset) + region.count - 1) / Self.sector
        for sector in sectors {
            let before = try readBytes(at: Int64(sector * Self.sector), count: Self.sector)
            state.withLock { state in
                state.bytes.replaceSubrange(sector * Self.sector..<(sector + 1) * Self.sector, with: before)
                state.isOwn[sector] = true
            }
        }
        let bytes = region.bytes
        state.withLock { $0.bytes.replaceSubrange(Int(offset)..<(Int(offset) + bytes.count), with: bytes) }
    }

    func writeZeroes(at offset: Int64, count: Int64, flags: ZeroFlags) throws(BlockError) {
        try write([UInt8](repeating: 0, count: Int(count)), at: offset)
    }

    func discard(at offset: Int64, count: Int64) throws(BlockError) {}
    func flush() throws(BlockError) { state.withLock { $0.flushes += 1 } }
    func close() throws(BlockError) {}

    func makeEmpty() throws(BlockError) {
        state.withLock { state in state.isOwn = state.isOwn.map { _ in false } }
    }

    func changeBackingReference(name: String?, format: String?) throws(BlockError) {}
    func replaceBacking(_ node: (any BlockNode)?) throws(BlockError) {}

    func resize(to length: Int64, preallocation: Preallocation, exact: Bool) throws(BlockError) {
        state.withLock { state in
            let sectors = Int(length) / Self.sector
            state.bytes += [UInt8](repeating: 0, count: max(0, Int(length) - state.bytes.count))
            state.isOwn += [Bool](repeating: false, count: max(0, sectors - state.isOwn.count))
        }
    }

    func status(at offset: Int64, count: Int64, detail: StatusDetail) throws(BlockError) -> BlockStatus {
        state.withLock { state in
            let first = Int(offset) / Self.sector
            guard first < state.isOwn.count else { return BlockStatus(count: 0, isZero: true, isEnd: true) }
            var end = first
            while end < state.isOwn.count, state.isOwn[end] == state.isOwn[first] { end += 1 }
            let isOwn = state.isOwn[first]
            return BlockStatus(
                count: min(count, Int64(end * Self.sector) - offset), isData: isOwn, isAllocated: isOwn)
        }
    }
}
