// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Runs every instruction on both tiers and compares what they leave (`-accel tcg,lockstep=on`):
///
///     region ─► interpreter, noting what is written ─► state A
///        └────► memory and state put back ─► translated code ─► state B: A and B must agree
///
/// What only the interpreter runs (system instructions, device accesses, what faults) runs once, between regions. Flags
/// that nothing looks at may differ; translated code goes on with its own, so that a flag that was wrongly taken for
/// dead comes out where it is used.
final class Lockstep {
    private var regions: [UInt64: LockstepRegion] = [:]
    /// Their keys by page.
    private var pages: [UInt64: [UInt64]] = [:]
    var journal = LockstepJournal()
    let before = ComparedState(), interpreted = ComparedState(), translated = ComparedState()
    /// The flags that translated code left, where the next region goes on from it.
    var carriedFlags: UInt64?
    /// Regions that were compared, and those of them whose accesses did not go together.
    var compared: UInt64 = 0, ungrouped: UInt64 = 0

    /// After so many regions the TLB is emptied before translated code runs, so that its slow paths are compared too.
    static let flushInterval: UInt64 = 61

    deinit {
        journal.deallocate()
        before.deallocate()
        interpreted.deallocate()
        translated.deallocate()
    }

    subscript(_ key: UInt64) -> LockstepRegion? { regions[key] }

    func keep(_ region: LockstepRegion, _ key: UInt64) {
        regions[key] = region
        pages[region.physicalPage, default: []].append(key)
    }

    /// - Returns: whether there was anything to forget.
    func forget(page: UInt64) -> Bool {
        guard let keys = pages.removeValue(forKey: page) else { return false }
        for key in keys { regions.removeValue(forKey: key) }
        return true
    }

    func forget() {
        regions.removeAll(keepingCapacity: true)
        pages.removeAll(keepingCapacity: true)
    }
}

extension Translator {
    /// One round from a linear address: a region on both tiers, or one instruction on the interpreter.
    /// - Returns: an `Outcome` as for `TranslationState.run`.
    func runInLockstep(_ first: UInt64, _ lockstep: Lockstep) -> Int32 {
        cpu._withUnsafeGuaranteedRef { cpu in
            var linear = first
            while true {
                updateMode(cpu)
                guard let region = region(at: linear, cpu, lockstep) else {
                    lockstep.carriedFlags = nil
                    return linear == first ? Outcome.next.rawValue : Outcome.branch.rawValue
                }
                let page = linear & ~UInt64(CodeReader.pageSize - 1)
                translation.pointee.codePage = page
                let outcome = compare(region, page &+ UInt64(region.start), cpu, lockstep)
                if outcome != Outcome.branch.rawValue { return outcome }
                if cpu.isAttentionWanted || cpu.failure != nil { return Outcome.branch.rawValue }
                linear = cpu.translationRIP &+ cpu.codeBase
            }
        }
    }

    // MARK: regions

    private func region(at linear: UInt64, _ cpu: SoftCPU, _ lockstep: Lockstep) -> LockstepRegion? {
        guard let physical = cpu.physicalCode(at: linear) else { return nil }
        let key = keyOf(physical, cpu)
        if let known = lockstep[key] { return known }
        guard let made = translateAlone(physical, key, limit: BlockTranslator.maximumInstructions, cpu) else {
            return nil
        }
        lockstep.keep(made, key)
        return made
    }

    // MARK: comparing

    private func compare(_ region: LockstepRegion, _ blockIP: UInt64, _ cpu: SoftCPU, _ lockstep: Lockstep) -> Int32 {
        let base = cpu.codeBase
        let count = runInterpreter(region, blockIP &- base, cpu, lockstep)
        if count == 0 {
            lockstep.carriedFlags = nil
            return runOnce(region, blockIP &- base, cpu)
        }
        cpu.capture(lockstep.interpreted, units: region.usesUnits)
        lockstep.journal.undo()
        cpu.restore(lockstep.before, units: region.usesUnits)
        cpu.saveFlagsForTranslation()
        if let flags = lockstep.carriedFlags { translation.pointee.savedFlags = flags }
        lockstep.compared += 1
        if lockstep.compared % Lockstep.flushInterval == 0 { cpu.forgetDataTranslations() }
        guard var reason = runTranslated(region, count, isPlain: false, cpu) else { return Outcome.next.rawValue }
        if reason == ExitReason.ungroup || reason == ExitReason.demote {
            // It came half way: again, with each access by itself.
            lockstep.ungrouped += 1
            lockstep.journal.restore()
            cpu.restore(lockstep.before, units: region.usesUnits)
            cpu.saveFlagsForTranslation()
            if let flags = lockstep.carriedFlags { translation.pointee.savedFlags = flags }
            guard let again = runTranslated(region, count, isPlain: true, cpu) else { return Outcome.next.rawValue }
            reason = again
        }
        if reason == ExitReason.poll {
            cpu.restore(lockstep.before, units: region.usesUnits)
            return Outcome.branch.rawValue
        }
        let flags = translation.pointee.savedFlags
        cpu.capture(lockstep.translated, units: region.usesUnits)
        lockstep.translated[ComparedState.flags] = SoftCPU.flagsImage(ofSaved: flags)
        report(region, count, reason, lockstep, cpu)
        lockstep.carriedFlags = flags
        let open = region.openFlags[count - 1]
        lockstep.interpreted[ComparedState.flags] =
            lockstep.interpreted[ComparedState.flags] & ~open | lockstep.translated[ComparedState.flags] & open
        cpu.restore(lockstep.interpreted, units: region.usesUnits)
        return Outcome.branch.rawValue
    }

