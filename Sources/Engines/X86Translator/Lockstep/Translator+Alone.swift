// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import X86CPU

extension Translator {
    /// Translates a block that nothing is linked with and that is not kept.
    func translateAlone(_ physical: UInt64, _ key: UInt64, limit: Int, _ cpu: SoftCPU) -> LockstepRegion? {
        makeRoom()
        let modeKey = key & (1 << Self.modeBits - 1)
        let reader = CodeReader(
            cpu, page: physical >> 12, mode: UInt8(truncatingIfNeeded: modeKey), buffer: buffer)
        var block = BlockTranslator(
            reader: reader, stubs: stubs, mode: mode, key: modeKey, page: physical >> 12,
            start: Int(physical & UInt64(CodeReader.pageSize - 1)), place: cursor, firstSite: sites.count)
        block.isAlone = true
        block.limit = limit
        guard block.decode() else { return nil }
        block.dataOffset = keepInstructions(block)
        block.emit()
        finish(block)
        let instructions = (data.base + block.dataOffset).assumingMemoryBound(to: Instruction.self)
        return LockstepRegion(
            block.body, UnsafePointer(instructions), area.executable(block.entries.saved), page: block.page)
    }
}
