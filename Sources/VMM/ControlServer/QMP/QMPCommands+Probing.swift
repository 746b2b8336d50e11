// SPDX-License-Identifier: Apache-2.0

internal import CommandLineKit
internal import ControlProtocol
internal import CPUInterface
internal import JSONCoding
internal import MachineRuntime
internal import MachineSpec

extension QMPCommandTable {
    /// What management programs ask to find out what this emulator can do. Where it cannot, the answers are QEMU's own
    /// for a build without that ability.
    static let probingCommands = [
        QMPCommandDefinition("query-tpm-models") { _, _ in [] },
        QMPCommandDefinition("query-tpm-types") { _, _ in [] },
        QMPCommandDefinition("query-sev") { _, _ in
            [
                "enabled": false, "api-major": 0, "api-minor": 0, "build-id": 0, "policy": 0, "state": "uninit",
                "handle": 0,
            ]
        },
        QMPCommandDefinition("query-sev-capabilities") { (_, _) throws(QMPError) in
            throw QMPError("KVM not enabled")
        },
        QMPCommandDefinition("query-sgx-capabilities") { (_, _) throws(QMPError) in
            throw QMPError("SGX is not enabled in KVM")
        },
        QMPCommandDefinition("query-replay") { _, _ in ["mode": "none", "icount": 0] },
        QMPCommandDefinition("query-memory-devices") { _, _ in [] },
        QMPCommandDefinition("query-memdev") { _, _ in [] },
        QMPCommandDefinition("query-yank") { _, _ in [] },
        QMPCommandDefinition("yank", [QMPParameter("instances", .array)]) { (_, arguments) throws(QMPError) in
            if let first = arguments["instances"]?.array?.first {
                throw QMPError("Instance not found", class: .deviceNotFound, naming: first)
            }
            return [:]
        },
        QMPCommandDefinition(
            "set-action",
            [
                QMPParameter("reboot", .string, optional: true, words: ["reset", "shutdown"]),
                QMPParameter("shutdown", .string, optional: true, words: ["poweroff", "pause"]),
                QMPParameter(
                    "panic", .string, optional: true, words: ["pause", "shutdown", "exit-failure", "none"]),
            ]
        ) { context, arguments in
            let runner = context.machine.runner
            if let text = arguments["reboot"]?.string { runner.policy.resetShutsDown = text == "shutdown" }
            if let text = arguments["shutdown"]?.string { runner.policy.shutdownPauses = text == "pause" }
            if let text = arguments["panic"]?.string { runner.policy.panicAction = text }
            return [:]
        },
    ]
}

extension QMPError {
    fileprivate init(_ text: String, class errorClass: Class, naming value: JSONValue) {
        self.init("\(text): \(value.printed())", class: errorClass)
    }
}

/// Processors in `query-cpu-model-expansion`.
enum ProcessorAnswers {
    /// All the names that QEMU knows a feature by.
    static func names(of feature: ProcessorFeature) -> [String] {
        switch feature.name {
        case "sse4.1": ["sse4.1", "sse4-1", "sse4_1"]
        case "sse4.2": ["sse4.2", "sse4-2", "sse4_2"]
        case "lm": ["lm", "i64"]
        case "nx": ["nx", "xd"]
        default:
            feature.name.contains("-")
                ? [feature.name, String(feature.name.map { $0 == "-" ? "_" : $0 })] : [feature.name]
        }
    }

    /// Vendor, family, model and so on, as CPUID shows them.
    static func addIdentity(of model: CPUModel, to props: inout JSONObject) {
        let state = CPUIDState(identifier: 0)
        func leaf(_ function: UInt32) -> CPUIDResult { model.leaf(function: function, index: 0, state: state) }
        let basic = leaf(0), signature = leaf(1).eax, extended = leaf(0x8000_0000), sizes = leaf(0x8000_0008)
        let family = (signature >> 8 & 15) + (signature >> 8 & 15 == 15 ? signature >> 20 & 0xFF : 0)
        props["vendor"] = .string(text([basic.ebx, basic.edx, basic.ecx]))
        props["family"] = .integer(Int64(family))
        props["model"] = .integer(Int64(signature >> 4 & 15 | signature >> 12 & 0xF0))
        props["stepping"] = .integer(Int64(signature & 15))
        props["level"] = .integer(Int64(basic.eax))
        props["xlevel"] = .integer(Int64(extended.eax))
        props["phys-bits"] = .integer(Int64(sizes.eax & 0xFF))
        let name = (0..<3).flatMap { place in
            let part = leaf(0x8000_0002 + UInt32(place))
            return [part.eax, part.ebx, part.ecx, part.edx]
        }
        props["model-id"] = .string(text(name))
    }

    private static func text(_ words: [UInt32]) -> String {
        let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
