// SPDX-License-Identifier: Apache-2.0

internal import ByteCoding
internal import Diagnostics
internal import Glibc
internal import HostSystem
internal import JSONCoding
internal import LocalSockets
public import ManagementModel
internal import ManagementXML
internal import XMLTree

/// A conversation with the agent inside a guest: one JSON object a line, over the socket of its channel.
final class GuestAgent {
    /// The name of the agent's channel.
    static let channel = "org.qemu.guest_agent.0"

    private let socket: FileDescriptor
    private var pending: [UInt8] = []

    /// What an answer may be long.
    private static let limit = 16 << 20

    /// Connects and makes sure that what is read from now on answers what is asked from now on.
    init(path: String, patience: UInt64) throws {
        do throws(Errno) { socket = try LocalSocket.connect(path: path) } catch {
            throw ManagementError(.agentUnresponsive, "cannot connect to the agent: \(error)")
        }
        let number = Int64(truncatingIfNeeded: monotonicNanoseconds() & 0x7fff_ffff)
        let deadline = monotonicNanoseconds() &+ patience
        try send(["execute": "guest-sync", "arguments": ["id": .integer(number)]])
        // Answers to what somebody asked before are passed over.
        while try receive(deadline)["return"]?.integer != number {}
    }

    private func send(_ message: JSONObject) throws {
        do throws(Errno) { try socket.writeAll(Array((JSONValue.object(message).printed() + "\n").utf8)) } catch {
            throw ManagementError(.agentUnresponsive, "guest agent is not available for now")
        }
    }

    private func receive(_ deadline: UInt64) throws -> JSONValue {
        while true {
            if let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: pending[..<end].filter { $0 != 0xff }, as: UTF8.self)
                pending.removeSubrange(...end)
                if let value = try? JSONValue(parsing: line) { return value }
                continue
            }
            guard pending.count < Self.limit else {
                throw ManagementError(.internalError, "the guest agent's answer is too long")
            }
            let now = monotonicNanoseconds()
            guard now < deadline else {
                throw ManagementError(.agentUnresponsive, "Guest agent not available for now")
            }
            var wanted = pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)
            // One entry, on this frame.
            guard unsafe poll(&wanted, 1, Int32(clamping: (deadline - now) / 1_000_000 + 1)) > 0 else { continue }
            var descriptors: [Int32] = []
            do throws(Errno) {
                let count = try LocalSocket.receive(
                    socket.number, limit: 65536, into: &pending, descriptors: &descriptors)
                guard count > 0 else { throw Errno(EPIPE) }
            } catch { throw ManagementError(.agentUnresponsive, "Guest agent disappeared while executing command") }
        }
    }

    /// Asks the agent.
    /// - Parameter mayStaySilent: whether no answer is one, too: a guest that ends says nothing.
    func execute(
        _ name: String, _ arguments: JSONObject, patience: UInt64, mayStaySilent: Bool = false
    ) throws -> JSONValue {
        var message: JSONObject = ["execute": .string(name)]
        if !arguments.isEmpty { message["arguments"] = .object(arguments) }
        try send(message)
        let answer: JSONValue
        do { answer = try receive(monotonicNanoseconds() &+ patience) } catch let error as ManagementError {
            guard mayStaySilent, error.code == .agentUnresponsive else { throw error }
            return .null
        }
        if let error = answer["error"] {
            throw ManagementError(
                .internalError,
                "unable to execute QEMU agent command '\(name)': \(error["desc"]?.string ?? "")")
        }
        return answer["return"] ?? .null
    }
}

// What only the guest itself knows or can do.
extension MachineDriver {
    /// Nanoseconds to wait for an agent to say that it is there, and for what it was asked.
    private static let syncPatience: UInt64 = 5_000_000_000
    private static let agentPatience: UInt64 = 30_000_000_000

    /// Nanoseconds in which a guest that may stay silent says what is wrong.
    private static let silence: UInt64 = 2_000_000_000

