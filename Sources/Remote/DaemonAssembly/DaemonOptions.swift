// SPDX-License-Identifier: Apache-2.0

package import Diagnostics
internal import Glibc
internal import HostSystem

/// What the command line says.
package struct DaemonOptions {
    /// Where clients connect.
    var socket: String
    /// Where clients that may only look connect; none for a private instance unless asked for.
    var readOnlySocket: String?
    /// The folder of definitions (/etc/libvirt for the system).
    var configuration: String
    /// The folder of what lasts over a reboot (/var/lib/libvirt).
    var state: String
    /// The folder of what does not (/run/libvirt).
    var runtime: String
    /// The folder of machines' logs.
    var logs: String
    /// The emulator of machines that name none.
    var emulator: String
    /// The program that makes disk images.
    let imageTool = ThisProgram.beside("roost-img")
    /// Whether this is the host's daemon or one user's.
    var isSystem: Bool
    /// The file of settings.
    var settings: String
    /// `ADDRESS:PORT` for clients over TLS, when that was asked for here.
    var tls: String?
    /// What is printed instead of serving.
    var immediateOutput: String?

    private static let version = "roostd 0.1 (libvirt 9.0.0)"
    private static let help = """
        Usage: roostd [OPTION]...
        Manages machines, storage and networks for clients of libvirt.

          --socket PATH      serve at PATH (and read-only at PATH-ro) instead of libvirt's own place
          --state DIR        keep everything in DIR instead of libvirt's own places
          --emulator PATH    the program that runs machines; roost-vmm beside this program unless given
          --config FILE      read settings from FILE (libvirtd.conf in the folder of definitions unless given)
          --tls ADDRESS:PORT serve clients over TLS, with the certificates that the settings name
          --session          serve one user, also when started by root
          --help             show this text
          --version          show the version
        """

    /// Reads the arguments behind the name of the program.
    package init(_ arguments: [String]) throws(UserError) {
        var socket: String?
        var state: String?
        var emulator: String?
        var settings: String?
        isSystem = getuid() == 0
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            var (name, value) = (argument, String?.none)
            if let equals = argument.firstIndex(of: "="), argument.hasPrefix("--") {
                name = String(argument[..<equals])
                value = String(argument[argument.index(after: equals)...])
            }
            func argumentValue() throws(UserError) -> String {
                if let value { return value }
                guard let next = rest.popFirst() else {
                    throw UserError("option \(name) needs a value", remedy: "see roostd --help")
                }
                return next
            }
            switch name {
            case "--socket": socket = try argumentValue()
            case "--state": state = try argumentValue()
            case "--emulator": emulator = try argumentValue()
            case "--config": settings = try argumentValue()
            case "--tls": tls = try argumentValue()
            case "--session": isSystem = false
            case "--help", "-h": immediateOutput = Self.help
            case "--version", "-V": immediateOutput = Self.version
            default: throw UserError("unknown option \(argument)", remedy: "see roostd --help")
            }
        }
        self.emulator = emulator ?? ThisProgram.beside("roost-vmm")
        let home = ThisProgram.variable("HOME") ?? "/"
        let runtimeHome = (ThisProgram.variable("XDG_RUNTIME_DIR") ?? "/run/user/\(getuid())") + "/libvirt"
        if let state {
            configuration = state + "/etc"
            self.state = state + "/lib"
            runtime = state + "/run"
            logs = state + "/log"
        } else if isSystem {
            configuration = "/etc/libvirt"
            self.state = "/var/lib/libvirt"
            runtime = "/run/libvirt"
            logs = "/var/log/libvirt"
        } else {
            configuration = (ThisProgram.variable("XDG_CONFIG_HOME") ?? home + "/.config") + "/libvirt"
            self.state = (ThisProgram.variable("XDG_DATA_HOME") ?? home + "/.local/share") + "/libvirt"
            runtime = runtimeHome
            logs = (ThisProgram.variable("XDG_CACHE_HOME") ?? home + "/.cache") + "/libvirt"
        }
        self.socket = socket ?? (isSystem && state == nil ? "/run/libvirt/libvirt-sock" : runtime + "/libvirt-sock")
        self.settings = settings ?? configuration + "/libvirtd.conf"
        readOnlySocket = isSystem ? self.socket + "-ro" : nil
    }
}
