// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem
internal import MachineSpec
internal import X86CPU
internal import X86Translator

/// What `-accel tcg` says of the software CPU.
struct SoftwareEngineOptions {
    var accelerator: AcceleratorSpec
    var messages: Console
    /// `-perfmap`.
    var perfMap: PerfMap?

    /// - Throws: the host's refusal to write the map of `-perfmap`.
    init(_ spec: MachineSpec, _ accelerator: AcceleratorSpec, messages: Console) throws(UserError) {
        self.accelerator = accelerator
        self.messages = messages
        guard spec.process.writesPerfMap else { return }
        do throws(Errno) { perfMap = try PerfMap() } catch {
            throw UserError("-perfmap: cannot write the map in /tmp", because: error)
        }
    }

    /// Bytes of the translator's code and what belongs to it, for all processors together.
    private static let defaultTranslationBytes: UInt64 = 256 << 20

    var isSingleThreaded: Bool { accelerator.isSingleThreaded }

    /// Gives a processor a translator where one is wanted. A host that refuses memory for code is told of once, and
    /// everything is interpreted there unless the translator was asked for by name.
    /// - Parameters:
    ///   - count: processors at the start, which share the memory for code.
    ///   - possible: processors that there may be.
    func installTranslator(on processor: SoftCPU, of count: Int, possible: Int) throws(UserError) {
        if accelerator.translates == false {
            guard !accelerator.isLockstep else {
                throw UserError("lockstep=on compares translated code", remedy: "leave jit=off out")
            }
            return
        }
        if accelerator.isLockstep, possible > 1 {
            throw UserError(
                "lockstep=on runs each instruction twice, which other vCPUs would see", remedy: "give -smp 1")
        }
        let bytes = Int(accelerator.translationCacheBytes ?? Self.defaultTranslationBytes) / count
        do throws(Errno) {
            if accelerator.isLockstep {
                try Translator.installInLockstep(on: processor, cacheBytes: bytes)
            } else {
                try Translator.install(
                    on: processor, cacheBytes: bytes, perfMap: perfMap, isOnlyProcessor: possible == 1)
            }
        } catch {
            guard accelerator.translates == nil, !accelerator.isLockstep else {
                throw UserError(
                    "cannot map memory for translated code", because: error,
                    remedy: "interpret with -accel tcg,jit=off")
            }
            guard processor.index == 0 else { return }
            messages.warning("code is interpreted, not translated: cannot map memory for code: \(error)")
        }
    }
}
