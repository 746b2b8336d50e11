// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import X86CPU

// Calls of the interpreter by translated code, and of the translator by the interpreter.
extension Translator {
    func interpret(_ site: Int) -> Int32 {
        let instruction = UnsafePointer((data.base + site).assumingMemoryBound(to: Instruction.self))
        let first = UnsafeRawPointer(instruction - Int(instruction.pointee.ordinal))
        let start = (first - Self.headerBytes).load(as: Int.self)
        let blockIP = translation.pointee.codePage &+ UInt64(start)
        counts.count(instruction)
        let (drops, epoch) = (dropCount, translation.pointee.globalEpoch)
        let outcome = X86CPU.interpret(state, instruction, blockIP: blockIP)
        guard outcome == ExitReason.none, dropCount != drops || translation.pointee.globalEpoch != epoch else {
            return outcome
        }
        // The block itself may be among what was forgotten, or memory that it reached lies elsewhere now.
        cpu._withUnsafeGuaranteedRef {
            $0.translationRIP =
                blockIP &+ UInt64(instruction.pointee.offset) &+ UInt64(instruction.pointee.length)
        }
        return Outcome.branch.rawValue
    }
}

/// The translator of a processor's state.
func translator(_ state: UnsafeMutableRawPointer) -> Unmanaged<Translator> {
    let context = (state + Int(StateLayout.translation)).assumingMemoryBound(
        to: TranslationState.self
    ).pointee.context
    // Set by the translator, which lives as long as its processor.
    return Unmanaged<Translator>.fromOpaque(context.unsafelyUnwrapped)
}

/// What `Stubs.interpret` calls.
let interpretForTranslation: @convention(c) (UnsafeMutableRawPointer, UInt32) -> Int32 = {
    state, site in
    translator(state)._withUnsafeGuaranteedRef { $0.interpret(Int(site)) }
}

/// `TranslationState.run` in lockstep mode.
let runTranslationInLockstep: @convention(c) (UnsafeMutableRawPointer, UInt64) -> Int32 = {
    state, linear in
    translator(state)._withUnsafeGuaranteedRef { translator in
        // Set together with this function.
        translator.runInLockstep(linear, translator.lockstep.unsafelyUnwrapped)
    }
}

/// `TranslationState.run`.
let runTranslation: @convention(c) (UnsafeMutableRawPointer, UInt64) -> Int32 = {
    state, linear in
    translator(state)._withUnsafeGuaranteedRef { $0.run(linear) }
}
