// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

// Leads jumps to their targets once these are known.
extension Translator {
    func link(_ number: Int) {
        let site = sites[number]
        let key = (site.page << 12 | UInt64(site.target)) << Self.modeBits | site.mode
        let found = blocks.find(key)
        guard case .block(let entries) = found else {
            if case .untranslatable = found { linkThroughTable(site) }
            return
        }
        let target =
            site.needsSavedEntry ? entries.saved : site.isForward ? entries.unpolled : entries.native
        Emitter.link(site.place, to: target)
        statistics.links += 1
    }

    /// Goes to the target of a direct jump to another page, and links it if the target's code is known.
    func link(far number: Int, _ cpu: SoftCPU) {
        let site = farSites[number]
        let linear = translation.pointee.codePage &+ UInt64(bitPattern: Int64(site.target))
        cpu.translationRIP = linear
        guard let physical = cpu.physicalCode(at: linear) else { return }
        let found = blocks.find(physical << Self.modeBits | modeKey(cpu))
        if case .unknown = found { return }
        Emitter.link(site.exit, to: site.isUser ? stubs.userFarMiss : stubs.kernelFarMiss)
        // The table knows what begins in one page and ends in another; its site is never filled.
        guard case .block(let entries) = found else { return }
        // The key of global pages says nothing of others: kernels that have none look into the table each time.
        guard site.isUser || cpu.isGlobalCode(at: linear) else { return }
        let key = site.isUser ? translation.pointee.userKeys.space : translation.pointee.kernelKeys.global
        let cell = state + Int(site.cell)
        let check = 0 &- (key &+ translation.pointee.codePage)
        let code = UInt64(UInt(bitPattern: area.executable(entries.saved)))
        cell.storeBytes(of: check, toByteOffset: Int(FarCell.check), as: UInt64.self)
        cell.storeBytes(of: code, toByteOffset: Int(FarCell.code), as: UInt64.self)
        Emitter.link(site.place, to: site.needsSavedEntry ? entries.saved : entries.native)
        statistics.farLinks += 1
    }
}
