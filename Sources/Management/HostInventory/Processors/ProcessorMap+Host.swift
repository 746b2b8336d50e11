// SPDX-License-Identifier: Apache-2.0

internal import HostSystem

extension ProcessorMap {
    /// The features of a processor.
    /// - Parameters:
    ///   - identification: CPUID's answer to a leaf and an index; nil for a leaf that there is not.
    ///   - register: a model-specific register, where it can be read.
    func features(
        identification: (UInt32, UInt32) -> [UInt32]?, register: (UInt32) -> UInt64?
    ) -> ProcessorFeatureSet {
        var set = ProcessorFeatureSet()
        for (number, feature) in features.enumerated() where !feature.place.isModelSpecific {
            let place = feature.place
            set[number] = (identification(place.leaf, place.index)?[place.register] ?? 0) >> place.bit & 1 == 1
        }
        // The register is there if the feature of this name is.
        guard let announcement = index(of: "arch-capabilities"), set[announcement] else { return set }
        for (number, feature) in features.enumerated() where feature.place.isModelSpecific {
            let shift = UInt64(feature.place.bit) + (feature.place.register == 0 ? 0 : 32)
            set[number] = (register(feature.place.leaf) ?? 0) >> shift & 1 == 1
        }
        return set
    }

    /// This host's processor as clients are told of it.
    /// - Returns: nil where no model describes it.
    public func host(_ facts: HostFacts) -> ProcessorDocument? {
        var answers: [UInt64: [UInt32]?] = [:]
        var set = features(
            identification: { leaf, index in
                let key = UInt64(leaf) << 32 | UInt64(index)
                if let known = answers[key] { return known }
                let found = HostProcessor.identification(leaf, index)
                answers[key] = found
                return found
            }, register: HostProcessor.modelSpecificRegister)
        set.vendor = Self.vendors[facts.vendor]
        let signature = ProcessorSignature(family: facts.family, model: facts.model, stepping: facts.stepping)
        guard let found = try? describe(set, Search(forHost: true, signature: signature)) else { return nil }
        return ProcessorDocument(host: found.model.name, vendor: set.vendor, features: found.added)
    }
}
