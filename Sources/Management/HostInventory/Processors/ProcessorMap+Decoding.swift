// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel

extension ProcessorMap {
    /// What a search for a model may choose from, and whom it describes.
    struct Search {
        /// For a host, whose features are only added; else for a guest.
        var forHost: Bool
        /// Of the processor, which a model of the same one is preferred for.
        var signature: ProcessorSignature?
        /// Models that an emulator has, with the features that it cannot give each; nil for all.
        var offered: [String: [String]]?
        /// Models that are taken rather than others; one alone is taken where it may be.
        var preferred: [String] = []
    }

    /// A model and the features that it is off by.
    struct Description {
        var model: Model
        var added: [String]
        /// Missing, and those that emulators' models had once.
        var missing: [String]
    }

    /// Describes features by the best model.
    /// - Throws: libvirt's error when none fits.
    func describe(_ wanted: ProcessorFeatureSet, _ search: Search) throws -> Description {
        var set = wanted
        dropBrokenTransactions(&set, search.signature)
        var best: Description?
        for model in models.reversed() {
            if let offered = search.offered, offered[model.name] == nil { continue }
            if let vendor = set.vendor, let other = model.features.vendor, vendor != other { continue }
            let candidate = description(of: set, by: model, search)
            guard search.forHost ? model.describesHost && candidate.missing.isEmpty : model.describesGuest else {
                continue
            }
            let isPreferred = search.preferred.contains(model.name)
            if isPreferred, search.preferred.count == 1 { return candidate }
            if best.map({ isBetter(candidate, than: $0, search, isPreferred: isPreferred) }) ?? true {
                best = candidate
            }
        }
        guard let best else {
            throw ManagementError(.internalError, "Cannot find suitable CPU model for given data", from: .cpu)
        }
        return best
    }

    /// Intel's first processors with transactional memory have it broken, and updates take it away.
    private func dropBrokenTransactions(_ set: inout ProcessorFeatureSet, _ signature: ProcessorSignature?) {
        guard set.vendor == "Intel", let signature, signature.family == 6,
            [60, 69, 70].contains(signature.model) || signature.model == 63 && signature.stepping < 4
        else { return }
        for name in ["hle", "rtm"] { if let index = index(of: name) { set[index] = false } }
    }

    private func description(of set: ProcessorFeatureSet, by model: Model, _ search: Search) -> Description {
        var added = set, missing = model.features
        added.subtract(model.features)
        missing.subtract(set)
        for name in search.offered?[model.name] ?? [] {
            if let index = index(of: name), !added[index] { missing[index] = true }
        }
        var names = names(of: missing)
        let more = self.names(of: added)
        if !search.forHost { names += model.removed.filter { !names.contains($0) && !more.contains($0) } }
        return Description(model: model, added: more, missing: names)
    }

    private func isBetter(
        _ candidate: Description, than current: Description, _ search: Search, isPreferred: Bool
    ) -> Bool {
        if let signature = search.signature {
            let (old, new) = (current.model.matches(signature), candidate.model.matches(signature))
            if old != new { return new }
        }
        guard !search.forHost else { return candidate.added.count < current.added.count }
        let (old, new) = (Self.penalty(of: current), Self.penalty(of: candidate))
        return new.total < old.total || new.total == old.total && new.missing < old.missing
            || isPreferred && new.missing < old.missing
    }

    /// A missing feature weighs more than one more, and each more than the one before; as in libvirt, whose choices clients
    /// compare, only the first half of the missing ones is weighed.
    private static func penalty(of description: Description) -> (total: Int, missing: Int) {
        let count = description.missing.count, weighed = (count + 1) / 2
        let missing = (0..<weighed).reduce(0) { $0 + $1 + 2 }
        return (description.added.count + count - weighed + missing, missing)
    }

    /// The most that all of some processors have, described for a guest.
    /// - Parameters:
    ///   - offered: models that an emulator has, with the features that it cannot give each; nil for all.
    ///   - known: features that an emulator knows; nil for all.
    ///   - migratable: leaves out features that keep machines from moving.
    public func baseline(
        _ documents: [ProcessorDocument], offered: [String: [String]]? = nil, known: Set<String>? = nil,
        migratable: Bool
    ) throws -> ProcessorDocument {
        func failed(_ text: String) -> ManagementError { ManagementError(.operationFailed, text, from: .cpu) }
        if let place = documents.firstIndex(where: { $0.model == nil }) {
            throw ManagementError(.invalidArg, "no CPU model specified at index \(place)", from: .cpu)
        }
        var set = try features(of: documents[0])
        var vendor = documents[0].vendor, showsVendor = vendor != nil
        if let vendor, !Self.vendors.values.contains(vendor) { throw failed("Unknown CPU vendor \(vendor)") }
        for document in documents.dropFirst() {
            let other = try features(of: document)
            let own = document.model.flatMap { model($0)?.features.vendor }
            if let given = document.vendor, let own, given != own {
                throw failed("CPU vendor \(own) of model \(document.model ?? "") differs from vendor \(given)")
            }
            showsVendor = showsVendor && document.vendor != nil
            if let name = document.vendor ?? own {
                guard Self.vendors.values.contains(name) else { throw failed("Unknown CPU vendor \(name)") }
                guard vendor ?? name == name else { throw failed("CPU vendors do not match") }
                vendor = name
            }
            set.formIntersection(other)
        }
        if let known {
            var filter = ProcessorFeatureSet()
            for name in known { if let index = index(of: name) { filter[index] = true } }
            set.formIntersection(filter)
        }
        guard !set.isEmpty else { throw failed("CPUs are incompatible") }
        set.vendor = vendor
        var names: [String] = []
        for name in documents.compactMap(\.model) where !names.contains(name) { names.append(name) }
        let found = try describe(set, Search(forHost: false, offered: offered, preferred: names))
        var result = document(of: found, vendor: set.vendor)
        if migratable { result.features.removeAll { !isMigratable($0.name) } }
        if names == [found.model.name] { result.allowsFallback = false }
        if !showsVendor { result.vendor = nil }
        return result
    }

    func isMigratable(_ name: String) -> Bool { index(of: name).map { features[$0].isMigratable } ?? false }

    func document(of description: Description, vendor: String?) -> ProcessorDocument {
        var document = ProcessorDocument(model: description.model.name)
        document.vendor = vendor
        document.features =
            description.added.map { ($0, .require) }
            + description.missing.map { ($0, ProcessorDocument.Policy.disable) }
        return document
    }

    /// Writes all features of a guest's document out, those of its model included, by name.
    public func expand(_ document: inout ProcessorDocument) throws {
        guard let name = document.model, let model = model(name) else {
            throw ManagementError(.internalError, "unknown CPU model \(document.model ?? "")", from: .cpu)
        }
        var policies: [String: ProcessorDocument.Policy] = [:]
        for name in names(of: model.features) { policies[name] = .require }
        for feature in document.features where feature.policy == .require || feature.policy == .disable {
            policies[feature.name] = feature.policy
        }
        for name in model.removed where policies[name] == nil { policies[name] = .disable }
        document.features = policies.map { ($0.key, $0.value) }
            .sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
    }

    /// Features that say what the system does, or that no emulator gives.
    private static let hostOnly: Set<String> = ["cmt", "mbm_total", "mbm_local", "osxsave", "ospke"]

    /// Takes out of a guest's document what a guest cannot be given by name.
    public func dropHostOnly(_ document: inout ProcessorDocument) {
        document.features.removeAll { Self.hostOnly.contains($0.name) }
    }
}
