// SPDX-License-Identifier: Apache-2.0

internal import X86CPU

/// Why translated code came back: the low half of what `enter` returns; `site` stands in the high half.
enum ExitReason {
    /// `Outcome.next`, with which an interpreted instruction stays in translated code.
    static let none: Int32 = 0
    /// Another `Outcome` of one; all state is in place.
    static let branched: UInt32 = 1, faulted: UInt32 = 2, left: UInt32 = 3
    /// A direct jump inside its page whose target was not known: the site's index.
    static let chain: UInt32 = 16
    /// A transfer to `rip`, after an instruction that may have changed what code may do.
    static let lookup: UInt32 = 17
    /// Attention is wanted: the offset in the page where to go on.
    static let poll: UInt32 = 18
    /// As `missed`, by a return: the place of the instruction in the data area.
    static let returned: UInt32 = 19
    /// The accesses of a block do not lie in one page, or the TLB does not know it: the site's index.
    static let ungroup: UInt32 = 20
    /// A site's cache is to be taken away: where it called, from the start of the code area.
    static let demote: UInt32 = 21
    /// A transfer to `rip`, which the jump table does not know.
    static let missed: UInt32 = 22
    /// A direct jump to another page that is not linked: the site's index.
    static let far: UInt32 = 23
}

/// The code that all translations share: the way in, the ways out, and calls of the interpreter.
struct Stubs {
    /// Called by Swift as `EnterCode`.
    let enter: UnsafeMutablePointer<UInt8>
    /// Ways out; `scratch1` holds the site. Those named `saving` save the flags first.
    let chain: UnsafeMutablePointer<UInt8>, chainSaving: UnsafeMutablePointer<UInt8>
    let poll: UnsafeMutablePointer<UInt8>, pollSaving: UnsafeMutablePointer<UInt8>
    let lookup: UnsafeMutablePointer<UInt8>
    /// See `MissStubs`.
    let userMisses: MissStubs, kernelMisses: MissStubs
    /// The way out of a direct jump to another page, and where linked ones go whose cell is stale.
    let far: UnsafeMutablePointer<UInt8>
    let userFarMiss: UnsafeMutablePointer<UInt8>, kernelFarMiss: UnsafeMutablePointer<UInt8>
    let ungroup: UnsafeMutablePointer<UInt8>
    /// See `RefillStubs`.
    let refillRead: UnsafeMutablePointer<UInt8>, refillWrite: UnsafeMutablePointer<UInt8>
    /// Called by translated code: runs the instruction at the place in the data area that `scratch1` holds. The flags are
    /// saved before, and afterwards both saved and in RFLAGS.
    let interpret: UnsafeMutablePointer<UInt8>
    /// Called by translated code: make the host's vector registers, or its x87 unit, the guest's. Change the scratch
    /// registers and RFLAGS alone.
    let loadVectors: UnsafeMutablePointer<UInt8>, loadFPU: UnsafeMutablePointer<UInt8>
    let end: UnsafeMutablePointer<UInt8>

