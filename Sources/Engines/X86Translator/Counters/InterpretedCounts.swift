// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// How often translated code called the interpreter, by kind of instruction: for those that have no code of their own, and
/// for those whose code gave up (a page that the TLB does not know, a device, an operand over a page's end).
struct InterpretedCounts {
    /// Untranslated kinds first, then the same kinds for code that gave up.
    private let counts: UnsafeMutablePointer<UInt64>

    init() {
        counts = .allocate(capacity: 2 * instructionKindCount)
        counts.initialize(repeating: 0, count: 2 * instructionKindCount)
    }

    func deallocate() { counts.deallocate() }

    /// What an instruction of a block is counted under.
    static func counter(_ item: BlockInstruction) -> UInt16 {
        let kind = Int(item.instruction.counter)
        return UInt16(truncatingIfNeeded: item.kind == .interpreted ? kind : kind + instructionKindCount)
    }

    @inline(__always)
    func count(_ instruction: UnsafePointer<Instruction>) { counts[Int(instruction.pointee.counter)] &+= 1 }

    /// Adds to sums by mnemonic.
    func add(to sums: inout [String: TranslatorReport.Interpreted]) {
        for kind in 0..<instructionKindCount {
            let (untranslated, missed) = (counts[kind], counts[kind + instructionKindCount])
            guard untranslated != 0 || missed != 0 else { continue }
            sums[instructionName(ofKind: kind), default: .init()].untranslated += untranslated
            sums[instructionName(ofKind: kind), default: .init()].missed += missed
        }
    }
}
