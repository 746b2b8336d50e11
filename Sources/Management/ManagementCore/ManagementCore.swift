// SPDX-License-Identifier: Apache-2.0

public import HostInventory
public import ManagementModel
public import MachineDriver
public import NetworkFilters
public import SecretStore
public import StorageBackends
public import VirtualNetworks

/// Everything that is managed on this host.
public final class ManagementCore: Sendable {
    /// The host and the default emulator.
    public let capabilities: Capabilities
    /// Machines.
    public let machines: MachineDriver
    /// Storage.
    public let pools: PoolDriver
    /// Virtual networks.
    public let networks: NetworkDriver
    /// Secrets.
    public let secrets: SecretDriver
    /// Network filters.
    public let filters: FilterDriver
    /// Events of all parts.
    public let events: EventHub
    /// Whether the service runs as root for the whole host, or for one user.
    public let isSystem: Bool

    /// Drivers that are loaded already, all of one event hub.
    public init(
        capabilities: Capabilities, machines: MachineDriver, pools: PoolDriver, networks: NetworkDriver,
        secrets: SecretDriver, filters: FilterDriver, events: EventHub, isSystem: Bool
    ) {
        self.capabilities = capabilities
        self.machines = machines
        self.pools = pools
        self.networks = networks
        self.secrets = secrets
        self.filters = filters
        self.events = events
        self.isSystem = isSystem
    }

    /// How a client can reach this service again.
    public var address: String { isSystem ? "qemu:///system" : "qemu:///session" }
}
