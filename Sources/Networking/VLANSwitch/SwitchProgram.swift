// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostSystem

/// The switch as a program: `vlan-switch SOCKET UPLINK PORT...`.
public enum SwitchProgram {
    /// The first argument of a process that is a switch.
    public static let word = "vlan-switch"

    /// Runs it and gives its exit status.
    /// - Parameter words: what follows `vlan-switch`.
    public static func run(_ words: [String]) -> Int32 {
        guard words.count >= 2, let port = SwitchPort(words: words.dropFirst(2).map { Substring($0) }) else {
            Console.shared.error("a switch needs a socket, the name of a tap device, and what it carries")
            return ExitStatus.failure
        }
        // A client that goes away while it is answered is no reason to end.
        signal(SIGPIPE, SIG_IGN)
        do throws(Errno) { try SwitchServer(path: words[0], uplink: words[1], port).run() } catch {
            Console.shared.error("the switch at '\(words[0])' cannot start: \(error)")
            return ExitStatus.failure
        }
        return ExitStatus.success
    }
}
