// SPDX-License-Identifier: Apache-2.0

/// What translated code keeps in `CPUState` beside the architectural state. Translated code runs with the host's RSP at
/// the state itself, so that all of it is addressed from there, and with a small stack below.
package struct TranslationState {
    /// The host's RSP at the entry of translated code, where helpers run.
    package var hostStack: UInt64 = 0
    /// The arithmetic flags at places where RFLAGS does not hold them: OF in bit 0, the rest as LAHF gives them in bits
    /// 8...15.
    package var savedFlags: UInt64 = 0
    /// The linear address of the page whose code runs.
    package var codePage: UInt64 = 0
    /// What is added to a linear address to find its code in the table of jump targets: for user code and for the
    /// kernel's, which have code of their own for the same place.
    package var userKeys = JumpKeys(space: 0x5851_F42D_4C95_7F2D, global: 0x1405_7B7E_F767_814F)
    package var kernelKeys = JumpKeys(space: 0x9E6C_63D0_876A_3F6B, global: 0x2545_F491_4F6C_DD1D)
    /// Counts what may have changed code of global pages.
    package var globalEpoch: UInt64 = 0
    /// For code that needs a place to put a register.
    package var stash: UInt64 = 0
    /// As `stash`, for a second one.
    package var stringTarget: UInt64 = 0
    /// For stubs that need more registers than the free ones.
    package var spill = InlineArray<3, UInt64>(repeating: 0)
    /// Host addresses of the memory that the groups of accesses in a block reach.
    package var groups = InlineArray<8, UInt64>(repeating: 0)
    /// How many entries the list of filled site caches has.
    package var filledSites: UInt64 = 0
    /// Looks of the site whose looks are counted.
    package var siteLooks: UInt64 = 0
    /// What the accesses of a loop add to the register that moves, or the host's address of those that stand still.
    package var loopBases = InlineArray<8, UInt64>(repeating: 0)
    /// Which of the host's registers are the guest's: bit 0 the vectors and MXCSR, bit 1 x87.
    package var loadedUnits: UInt32 = 0
    /// Entries of a block before it is worth translating.
    package var threshold: Int32 = 0
    /// The translator, for helpers that translated code calls.
    package var context: UnsafeMutableRawPointer?
    /// Runs translated code from a linear address on; gives an `Outcome`, where `next` says that there is none and the
    /// interpreter must run the block. Nil where all is interpreted.
    package var run: (@convention(c) (UnsafeMutableRawPointer, UInt64) -> Int32)?

    /// Bytes of the stack below the state: room for calls of stubs and for a signal's frame.
    private static let headroom = 64 << 10

    private static let byteCount = headroom + (Int(TranslationTables.end) + 4095) & ~4095

    /// Zeroed memory for a state and the tables behind it, which take up room where they are touched.
    static func allocateState() -> State {
        let memory = UnsafeMutableRawPointer(ZeroedMemory.allocate(byteCount, of: UInt8.self))
        return (memory + headroom).bindMemory(to: CPUState.self, capacity: 1)
    }

    static func deallocate(_ state: State) {
        let memory = UnsafeMutableRawPointer(state) - headroom
        ZeroedMemory.deallocate(memory.assumingMemoryBound(to: UInt8.self), byteCount)
    }
}

/// Keys of jump targets: of one address space alone, and of global pages, which a change of CR3 leaves as they are. They
/// change with everything that may change what an address holds; before there is any code, no sum is that of an empty
/// entry.
package struct JumpKeys {
    package var space: UInt64
    package var global: UInt64

    package init(space: UInt64, global: UInt64) {
        self.space = space
        self.global = global
    }
}

/// Keeps translated code for one processor. Called on the processor's thread.
package protocol CodeTranslator: AnyObject {
    /// Forgets the code of a guest-physical page (its number).
    func drop(page: UInt64)
    /// Forgets all code.
    func dropAll()
    /// Bytes of host memory that translated code and what belongs to it take up.
    var residentBytes: Int { get }
    /// Forgets all code and gives its memory back to the host. While no translated code is entered.
    func release()
}