    func agentCommand(
        _ machine: Machine, _ name: String, _ arguments: JSONObject = [:], mayStaySilent: Bool = false
    ) throws -> JSONValue {
        let live = try machine.requireLive()
        guard machine.facts.state.isRunning else {
            throw ManagementError(.operationInvalid, "domain is not running")
        }
        let channel = live.definition.devices.first {
            $0.name == "channel" && $0[child: "target"]?["name"] == GuestAgent.channel
        }
        guard let channel else {
            throw ManagementError(.argumentUnsupported, "QEMU guest agent is not configured")
        }
        guard channel[child: "target"]?["state"] != "disconnected" else {
            throw ManagementError(.agentUnresponsive, "QEMU guest agent is not connected")
        }
        let path = channel[child: "source"]?["path"] ?? live.sockets + "/" + GuestAgent.channel
        let agent = try GuestAgent(path: path, patience: Self.syncPatience)
        return try agent.execute(
            name, arguments, patience: mayStaySilent ? Self.silence : machine.agentPatience ?? Self.agentPatience,
            mayStaySilent: mayStaySilent)
    }

    /// Has the guest's agent turn the machine off, or start it anew.
    public func shutDownByAgent(_ uuid: UniqueID, called name: String? = nil, reboots: Bool) throws {
        let machine = try machine(uuid, called: name)
        try machine.job.withLock {
            // It answers only when it cannot.
            _ = try agentCommand(
                machine, "guest-shutdown", ["mode": reboots ? "reboot" : "powerdown"], mayStaySilent: true)
        }
    }

    /// How long an agent may take to answer: -2 as long as it likes, -1 the usual time, 0 not at all, or seconds.
    public func setAgentPatience(_ uuid: UniqueID, seconds: Int32) throws {
        guard seconds >= -2 else {
            throw ManagementError(
                .invalidArg, "guest agent timeout '\(seconds)' is less than the minimum '-2'", from: .none)
        }
        let forever: UInt64 = 1 << 62
        let machine = try machine(uuid)
        switch seconds {
        case -2: machine.agentPatience = forever
        case -1: machine.agentPatience = nil
        // Less than a moment is no answer at all.
        default: machine.agentPatience = max(1, UInt64(seconds)) &* 1_000_000_000
        }
    }

    /// SSH keys that let somebody in as a user of the guest.
    public func guestKeys(_ uuid: UniqueID, of user: String) throws -> [String] {
        let machine = try machine(uuid)
        return try machine.job.withLock {
            let answer = try agentCommand(machine, "guest-ssh-get-authorized-keys", ["username": .string(user)])
            return (answer["keys"]?.array ?? []).compactMap(\.string)
        }
    }

    /// Sets those keys, adds some or takes some away.
    public func setGuestKeys(_ uuid: UniqueID, of user: String, _ keys: [String], appends: Bool, removes: Bool) throws {
        let machine = try machine(uuid)
        try machine.job.withLock {
            var arguments: JSONObject = ["username": .string(user), "keys": .array(keys.map { .string($0) })]
            if !removes { arguments["reset"] = .bool(!appends) }
            _ = try agentCommand(
                machine, removes ? "guest-ssh-remove-authorized-keys" : "guest-ssh-add-authorized-keys", arguments)
        }
    }

    /// Sends any command to a guest's agent.
    public func agentCommand(_ uuid: UniqueID, _ text: String) throws -> String {
        let machine = try machine(uuid)
        let message: JSONValue
        do throws(JSONError) { message = try JSONValue(parsing: text) } catch {
            throw ManagementError(.internalError, "cannot parse json \(text): \(error)")
        }
        let answer = try agentCommand(
            machine, message["execute"]?.string ?? "", message["arguments"]?.object ?? [:])
        return JSONValue.object(["return": answer]).printed()
    }

    /// The state of a channel changed: called on the monitors' thread.
    func channelSeen(_ machine: Machine, _ data: JSONObject?) {
        guard let alias = data?["id"]?.string, let isOpen = data?["open"]?.bool else { return }
        var isAgent = false
        machine.change { _, live in
            guard let place = try? live?.definition.place(alias: alias) else { return }
            live?.definition.devices[place][child: "target"]?["state"] = isOpen ? "connected" : "disconnected"
            isAgent = live?.definition.devices[place][child: "target"]?["name"] == GuestAgent.channel
        }
        let channelReason: Int32 = 2
        if isAgent {
            events.emit(.machine(machine.facts.reference, .agentLifecycle(isOpen ? 1 : 2, reason: channelReason)))
        }
    }

