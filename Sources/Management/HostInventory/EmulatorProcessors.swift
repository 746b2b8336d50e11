// SPDX-License-Identifier: Apache-2.0

internal import HostProcesses
internal import HostSystem
internal import JSONCoding
internal import ManagementModel

/// The processors that an emulator gives its machines, as it says over QMP.
public struct EmulatorProcessors: Sendable {
    /// A model of the map that it has.
    public struct Model: Sendable {
        /// As the map has it.
        public var name: String
        /// Features of the model that it cannot give here.
        public var blockers: [String]
    }

    /// In the emulator's order.
    public var models: [Model] = []
    /// The best that it gives.
    public var best: ProcessorFeatureSet
    /// Family, model and stepping of that.
    public var signature: ProcessorSignature?
    /// All features that it knows, whether it gives them or not.
    public var known: Set<String> = []
    /// Of these, those that it gives only machines that stay where they are.
    public var immovable: Set<String> = []

    private static let commands = [
        #"{"execute":"qmp_capabilities"}"#, #"{"execute":"query-cpu-definitions","id":"models"}"#,
        expansion("best", migratable: false), expansion("movable", migratable: true), #"{"execute":"quit"}"#,
    ]

    private static func expansion(_ id: String, migratable: Bool) -> String {
        #"{"execute":"query-cpu-model-expansion","id":"\#(id)","#
            + #""arguments":{"type":"static","model":{"name":"MODEL","props":{"migratable":\#(migratable)}}}}"#
    }

    /// Asks an emulator.
    /// - Parameter type: `kvm` or `qemu`.
    /// - Throws: libvirt's error when it does not answer.
    public init(probing path: String, type: String, _ map: ProcessorMap = .standard) throws {
        let isHardware = type == "kvm"
        let input = Self.commands.joined(separator: "\n").replacing("MODEL", with: isHardware ? "host" : "max") + "\n"
        let arguments = [
            "-S", "-no-user-config", "-nodefaults", "-nographic", "-machine",
            "none,accel=" + (isHardware ? "kvm" : "tcg"), "-qmp", "stdio",
        ]
        let output: String
        do throws(Errno) {
            output = try ChildProcess.run(
                path, arguments, environment: ["PATH=/usr/bin:/bin", "LC_ALL=C"], input: input
            ).output
        } catch { throw ManagementError(.systemError, "Cannot ask \(path) for its processors: \(error)") }
        try self.init(answers: output, map)
    }

    /// Reads the answers of QMP, one on each line.
    package init(answers: String, _ map: ProcessorMap = .standard) throws {
        best = ProcessorFeatureSet()
        var found: [String: JSONValue] = [:]
        for line in answers.split(whereSeparator: \.isNewline) where line.hasPrefix("{") {
            guard let value = try? JSONValue(parsing: String(line)), let id = value["id"]?.string else { continue }
            found[id] = value["return"]
        }
        guard let definitions = found["models"]?.array, let props = found["best"]?["model"]?["props"]?.object else {
            throw ManagementError(.internalError, "the emulator does not say what processors it has")
        }
        for definition in definitions {
            guard let name = definition["name"]?.string, map.model(name) != nil else { continue }
            let blockers = (definition["unavailable-features"]?.array ?? []).compactMap(\.string)
            models.append(Model(name: name, blockers: blockers))
        }
        takeBest(props, map)
        for member in found["movable"]?["model"]?["props"]?.object?.members ?? [] where member.value.bool == false {
            guard let index = map.index(of: member.name), best[index] else { continue }
            immovable.insert(map.features[index].name)
        }
    }

    private mutating func takeBest(_ props: JSONObject, _ map: ProcessorMap) {
        for member in props.members {
            if let isOn = member.value.bool, let index = map.index(of: member.name) {
                if isOn { best[index] = true }
                known.insert(map.features[index].name)
            }
        }
        best.vendor = props["vendor"]?.string.flatMap { ProcessorMap.vendors[$0] }
        func number(_ name: String) -> Int { props[name]?.integer.map { Int(clamping: $0) } ?? 0 }
        signature = ProcessorSignature(family: number("family"), model: number("model"), stepping: number("stepping"))
    }

    /// Models with what is in their way, for a search.
    public var offered: [String: [String]] {
        Dictionary(models.map { ($0.name, $0.blockers) }, uniquingKeysWith: { first, _ in first })
    }

    /// The best that it gives, as a guest's document: libvirt's `host-model`.
    /// - Throws: libvirt's error when no model describes it.
    public func hostModel(_ map: ProcessorMap = .standard) throws -> ProcessorDocument {
        let found = try map.describe(
            best, ProcessorMap.Search(forHost: false, signature: signature, offered: offered))
        var document = map.document(of: found, vendor: best.vendor)
        document.allowsFallback = false
        return document
    }
}
