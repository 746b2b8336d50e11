// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import LibvirtProtocol
internal import LibvirtRPC
internal import MachineDriver
internal import ManagementCore
internal import ManagementModel
internal import ManagementXML
internal import XDRCoding

/// Processors by model and features: what hosts and emulators have in common, and whether they give what is wanted.
enum ProcessorCalls {
    private enum Flag {
        static let failIncompatible: UInt32 = 1, expandFeatures: UInt32 = 1, migratable: UInt32 = 2
    }
    private static let map = ProcessorMap.standard

    static func register(in table: CallTable<ServiceConnection>) {
        table.answer(Procedures.connectGetCpuModelNames) { _, _, architecture, wanted, _ in
            guard DomainCapabilities.knows(architecture: architecture) else {
                throw ManagementError(.invalidArg, "cannot find architecture \(architecture)")
            }
            let names = ["x86_64", "i686"].contains(architecture) ? map.models.map(\.name) : []
            return (wanted != 0 ? names : [], Int32(names.count))
        }
        table.answer(Procedures.connectCompareCpu, .blocking) { client, _, text, flags in
            let wanted = try document(text)
            guard let host = client.core.capabilities.host.processor else {
                if flags & Flag.failIncompatible != 0 {
                    throw ManagementError(.cpuIncompatible, "unknown host CPU", from: .cpu)
                }
                return ProcessorMap.Comparison.incompatible.rawValue
            }
            return try map.compare(host: host, with: wanted, fails: flags & Flag.failIncompatible != 0).rawValue
        }
        table.answer(Procedures.connectBaselineCpu, .blocking) { _, _, texts, flags in
            let given = try documents(texts, isHost: true)
            if let architecture = given[0].architecture, !["x86_64", "i686"].contains(architecture) {
                throw ManagementError(
                    .noSupport, "cannot compute baseline CPU of \(architecture) architecture", from: .cpu)
            }
            var result = try map.baseline(given, migratable: flags & Flag.migratable != 0)
            map.dropHostOnly(&result)
            if flags & Flag.expandFeatures != 0 { try map.expand(&result) }
            return result.document
        }
        table.answer(Procedures.connectCompareHypervisorCpu, .blocking) {
            client, _, path, architecture, machine, type, text, flags in
            let processors = try offered(client, path, architecture, machine, type).processors
            return try map.compare(
                host: try processors.hostModel(), with: try document(text),
                fails: flags & Flag.failIncompatible != 0
            ).rawValue
        }
        table.answer(Procedures.connectBaselineHypervisorCpu, .blocking) {
            client, _, path, architecture, machine, type, texts, flags in
            let wanted = try documents(texts)
            let (processors, emulator, kind) = try offered(client, path, architecture, machine, type)
            guard !processors.models.isEmpty else {
                throw ManagementError(
                    .operationUnsupported,
                    "QEMU '\(emulator)' does not support any CPU models for virttype '\(kind)'")
            }
            let known =
                flags & Flag.migratable != 0 ? processors.known.subtracting(processors.immovable) : processors.known
            var result = try map.baseline(wanted, offered: processors.offered, known: known, migratable: false)
            result.allowsFallback = false
            if flags & Flag.expandFeatures != 0 { try map.expand(&result) }
            return result.document
        }
    }

    private static func document(_ text: String, isHost: Bool? = nil) throws -> ProcessorDocument {
        try ProcessorDocument(try XMLDocument.parseAny(text, called: "(CPU_definition)"), isHost: isHost)
    }

    private static func documents(_ texts: [String], isHost: Bool? = nil) throws -> [ProcessorDocument] {
        guard !texts.isEmpty else { throw ManagementError(.invalidArg, "no CPUs given", from: .cpu) }
        return try texts.map { try document($0, isHost: isHost) }
    }

    /// The processors that an emulator gives, by the emulator's path, architecture, machine and kind of virtualization, each
    /// nil for the usual one.
    private static func offered(
        _ client: ServiceConnection, _ path: String?, _ architecture: String?, _ machine: String?, _ type: String?
    ) throws -> (processors: EmulatorProcessors, emulator: String, type: String) {
        let emulators = client.core.machines.emulators
        let emulator = try emulators.facts(of: path)
        let kind = try DomainCapabilities.type(
            of: emulator, architecture: architecture, machine: machine, type: type)
        return (try emulators.processors(of: emulator.path, type: kind), emulator.path, kind)
    }
}
