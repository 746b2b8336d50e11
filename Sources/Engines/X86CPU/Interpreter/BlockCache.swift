// SPDX-License-Identifier: Apache-2.0

internal import GuestMemory
internal import HostSystem

/// The decoded blocks of one processor. All is done on the processor's thread, and memory of dropped blocks is reused only
/// between blocks, when nothing can point into it.
final class BlockCache {
    /// Bytes of instructions before everything is forgotten and decoded anew.
    private static let arenaSize = 16 << 20
    private static let hashBits: UInt64 = 16, hashCount = 1 << hashBits

    private let arena: MemoryMapping
    private var used = 0
    /// Bytes of the arena that take up host memory.
    private(set) var resident = 0
    private let heads: UnsafeMutablePointer<UnsafeMutablePointer<Block>?>
    private var pages: [UInt64: UnsafeMutablePointer<Block>] = [:]
    private let state: State
    /// Room for one block that is not kept: code in device space, or beyond a segment's limit.
    private let scratch: UnsafeMutablePointer<Block>

    init(state: State) throws(Errno) {
        self.state = state
        arena = try MemoryMapping.anonymous(count: Self.arenaSize)
        heads = ZeroedMemory.allocate(Self.hashCount, of: UnsafeMutablePointer<Block>?.self)
        scratch = UnsafeMutableRawPointer.allocate(byteCount: Block.bytes(forInstructions: 1), alignment: 16)
            .bindMemory(to: Block.self, capacity: 1)
    }

    deinit {
        ZeroedMemory.deallocate(heads, Self.hashCount)
        scratch.deallocate()
    }

    private static func hash(_ physical: UInt64, _ mode: CodeMode) -> Int {
        let mixed = (physical ^ UInt64(mode.rawValue) << 40) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: mixed >> (64 - hashBits))
    }

    /// A block that was decoded before; any of those that begin there and go on in different pages.
    func find(physical: UInt64, mode: CodeMode) -> UnsafeMutablePointer<Block>? {
        find(from: heads[Self.hash(physical, mode)], physical, mode)
    }

    /// As `block`, which crosses pages, for another second page.
    func find(like block: UnsafeMutablePointer<Block>, secondPage: UInt64) -> UnsafeMutablePointer<Block>? {
        var next: UnsafeMutablePointer<Block>? = block
        while let block = next, block.pointee.secondPage != secondPage {
            next = find(from: block.pointee.nextInHash, block.pointee.physical, block.pointee.mode)
        }
        return next
    }

    private func find(
        from first: UnsafeMutablePointer<Block>?, _ physical: UInt64, _ mode: CodeMode
    ) -> UnsafeMutablePointer<Block>? {
        var next = first
        while let block = next {
            if block.pointee.physical == physical, block.pointee.mode == mode { return block }
            next = block.pointee.nextInHash
        }
        return nil
    }

    /// Room for a block of up to `count` instructions: the scratch block, or in the arena. `keep` then makes it last.
    func room(forInstructions count: Int, isScratch: Bool) -> UnsafeMutablePointer<Block> {
        if isScratch { return scratch }
        if used + Block.bytes(forInstructions: count) > Self.arenaSize { dropAll() }
        return (arena.base + used).bindMemory(to: Block.self, capacity: 1)
    }

    /// Keeps the block in the last `room`.
    func keep(_ block: UnsafeMutablePointer<Block>) {
        used += Block.bytes(forInstructions: Int(block.pointee.count))
        resident = max(resident, used)
        let page = block.pointee.physical / GuestMemory.pageSize
        if block.pointee.secondPage != page {
            block.pointee.nextInPage = pages[page]
            pages[page] = block
        }
        let hash = Self.hash(block.pointee.physical, block.pointee.mode)
        block.pointee.nextInHash = heads[hash]
        heads[hash] = block
        if block.pointee.secondPage != Block.noPage {
            block.pointee.nextInSecondPage = pages[block.pointee.secondPage]
            pages[block.pointee.secondPage] = block
        }
    }

    /// Forgets the blocks with code in a page. One of them may be running: its instructions are changed to such that
    /// leave the block and go on at the same place.
    func drop(page: UInt64) {
        var next = pages.removeValue(forKey: page)
        state.forgetFetches()
        state.cpu.translator?.drop(page: page)
        while let block = next {
            let isSecond = block.pointee.secondPage == page
            next = isSecond ? block.pointee.nextInSecondPage : block.pointee.nextInPage
            for index in 0...Int(block.pointee.count) { block.instructions[index].handler = resumeHandler }
            unlinkFromHash(block)
            if block.pointee.secondPage != Block.noPage {
                unlinkFromPage(
                    block, isSecond ? block.pointee.physical / GuestMemory.pageSize : block.pointee.secondPage)
            }
        }
    }

    private func unlinkFromHash(_ block: UnsafeMutablePointer<Block>) {
        let hash = Self.hash(block.pointee.physical, block.pointee.mode)
        var link = heads[hash]
        if link == block {
            heads[hash] = block.pointee.nextInHash
            return
        }
        while let current = link {
            if current.pointee.nextInHash == block {
                current.pointee.nextInHash = block.pointee.nextInHash
                return
            }
            link = current.pointee.nextInHash
        }
    }

    private func unlinkFromPage(_ block: UnsafeMutablePointer<Block>, _ page: UInt64) {
        let following = block.pointee.secondPage == page ? block.pointee.nextInSecondPage : block.pointee.nextInPage
        guard var current = pages[page] else { return }
        if current == block {
            pages[page] = following
            return
        }
        while true {
            let isSecond = current.pointee.secondPage == page
            guard let next = isSecond ? current.pointee.nextInSecondPage : current.pointee.nextInPage else { return }
            if next == block {
                if isSecond {
                    current.pointee.nextInSecondPage = following
                } else {
                    current.pointee.nextInPage = following
                }
                return
            }
            current = next
        }
    }

    /// Forgets all blocks. Between blocks only.
    func dropAll() {
        used = 0
        pages.removeAll(keepingCapacity: true)
        heads.update(repeating: nil, count: Self.hashCount)
        state.forgetFetches()
    }

    /// Forgets all blocks and gives their memory back to the host. Between blocks only.
    func release() {
        dropAll()
        pages = [:]
        ZeroedMemory.discard(heads, Self.hashCount)
        ZeroedMemory.discard(state.pointee.jumpCache, JumpCache.count)
        arena.discard(first: resident)
        resident = 0
    }
}

/// Leaves the block and goes on at this instruction's own place, decoded anew.
let resumeHandler: Handler = { state, instruction in
    handle(state, instruction) { state, instruction throws(CPUFault) in
        state.pointee.rip = state.ownIP(instruction)
        return .branch
    }
}
