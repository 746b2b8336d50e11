// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Where jumps go whose target is not in its own entry of the jump table under the likely key: it may be in the
/// neighbour's, or stand there by the other key.
///
///     scratch0: the address and the likely key; scratch1: the index of the entry, times four
struct MissStubs {
    /// For jumps to an address of code, and for returns and jumps whose target may be none: those leave the place of the
    /// instruction in `stash`.
    let missed: UnsafeMutablePointer<UInt8>, returned: UnsafeMutablePointer<UInt8>

    /// - Parameters:
    ///   - isUser: of code that mostly jumps within an address space; else to global pages.
    ///   - missed: ways out, with the site in scratch1.
    init(
        _ emitter: inout Emitter, isUser: Bool, missed: UnsafeMutablePointer<UInt8>,
        returned: UnsafeMutablePointer<UInt8>
    ) {
        let keys = Self.keys(isUser: isUser)
        self.missed = emitter.cursor
        Self.emit(&emitter, keys)
        emitter.jump(to: missed)
        self.returned = emitter.cursor
        Self.emit(&emitter, keys)
        emitter.load(Host.scratch1, .state(StateLayout.stash), wide: false)
        emitter.jump(to: returned)
    }

    /// The key that is tried first, and the other.
    static func keys(isUser: Bool) -> (first: Int32, second: Int32) {
        isUser
            ? (StateLayout.userSpaceKey, StateLayout.userGlobalKey)
            : (StateLayout.kernelGlobalKey, StateLayout.kernelSpaceKey)
    }

    /// A field of the entry at the index in scratch1.
    static func entry(_ field: Int32) -> Place { .indexed(Host.rsp, Host.scratch1, scale: 3, field) }

    /// The index of the entry of the address in scratch0, times four, into scratch1.
    static func emitIndex(_ emitter: inout Emitter) {
        emitter.address(
            Host.scratch1, Place(base: Place.none, index: Host.scratch0, scale: 2), wide: false)
        emitter.arithmetic(4, .register(Host.scratch1), JumpTable.indexMask, wide: false)
    }

    /// Goes on at the entry in scratch1.
    static func emitJump(_ emitter: inout Emitter) {
        emitter.load(Host.scratch0, entry(JumpTable.page))
        emitter.store(.state(StateLayout.codePage), Host.scratch0)
        emitter.op(0xFF, 4, entry(JumpTable.code), wide: false)
    }

    /// Goes on at the linear address in scratch0, or at `unknown` where its entry holds another.
    static func emitJumpThroughTable(_ emitter: inout Emitter, isUser: Bool, unknown: UnsafeMutablePointer<UInt8>) {
        Emitter.link(emitLookup(&emitter, isUser: isUser), to: unknown)
        emitJump(&emitter)
    }

    /// Looks at the entry of the linear address in scratch0.
    /// - Returns: the jump that is taken where it holds another.
    static func emitLookup(_ emitter: inout Emitter, isUser: Bool) -> UnsafeMutablePointer<UInt8> {
        emitIndex(&emitter)
        emitter.op(0x03, Host.scratch0, .state(keys(isUser: isUser).first))
        emitter.op(0x3B, Host.scratch0, entry(JumpTable.tag))
        return emitter.jump(if: Emitter.ifNotEqual)
    }

    private static func emit(_ emitter: inout Emitter, _ keys: (first: Int32, second: Int32)) {
        let target = Host.scratch0
        var found: [UnsafeMutablePointer<UInt8>] = []
        func compare() {
            emitter.op(0x3B, target, entry(JumpTable.tag))
            found.append(emitter.jump(if: Emitter.ifEqual))
        }
        func goToNeighbour() { emitter.arithmetic(6, .register(Host.scratch1), 4, wide: false) }
        goToNeighbour()
        compare()
        emitter.op(0x2B, target, .state(keys.first))
        emitter.op(0x03, target, .state(keys.second))
        compare()
        goToNeighbour()
        compare()
        emitter.op(0x2B, target, .state(keys.second))
        emitter.store(.state(StateLayout.rip), target)
        let unknown = emitter.jump()
        for place in found { emitter.linkHere(place) }
        emitJump(&emitter)
        emitter.linkHere(unknown)
    }
}
