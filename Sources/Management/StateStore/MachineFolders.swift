// SPDX-License-Identifier: Apache-2.0

public import HostSystem

/// Where the files of machines are: libvirt's places below four folders.
public struct MachineFolders: Sendable {
    /// Definitions: /etc/libvirt.
    public let configuration: String
    /// What lasts: /var/lib/libvirt.
    public let state: String
    /// What a reboot ends: /run/libvirt.
    public let runtime: String
    /// Logs: /var/log/libvirt.
    public let logs: String

    /// Four absolute folders; nothing is made here.
    public init(configuration: String, state: String, runtime: String, logs: String) {
        self.configuration = configuration
        self.state = state
        self.runtime = runtime
        self.logs = logs
    }

    /// Definitions of machines.
    public var definitions: String { configuration + "/qemu" }
    /// Links to the definitions of machines that start with the service.
    public var autostart: String { definitions + "/autostart" }
    /// What is known of running machines.
    public var running: String { runtime + "/qemu" }
    /// Saved memory.
    public var saved: String { state + "/qemu/save" }
    /// Snapshots, a folder for each machine.
    public var snapshots: String { state + "/qemu/snapshot" }
    /// Checkpoints, a folder for each machine.
    public var checkpoints: String { state + "/qemu/checkpoint" }
    /// Variables of firmware in flash memory.
    public var variableStores: String { state + "/qemu/nvram" }
    /// Sockets of channels.
    public var channels: String { state + "/qemu/channel/target" }
    /// Logs of machines.
    public var machineLogs: String { logs + "/qemu" }

    /// The file of a definition.
    public func definition(_ name: String) -> String { definitions + "/" + name + ".xml" }
    /// What a rename that was not finished was about.
    public func renaming(_ name: String) -> String { definitions + "/.renaming-" + name }
    /// What goes with a definition that is being removed.
    public func undefining(_ name: String) -> String { definitions + "/.undefining-" + name }
    /// A link to the definition while autostart is on.
    public func autostartLink(_ name: String) -> String { autostart + "/" + name + ".xml" }
    /// The administrator's scripts.
    public var hooks: String { configuration + "/hooks" }
    /// The number of the machine's process, for scripts.
    public func processNumber(_ name: String) -> String { running + "/" + name + ".pid" }
    /// What a restarted service needs to find the running machine again.
    public func status(_ name: String) -> String { running + "/" + name + ".xml" }
    /// Output of the machine's process.
    public func log(_ name: String) -> String { machineLogs + "/" + name + ".log" }
    /// Where a managed save puts the machine's state.
    public func savedMemory(_ name: String) -> String { saved + "/" + name + ".save" }
    public func variableStore(_ name: String) -> String { variableStores + "/" + name + "_VARS.fd" }
    /// One document for each snapshot.
    public func snapshotFolder(_ name: String) -> String { snapshots + "/" + name }
    /// One document for each checkpoint.
    public func checkpointFolder(_ name: String) -> String { checkpoints + "/" + name }

    /// The folder of a running machine's sockets. Long names are cut, for a socket's path is at most 107 bytes.
    public func sockets(_ id: Int32, _ name: String) -> String {
        state + "/qemu/domain-\(id)-" + String(name.prefix(20))
    }

    /// Makes all of them.
    /// - Throws: the host's error.
    public func make() throws(Errno) {
        for folder in [autostart, running, saved, snapshots, checkpoints, variableStores, channels, machineLogs] {
            try StateFiles.makeFolder(folder)
        }
    }
}
