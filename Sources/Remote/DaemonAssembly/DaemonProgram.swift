// SPDX-License-Identifier: Apache-2.0

internal import Diagnostics
internal import Glibc
internal import HostInventory
internal import HostIO
internal import HostSystem
internal import LibvirtRPC
internal import LibvirtService
internal import LocalSockets
internal import MachineDriver
internal import NetworkFilters
internal import SecretStore
internal import ManagementCore
internal import ManagementModel
internal import StateStore
internal import StorageBackends
internal import VirtualNetworks

/// The daemon: reads its arguments, puts its parts together and serves until it is told to stop.
public enum DaemonProgram {
    /// Runs the program and gives its exit status.
    public static func run(_ arguments: [String]) -> Int32 {
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
        ServiceManager.useJournalLevels()
        let activations = ServiceManager.takeSockets()
        let configuration = try DaemonConfiguration(path: options.settings)
        let emulator: EmulatorFacts
        do throws(Errno) { emulator = try EmulatorFacts(probing: options.emulator) } catch {
            throw UserError(
                "cannot run the emulator \(options.emulator)", because: error,
                remedy: "name another one with --emulator PATH")
        }
        let core = try makeCore(options, emulator)
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
        ServiceManager.notify("READY=1")
        stop.wait()
        ServiceManager.notify("STOPPING=1")
        // Sockets of a service manager stay, so that clients can come while nobody serves.
        guard activations.isEmpty else { return }
        for path in [options.socket, options.readOnlySocket].compactMap({ $0 }) {
            // unlink copies the path.
            _ = unsafe unlink(path)
        }
    }

    private static func makeCore(_ options: DaemonOptions, _ emulator: EmulatorFacts) throws -> ManagementCore {
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
            filters = try FilterDriver(folder: options.configuration + "/nwfilter")
            networks = try NetworkDriver(
                folder: options.configuration + "/qemu/networks", runtime: options.runtime + "/network",
                state: options.state + "/dnsmasq", events: events)
            machines = try MachineDriver(
                folders: folders, emulator: emulator, imageTool: options.imageTool, events: events
            ) { [networks] in
                try networks.bridge(ofNetwork: $0)
            }
            pools = try PoolDriver(
                folder: options.configuration + "/storage", runtime: options.runtime + "/storage",
                imageTool: options.imageTool, events: events)
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
