// SPDX-License-Identifier: Apache-2.0

/// What a translator did since its processor was made.
package struct TranslatorStatistics: Sendable {
    /// Blocks that were translated.
    package var blocks = 0
    /// Instructions in them.
    package var instructions = 0
    /// Bytes of guest code in them.
    package var guestBytes = 0
    /// The most guest bytes in one of them.
    package var largestBlock = 0
    /// Bytes of host code made for them.
    package var hostBytes = 0
    /// Jumps that were linked to their targets.
    package var links = 0
    /// As `links`, to another page.
    package var farLinks = 0
    /// Pages whose code changed.
    package var drops = 0
    /// Times that all was forgotten.
    package var flushes = 0
    /// Returns of translated code to the run loop.
    package var exits = 0
    /// Sites that lost their caches.
    package var demotions = 0
    /// Loops whose accesses are looked up before them.
    package var loops = 0

    /// Nothing happened yet.
    package init() {}

    mutating func note(_ block: BlockTranslator, hostBytes count: Int) {
        let bytes = (block.body.last?.end ?? block.start) - block.start
        blocks += 1
        instructions += block.body.count
        guestBytes += bytes
        largestBlock = max(largestBlock, bytes)
        hostBytes += count
        if block.loopGate != nil { loops += 1 }
    }

    static func += (sum: inout TranslatorStatistics, other: TranslatorStatistics) {
        sum.blocks += other.blocks
        sum.instructions += other.instructions
        sum.guestBytes += other.guestBytes
        sum.largestBlock = max(sum.largestBlock, other.largestBlock)
        sum.hostBytes += other.hostBytes
        sum.links += other.links
        sum.farLinks += other.farLinks
        sum.drops += other.drops
        sum.flushes += other.flushes
        sum.exits += other.exits
        sum.demotions += other.demotions
        sum.loops += other.loops
    }
}
