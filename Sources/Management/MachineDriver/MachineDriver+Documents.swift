// SPDX-License-Identifier: Apache-2.0

public import ManagementModel
internal import ManagementXML
internal import StateStore

// Documents as clients want them.
extension MachineDriver {
    /// What a document is wanted for.
    public struct DocumentOptions: OptionSet, Sendable {
        /// libvirt's virDomainXMLFlags.
        public let rawValue: UInt32
        /// Takes a client's flags as they are.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// With the passwords of displays; not for read-only connections.
        public static let secure = DocumentOptions(rawValue: 1)
        /// The stored definition, even while the machine runs.
        public static let inactive = DocumentOptions(rawValue: 2)
        /// With the model that stands for `host-model` here.
        public static let updateProcessor = DocumentOptions(rawValue: 4)
        /// For a service on another host: with passwords, and without what every service adds by itself.
        public static let migratable = DocumentOptions(rawValue: 8)
    }

    /// A document as a client wants it.
    private func variant(_ definition: DomainDefinition, _ options: DocumentOptions) throws -> DomainDefinition {
        var changed = definition
        if options.contains(.migratable) {
            // What a run gave its devices means nothing elsewhere.
            changed = try DomainDefinition(definition.root, context).migratable(channels: folders.channels)
        }
        if options.contains(.updateProcessor) { changed.nameProcessor() }
        return changed
    }

    /// A machine's document.
    public func document(_ uuid: UniqueID, called name: String? = nil, _ options: DocumentOptions) throws -> String {
        let machine = try machine(uuid, called: name)
        if let live = machine.live, !options.contains(.inactive) {
            guard !options.isDisjoint(with: [.updateProcessor, .migratable]) else {
                return live.definition.printed(secure: options.contains(.secure), id: machine.facts.id)
            }
            let changed = try variant(live.definition, options)
            let isMigratable = options.contains(.migratable)
            return changed.printed(
                secure: isMigratable || options.contains(.secure), id: isMigratable ? nil : machine.facts.id)
        }
        return try variant(try definition(of: machine), options)
            .printed(secure: !options.isDisjoint(with: [.secure, .migratable]))
    }
}
