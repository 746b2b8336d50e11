// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostTools
internal import HostSystem
internal import JSONCoding
internal import ManagementModel
internal import ManagementXML
internal import ProcessConfinement
internal import StateStore
internal import XMLTree

/// How emulators are confined: who they are, and which files they have.
public struct MachineConfinement: Sendable {
    /// The program that confines: this service's own, with `ConfinedLaunch.word` as its first argument.
    let launcher: String
    /// The user and group of all machines; nil gives each machine a user of its own.
    let identity: (user: UInt32, group: UInt32)?

    /// - Parameters:
    ///   - launcher: a program that runs `ConfinedLaunch`.
    ///   - identity: the user and group of all machines; nil for a user for each.
    public init(launcher: String, identity: (user: UInt32, group: UInt32)? = nil) {
        self.launcher = launcher
        self.identity = identity
    }

    /// Users of machines: a range that nobody else hands out (systemd's table of users leaves it free).
    private static let firstUser: UInt32 = 1_879_048_192 + 0x10000
    private static let userCount: UInt32 = 0x10000

    /// All of them.
    static let users = firstUser..<(firstUser + userCount)

    private static func group(of device: String) -> UInt32? {
        var information = stat()
        // stat copies the path and fills the struct on this frame.
        return unsafe stat(device, &information) == 0 && information.st_gid != 0 ? information.st_gid : nil
    }

    /// Who a machine is; nil when this service is no root's and cannot make it anybody else.
    func identity(of id: Int32) -> ConfinementPlan.Identity? {
        guard getuid() == 0 else { return nil }
        let own = Self.firstUser + UInt32(bitPattern: id) % Self.userCount
        let groups = Set(["/dev/kvm", "/dev/vhost-net"].compactMap(Self.group)).sorted()
        return ConfinementPlan.Identity(
            user: identity?.user ?? own, group: identity?.group ?? own, groups: groups)
    }
}

/// A file of a machine.
struct MachineFile: Hashable {
    let path: String
    let isReadOnly: Bool
}

// Files of machines.
extension MachineDriver {
    /// Files behind an image that are followed.
    private static let chainLimit = 64

    /// A file and the images behind it.
    func chain(_ path: String, isReadOnly: Bool, format: String?) -> [MachineFile] {
        var files = [MachineFile(path: path, isReadOnly: isReadOnly)]
        guard format != "raw", StateFiles.exists(path) else { return files }
        var next = imageBacking(path)
        while let backing = next, backing.hasPrefix("/"), files.count < Self.chainLimit,
            !files.contains(where: { $0.path == backing }), StateFiles.exists(backing)
        {
            files.append(MachineFile(path: backing, isReadOnly: true))
            next = imageBacking(backing)
        }
        return files
    }

    /// All files that a machine's devices name, and those behind them.
    func files(of definition: DomainDefinition) -> [MachineFile] {
        var files: [MachineFile] = []
        for device in definition.devices {
            switch device.name {
            case "disk":
                guard let path = device[child: "source"]?["file"] ?? device[child: "source"]?["dev"] else { break }
                files += chain(
                    path, isReadOnly: device[child: "readonly"] != nil, format: device[child: "driver"]?["type"])
                if let mirror = device[child: "mirror"]?[child: "source"]?["file"] {
                    files.append(MachineFile(path: mirror, isReadOnly: false))
                }
            case "serial", "console", "channel", "parallel", "rng":
                let source = device[child: "source"]
                if ["file", "pipe", "dev"].contains(device["type"] ?? ""), let path = source?["path"] {
                    files.append(MachineFile(path: path, isReadOnly: false))
                }
                if let log = device[child: "log"]?["file"] { files.append(MachineFile(path: log, isReadOnly: false)) }
                if device["type"] == "unix", source?["mode"] == "connect", let path = source?["path"] {
                    files.append(MachineFile(path: path, isReadOnly: false))
                }
            default: break
            }
        }
        let system = definition.root[child: "os"]
        for name in ["kernel", "initrd", "loader"] {
            if let path = system?[child: name]?.text, path.hasPrefix("/") {
                files.append(MachineFile(path: path, isReadOnly: true))
            }
        }
        if let path = system?[child: "nvram"]?.text, path.hasPrefix("/") {
            files.append(MachineFile(path: path, isReadOnly: false))
        }
        return Set(files).sorted { $0.path < $1.path }
    }

