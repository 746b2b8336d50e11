// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

extension Translator {
    /// Chooses the keys of the jump table by what the processor's addresses hold, and how code is translated: those of
    /// the other privilege too, which a system call goes to without coming here.
    func updateKeys(_ cpu: SoftCPU) {
        let user = UInt64(StateLayout.userBit)
        let sources = (cpu.fetchKey >> 8, translation.pointee.globalEpoch, modeKey(cpu) & ~user)
        guard sources != keySources else { return }
        keySources = sources
        translation.pointee.kernelKeys = keys(sources.0, sources.1, sources.2)
        translation.pointee.userKeys = keys(sources.0, sources.1, sources.2 | user)
    }

    /// - Parameters:
    ///   - fetches: counts what may have changed code of this address space.
    ///   - epoch: as `fetches` for global pages.
    private func keys(_ fetches: UInt64, _ epoch: UInt64, _ mode: UInt64) -> JumpKeys {
        JumpKeys(
            space: table.key(fetches << Self.modeBits | mode),
            global: table.key(1 << 63 | epoch << Self.modeBits | mode))
    }

    /// The keys in force.
    func jumpKeys(_ cpu: SoftCPU) -> JumpKeys {
        cpu.codeMode & StateLayout.userBit != 0 ? translation.pointee.userKeys : translation.pointee.kernelKeys
    }
}