    /// Asks the emulator which channels are open inside: events tell only of changes since.
    func refreshChannels(_ machine: Machine, _ monitor: MonitorClient) throws {
        guard let live = machine.live, live.definition.devices.contains(where: { $0.name == "channel" }) else { return }
        var states: [String: String] = [:]
        for entry in try monitor.execute("query-chardev").array ?? [] {
            if let label = entry["label"]?.string, label.hasPrefix("char"), let isOpen = entry["frontend-open"]?.bool {
                states[String(label.dropFirst("char".count))] = isOpen ? "connected" : "disconnected"
            }
        }
        machine.change { _, live in
            for place in live?.definition.devices.indices ?? 0..<0 {
                guard let device = live?.definition.devices[place], device.name == "channel",
                    device[child: "target"]?["type"] == "virtio",
                    let state = device[child: "alias"]?["name"].flatMap({ states[$0] })
                else { continue }
                live?.definition.devices[place][child: "target"]?["state"] = state
            }
        }
    }

    /// Freezes or thaws the guest's file systems.
    /// - Returns: how many.
    public func freeze(_ uuid: UniqueID, _ mountPoints: [String], thaws: Bool) throws -> Int32 {
        let machine = try machine(uuid)
        let answer: JSONValue
        if thaws {
            answer = try agentCommand(machine, "guest-fsfreeze-thaw")
        } else if mountPoints.isEmpty {
            answer = try agentCommand(machine, "guest-fsfreeze-freeze")
        } else {
            answer = try agentCommand(
                machine, "guest-fsfreeze-freeze-list", ["mountpoints": .array(mountPoints.map { .string($0) })])
        }
        return Int32(truncatingIfNeeded: answer.integer ?? 0)
    }

    /// Gives blocks that the guest's file systems do not use back.
    public func trim(_ uuid: UniqueID, minimum: UInt64) throws {
        _ = try agentCommand(machine(uuid), "guest-fstrim", ["minimum": JSONValue(minimum)])
    }

    /// The guest's clock: seconds and nanoseconds since 1970.
    public func guestTime(_ uuid: UniqueID) throws -> (Int64, UInt32) {
        let time = try agentCommand(machine(uuid), "guest-get-time").integer ?? 0
        return (time / 1_000_000_000, UInt32(truncatingIfNeeded: time % 1_000_000_000))
    }

    /// Sets the guest's clock; without a time from the machine's.
    public func setGuestTime(_ uuid: UniqueID, seconds: Int64, nanoseconds: UInt32, fromMachine: Bool) throws {
        let time = seconds &* 1_000_000_000 &+ Int64(nanoseconds)
        _ = try agentCommand(machine(uuid), "guest-set-time", fromMachine ? [:] : ["time": .integer(time)])
    }

    /// The name that the guest calls itself; empty if the agent leaves it out.
    public func guestHostname(_ uuid: UniqueID) throws -> String {
        try agentCommand(machine(uuid), "guest-get-host-name")["host-name"]?.string ?? ""
    }

    /// Sets a guest user's password; `isEncrypted` says that it is a crypt(3) hash already.
    public func setGuestPassword(_ uuid: UniqueID, user: String, password: String, isEncrypted: Bool) throws {
        _ = try agentCommand(
            machine(uuid), "guest-set-user-password",
            [
                "username": .string(user), "password": .string(Base64.encode(Array(password.utf8))),
                "crypted": .bool(isEncrypted),
            ])
    }

    /// The guest's file systems: where they are mounted, their device, their type, and the targets of their disks.
    public func guestFileSystems(_ uuid: UniqueID) throws -> [(
        mountPoint: String, name: String, type: String, disks: [String]
    )] {
        let machine = try machine(uuid)
        let answer = try agentCommand(machine, "guest-get-fsinfo").array ?? []
        let disks = machine.live?.definition.devices.filter { $0.name == "disk" } ?? []
        return answer.map { entry in
            let targets = (entry["disk"]?.array ?? []).compactMap { part -> String? in
                guard part["bus-type"]?.string == "virtio", let slot = part["pci-controller"]?["slot"]?.integer else {
                    return nil
                }
                return disks.first {
                    $0[child: "target"]?["bus"] == "virtio"
                        && $0[child: "address"]?["slot"].flatMap { Int64($0.dropFirst(2), radix: 16) } == slot
                }?[child: "target"]?["dev"]
            }
            return (
                entry["mountpoint"]?.string ?? "", entry["name"]?.string ?? "", entry["type"]?.string ?? "", targets
            )
        }
    }

