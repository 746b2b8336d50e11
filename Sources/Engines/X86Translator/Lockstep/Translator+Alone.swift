// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import X86CPU

extension Translator {
    /// Translates a block that nothing is linked with and that is not kept.
    /// - Parameter isPlain: its accesses are made one by one.
    func translateAlone(
        _ physical: UInt64, _ key: UInt64, limit: Int, isPlain: Bool = false, _ cpu: SoftCPU
    ) -> LockstepRegion? {
        makeRoom()
        let modeKey = key & (1 << Self.modeBits - 1)
        let reader = CodeReader(
            cpu, page: physical >> 12, mode: UInt8(truncatingIfNeeded: modeKey), buffer: buffer)
        var block = BlockTranslator(
            reader: reader, stubs: stubs, mode: mode, key: modeKey, page: physical >> 12,
            start: Int(physical & UInt64(CodeReader.pageSize - 1)), place: cursor, coldPlace: coldCursor,
            firstSite: sites.count)
        block.isAlone = true
        block.limit = limit
        block.isPlain = isPlain
        slots.isUser = UInt8(truncatingIfNeeded: modeKey) & StateLayout.userBit != 0
        if slots.isUser || cachesEverywhere { block.slots = slots }
        guard block.decode() else { return nil }
        block.dataOffset = keepInstructions(block)
        block.emit()
        finish(block)
        let instructions = (data.base + block.dataOffset).assumingMemoryBound(to: Instruction.self)
        return LockstepRegion(
            block.body, UnsafePointer(instructions), area.executable(block.entries.saved), page: block.page)
    }
}
