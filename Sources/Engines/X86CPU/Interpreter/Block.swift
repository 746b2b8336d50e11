// SPDX-License-Identifier: Apache-2.0

/// A run of decoded instructions with one entry. `count` instructions follow the header in memory, then one that goes
/// on to the next block.
struct Block {
    /// Guest-physical address of the first byte.
    var physical: UInt64
    var mode: CodeMode
    /// Instructions, the last one that continues elsewhere not counted.
    var count: Int32 = 0
    /// Bytes of code.
    var byteCount: Int32 = 0
    /// How often it was entered, until it is worth translating.
    var heat: Int32 = 0
    var nextInHash: UnsafeMutablePointer<Block>?
    /// Links of the lists of blocks with code in a page: of the first page, and of the second where it crosses.
    var nextInPage: UnsafeMutablePointer<Block>?
    var nextInSecondPage: UnsafeMutablePointer<Block>?
    /// The page that the block runs into, or `noPage`.
    var secondPage: UInt64 = Block.noPage

    static let noPage = UInt64.max
    static let instructionsOffset = MemoryLayout<Block>.stride
    /// Instructions in a block at most; `Instruction.ordinal` and `offset` hold them.
    static let maximumInstructions = 64

    static func bytes(forInstructions count: Int) -> Int {
        (instructionsOffset + (count + 1) * MemoryLayout<Instruction>.stride + 15) & ~15
    }
}

extension UnsafeMutablePointer where Pointee == Block {
    /// The block's instructions.
    @inline(__always)
    var instructions: UnsafeMutablePointer<Instruction> {
        (UnsafeMutableRawPointer(self) + Block.instructionsOffset).assumingMemoryBound(to: Instruction.self)
    }
}

/// An entry of the table by linear address.
struct JumpCacheEntry {
    /// CS.base + rip.
    var linear: UInt64
    /// `CPUState.fetchKey` when it was filled.
    var key: UInt64
    var block: UnsafeMutablePointer<Block>?
}

/// The table of blocks by linear address.
enum JumpCache {
    static let count = 4096

    @inline(__always)
    static func index(_ linear: UInt64) -> Int {
        // Folding the page number in keeps functions at like offsets of different pages apart.
        Int(truncatingIfNeeded: (linear ^ (linear >> 12)) & UInt64(count - 1))
    }
}
