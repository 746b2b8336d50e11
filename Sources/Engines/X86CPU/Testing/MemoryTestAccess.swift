// SPDX-License-Identifier: Apache-2.0

/// The control registers that decide about translation, for tests that build page tables by hand.
package struct PagingSetup: Sendable {
    /// PG, WP, ET and PE unless said otherwise.
    package var cr0: UInt64 = 0x8001_0011
    /// The guest-physical address of the top table, with a PCID where CR4 allows.
    package var cr3: UInt64
    /// PAE unless said otherwise.
    package var cr4: UInt64 = 0x20
    /// LMA, LME, NXE unless said otherwise.
    package var efer: UInt64 = 0xD00
    /// 0...3; 3 makes accesses those of user code.
    package var cpl: UInt8 = 0
    /// RFLAGS.AC.
    package var allowsUserAccess = false
    /// Two bits for each protection key: access and write disabled.
    package var pkru: UInt32 = 0
    /// Paging of 64-bit mode with four levels from that table.
    package init(cr3: UInt64) { self.cr3 = cr3 }
}

/// What came of one access.
package enum AccessResult: Equatable, Sendable {
    case value(UInt64)
    case pageFault(code: UInt32, address: UInt64)
    case fault(vector: UInt8, code: UInt32?)
}

extension SoftCPU {
    /// Loads the registers and forgets all translations.
    package func setPaging(_ setup: PagingSetup) {
        state.pointee.cr0 = setup.cr0
        state.pointee.cr3 = setup.cr3
        state.pointee.cr4 = setup.cr4
        state.pointee.efer = setup.efer
        state.pointee.cpl = setup.cpl
        state.pointee.pkru = setup.pkru
        state.pointee.systemFlags = 2 | (setup.allowsUserAccess ? Flag.alignmentCheck : 0)
        state.pagingChanged()
        if state.pointee.mmu.pointee.mode == .pae {
            for index in 0..<4 {
                state.pointee.mmu.pointee.directoryPointers[index] = state.readPhysical(
                    (setup.cr3 & 0xFFFF_FFE0) + UInt64(index) * 8, size: 8)
            }
        }
    }

    /// Loads CR3 as MOV CR3 does, PCID and all.
    package func setTableBase(_ value: UInt64, keepsTranslations: Bool) {
        state.pointee.cr3 = value
        state.switchContext(keepsTranslations: keepsTranslations)
    }

    /// INVLPG.
    package func invalidate(page linear: UInt64) { state.flushTranslation(page: linear) }

    /// Reads 1, 2, 4 or 8 bytes as an instruction would.
    package func load(_ linear: UInt64, size: Int) -> AccessResult {
        result { () throws(CPUFault) in
            switch size {
            case 1: UInt64(try state.load(linear, as: UInt8.self))
            case 2: UInt64(try state.load(linear, as: UInt16.self))
            case 4: UInt64(try state.load(linear, as: UInt32.self))
            default: try state.load(linear, as: UInt64.self)
            }
        }
    }

    /// Writes 1, 2, 4 or 8 bytes as an instruction would.
    package func store(_ linear: UInt64, size: Int, _ value: UInt64) -> AccessResult {
        result { () throws(CPUFault) in
            switch size {
            case 1: try state.store(linear, UInt8(truncatingIfNeeded: value))
            case 2: try state.store(linear, UInt16(truncatingIfNeeded: value))
            case 4: try state.store(linear, UInt32(truncatingIfNeeded: value))
            default: try state.store(linear, value)
            }
            return value
        }
    }

    /// The guest-physical address of code.
    package func fetch(_ linear: UInt64) -> AccessResult {
        result { () throws(CPUFault) in try state.translateFetch(linear) }
    }

    private func result(_ body: () throws(CPUFault) -> UInt64) -> AccessResult {
        do throws(CPUFault) { return .value(try body()) } catch {
            if state.pointee.faultVector == Vector.pageFault {
                return .pageFault(code: state.pointee.faultErrorCode, address: state.pointee.faultAddress)
            }
            let code = state.pointee.faultHasErrorCode ? state.pointee.faultErrorCode : nil
            return .fault(vector: state.pointee.faultVector, code: code)
        }
    }
}
