// SPDX-License-Identifier: Apache-2.0

internal import ManagementModel

extension ProcessorMap {
    /// How a host's processor stands to what is wanted, in the numbers that clients know.
    public enum Comparison: Int32, Sendable {
        case incompatible = 0, identical = 1, superset = 2
    }

    /// The features that a document is about.
    /// - Parameter policy: nil for what the processor has in the end, else the features of that policy, and the model's
    ///   where it is `require`.
    func features(
        of document: ProcessorDocument, _ policy: ProcessorDocument.Policy? = nil
    ) throws -> ProcessorFeatureSet {
        var set = ProcessorFeatureSet()
        if document.isHost, let policy, policy != .require { return set }
        if let name = document.model, policy == nil || policy == .require {
            guard let model = model(name) else {
                throw ManagementError(.internalError, "Unknown CPU model \(name)", from: .cpu)
            }
            set = model.features
            // Who made it counts where the document says so.
            set.vendor = nil
        }
        for feature in document.features {
            if policy == nil ? feature.policy == .optional : feature.policy != policy { continue }
            guard let index = documentedIndex(of: feature.name) else {
                throw ManagementError(.internalError, "Unknown CPU feature \(feature.name)", from: .cpu)
            }
            set[index] = policy != nil || feature.policy == .force || feature.policy == .require
        }
        return set
    }

    /// Compares a host's processor, or the best that an emulator gives, with what a document wants.
    /// - Parameter fails: throws libvirt's error, which says what is missing, where they do not fit.
    public func compare(
        host: ProcessorDocument, with wanted: ProcessorDocument, fails: Bool
    ) throws -> Comparison {
        func refuse(_ reason: String) throws -> Comparison {
            if fails { throw ManagementError(.cpuIncompatible, reason, from: .cpu) }
            return .incompatible
        }
        func list(_ set: ProcessorFeatureSet) -> String { names(of: set).joined(separator: ", ") }
        if let architecture = wanted.architecture, !["x86_64", "i686"].contains(architecture) {
            return try refuse("CPU arch \(architecture) does not match host arch")
        }
        if let vendor = wanted.vendor, vendor != host.vendor {
            return try refuse("host CPU vendor does not match required CPU vendor \(vendor)")
        }
        let present = try features(of: host)
        let forced = try features(of: wanted, .force), optional = try features(of: wanted, .optional)
        let disabled = try features(of: wanted, .disable)
        var required = try features(of: wanted, .require), forbidden = try features(of: wanted, .forbid)
        forbidden.formIntersection(present)
        guard forbidden.isEmpty else { return try refuse("Host CPU provides forbidden features: \(list(forbidden))") }
        for set in [forced, optional, disabled] { required.subtract(set) }
        let missing = required.subtracting(present)
        guard missing.isEmpty else {
            return try refuse("Host CPU does not provide required features: \(list(missing))")
        }
        var extra = present
        for set in [optional, required, disabled, forced] { extra.subtract(set) }
        if extra.isEmpty { return .identical }
        guard !wanted.isHost, wanted.match == "strict" else { return .superset }
        return try refuse("Host CPU does not strictly match guest CPU: Extra features: \(list(extra))")
    }
}
