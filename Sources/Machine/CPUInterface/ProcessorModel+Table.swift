// SPDX-License-Identifier: Apache-2.0

extension CPUModel {
    /// Order of the feature words in `processorModelTable`.
    static let tableRegisters: [CPUIDRegister] = [
        .basicEDX, .basicECX, .structuredEBX, .structuredECX, .structuredEDX, .extendedStateEAX, .extendedEDX,
        .extendedECX, .powerEDX, .capacityEBX,
    ]

    /// The models of the table. A mistake in it stops the program, and the tests find it.
    static func tableDefinitions() -> [Definition] {
        processorModelTable.utf8.split(separator: UInt8(ascii: "\n")).map { line in
            guard let definition = Definition(row: line) else {
                fatalError("processor models: \(String(Substring(line)))")
            }
            return definition
        }
    }
}

extension CPUModel.Definition {
    fileprivate init?(row: Substring.UTF8View.SubSequence) {
        let columns = row.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        guard columns.count == 7 else { return nil }
        func numbers(_ text: String, radix: Int, separator: Character) -> [UInt32] {
            text.split(separator: separator).compactMap { UInt32($0, radix: radix) }
        }
        let identity = numbers(columns[3], radix: 10, separator: ".")
        let leaves = numbers(columns[4], radix: 16, separator: ".")
        let words = numbers(columns[5], radix: 16, separator: ",")
        guard identity.count == 3, leaves.count == 2, words.count == CPUModel.tableRegisters.count else { return nil }
        var features = FeatureSet()
        for (register, word) in zip(CPUModel.tableRegisters, words) { features[register] = word }
        self.init(
            name: columns[0], summary: columns[1].isEmpty ? columns[6] : "(alias configured by machine type)",
            vendor: columns[2],
            signature: CPUModel.Signature(family: identity[0], model: identity[1], stepping: identity[2]),
            brand: columns[6].isEmpty ? "QEMU Virtual CPU version 2.5+" : columns[6], features: features,
            highestLeaf: leaves[0], highestExtendedLeaf: leaves[1])
    }
}

extension CPUModel {
    /// Features that tie a guest to its host: `migratable=on` leaves them out of `max` and `host`.
    static let unmigratableFeatures = ["invtsc"]
    /// Switches of `-cpu` that are not features.
    public static let switches: Set<String> = ["migratable", "host-phys-bits", "kvm", "tcg-cpuid", "pmu"]
    /// The width of addresses without `host-phys-bits`.
    private static let usualAddressBits = 40

    /// Whether a name with on or off behind it is a feature, or at least no switch.
    public static func isFeature(_ name: String) -> Bool { !switches.contains(name) }

    /// One switch.
    /// - Throws: a model that does not have it, or a value that cannot be had.
    static func apply(
        _ name: String, _ isOn: Bool, of definition: Definition, to capabilities: inout Capabilities
    ) throws(CPUModelError) {
        switch name {
        case "migratable":
            guard definition.features == nil else {
                throw CPUModelError(description: "Property '\(definition.name)-x86_64-cpu.migratable' not found")
            }
        case "host-phys-bits":
            capabilities.physicalAddressBits = isOn ? capabilities.hostPhysicalAddressBits : usualAddressBits
        case "kvm", "tcg-cpuid":
            // Each hides its own engine, and says nothing of the other.
            let isOwn = capabilities.hypervisor.hasPrefix(name == "kvm" ? "KVM" : "TCG")
            if isOwn, !isOn { capabilities.hypervisor = "" }
        default:
            guard !isOn else {
                throw CPUModelError(
                    description: "-cpu property 'pmu': there are no performance counters; leave it out")
            }
        }
    }

    /// Changes what the model says of itself: vendor, family, model, stepping, level, xlevel, model-id, phys-bits.
    /// - Throws: a property or value that there is not.
    public mutating func set(property name: String, to text: String) throws(CPUModelError) {
        func invalid(_ wanted: String) -> CPUModelError {
            CPUModelError(description: "-cpu property '\(name)': '\(text)' is not \(wanted)")
        }
        func number(_ most: UInt32) throws(CPUModelError) -> UInt32 {
            let isHexadecimal = text.hasPrefix("0x") || text.hasPrefix("0X")
            let value = isHexadecimal ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
            guard let value, value <= most else { throw invalid("a number from 0 to \(most)") }
            return value
        }
        let largestFamily: UInt32 = 0xFF + 0xF
        switch name {
        case "vendor":
            guard text.utf8.count == 12 else { throw invalid("a vendor of 12 characters") }
            vendor = text
        case "family": signature.family = try number(largestFamily)
        case "model": signature.model = try number(0xFF)
        case "stepping": signature.stepping = try number(0xF)
        case "level", "min-level":
            let value = try number(0x1F)
            highestLeaf = name == "level" ? value : max(highestLeaf, value)
        case "xlevel", "min-xlevel":
            let value = try number(.max)
            guard value == 0 || (0x8000_0000...0x8000_001F).contains(value) else {
                throw invalid("0 or from 0x80000000 to 0x8000001f")
            }
            highestExtendedLeaf = name == "xlevel" ? value : max(highestExtendedLeaf, value)
        case "model-id":
            guard text.utf8.count <= 48 else { throw invalid("at most 48 characters") }
            brand = text
        case "phys-bits":
            let value = Int(try number(52))
            guard value == 0 || value >= 32 else { throw invalid("0 or from 32 to 52") }
            if value != 0 { capabilities.physicalAddressBits = value }
        case "host-phys-bits-limit":
            let value = Int(try number(52))
            guard value == 0 || value >= 32 else { throw invalid("0 or from 32 to 52") }
            if value != 0 { capabilities.physicalAddressBits = min(capabilities.physicalAddressBits, value) }
        default:
            throw CPUModelError(description: "-cpu property '\(name)' is not supported; leave it out")
        }
    }
}