    /// Runs a region on the interpreter as far as it can be done again.
    /// - Returns: how many instructions it ran; rip is the next one's.
    private func runInterpreter(
        _ region: LockstepRegion, _ blockIP: UInt64, _ cpu: SoftCPU, _ lockstep: Lockstep
    ) -> Int {
        lockstep.journal.clear()
        cpu.translationRIP = blockIP
        cpu.capture(lockstep.before, units: region.usesUnits)
        cpu.saveFlagsForTranslation()
        let drops = dropCount
        for index in 0..<region.count {
            // Code that was changed is decoded anew.
            guard drops == dropCount, region.prepare(index, cpu, blockIP: blockIP, &lockstep.journal)
            else { return finish(index, region, blockIP, cpu) }
            switch X86CPU.interpret(state, region.instructions + index, blockIP: blockIP) {
            case Outcome.next.rawValue: continue
            case Outcome.branch.rawValue: return index + 1
            default:
                // It faults: nothing of it has happened.
                return finish(index, region, blockIP, cpu)
            }
        }
        return finish(region.count, region, blockIP, cpu)
    }

    private func finish(_ count: Int, _ region: LockstepRegion, _ blockIP: UInt64, _ cpu: SoftCPU) -> Int {
        cpu.takeFlagsOfTranslation()
        cpu.translationRIP = blockIP &+ UInt64(region.instructions[count].offset)
        return count
    }

    /// Runs a region's first instruction on the interpreter alone.
    private func runOnce(_ region: LockstepRegion, _ blockIP: UInt64, _ cpu: SoftCPU) -> Int32 {
        cpu.saveFlagsForTranslation()
        let first = region.instructions
        let next = blockIP &+ UInt64(first.pointee.length)
        let outcome = X86CPU.interpret(state, first, blockIP: blockIP)
        guard outcome == Outcome.next.rawValue else { return outcome }
        cpu.takeFlagsOfTranslation()
        cpu.translationRIP = next
        return Outcome.branch.rawValue
    }

    /// The code of a region's first instructions.
    private func entry(_ region: LockstepRegion, _ count: Int, isPlain: Bool, _ cpu: SoftCPU) -> UnsafeRawPointer? {
        let isWhole = count == region.count
        if isWhole, let known = isPlain ? region.plainEntry : region.entry { return known }
        guard let physical = cpu.physicalCode(at: translation.pointee.codePage &+ UInt64(region.start)) else {
            return nil
        }
        let part = translateAlone(physical, keyOf(physical, cpu), limit: count, isPlain: isPlain, cpu)
        if isWhole { region.plainEntry = part?.entry }
        return part?.entry
    }

    /// - Returns: why translated code came back; nil where there is none.
    private func runTranslated(_ region: LockstepRegion, _ count: Int, isPlain: Bool, _ cpu: SoftCPU) -> UInt32? {
        guard let entry = entry(region, count, isPlain: isPlain, cpu) else { return nil }
        let page = translation.pointee.codePage
        let result = enter(state, entry)
        let reason = UInt32(truncatingIfNeeded: result)
        let site = Int(result >> 32)
        switch reason {
        case ExitReason.demote: demote(site, cpu)
        case ExitReason.chain: cpu.translationRIP = page &+ UInt64(sites[site].target) &- cpu.codeBase
        case UInt32(Outcome.branch.rawValue): cpu.saveFlagsForTranslation()
        default: break
        }
        return reason
    }

    // MARK: reporting

    private func report(
        _ region: LockstepRegion, _ count: Int, _ reason: UInt32, _ lockstep: Lockstep, _ cpu: SoftCPU
    ) {
        let defined = region.flagsAfter[count - 1]
        let flagsDiffer =
            (lockstep.interpreted[ComparedState.flags] ^ lockstep.translated[ComparedState.flags]) & defined != 0
        let agrees =
            lockstep.interpreted.agrees(with: lockstep.translated, units: region.usesUnits) && !flagsDiffer
        if agrees, lockstep.journal.agrees, reason != UInt32(Outcome.fault.rawValue) { return }
        var lines = lockstep.journal.differences()
        if !agrees {
            lines += lockstep.interpreted.differences(from: lockstep.translated, units: region.usesUnits)
        }
        if reason == UInt32(Outcome.fault.rawValue) { lines.append("translated code faulted") }
        let code = region.items[..<count].map {
            "  +\($0.offset - region.start) \(instructionName(ofKind: Int($0.instruction.counter))) (\($0.kind))"
        }
        cpu.failure = """
            the interpreter and translated code differ after \(lockstep.compared) regions, in code at \
            0x\(String(lockstep.before[ComparedState.rip], radix: 16)) (physical page 0x\
            \(String(region.physicalPage, radix: 16))):
            \(code.joined(separator: "\n"))
            interpreter's value, translated code's:
              \(lines.joined(separator: "\n  "))
            before:
            \(lockstep.before.description)interpreter:
            \(lockstep.interpreted.description)translated code:
            \(lockstep.translated.description)
            """
    }
}