    /// Folders in which a machine makes sockets that its document names.
    private func socketFolders(of definition: DomainDefinition) -> [String] {
        var paths = definition.devices.compactMap { device -> String? in
            if device.name == "graphics" { return device[child: "listen"]?["socket"] }
            guard device["type"] == "unix", device[child: "source"]?["mode"] != "connect" else { return nil }
            return device[child: "source"]?["path"]
        }
        paths = paths.map { $0.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 } }
        return Set(paths.filter { !$0.isEmpty }).sorted()
    }

    /// Gives a machine its files and says how its emulator is started; nil where machines are not confined.
    func confine(_ definition: DomainDefinition, id: Int32, sockets: String) throws -> ConfinementPlan? {
        guard let confinement else { return nil }
        var plan = ConfinementPlan()
        plan.identity = confinement.identity(of: id)
        let files = files(of: definition)
        var taken: [String] = []
        do {
            if let identity = plan.identity {
                for file in files {
                    try makeLog(file, definition)
                    try FileOwnership.take(
                        file.path, user: identity.user, group: identity.group, isReadOnly: file.isReadOnly)
                    taken.append(file.path)
                }
                // chown copies the path.
                guard unsafe chown(sockets, identity.user, identity.group) == 0 else {
                    throw ManagementError(.systemError, "cannot give '\(sockets)' to its machine: \(Errno.current)")
                }
                plan.root = sockets + "/root"
                do throws(Errno) { try StateFiles.makeFolder(sockets + "/root", mode: 0o700) } catch {
                    throw ManagementError(.systemError, "cannot make '\(sockets)/root': \(error)")
                }
            }
        } catch {
            for path in taken { FileOwnership.giveBack(path) }
            throw error
        }
        plan.readable = [definition.emulator] + files.filter { $0.isReadOnly && StateFiles.exists($0.path) }.map(\.path)
        plan.writable = files.filter { !$0.isReadOnly && StateFiles.exists($0.path) }.map(\.path)
        plan.folders = [sockets] + socketFolders(of: definition).filter { StateFiles.exists($0) }
        return plan
    }

    /// A file that the machine would make itself must be there to become its own.
    private func makeLog(_ file: MachineFile, _ definition: DomainDefinition) throws {
        guard !file.isReadOnly, !StateFiles.exists(file.path),
            definition.devices.contains(where: { device in
                device[child: "log"]?["file"] == file.path
                    || device["type"] == "file" && device.name != "disk"
                        && device[child: "source"]?["path"] == file.path
            })
        else { return }
        do throws(Errno) {
            _ = try FileDescriptor.open(file.path, flags: O_WRONLY | O_CREAT, mode: 0o600)
        } catch { throw ManagementError(.systemError, "cannot make '\(file.path)': \(error)") }
    }

    /// Gives a machine's files back.
    func release(_ definition: DomainDefinition) {
        guard confinement != nil, getuid() == 0 else { return }
        for file in files(of: definition) { FileOwnership.giveBack(file.path) }
    }

    // MARK: While a machine runs

    /// The user of a running machine; nil for one that is no other than the service.
    private static func user(of process: Int32) -> (user: UInt32, group: UInt32)? {
        var information = stat()
        // stat copies the path and fills the struct on this frame.
        guard unsafe stat("/proc/\(process)", &information) == 0, information.st_uid != getuid() else { return nil }
        return (information.st_uid, information.st_gid)
    }

    /// Lets a machine that runs have one more file and those behind it. What it has already stays as it is.
    func admit(_ path: String, isReadOnly: Bool, format: String?, to process: Int32) throws {
        guard let confinement, path.hasPrefix("/"), let owner = Self.user(of: process) else { return }
        var plan = ConfinementPlan()
        for file in chain(path, isReadOnly: isReadOnly, format: format) where StateFiles.exists(file.path) {
            try FileOwnership.take(file.path, user: owner.user, group: owner.group, isReadOnly: file.isReadOnly)
            if file.isReadOnly { plan.readable.append(file.path) } else { plan.writable.append(file.path) }
        }
        try HostTool.run(
            confinement.launcher, [ConfinedLaunch.showWord, "\(process)"] + plan.arguments,
            to: "give the machine '\(path)'", from: .machineDriver)
    }

    /// The same for all files of a device.
    func admit(_ device: XMLElement, to process: Int32) throws {
        switch device.name {
        case "disk":
            guard let path = device[child: "source"]?["file"] ?? device[child: "source"]?["dev"] else { return }
            try admit(
                path, isReadOnly: device[child: "readonly"] != nil, format: device[child: "driver"]?["type"],
                to: process)
        case "serial", "console", "channel", "parallel":
            let source = device[child: "source"]
            guard ["file", "pipe", "dev"].contains(device["type"] ?? ""), let path = source?["path"] else { return }
            if device["type"] == "file", !StateFiles.exists(path) {
                do throws(Errno) { _ = try FileDescriptor.open(path, flags: O_WRONLY | O_CREAT, mode: 0o600) } catch {
                    throw ManagementError(.systemError, "cannot make '\(path)': \(error)")
                }
            }
            try admit(path, isReadOnly: false, format: "raw", to: process)
        default: break
        }
    }

    /// Gives the files of a device back that a machine does not have any more.
    func giveBack(_ device: XMLElement) {
        guard confinement != nil, getuid() == 0, device.name == "disk",
            let path = device[child: "source"]?["file"] ?? device[child: "source"]?["dev"]
        else { return }
        for file in chain(path, isReadOnly: false, format: device[child: "driver"]?["type"]) {
            FileOwnership.giveBack(file.path)
        }
    }
}
