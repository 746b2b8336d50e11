// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
package import HostInventory
internal import HostIO
internal import HostSystem
internal import HostTools
internal import LibvirtRPC
internal import LibvirtService
internal import LocalSockets
package import MachineDriver
internal import NetworkFilters
internal import ProcessConfinement
internal import SecretStore
package import ManagementCore
internal import ManagementModel
internal import StateStore
internal import StorageBackends
internal import VLANSwitch
internal import VirtualNetworks

/// The daemon: reads its arguments, puts its parts together and serves until it is told to stop.
public enum DaemonProgram {
    /// Runs the program and gives its exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        // Machines are started, and shown their files, by processes of this program that take their own rights away.
        if arguments.first == ConfinedLaunch.word { return ConfinedLaunch.run(Array(arguments.dropFirst())) }
        if arguments.first == SwitchProgram.word { return SwitchProgram.run(Array(arguments.dropFirst())) }
        if arguments.first == ConfinedLaunch.showWord { return ConfinedLaunch.show(Array(arguments.dropFirst())) }
        do {
            let options = try DaemonOptions(arguments)
            if let text = options.immediateOutput {
                print(text)
                return ExitStatus.success
            }
            try serve(options)
            return ExitStatus.success
        } catch {
            Console.shared.error(error)
            return ExitStatus.of(error)
        }
    }

    private static func serve(_ options: DaemonOptions) throws {
        let stop = try StopSignals()
        raiseDescriptorLimit()
        ServiceManager.useJournalLevels()
        let activations = ServiceManager.takeSockets()
        let configuration = try DaemonConfiguration(path: options.settings)
        let emulator: EmulatorFacts
        do throws(Errno) { emulator = try EmulatorFacts(probing: options.emulator) } catch {
            throw UserError(
                "cannot run the emulator \(options.emulator)", because: error,
                remedy: "name another one with --emulator PATH")
        }
        let core = try makeCore(options, emulator, confinement: try confinement(configuration))
        let table = ServiceTable.make()
        let server: RPCServer
        do {
            let streamLoop = try EventLoop()
            _ = try HostThread(name: "streams") { streamLoop.run() }
            server = try RPCServer(limits: try limits(configuration)) {
                ServiceConnection(core: core, table: table, connection: $0, streamLoop: streamLoop)
            }
        } catch { throw error as? UserError ?? UserError("cannot start serving", because: "\(error)") }
        try listen(server, options, configuration, activations)
        do throws(Errno) { try server.start() } catch { throw UserError("cannot start serving", because: error) }
        core.machines.autostart()
        Console.shared.info("serving at \(options.socket)")
        let hooks = HookScripts(folder: core.machines.folders.hooks)
        tell(hooks, "start", "-", "start")
        ServiceManager.notify("READY=1")
        while stop.wait() == .reload {
            tell(hooks, "reload", "begin", "SIGHUP")
            core.networks.reload()
        }
        ServiceManager.notify("STOPPING=1")
        tell(hooks, "shutdown", "-", "shutdown")
        // Sockets of a service manager stay, so that clients can come while nobody serves.
        guard activations.isEmpty else { return }
        for path in [options.socket, options.readOnlySocket].compactMap({ $0 }) {
            // unlink copies the path.
            _ = unsafe unlink(path)
        }
    }

    /// The administrator's scripts cannot keep the service from starting or stopping.
    private static func tell(_ hooks: HookScripts, _ operation: String, _ stage: String, _ extra: String) {
        do { try hooks.run(.daemon, "-", operation, stage, extra: extra) } catch { Console.shared.warning("\(error)") }
    }

    /// Everything that is managed, as the options place it; what was there before is found again.
    package static func makeCore(
        _ options: DaemonOptions, _ emulator: EmulatorFacts, confinement: MachineConfinement? = nil
    ) throws -> ManagementCore {
        let events = EventHub()
        let folders = MachineFolders(
            configuration: options.configuration, state: options.state, runtime: options.runtime, logs: options.logs)
        let machines: MachineDriver
        let pools: PoolDriver
        let networks: NetworkDriver
        let secrets: SecretDriver
        let filters: FilterDriver
        do throws(Errno) {
            secrets = try SecretDriver(folder: options.configuration + "/secrets", events: events)
            filters = try FilterDriver(
                folder: options.configuration + "/nwfilter", runtime: options.runtime + "/nwfilter")
            networks = try NetworkDriver(
                folder: options.configuration + "/qemu/networks", runtime: options.runtime + "/network",
                state: options.state + "/dnsmasq", events: events, hooks: HookScripts(folder: folders.hooks))
            machines = try MachineDriver(
                folders: folders, emulator: emulator, imageTool: options.imageTool, events: events,
                confinement: confinement,
                filters: InterfaceFilters(
                    apply: { [filters] interface, owner in
                        guard let binding = FilterBinding(interface: interface, of: owner) else { return }
                        try filters.bind(binding)
                    }, remove: { [filters] in filters.unbind($0) }),
                vlan: { [networks] in networks.vlan(ofNetwork: $0, group: $1) },
                switchProgram: ("/proc/self/exe", SwitchProgram.word)
            ) { [networks] in
                try networks.bridge(ofNetwork: $0)
            }
            pools = try PoolDriver(
                folder: options.configuration + "/storage", runtime: options.runtime + "/storage",
                imageTool: options.imageTool, events: events
            ) { [secrets] uuid, usage in
                let volumeUsage: Int32 = 1
                let wanted = try uuid ?? secrets.find(usageType: volumeUsage, usage ?? "").uuid
                return try secrets.value(wanted, internally: true)
            }
        } catch {
            throw UserError(
                "cannot make the folders in \(options.state)", because: error,
                remedy: "run it as root, or choose another place with --state DIR")
        }
        secrets.recover()
        filters.recover()
        networks.recover()
        pools.recover()
        machines.recover()
        return ManagementCore(
            capabilities: Capabilities(host: HostFacts(), emulator: emulator), machines: machines, pools: pools,
            networks: networks, secrets: secrets, filters: filters, events: events,
            isSystem: options.isSystem)
    }

    /// How machines are confined: by this program itself, unless the settings say `confine_machines = 0`.
    private static func confinement(_ configuration: DaemonConfiguration) throws -> MachineConfinement? {
        guard try configuration.number("confine_machines", in: 0...1) ?? 1 == 1 else { return nil }
        var identity: (user: UInt32, group: UInt32)?
        if let name = try configuration.text("machine_user") {
            // The entry is read before anything else asks for one: nothing else runs yet.
            guard let entry = unsafe getpwnam(name) else {
                throw UserError("there is no user '\(name)'", remedy: "correct machine_user in the settings")
            }
            identity = unsafe (entry.pointee.pw_uid, entry.pointee.pw_gid)
        }
        return MachineConfinement(launcher: "/proc/self/exe", identity: identity)
    }

    /// Each client takes a descriptor, each machine some more: as many as the host allows.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        // The limit lives on this frame.
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        if unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
            Console.shared.warning("the number of descriptors stays limited: \(Errno.current)")
        }
    }

    private static func limits(_ configuration: DaemonConfiguration) throws(UserError) -> RPCServer.Limits {
        var limits = RPCServer.Limits()
        limits.clients = try configuration.number("max_clients", in: 1...100_000) ?? limits.clients
        limits.workers = try configuration.number("max_workers", in: 1...1000) ?? limits.workers
        limits.connection.callsInFlight =
            try configuration.number("max_client_requests", in: 1...1000) ?? limits.connection.callsInFlight
        let second: UInt64 = 1_000_000_000
        if let interval = try configuration.number("keepalive_interval", in: 1...86400) {
            limits.keepaliveInterval = UInt64(interval) * second
        }
        limits.keepaliveCount = try configuration.number("keepalive_count", in: 1...1000) ?? limits.keepaliveCount
        return limits
    }

    /// Serves at sockets that were handed over, or makes its own.
    private static func listen(
        _ server: RPCServer, _ options: DaemonOptions, _ configuration: DaemonConfiguration,
        _ activations: [ServiceManager.Activation]
    ) throws {
        let tls = try TLSListening(configuration, endpoint: options.tls)
        let folder = options.runtime + "/tls"
        for activation in activations {
            switch activation.kind {
            case .local(let readOnly):
                server.listen(on: FileDescriptor(owning: activation.number), readOnly: readOnly)
            case .network: try tls.start(server, folder: folder, socket: activation.number)
            }
        }
        guard activations.isEmpty else { return }
        try listen(
            server, options.socket, readOnly: false, mode: try configuration.permissions("unix_sock_rw_perms") ?? 0o770)
        if let path = options.readOnlySocket {
            try listen(
                server, path, readOnly: true, mode: try configuration.permissions("unix_sock_ro_perms") ?? 0o777)
        }
        let asked = try configuration.number("listen_tls", in: 0...1) ?? 0
        if options.tls != nil || asked == 1 { try tls.start(server, folder: folder) }
    }

    private static func listen(_ server: RPCServer, _ path: String, readOnly: Bool, mode: UInt32) throws {
        do throws(Errno) {
            // Who may open the socket's folder is decided by the folder; anybody may read.
            let socket = try LocalSocket.listen(path: path, mode: mode)
            server.listen(on: socket, readOnly: readOnly)
        } catch {
            throw UserError(
                "cannot listen at \(path)", because: error,
                remedy: "stop the daemon that listens there, or choose another place with --socket PATH")
        }
    }
}
