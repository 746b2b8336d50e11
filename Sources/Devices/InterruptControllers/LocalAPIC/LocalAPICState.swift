// SPDX-License-Identifier: Apache-2.0

/// The entries of the local vector table, in register order from offset 0x320.
public enum LocalVectorEntry: Int, CaseIterable, Sendable {
    case timer = 0, thermal, performance, lint0, lint1, error

    /// The bits that software can write (SDM vol. 3, "Local Vector Table").
    var writableBits: UInt32 {
        switch self {
        case .timer: 0x0007_00FF
        case .thermal, .performance: 0x0001_07FF
        case .lint0, .lint1: 0x0001_A7FF
        case .error: 0x0001_00FF
        }
    }
}

/// Bits of a local vector table entry.
enum VectorEntryBits {
    static let masked: UInt32 = 1 << 16
    static let levelTriggered: UInt32 = 1 << 15
    static let remoteIRR: UInt32 = 1 << 14
    static let deliveryStatus: UInt32 = 1 << 12
    /// ExtINT, unmasked.
    static let externalInterrupt: UInt32 = 0x700
}

/// Bits of IA32_APIC_BASE.
enum APICBaseBits {
    static let bootstrap: UInt64 = 1 << 8
    static let extended: UInt64 = 1 << 10
    static let enabled: UInt64 = 1 << 11
    static let address: UInt64 = ~0xFFF
    /// Where every processor has the page at power-on.
    static let defaultAddress: UInt64 = 0xFEE0_0000
}

/// Bits of the error status register.
enum APICError {
    static let sendIllegalVector: UInt32 = 1 << 5
    static let receiveIllegalVector: UInt32 = 1 << 6
    static let illegalRegister: UInt32 = 1 << 7
}

extension LocalAPIC {
    /// Everything that a saved machine keeps of one local APIC.
    public struct State: Equatable, Sendable, Codable {
        /// IA32_APIC_BASE: address, enable, x2APIC and boot processor bits.
        public internal(set) var apicBase: UInt64
        /// The identifier; bits 31:24 of the register in xAPIC mode.
        public internal(set) var identifier: UInt32
        /// TPR, 8 bits.
        public internal(set) var taskPriority: UInt8 = 0
        /// The LDR of xAPIC mode, bits 31:24.
        public internal(set) var logicalDestination: UInt8 = 0
        /// The DFR of xAPIC mode: cluster model instead of flat.
        public internal(set) var usesClusters = false
        /// SVR: the spurious vector, and bit 8 that enables the APIC by software.
        public internal(set) var spurious: UInt32 = 0xFF
        /// ISR: vectors whose handlers run.
        public internal(set) var inService = VectorSet()
        /// IRR: vectors that wait for the processor.
        public internal(set) var requested = VectorSet()
        /// TMR: vectors whose EOI the I/O APIC must hear of.
        public internal(set) var levelTriggered = VectorSet()
        /// ESR as the guest reads it.
        public internal(set) var errors: UInt32 = 0
        /// Found since the last write to ESR.
        public internal(set) var pendingErrors: UInt32 = 0
        /// ICR, both halves.
        public internal(set) var command: UInt64 = 0
        /// Indexed by `LocalVectorEntry`.
        public internal(set) var vectors = [UInt32](
            repeating: VectorEntryBits.masked, count: LocalVectorEntry.allCases.count)
        /// What the timer starts from; 0 stops it.
        public internal(set) var initialCount: UInt32 = 0
        /// DCR: bits 3, 1 and 0 choose the divisor.
        public internal(set) var divideConfiguration: UInt32 = 0
        /// Machine time, in nanoseconds, at which the current count reaches 0; nil while it stands.
        public internal(set) var countEnd: UInt64?
        /// IA32_TSC_DEADLINE; 0 while disarmed.
        public internal(set) var timestampDeadline: UInt64 = 0
        /// Levels of LINT0 and LINT1.
        public internal(set) var pins: [Bool] = [false, false]
        /// An ExtINT message waits for its INTA.
        public internal(set) var hasExternalMessage = false

        init(identifier: UInt32, isBootstrap: Bool) {
            self.identifier = identifier
            apicBase =
                APICBaseBits.defaultAddress | APICBaseBits.enabled | (isBootstrap ? APICBaseBits.bootstrap : 0)
            // PC firmware leaves the PIC wired through to the bootstrap processor; direct boot has no firmware.
            if isBootstrap { self[.lint0] = VectorEntryBits.externalInterrupt }
        }

        /// One entry of the local vector table.
        public internal(set) subscript(entry: LocalVectorEntry) -> UInt32 {
            get { vectors[entry.rawValue] }
            set { vectors[entry.rawValue] = newValue }
        }

        var isEnabled: Bool { apicBase & APICBaseBits.enabled != 0 }
        var isExtended: Bool { isEnabled && apicBase & APICBaseBits.extended != 0 }
        /// Enabled by bit 8 of SVR.
        var isSoftwareEnabled: Bool { spurious & 1 << 8 != 0 }

        /// PPR (SDM vol. 3, "Task and Processor Priorities").
        var processorPriority: UInt8 {
            let service = (inService.highest ?? 0) & 0xF0
            return taskPriority & 0xF0 >= service ? taskPriority : service
        }

        /// The LDR of x2APIC mode, which follows from the identifier.
        var extendedLogicalDestination: UInt32 { (identifier >> 4) << 16 | 1 << (identifier & 0xF) }
    }
}
