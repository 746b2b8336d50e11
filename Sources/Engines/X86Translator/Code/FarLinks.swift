// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// A direct jump to another page, which is linked to its target's code when that is known. What the target's address
/// holds is looked at each time: by one comparison with the site's cell, which is good while the key of jump targets and
/// the linear address of the site's own page are those that it was filled under.
struct FarSite {
    /// Of the displacement of the jump to the target, in the writable mapping.
    var place: UnsafeMutablePointer<UInt8>
    /// As `place`, of the jump out of line that leads out while the site is not linked.
    var exit: UnsafeMutablePointer<UInt8>
    var cell: Int32
    /// The target's offset from the start of the site's page.
    var target: Int
    var isUser: Bool
    /// As in `ChainSite`.
    var needsSavedEntry: Bool
}

/// Fields of a site's cell.
enum FarCell {
    /// What the key and the linear address of the site's page add up to zero with.
    static let check: Int32 = 0
    /// Where the target's code is run with the flags saved.
    static let code: Int32 = 8
}

/// Hands out the cells, each once until all code is forgotten.
final class FarCellAllocator {
    private let cells: UnsafeMutableRawPointer
    private var used = 0

    init(_ state: UnsafeMutableRawPointer) { cells = state + Int(TranslationTables.farCells) }

    /// - Returns: nil where there is none left.
    func take() -> Int32? {
        guard used < TranslationTables.farCellCount else { return nil }
        defer { used += 1 }
        return TranslationTables.farCells + Int32(used * TranslationTables.farCellBytes)
    }

    /// No code uses them any more.
    func removeAll() {
        cells.initializeMemory(as: UInt8.self, repeating: 0, count: used * TranslationTables.farCellBytes)
        used = 0
    }
}

/// Where a linked site goes whose cell is stale: a look into the jump table, which fills the cell anew if the target is
/// the same code still.
///
///     scratch0: the target's address; `stash`: the cell; the flags are saved
enum FarStub {
    static func emit(_ emitter: inout Emitter, isUser: Bool, missed: UnsafeMutablePointer<UInt8>) {
        let target = Host.scratch0
        let key = Place.state(MissStubs.keys(isUser: isUser).first)
        let spilled = Place.state(StateLayout.spill)
        MissStubs.emitIndex(&emitter)
        emitter.op(0x03, target, key)
        emitter.op(0x3B, target, MissStubs.entry(JumpTable.tag))
        Emitter.link(emitter.jump(if: Emitter.ifNotEqual), to: missed)
        emitter.store(spilled, Host.rax)
        emitter.load(Host.rax, .state(StateLayout.stash), wide: false)
        emitter.load(target, MissStubs.entry(JumpTable.code))
        emitter.op(0x3B, target, .indexed(Host.rsp, Host.rax, FarCell.code))
        let isOther = emitter.jump(if: Emitter.ifNotEqual)
        emitter.load(target, key)
        emitter.op(0x03, target, .state(StateLayout.codePage))
        emitter.op(0xF7, 3, .register(target))
        emitter.store(.indexed(Host.rsp, Host.rax, FarCell.check), target)
        emitter.linkHere(isOther)
        emitter.load(Host.rax, spilled)
        MissStubs.emitJump(&emitter)
    }
}