    /// - Parameters:
    ///   - code: where the code at `start` is run.
    ///   - helper: what `interpret` calls, with the state and the place of the instruction; gives an `Outcome`.
    init(at start: UnsafeMutablePointer<UInt8>, code: UnsafeRawPointer, helper: UInt64, hasAVX: Bool) {
        var emitter = Emitter(at: start)
        enter = emitter.cursor
        Self.emitEnter(&emitter)
        let leave = emitter.cursor
        Self.emitLeave(&emitter)
        let units = UnitTransfer(hasAVX: hasAVX)
        loadVectors = emitter.cursor
        units.emitLoadVectors(&emitter)
        loadFPU = emitter.cursor
        units.emitLoadFPU(&emitter)
        let reload = emitter.cursor
        units.emitReload(&emitter)
        // Keeps all but scratch0, with the state in RBX.
        let saveUnits = emitter.cursor
        units.emitSave(&emitter)
        func way(_ emitter: inout Emitter, _ reason: UInt32, saving: Bool) -> UnsafeMutablePointer<
            UInt8
        > {
            let place = emitter.cursor
            Self.emitExit(&emitter, reason, saving: saving, leave: leave, saveUnits: saveUnits)
            return place
        }
        chain = way(&emitter, ExitReason.chain, saving: false)
        chainSaving = way(&emitter, ExitReason.chain, saving: true)
        poll = way(&emitter, ExitReason.poll, saving: false)
        pollSaving = way(&emitter, ExitReason.poll, saving: true)
        lookup = way(&emitter, ExitReason.lookup, saving: false)
        let missed = way(&emitter, ExitReason.missed, saving: false)
        let returned = way(&emitter, ExitReason.returned, saving: false)
        userMisses = MissStubs(&emitter, isUser: true, missed: missed, returned: returned)
        kernelMisses = MissStubs(&emitter, isUser: false, missed: missed, returned: returned)
        far = way(&emitter, ExitReason.far, saving: false)
        userFarMiss = emitter.cursor
        FarStub.emit(&emitter, isUser: true, missed: userMisses.missed)
        kernelFarMiss = emitter.cursor
        FarStub.emit(&emitter, isUser: false, missed: kernelMisses.missed)
        ungroup = way(&emitter, ExitReason.ungroup, saving: false)
        let demote = emitter.cursor
        emitter.pointer(Host.scratch0, UInt64(UInt(bitPattern: code)))
        emitter.op(0x2B, Host.scratch1, .register(Host.scratch0))
        _ = way(&emitter, ExitReason.demote, saving: false)
        refillRead = emitter.cursor
        RefillStubs.emit(&emitter, isWrite: false, demote: demote)
        refillWrite = emitter.cursor
        RefillStubs.emit(&emitter, isWrite: true, demote: demote)
        interpret = emitter.cursor
        Self.emitInterpret(&emitter, helper, leave: leave, saveUnits: saveUnits, reload: reload)
        end = emitter.cursor
    }

    private static let calleeSaved: [UInt8] = [3, 5, 12, 13, 14, 15]

    private static func general(_ base: UInt8, _ guest: UInt8, _ extra: Int32 = 0) -> Place {
        .memory(base, StateLayout.general + Int32(guest) * 8 + extra)
    }

    /// RDI: the state; RSI: the code.
    private static func emitEnter(_ emitter: inout Emitter) {
        for register in calleeSaved { push(&emitter, register) }
        // Keeps the stack aligned for calls.
        emitter.arithmetic(5, .register(Host.rsp), 8)
        emitter.store(.memory(Host.rdi, StateLayout.hostStack), Host.rsp)
        emitter.move(Host.scratch0, Host.rsi)
        emitter.move(Host.rsp, Host.rdi)
        for pair in Host.mapped { emitter.load(pair.host, general(Host.rsp, pair.guest)) }
        emitter.bytes(0x41, 0xFF, 0xE0 | Host.scratch0 & 7)
    }

    /// RBX: the state; RAX: the result.
    private static func emitLeave(_ emitter: inout Emitter) {
        emitter.load(Host.rsp, .memory(Host.rbx, StateLayout.hostStack))
        emitter.arithmetic(0, .register(Host.rsp), 8)
        for register in calleeSaved.reversed() {
            if register >= 8 { emitter.byte(0x41) }
            emitter.byte(0x58 | register & 7)
        }
        emitter.byte(0xC3)
    }

    private static func push(_ emitter: inout Emitter, _ register: UInt8) {
        if register >= 8 { emitter.byte(0x41) }
        emitter.byte(0x50 | register & 7)
    }

