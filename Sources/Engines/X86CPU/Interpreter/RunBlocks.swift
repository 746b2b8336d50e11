// SPDX-License-Identifier: Apache-2.0

/// Runs guest code from CS:rip on until something else must be done:
///
///     .branch   attention is wanted, or `limit` is used up; rip is the next instruction's
///     .exit     as `.branch`, after an instruction that changed mode, paging, or the interrupt flag, or halted
///     .fault    an exception is pending; rip is the faulting instruction's
///
/// - Parameter limit: instructions to run; with 1 exactly one is run, whatever `attention` says; with more, whole
///   blocks are run and at least one.
func executeBlocks(_ state: State, limit: UInt64) -> Outcome {
    let mode = CodeMode(state, isSingle: limit == 1)
    let cpu = state.cpu
    let builder = BlockBuilder(state, cpu, mode)
    let codeBase = mode.is64 ? 0 : state.segment(SegmentRegister.cs).pointee.base
    let codeLimit = mode.is64 ? UInt64.max : UInt64(state.segment(SegmentRegister.cs).pointee.limit)
    let isLimited = codeLimit < 0xFFFF_FFFF
    state.pointee.fetchKey = state.pointee.fetchKey & ~0xFF | UInt64(mode.rawValue)
    let end = state.pointee.instructionCount &+ min(limit, UInt64(Int64.max))
    let translated = limit == 1 || !mode.isTranslatable ? nil : state.pointee.translation.run
    while true {
        let linear = state.codeLinear(codeBase &+ state.pointee.rip)
        let entry = state.pointee.jumpCache + JumpCache.index(linear)
        var block: UnsafeMutablePointer<Block>
        if entry.pointee.linear == linear, entry.pointee.key == state.pointee.fetchKey, let known = entry.pointee.block
        {
            block = known
        } else {
            do throws(CPUFault) { block = try builder.block(at: linear) } catch { return .fault }
        }
        if isLimited, state.pointee.rip &+ UInt64(block.pointee.byteCount) > codeLimit &+ 1 {
            let rest = codeLimit &+ 1 &- min(state.pointee.rip, codeLimit &+ 1)
            do throws(CPUFault) { block = try builder.scratchBlock(at: linear, limit: rest) } catch { return .fault }
        }
        if let translated {
            block.pointee.heat &+= 1
            if block.pointee.heat > state.pointee.translation.threshold {
                let outcome = translated(state, linear)
                if outcome == Outcome.branch.rawValue {
                    if state.pointee.attention == 0 { continue }
                    return .branch
                }
                if outcome == Outcome.fault.rawValue { return .fault }
                if outcome == Outcome.exit.rawValue { return .exit }
            }
        }
        state.pointee.blockIP = state.pointee.rip
        var instruction = UnsafePointer(block.instructions)
        var outcome = instruction.pointee.handler(state, instruction)
        while outcome == Outcome.next.rawValue {
            instruction += 1
            outcome = instruction.pointee.handler(state, instruction)
        }
        if outcome == Outcome.branch.rawValue {
            state.pointee.instructionCount &+= UInt64(instruction.pointee.ordinal) &+ 1
            if state.pointee.attention == 0, Int64(bitPattern: end &- state.pointee.instructionCount) > 0 { continue }
            return .branch
        }
        if outcome == Outcome.fault.rawValue {
            state.pointee.instructionCount &+= UInt64(instruction.pointee.ordinal)
            state.settleFault(instruction)
            return .fault
        }
        state.pointee.instructionCount &+= UInt64(instruction.pointee.ordinal) &+ 1
        return .exit
    }
}

extension UnsafeMutablePointer where Pointee == CPUState {
    /// Sets rip back to the faulting instruction, and decides between #GP and #SS for a non-canonical address.
    func settleFault(_ instruction: UnsafePointer<Instruction>) {
        pointee.rip = ownIP(instruction)
        guard pointee.faultIsNonCanonical else { return }
        pointee.faultIsNonCanonical = false
        let prefixes = instruction.pointee.prefixes
        var isStack = prefixes.contains(.implicitStack)
        if prefixes.contains(.memory) {
            let operand = segment(Int(instruction.pointee.segment)).pointee.base &+ effectiveOffset(instruction)
            // 64 bytes are more than any explicit operand has but for the state areas, which begin at the operand.
            if pointee.faultAddress &- operand < 64 || !isStack { isStack = prefixes.contains(.stackSegment) }
        }
        if isStack { pointee.faultVector = Vector.stackFault }
    }
}
