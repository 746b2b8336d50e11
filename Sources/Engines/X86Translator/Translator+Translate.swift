// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import X86CPU

// Translates blocks, and keeps what they are made of.
extension Translator {
    func translate(_ physical: UInt64, _ key: UInt64, _ cpu: SoftCPU, isPlain: Bool = false) -> BlockEntries? {
        makeRoom()
        let page = physical >> 12
        guard drops[page, default: 0] < maximumDrops else { return nil }
        let start = Int(physical & UInt64(CodeReader.pageSize - 1))
        let modeKey = key & (1 << Self.modeBits - 1)
        let reader = CodeReader(
            cpu, page: page, mode: UInt8(truncatingIfNeeded: modeKey), buffer: buffer)
        var block = BlockTranslator(
            reader: reader, stubs: stubs, mode: mode, key: modeKey, page: page, start: start,
            place: cursor,
            firstSite: sites.count)
        guard block.decode() else {
            remember(nil, key, page, isPlain)
            return nil
        }
        block.dataOffset = keepInstructions(block)
        block.isPlain = isPlain
        block.keepsLocks = !isOnlyProcessor
        slots.isUser = UInt8(truncatingIfNeeded: modeKey) & StateLayout.userBit != 0
        if slots.isUser || cachesEverywhere { block.slots = slots }
        block.loopCells = slots
        block.farCells = farCells
        block.firstFarSite = farSites.count
        block.emit()
        finish(block)
        remember(block.entries, key, page, isPlain)
        return block.entries
    }

    /// Makes sure that there is room for a block.
    func makeRoom() {
        if area.count - (cursor - area.start) < Self.blockBytes || data.count - dataUsed < Self.dataBytes {
            dropAll()
        }
    }

    func keyOf(_ physical: UInt64, _ cpu: SoftCPU) -> UInt64 { physical << Self.modeBits | modeKey(cpu) }

    /// Keeps the code that was emitted at `cursor`.
    func finish(_ block: BlockTranslator) {
        let count = block.emitter.cursor - cursor
        let host = area.executable(cursor)
        BlockLog.write(block, host: host, code: UnsafeRawBufferPointer(start: cursor, count: count))
        perfMap?.note(
            host, count: count, name: "guest-0x\(String(block.page << 12 | UInt64(block.start), radix: 16))")
        cursor += (count + 15) & ~15
        sites += block.sites
        farSites += block.farSites
        cachedSites += block.cachedSites
        statistics.note(block, hostBytes: count)
    }

    private func remember(_ entries: BlockEntries?, _ key: UInt64, _ page: UInt64, _ isPlain: Bool) {
        if isPlain { plainBlocks.set(key, entries) } else { blocks.set(key, entries) }
        pages[page, default: []].append(key)
    }

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
