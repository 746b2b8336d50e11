// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import HostSystem

/// What cloud-init in a guest finds on a CD-ROM labelled "cidata" (its data source NoCloud).
package struct CloudSeed {
    let machine: String
    /// Changes whenever the guest is to set itself up anew.
    let instance: String
    let userData: [UInt8]

    /// The name of the user that the usual settings make.
    static let usualUser = "roost"

    /// Settings of the caller's own, or the usual ones: a user whom the caller's SSH keys let in.
    init(machine: String, instance: String, userDataPath: String?) throws(UserError) {
        self.machine = machine
        self.instance = instance
        if let userDataPath {
            guard let content = ProgramFiles.content(userDataPath) else {
                throw UserError("cannot read the user data '\(userDataPath)'", remedy: "name a readable file")
            }
            userData = content
            return
        }
        let keys = Self.publicKeys()
        guard !keys.isEmpty else {
            throw UserError(
                "there is no SSH key to let you into the guest",
                remedy: "make one with ssh-keygen, or say who may log in with --user-data FILE")
        }
        userData = Array(Self.usualSettings(keys).utf8)
    }

    private static func publicKeys() -> [String] {
        let folder = (ThisProgram.variable("HOME") ?? "/root") + "/.ssh/"
        return ["id_ed25519", "id_ecdsa", "id_rsa"].compactMap { ProgramFiles.text("\(folder)\($0).pub") }
    }

    /// The first user of settings of the caller's own; nil where they do not name one in lines of their own.
    package static func firstUser(_ settings: [UInt8]) -> String? {
        var isUsers = false
        for line in String(decoding: settings, as: UTF8.self).split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace).filter { $0 != "-" }
            if line.hasPrefix("users:") {
                isUsers = true
            } else if isUsers, let first = line.first, first != " ", first != "-" {
                isUsers = false
            } else if isUsers, words.count == 2, words[0] == "name:" {
                return words[1].filter { $0 != "'" && $0 != "\"" }
            }
        }
        return nil
    }

    /// A `#cloud-config` with one user who has these SSH keys and may use sudo.
    package static func usualSettings(_ keys: [String]) -> String {
        """
        #cloud-config
        users:
          - name: \(usualUser)
            sudo: ALL=(ALL) NOPASSWD:ALL
            shell: /bin/bash
            ssh_authorized_keys:
        \(keys.map { "      - \($0)" }.joined(separator: "\n"))

        """
    }

    /// The CD-ROM.
    var image: [UInt8] {
        let metaData = "instance-id: \(instance)\nlocal-hostname: \(machine)\n"
        return ISOImage(
            label: "cidata", files: [("user-data", userData), ("meta-data", Array(metaData.utf8))]
        ).bytes
    }
}
