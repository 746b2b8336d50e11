// SPDX-License-Identifier: Apache-2.0

internal import HostTools
internal import HostSystem
internal import ManagementModel
internal import StateStore

/// The firewall of this host, through nft.
struct FilterHost {
    /// Where rules are written for nft to read.
    let folder: String

    private static let nft = "/usr/sbin/nft"

    private func run(_ arguments: [String]) throws -> HostTool.Result {
        try HostTool.attempt(Self.nft, arguments, to: "apply network filters", from: .networkFilter)
    }

    private func load(_ text: String, _ name: String, checksOnly: Bool = false) throws -> String? {
        let path = folder + "/" + name + ".nft"
        do throws(Errno) { try StateFiles.write(path, text) } catch {
            throw ManagementError(.systemError, "cannot write '\(path)': \(error)", from: .networkFilter)
        }
        defer { try? StateFiles.remove(path) }
        let result = try run((checksOnly ? ["-c"] : []) + ["-f", path])
        return result.succeeded ? nil : result.reason(.first)
    }

    /// Looks what the kernel can do on bridges.
    func abilities() throws -> RuleCompiler.Abilities {
        func works(_ rule: String) throws -> Bool {
            try load(
                "table bridge roost_probe { chain c { type filter hook prerouting priority 0; \(rule); } }\n", "probe",
                checksOnly: true) == nil
        }
        return RuleCompiler.Abilities(tracksConnections: try works("ct state new"), rejects: try works("reject"))
    }

    /// Puts a device's rules in place of those that it has.
    func apply(_ rules: String, to device: String) throws {
        if let said = try load(rules, RuleCompiler.table(of: device)) {
            throw ManagementError(
                .internalError, "cannot apply the filter of '\(device)': \(said)", from: .networkFilter)
        }
    }

    /// Removes a device's rules; those that are not there are removed already.
    func remove(from device: String) throws {
        let table = RuleCompiler.table(of: device)
        if let said = try load("table bridge \(table) {}\ndelete table bridge \(table)\n", table) {
            throw ManagementError(
                .internalError, "cannot remove the filter of '\(device)': \(said)", from: .networkFilter)
        }
    }
}
