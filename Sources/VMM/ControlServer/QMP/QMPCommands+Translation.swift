// SPDX-License-Identifier: Apache-2.0

internal import ControlProtocol
internal import JSONCoding

extension QMPCommandTable {
    static let translationCommands = [
        QMPCommandDefinition("x-query-jit") { (context, _) throws(QMPError) in
            ["human-readable-text": .string(try TranslationText.report(context.machine))]
        },
        QMPCommandDefinition("x-query-opcount") { (context, _) throws(QMPError) in
            ["human-readable-text": .string(try TranslationText.opcodes(context.machine))]
        },
    ]
}

/// What both monitors say of translated code.
enum TranslationText {
    private static func report(
        _ machine: any ControlledMachine, _ what: String
    ) throws(QMPError) -> (text: String, opcodes: String) {
        guard machine.facts.accelerator == "tcg" else {
            throw QMPError("\(what) information is only available with accel=tcg")
        }
        guard let report = (machine as? any TranslationReporting)?.translationReport() else {
            throw QMPError("all code is interpreted (-accel tcg,jit=off, or the host refused memory for code)")
        }
        return report
    }

    static func report(_ machine: any ControlledMachine) throws(QMPError) -> String {
        try report(machine, "JIT").text
    }

    static func opcodes(_ machine: any ControlledMachine) throws(QMPError) -> String {
        try report(machine, "Opcode count").opcodes
    }
}
