// SPDX-License-Identifier: Apache-2.0

/// A register of one CPUID leaf that holds feature bits.
public struct CPUIDRegister: Hashable, Sendable {
    /// One of the four results.
    public enum Name: String, Sendable { case eax = "EAX", ebx = "EBX", ecx = "ECX", edx = "EDX" }

    /// EAX of the question.
    public let function: UInt32
    /// ECX of the question, where it matters.
    public let index: UInt32
    /// Which result.
    public let name: Name

    private init(_ function: UInt32, _ index: UInt32, _ name: Name) {
        self.function = function
        self.index = index
        self.name = name
    }

    /// Leaf 1: what the first processors with CPUID had, and what came after.
    public static let basicEDX = CPUIDRegister(1, 0, .edx), basicECX = CPUIDRegister(1, 0, .ecx)
    /// Leaf 7, subleaf 0: AVX2, SMEP, and so on.
    public static let structuredEBX = CPUIDRegister(7, 0, .ebx), structuredECX = CPUIDRegister(7, 0, .ecx)
    /// Leaf 7, subleaf 0: mitigations above all.
    public static let structuredEDX = CPUIDRegister(7, 0, .edx)
    /// Leaf 0Dh, subleaf 1: which forms of XSAVE there are.
    public static let extendedStateEAX = CPUIDRegister(0xD, 1, .eax)
    /// Leaf 80000001h: SYSCALL, NX, long mode.
    public static let extendedEDX = CPUIDRegister(0x8000_0001, 0, .edx)
    /// Leaf 80000001h: LAHF in long mode, ABM, AMD's own.
    public static let extendedECX = CPUIDRegister(0x8000_0001, 0, .ecx)
    /// Leaf 80000007h: the time-stamp counter's invariance.
    public static let powerEDX = CPUIDRegister(0x8000_0007, 0, .edx)
    /// Leaf 80000008h: AMD's further features.
    public static let capacityEBX = CPUIDRegister(0x8000_0008, 0, .ebx)
}

/// A feature that CPUID can show, by QEMU's name for it.
public struct ProcessorFeature: Hashable, Sendable {
    /// "avx2".
    public let name: String
    /// Where its bit is.
    public let register: CPUIDRegister
    /// 0...31.
    public let bit: Int

    /// The feature of this name or alias.
    public static func named(_ name: String) -> ProcessorFeature? {
        let wanted = aliases[name] ?? name
        return all.first { $0.name == wanted }
    }

    /// "CPUID.07H:EBX.avx2 [bit 5]", as QEMU writes it in warnings.
    public var place: String {
        let digits = String(register.function, radix: 16, uppercase: true)
        let padded = digits.count < 2 ? "0" + digits : digits
        return "CPUID.\(padded)H:\(register.name.rawValue).\(name) [bit \(bit)]"
    }
}

/// Feature bits by register.
public struct FeatureSet: Equatable, Sendable {
    private var words: [CPUIDRegister: UInt32] = [:]

    /// No feature.
    public init() {}

    /// The features of these names.
    /// - Precondition: all are in the table.
    public init(_ names: [String]) {
        for name in names {
            guard let feature = ProcessorFeature.named(name) else { preconditionFailure("no feature \(name)") }
            insert(feature)
        }
    }

    /// The bits of one register.
    public subscript(register: CPUIDRegister) -> UInt32 {
        get { words[register] ?? 0 }
        set { words[register] = newValue == 0 ? nil : newValue }
    }

    /// Whether a feature is in the set.
    public func contains(_ feature: ProcessorFeature) -> Bool {
        self[feature.register] & (1 << UInt32(feature.bit)) != 0
    }

    /// Whether the feature of this name is in the set; false for a name that is not in the table.
    public func contains(_ name: String) -> Bool { ProcessorFeature.named(name).map(contains) ?? false }

    /// Adds a feature.
    public mutating func insert(_ feature: ProcessorFeature) { self[feature.register] |= 1 << UInt32(feature.bit) }

    /// Takes a feature out.
    public mutating func remove(_ feature: ProcessorFeature) { self[feature.register] &= ~(1 << UInt32(feature.bit)) }

    /// What is in both.
    public func intersection(_ other: FeatureSet) -> FeatureSet {
        var result = FeatureSet()
        for (register, bits) in words { result[register] = bits & other[register] }
        return result
    }

    /// What is in this set and not in the other, in the table's order.
    public func missing(from other: FeatureSet) -> [ProcessorFeature] {
        ProcessorFeature.all.filter { contains($0) && !other.contains($0) }
    }

    /// The features by name, in the table's order.
    public var names: [String] { ProcessorFeature.all.filter(contains).map(\.name) }
}
