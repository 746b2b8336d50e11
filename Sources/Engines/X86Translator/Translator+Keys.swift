// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

extension Translator {
    /// Chooses the keys of the jump table by what the processor's addresses hold, and how code is translated.
    func updateKeys(_ cpu: SoftCPU) {
        let sources = (cpu.fetchKey, translation.pointee.globalEpoch, modeKey(cpu))
        guard sources != keySources else { return }
        keySources = sources
        // The mode of `fetchKey` is part of the other mode.
        translation.pointee.userKey = table.key((sources.0 >> 8) << Self.modeBits | sources.2)
        translation.pointee.globalKey = table.key(1 << 63 | sources.1 << Self.modeBits | sources.2)
    }
}