    /// A guest's interface with its addresses, as the agent, the leases or the host's neighbours know it.
    public struct GuestInterface: Sendable {
        /// The guest's name of it (agent), or the host's tap device (leases, neighbours).
        public var name: String
        /// Its hardware address; nil where the source does not know it.
        public var mac: String?
        /// The address and the length of its prefix; version 4 or 6 by its form.
        public var addresses: [(address: String, prefix: UInt32)]
        /// An interface as one source described it.
        public init(name: String, mac: String?, addresses: [(address: String, prefix: UInt32)]) {
            self.name = name
            self.mac = mac
            self.addresses = addresses
        }
    }

    /// What the guest says of its interfaces.
    public func guestInterfaces(_ uuid: UniqueID) throws -> [GuestInterface] {
        (try agentCommand(machine(uuid), "guest-network-get-interfaces").array ?? []).map { entry in
            GuestInterface(
                name: entry["name"]?.string ?? "", mac: entry["hardware-address"]?.string,
                addresses: (entry["ip-addresses"]?.array ?? []).map {
                    ($0["ip-address"]?.string ?? "", UInt32(clamping: $0["prefix"]?.integer ?? 0))
                })
        }
    }

    /// The interfaces of a running machine: the name of each device on the host, its MAC and the network it is in.
    public func interfaces(_ uuid: UniqueID) throws -> [(device: String, mac: String, network: String?)] {
        let live = try machine(uuid).requireLive()
        return live.definition.devices.filter { $0.name == "interface" }.map {
            (
                $0[child: "target"]?["dev"] ?? "", $0[child: "mac"]?["address"] ?? "",
                $0[child: "source"]?["network"]
            )
        }
    }

    /// What the guest says of itself, in libvirt's names. Bits: users 1, system 2, time zone 4, host name 8, file
    /// systems 16, disks 32, interfaces 64.
    public func guestInformation(_ uuid: UniqueID, _ types: UInt32) throws -> [TypedParameter] {
        let machine = try machine(uuid)
        _ = try machine.requireLive()
        var list: [TypedParameter] = []
        func add(_ name: String, _ value: TypedParameter.Value) { list.append(TypedParameter(name, value)) }
        func wants(_ bit: UInt32) -> Bool { types == 0 || types & bit != 0 }
        /// One that the agent does not know is left out unless it was asked for.
        func ask(_ bit: UInt32, _ command: String) throws -> JSONValue? {
            guard wants(bit) else { return nil }
            do { return try agentCommand(machine, command) } catch let error as ManagementError {
                if types != 0 || error.code == .agentUnresponsive || error.code == .argumentUnsupported { throw error }
                return nil
            }
        }
        if let users = try ask(1, "guest-get-users")?.array {
            add("user.count", .uint(UInt32(users.count)))
            for (place, user) in users.enumerated() {
                add("user.\(place).name", .text(user["user"]?.string ?? ""))
                add("user.\(place).login-time", .ulong(UInt64(max(0, (user["login-time"]?.double ?? 0) * 1000))))
            }
        }
        if let system = try ask(2, "guest-get-osinfo") {
            for name in [
                "id", "name", "pretty-name", "version", "version-id", "kernel-release", "kernel-version", "machine",
                "variant", "variant-id",
            ] {
                if let value = system[name]?.string { add("os.\(name)", .text(value)) }
            }
        }
        if let zone = try ask(4, "guest-get-timezone") {
            if let name = zone["zone"]?.string { add("timezone.name", .text(name)) }
            add("timezone.offset", .int(Int32(truncatingIfNeeded: zone["offset"]?.integer ?? 0)))
        }
        if let name = try ask(8, "guest-get-host-name")?["host-name"]?.string { add("hostname", .text(name)) }
        if let systems = try ask(16, "guest-get-fsinfo")?.array {
            add("fs.count", .uint(UInt32(systems.count)))
            for (place, system) in systems.enumerated() {
                add("fs.\(place).name", .text(system["name"]?.string ?? ""))
                add("fs.\(place).mountpoint", .text(system["mountpoint"]?.string ?? ""))
                add("fs.\(place).fstype", .text(system["type"]?.string ?? ""))
                if let total = system["total-bytes"]?.unsigned { add("fs.\(place).total-bytes", .ulong(total)) }
                if let used = system["used-bytes"]?.unsigned { add("fs.\(place).used-bytes", .ulong(used)) }
            }
        }
        return list
    }
}
