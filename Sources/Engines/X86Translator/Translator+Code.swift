// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import X86CPU

// Where translated code and its instructions are kept. What is run again and again lies together, apart from the code out
// of line, so that caches and TLBs of the host hold more of it.
extension Translator {
    /// Bytes of translated code.
    var codeBytes: Int { (cursor - stubs.end) + (coldCursor - coldStart) }

    /// There is room for one more block's code.
    var hasRoomForCode: Bool {
        coldStart - cursor >= Self.blockBytes && area.start + area.count - coldCursor >= Self.blockBytes
    }

    /// Makes sure that there is room for a block.
    func makeRoom() {
        if !hasRoomForCode || data.count - dataUsed < Self.dataBytes { dropAll() }
    }

    /// Keeps the code that was emitted at `cursor` and `coldCursor`.
    func finish(_ block: BlockTranslator) {
        let count = block.emitter.cursor - cursor
        let coldCount = block.coldEmitter.cursor - coldCursor
        let host = area.executable(cursor)
        BlockLog.write(
            block, host: host, code: UnsafeRawBufferPointer(start: cursor, count: count),
            cold: UnsafeRawBufferPointer(start: coldCursor, count: coldCount))
        perfMap?.note(
            host, count: count, name: "guest-0x\(String(block.page << 12 | UInt64(block.start), radix: 16))")
        cursor += Self.padded(count)
        coldCursor += Self.padded(coldCount)
        sites += block.sites
        farSites += block.farSites
        cachedSites += block.cachedSites
        statistics.note(block, hostBytes: count + coldCount)
    }

    /// Keeps code out of line that was emitted at `coldCursor`.
    func keep(_ emitter: Emitter) { coldCursor += Self.padded(emitter.cursor - coldCursor) }

    private static func padded(_ count: Int) -> Int { (count + 15) & ~15 }

    /// - Returns: where the first instruction lies in the data area.
    func keepInstructions(_ block: BlockTranslator) -> Int {
        let stride = MemoryLayout<Instruction>.stride
        data.base.storeBytes(of: block.start, toByteOffset: dataUsed, as: Int.self)
        let first = dataUsed + Self.headerBytes
        let places = (data.base + first).bindMemory(
            to: Instruction.self, capacity: block.body.count + 1)
        var end = 0
        for (index, item) in block.body.enumerated() {
            var instruction = item.instruction
            instruction.ordinal = UInt8(index)
            instruction.counter = InterpretedCounts.counter(item)
            (places + index).initialize(to: instruction)
            end = item.end - block.start
        }
        (places + block.body.count).initialize(
            to: resumeInstruction(offset: end, ordinal: block.body.count))
        dataUsed = first + (block.body.count + 1) * stride
        return first
    }
}
