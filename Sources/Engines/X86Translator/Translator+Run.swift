// SPDX-License-Identifier: Apache-2.0

internal import HostSystem
internal import X86CPU

// Runs translated code, and answers what it comes back for.
extension Translator {
    fileprivate func run(_ first: UInt64) -> Int32 {
        cpu._withUnsafeGuaranteedRef { cpu in
            cpu.saveFlagsForTranslation()
            var linear = first
            var isHot = true
            var direct: UnsafeRawPointer?
            // What the code may do without a check.
            var mayHaveChanged = true
            let mode = cpu.codeMode
            while true {
                if mayHaveChanged {
                    updateMode(cpu)
                    updateKeys(cpu)
                }
                mayHaveChanged = false
                guard let code = direct ?? find(linear, cpu, translates: isHot) else {
                    cpu.takeFlagsOfTranslation()
                    return isHot ? Outcome.next.rawValue : goBack(cpu, mode)
                }
                isHot = false
                direct = nil
                translation.pointee.codePage = linear & ~UInt64(CodeReader.pageSize - 1)
                let result = enter(state, code)
                statistics.exits &+= 1
                let reason = UInt32(truncatingIfNeeded: result)
                let site = Int(result >> 32)
                switch reason {
                case ExitReason.chain:
                    cpu.translationRIP = translation.pointee.codePage &+ UInt64(sites[site].target)
                    link(site)
                case ExitReason.ungroup:
                    cpu.translationRIP = translation.pointee.codePage &+ UInt64(sites[site].target)
                    direct = ungroup(site, cpu)
                case ExitReason.demote: demote(site, cpu)
                case ExitReason.poll: cpu.translationRIP = translation.pointee.codePage &+ UInt64(site)
                case ExitReason.lookup: mayHaveChanged = true
                case ExitReason.missed: break
                case ExitReason.far:
                    let target = farSites[site].target
                    cpu.translationRIP = translation.pointee.codePage &+ UInt64(bitPattern: Int64(target))
                    link(far: site, cpu)
                case ExitReason.returned:
                    if !Self.isCanonical(cpu.translationRIP) { return refuseReturn(site, cpu) }
                case ExitReason.branched:
                    mayHaveChanged = true
                    cpu.saveFlagsForTranslation()
                case ExitReason.left, ExitReason.faulted:
                    mayHaveChanged = true
                    if reason == ExitReason.faulted, !cpu.deliverForTranslation() {
                        return Outcome.fault.rawValue
                    }
                    guard cpu.settleForTranslation() else { return Outcome.exit.rawValue }
                default: return Int32(bitPattern: reason)
                }
                if cpu.isAttentionWanted {
                    cpu.takeFlagsOfTranslation()
                    return goBack(cpu, mode)
                }
                linear = cpu.translationRIP
            }
        }
    }

    /// The interpreter goes on with blocks of the mode that it came with; for another one it starts anew.
    private func goBack(_ cpu: SoftCPU, _ mode: UInt8) -> Int32 {
        cpu.codeMode == mode ? Outcome.branch.rawValue : Outcome.exit.rawValue
    }

    func updateMode(_ cpu: SoftCPU) { mode = cpu.translationMode }

    /// Chooses the keys of the jump table by what the processor's addresses hold, and how code is translated.
    private func updateKeys(_ cpu: SoftCPU) {
        let sources = (cpu.fetchKey, translation.pointee.globalEpoch, modeKey(cpu))
        guard sources != keySources else { return }
        keySources = sources
        // The mode of `fetchKey` is part of the other mode.
        translation.pointee.userKey = table.key((sources.0 >> 8) << Self.modeBits | sources.2)
        translation.pointee.globalKey = table.key(1 << 63 | sources.1 << Self.modeBits | sources.2)
    }

    func modeKey(_ cpu: SoftCPU) -> UInt64 { cpu.fetchKey & 0xFF | mode.bits }

    /// - Returns: where the code of a linear address runs.
    private func find(_ linear: UInt64, _ cpu: SoftCPU, translates: Bool) -> UnsafeRawPointer? {
        let (userKey, globalKey) = (translation.pointee.userKey, translation.pointee.globalKey)
        if let known = table.find(linear, userKey, globalKey) { return known }
        guard let physical = cpu.physicalCode(at: linear) else { return nil }
        let key = physical << Self.modeBits | modeKey(cpu)
        let entries: BlockEntries
        switch blocks.find(key) {
        case .block(let known): entries = known
        case .untranslatable: return nil
        case .unknown:
            guard translates, let made = translate(physical, key, cpu) else { return nil }
            entries = made
        }
        let code = area.executable(entries.saved)
        table.enter(
            linear,
            JumpTable.Entry(
                tag: linear &+ (cpu.isGlobalCode(at: linear) ? globalKey : userKey), code: code,
                page: linear & ~UInt64(CodeReader.pageSize - 1)), userKey, globalKey)
        return code
    }

    func interpret(_ site: Int) -> Int32 {
        let instruction = UnsafePointer((data.base + site).assumingMemoryBound(to: Instruction.self))
        let first = UnsafeRawPointer(instruction - Int(instruction.pointee.ordinal))
        let start = (first - Self.headerBytes).load(as: Int.self)
        let blockIP = translation.pointee.codePage &+ UInt64(start)
        counts.count(instruction)
        let (drops, epoch) = (dropCount, translation.pointee.globalEpoch)
        // 0 is `Outcome.next`, `ExitReason` has the others.
        let outcome = X86CPU.interpret(state, instruction, blockIP: blockIP)
        guard outcome == 0, dropCount != drops || translation.pointee.globalEpoch != epoch else {
            return outcome
        }
        // The block itself may be among what was forgotten, or memory that it reached lies elsewhere now.
        cpu._withUnsafeGuaranteedRef {
            $0.translationRIP =
                blockIP &+ UInt64(instruction.pointee.offset) &+ UInt64(instruction.pointee.length)
        }
        return Int32(bitPattern: ExitReason.branched)
    }
}

private func translator(_ state: UnsafeMutableRawPointer) -> Unmanaged<Translator> {
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
