// SPDX-License-Identifier: Apache-2.0

internal import CPUInterface

/// What follows from the processor's model for instructions and registers, computed once.
struct SystemFeatures {
    /// Instructions that raise #UD, and registers that do not exist, where the model lacks them.
    struct Has: OptionSet {
        let rawValue: UInt32
        static let invpcid = Has(rawValue: 1 << 0)
        static let rdtscp = Has(rawValue: 1 << 1)
        static let rdpid = Has(rawValue: 1 << 2)
        static let rdrand = Has(rawValue: 1 << 3)
        static let rdseed = Has(rawValue: 1 << 4)
        static let smap = Has(rawValue: 1 << 5)
        static let xgetbv1 = Has(rawValue: 1 << 6)
        static let xsaves = Has(rawValue: 1 << 7)
        static let tscAdjust = Has(rawValue: 1 << 8)
        static let amd = Has(rawValue: 1 << 9)
        static let intel = Has(rawValue: 1 << 10)
        static let x2apic = Has(rawValue: 1 << 11)
        static let deadline = Has(rawValue: 1 << 12)
    }

    let has: Has
    /// Extensions that instructions are decoded by.
    let instructions: InstructionFeatures
    /// Bits of CR4 that may be set.
    let controlRegister4: UInt64
    /// Bits of EFER that may be set.
    let extendedFeature: UInt64
    /// Bits of XCR0 that may be set.
    let extendedControl: UInt64
    let hasGigabytePages: Bool

    init(_ model: CPUModel) {
        var has: Has = model.vendor == "AuthenticAMD" ? .amd : model.vendor == "GenuineIntel" ? .intel : []
        let instructions: [(String, Has)] = [
            ("invpcid", .invpcid), ("rdtscp", .rdtscp), ("rdpid", .rdpid), ("rdrand", .rdrand), ("rdseed", .rdseed),
            ("smap", .smap), ("xgetbv1", .xgetbv1), ("xsaves", .xsaves), ("tsc-adjust", .tscAdjust),
            ("x2apic", .x2apic), ("tsc-deadline", .deadline),
        ]
        for (name, bit) in instructions where model.has(name) { has.insert(bit) }
        self.has = has
        self.instructions = InstructionFeatures(model)
        typealias Bit = ControlRegister4
        var control = Bit.timeStampDisable | Bit.performanceCounter
        let bits: [(String, UInt64)] = [
            ("de", Bit.debuggingExtensions), ("pse", Bit.pageSizeExtensions), ("pae", Bit.pae),
            ("mce", Bit.machineCheck), ("pge", Bit.globalPages), ("fxsr", Bit.osFXSR), ("sse", Bit.osSIMDExceptions),
            ("umip", Bit.umip), ("la57", Bit.fiveLevel), ("fsgsbase", Bit.fsgsbase), ("pcid", Bit.pcid),
            ("xsave", Bit.osXSAVE), ("smep", Bit.smep), ("smap", Bit.smap), ("pku", Bit.protectionKeys),
            ("vme", Bit.virtual8086 | Bit.virtualInterrupts),
        ]
        for (name, bit) in bits where model.has(name) { control |= bit }
        controlRegister4 = control
        var extended: UInt64 = 0
        if model.has("syscall") { extended |= ExtendedFeature.systemCall }
        if model.has("lm") { extended |= ExtendedFeature.longMode | ExtendedFeature.longModeActive }
        if model.has("nx") { extended |= ExtendedFeature.noExecute }
        if model.has("fxsr-opt") { extended |= ExtendedFeature.fastFXSR }
        extendedFeature = extended
        extendedControl = model.supportedXCR0
        hasGigabytePages = model.has("pdpe1gb")
    }
}
