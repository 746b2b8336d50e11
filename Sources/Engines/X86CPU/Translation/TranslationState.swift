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
    /// The translator's table of code by linear address.
    package var jumpTable: UnsafeMutableRawPointer?
    /// As `CPUState.fetchKey` for code of global pages, which a change of CR3 leaves as it is.
    package var globalKey: UInt64 = 0
    /// Counts what may have changed such code.
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
    /// Counts the times that translated code was entered.
    package var epoch: UInt64 = 0
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

    static func allocateState() -> State {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: headroom + Int(SiteCache.slots) + SiteCache.bytes, alignment: 64)
        (memory + headroom + Int(SiteCache.slots)).initializeMemory(
            as: UInt8.self, repeating: 0, count: SiteCache.bytes)
        return (memory + headroom).bindMemory(to: CPUState.self, capacity: 1)
    }

    static func deallocate(_ state: State) {
        (UnsafeMutableRawPointer(state) - headroom).deallocate()
    }
}

/// Keeps translated code for one processor. Called on the processor's thread.
package protocol CodeTranslator: AnyObject {
    /// Forgets the code of a guest-physical page (its number).
    func drop(page: UInt64)
    /// Forgets all code.
    func dropAll()
}
