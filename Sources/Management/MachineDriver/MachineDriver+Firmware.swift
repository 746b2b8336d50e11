// SPDX-License-Identifier: Apache-2.0

package import HostInventory
internal import HostSystem
internal import ManagementModel
package import ManagementXML
internal import StateStore
internal import XMLTree

// Firmware in flash memory: which, and the machine's own store of its variables.
extension MachineDriver {
    /// Chooses the firmware of a document that only says which kind it wants, and makes the store of its variables.
    /// - Parameter resets: whether a store that there is is made anew.
    func prepareFirmware(_ definition: inout DomainDefinition, resets: Bool = false) throws {
        let installed = FirmwareDescription.installed()
        let name = definition.name
        try definition.chooseFirmware(among: installed, store: folders.variableStore(name))
        guard let system = definition.root[child: "os"], system[child: "loader"]?["type"] == "pflash",
            let store = system[child: "nvram"], !store.text.isEmpty, resets || !StateFiles.exists(store.text)
        else { return }
        let loader = system[child: "loader"]?.text ?? ""
        let known = installed.first { $0.program == loader }?.variables ?? Self.traditional[loader]
        guard let template = store["template"] ?? known else {
            throw ManagementError(
                .operationFailed, "unable to find any master var store for loader: \(loader)", from: .machineDriver)
        }
        do throws(Errno) {
            try StateFiles.write(store.text, bytes: try StateFiles.readBytes(template, limit: Self.storeLimit))
        } catch {
            throw ManagementError(
                .systemError, "cannot make the firmware's variables '\(store.text)' from '\(template)': \(error)")
        }
    }

    /// More than any store of variables has.
    private static let storeLimit = 64 << 20
    /// Names of Debian's packages before there were descriptions.
    private static let traditional = [
        "/usr/share/OVMF/OVMF_CODE.fd": "/usr/share/OVMF/OVMF_VARS.fd",
        "/usr/share/OVMF/OVMF_CODE.secboot.fd": "/usr/share/OVMF/OVMF_VARS.fd",
        "/usr/share/OVMF/OVMF_CODE_4M.fd": "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ]
}

extension DomainDefinition {
    /// Fills in the firmware where the document says `firmware='efi'` and no more.
    package mutating func chooseFirmware(among installed: [FirmwareDescription], store: String) throws {
        guard var system = root[child: "os"], let kind = system["firmware"] else { return }
        system["firmware"] = nil
        guard system[child: "loader"]?.text.isEmpty ?? true else { return root[child: "os"] = system }
        var features: [String: Bool] = [:]
        for feature in system[child: "firmware"]?.all("feature") ?? [] {
            if let name = feature["name"] { features[name] = feature["enabled"] == "yes" }
        }
        if system[child: "loader"]?["secure"] == "yes" { features["secure-boot"] = true }
        let wish = FirmwareWish(kind: kind, architecture: architecture, machine: machine, features: features)
        guard let firmware = wish.choice(among: installed) else {
            throw ManagementError(
                .operationFailed, "Unable to find any firmware to satisfy '\(kind)'", from: .machineDriver)
        }
        system[child: "firmware"] = nil
        var loader = XMLElement("loader", text: firmware.program)
        if firmware.device == "flash" {
            loader["readonly"] = "yes"
            if firmware.features.contains("requires-smm") {
                loader["secure"] = "yes"
                if root[child: "features"] == nil { root[child: "features"] = XMLElement("features") }
                root[child: "features"]?[child: "smm"] = XMLElement("smm", ["state": "on"])
            }
            loader["type"] = "pflash"
            if let template = firmware.variables {
                var element = XMLElement(
                    "nvram", text: system[child: "nvram"].map(\.text).flatMap { $0.isEmpty ? nil : $0 } ?? store)
                element["template"] = template
                system[child: "nvram"] = element
            }
        } else {
            loader["type"] = "rom"
        }
        system[child: "loader"] = loader
        root[child: "os"] = system
        order()
    }
}