    private static func emitExit(
        _ emitter: inout Emitter, _ reason: UInt32, saving: Bool, leave: UnsafeMutablePointer<UInt8>,
        saveUnits: UnsafeMutablePointer<UInt8>
    ) {
        emitter.store(general(Host.rsp, 0), Host.rax)
        if saving { emitSaveFlags(&emitter, Host.rsp) }
        for pair in Host.mapped where pair.host != Host.rax {
            emitter.store(general(Host.rsp, pair.guest), pair.host)
        }
        emitter.move(Host.rbx, Host.rsp)
        let none = emitTestUnits(&emitter, Emitter.ifEqual)
        emitter.call(saveUnits)
        emitter.op(0xC7, 0, .memory(Host.rbx, StateLayout.loadedUnits), wide: false)
        emitter.long(0)
        emitter.linkHere(none)
        // RAX = site << 32 | reason.
        emitter.move(Host.rax, Host.scratch1)
        emitter.op(0xC1, 4, .register(Host.rax))
        emitter.byte(32)
        emitter.arithmetic(1, .register(Host.rax), Int32(reason))
        emitter.jump(to: leave)
    }

    /// RBX: the state.
    private static func emitTestUnits(_ emitter: inout Emitter, _ condition: UInt8)
        -> UnsafeMutablePointer<UInt8>
    {
        emitter.arithmetic(7, .memory(Host.rbx, StateLayout.loadedUnits), 0, wide: false)
        return emitter.jump(if: condition)
    }

    /// Changes RAX.
    static func emitSaveFlags(_ emitter: inout Emitter, _ base: UInt8, _ extra: Int32 = 0) {
        emitter.bytes(0x9F, 0x0F, 0x90, 0xC0)
        emitter.instruction(
            Encoding(prefix: 0x66), 0x89, reg: Host.rax, .memory(base, StateLayout.savedFlags + extra))
    }

    /// Changes RAX.
    static func emitRestoreFlags(_ emitter: inout Emitter, _ base: UInt8) {
        emitter.instruction(
            Encoding(map: 1), 0xB7, reg: Host.rax, .memory(base, StateLayout.savedFlags))
        // 1 + 127 overflows; SAHF leaves OF.
        emitter.bytes(0x04, 0x7F, 0x9E)
    }

    private static func emitInterpret(
        _ emitter: inout Emitter, _ helper: UInt64, leave: UnsafeMutablePointer<UInt8>,
        saveUnits: UnsafeMutablePointer<UInt8>, reload: UnsafeMutablePointer<UInt8>
    ) {
        // The return address lies just below the state.
        for pair in Host.mapped { emitter.store(general(Host.rsp, pair.guest, 8), pair.host) }
        emitter.address(Host.rbx, .memory(Host.rsp, 8))
        let unused = emitTestUnits(&emitter, Emitter.ifEqual)
        emitter.call(saveUnits)
        emitter.linkHere(unused)
        emitter.move(Host.rdi, Host.rbx)
        emitter.move(Host.rsi, Host.scratch1, wide: false)
        emitter.load(Host.rsp, .memory(Host.rbx, StateLayout.hostStack))
        emitter.pointer(Host.rax, helper)
        emitter.bytes(0xFF, 0xD0)
        emitter.bytes(0x85, 0xC0)
        let isOver = emitter.jump(if: Emitter.ifNotEqual)
        emitter.move(Host.rsp, Host.rbx)
        let stillUnused = emitTestUnits(&emitter, Emitter.ifEqual)
        // The call's return address takes the place of this stub's own.
        emitter.load(Host.scratch1, .memory(Host.rbx, -8))
        emitter.call(reload)
        emitter.store(.memory(Host.rbx, -8), Host.scratch1)
        emitter.linkHere(stillUnused)
        emitter.address(Host.rsp, .memory(Host.rbx, -8))
        emitRestoreFlags(&emitter, Host.rbx)
        for pair in Host.mapped { emitter.load(pair.host, general(Host.rsp, pair.guest, 8)) }
        emitter.byte(0xC3)
        emitter.linkHere(isOver)
        emitter.op(0xC7, 0, .memory(Host.rbx, StateLayout.loadedUnits), wide: false)
        emitter.long(0)
        emitter.jump(to: leave)
    }
}
