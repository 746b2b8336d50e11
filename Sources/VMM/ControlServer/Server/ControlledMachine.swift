// SPDX-License-Identifier: Apache-2.0

public import BlockJobs
public import CharacterStreams
public import ControlProtocol
public import CPUInterface
public import Diagnostics
public import DisplaySurfaces
public import GuestMemory
public import JSONCoding
public import MachineModel
public import MachineRuntime
public import MachineSpec
public import TransportSecurity
public import VNCServer

/// The machine as monitors and the debugger see it. Everything is called on the event loop's thread, without the
/// machine lock, which an implementation takes where it reads device state.
///
/// What only some machines have is a protocol of its own below; a monitor refuses the commands for what is missing.
public protocol ControlledMachine: AnyObject {
    /// Runs, stops and resets it, and holds its processors.
    var runner: MachineRunner { get }
    var facts: MachineFacts { get }
    /// RAM and ROM.
    var memory: GuestMemory { get }
    /// Device registers in memory, for `x/xp` on them and `info mtree`; nil where there are none.
    var memoryDevices: AddressSpace? { get }
    /// Ports, for `i`, `o` and `info mtree`; nil where there are none.
    var ports: AddressSpace? { get }
    /// All character devices by label.
    var characterDevices: CharacterDevices { get }
    /// The devices for `info qtree` and QOM, bus by bus.
    func deviceReports() -> [DeviceReport]
    /// Raises an NMI on all processors (`inject-nmi`, `nmi`).
    func injectNonMaskableInterrupt()
}

/// A machine with disks.
public protocol BlockReporting: ControlledMachine {
    func blockReports() -> [BlockDeviceReport]
    /// All nodes, also those below others.
    func nodeReports() -> [BlockDeviceReport.Medium]
}

extension BlockReporting {
    /// The media of the devices.
    public func nodeReports() -> [BlockDeviceReport.Medium] { blockReports().compactMap(\.medium) }
}

/// A machine whose disks can be changed while it runs.
public protocol BlockControlling: ControlledMachine {
    /// Its nodes, backends and jobs.
    var blockDevices: BlockDevices { get }
    /// Tells the device that uses a backend that it has another length.
    func lengthChanged(of backend: BlockBackend)
}

/// A machine that can be saved into its own disks. What `devices` and `vmState` name are nodes; nil for all disks that
/// can be written, and the first of them that can hold the machine's state.
public protocol SnapshotControlling: BlockControlling {
    /// Saves machine and disks under a name.
    /// - Parameter replaces: an older snapshot of that name goes away; else it is an error.
    func saveSnapshot(
        _ tag: String, vmState: String?, devices: [String]?, replaces: Bool
    ) throws(UserError)
    /// Makes machine and disks what they were.
    func loadSnapshot(_ tag: String, vmState: String?, devices: [String]?) throws(UserError)
    /// Forgets a snapshot.
    /// - Returns: how many disks had it.
    func deleteSnapshot(_ tag: String, devices: [String]?) throws(UserError)
    /// What `info snapshots` prints.
    func snapshotList() throws(UserError) -> String
}

/// A machine with PCI buses.
public protocol PCIReporting: ControlledMachine {
    func pciReports() -> [PCIFunctionReport]
}

/// What goes into a drive.
public enum MediumChoice: Equatable, Sendable {
    case none
    /// A block node by name.
    case node(String)
    case file(String, format: String?)
}

/// A machine with drives whose media can be changed. Names are those of devices or of their drives.
public protocol MediaControlling: ControlledMachine {
    func hasRemovableMedium(_ name: String) -> Bool
    /// - Throws: the guest has locked the tray; it is told that somebody wants it open.
    func openTray(_ name: String, force: Bool) throws(UserError)
    func closeTray(_ name: String) throws(UserError)
    /// - Throws: the tray is closed, or the medium cannot be opened.
    func setMedium(_ name: String, to medium: MediumChoice) throws(UserError)
}

/// A machine with screens and input devices.
public protocol DisplayControlling: ControlledMachine {
    /// The screens; the first one is what `screendump` shows.
    var displays: [DisplayConsole] { get }
    /// Where keys and movements go.
    var inputRouter: InputRouter { get }
    /// Runs something later on the event loop's thread.
    func later(milliseconds: UInt64, _ work: @escaping () -> Void)
}

/// A machine whose screens can be seen over the network.
public protocol ScreenServing: ControlledMachine {
    /// The VNC servers, the first of which is meant where nobody says which.
    var screenServers: [VNCServer] { get }
    /// Reads a server's certificates again (`display-reload`).
    func reloadCertificates(of server: VNCServer) throws(UserError)
}

/// A machine that is given secrets and the like while it runs.
public protocol ObjectKeeping: ControlledMachine {
    /// Adds an object, described as -object does.
    func addObject(_ options: JSONObject) throws(UserError)
    /// Forgets an object.
    func removeObject(_ name: String) throws(UserError)
}

/// A machine that knows what encrypted connections are made with.
public protocol CredentialKeeping: ControlledMachine {
    /// The certificates of an object, by its identifier.
    /// - Parameter isServer: the side that they must be for.
    func credentials(_ name: String, isServer: Bool) throws(UserError) -> TLSCredentials
}

/// A machine whose devices come and go while it runs.
public protocol HotPlugging: ControlledMachine {
    func hasDevice(_ name: String) -> Bool
    /// Adds a device, described as -device does.
    func addDevice(_ options: JSONObject) throws(UserError)
    /// Asks the guest to give a device back; DEVICE_DELETED says when it has.
    func removeDevice(_ name: String) throws(UserError)
    /// Adds a network, described as -netdev does.
    func addNetwork(_ options: JSONObject) throws(UserError)
    /// - Returns: false where nothing has this name.
    func removeNetwork(_ name: String) -> Bool
}

/// A machine with networks.
public protocol NetworkReporting: ControlledMachine {
    func networkReports() -> [NetworkReport]
    /// Plugs a cable in or out.
    /// - Returns: false when nothing has this name.
    func setLink(_ name: String, isUp: Bool) -> Bool
}

/// A machine with user networks, whose ports the host can open while it runs.
public protocol PortForwarding: ControlledMachine {
    /// Opens a port of the host: "[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport".
    /// - Parameter network: its identifier; nil where there is one alone.
    func addForward(_ rule: String, network: String?) throws(UserError)
    /// Closes a port of the host: "[tcp|udp]:[hostaddr]:hostport".
    /// - Returns: false where it was not open.
    func removeForward(_ rule: String, network: String?) throws(UserError) -> Bool
    /// The networks' names with their connections, line by line.
    func forwardingNetworks() -> [(name: String, connections: String)]
}

/// A machine whose firmware is told what to start from.
public protocol BootOrdering: ControlledMachine {
    /// From the next reset on.
    /// - Parameter letters: as for `-boot order=`.
    func setBootOrder(_ letters: String)
}

/// A machine whose state can be sent, saved and loaded.
public protocol MigrationControlling: ControlledMachine {
    /// Begins to send the machine away (`migrate`).
    /// - Parameter descriptors: file descriptors by the names that `getfd` gave them.
    func beginMigration(to uri: String, descriptors: (String) -> Int32?) throws(UserError)
    /// Gives a move up; nothing where there is none.
    func cancelMigration()
    /// Lets a move that waits before its last part go on (`migrate-continue`).
    func continueMigration() throws(UserError)
    /// Fills the waiting machine (`migrate-incoming`).
    func beginIncoming(from uri: String, descriptors: (String) -> Int32?) throws(UserError)
    /// How the last move stands, as `query-migrate` says it: nil before the first.
    var migrationState: MigrationState? { get }
    /// What is set for moves; a change holds for one that is under way, where it can.
    var migrationSettings: MigrationSettings { get set }
    /// A machine that waits for its state runs when it has it, as the other side did: no with `-S` and after `stop`.
    var startsOnceFilled: Bool { get set }
}

/// How a move stands, in QMP's terms.
public struct MigrationState: Sendable {
    /// "active", "completed"...
    public var status: String
    /// Why it failed; nil unless it did.
    public var problem: String?
    /// nil on the side that is filled.
    public var memory: Memory?
    /// Milliseconds; the time of standing still is an expectation until the end.
    public var totalTime: UInt64 = 0, downtime: UInt64 = 0, setupTime: UInt64 = 0
    /// Per cent that is taken from the processors.
    public var throttle = 0
    /// Where the side that is filled listens, as QMP's `SocketAddress`.
    public var socketAddresses: [JSONValue] = []

    /// Counters of guest memory.
    public struct Memory: Sendable {
        /// Bytes.
        public var transferred: UInt64 = 0, remaining: UInt64 = 0, total: UInt64 = 0
        /// Bytes that were sent while the guest stood still, and by further channels.
        public var downtimeBytes: UInt64 = 0, channelBytes: UInt64 = 0
        /// Pages: sent with their bytes, sent as zeros, written by the guest and sent in a second.
        public var normal: UInt64 = 0, zero: UInt64 = 0, dirtyRate: UInt64 = 0, pageRate: UInt64 = 0
        /// Readings of the log of written pages.
        public var rounds: UInt64 = 0
        /// Megabits a second of the last measure.
        public var megabits = 0.0
        /// All counters at 0.
        public init() {}
    }

    /// A move with that status.
    public init(status: String) { self.status = status }
}

/// A machine with interrupt controllers that can be shown.
public protocol InterruptReporting: ControlledMachine {
    /// `info pic`: the state of the controllers, line by line.
    func interruptControllerReport() -> String
    /// `info irq`: how often each line was raised; nil where nobody counts.
    func interruptCounts() -> [(line: Int, count: UInt64)]?
    /// `info lapic`: the local APIC of one processor.
    func localControllerReport(processor: Int) -> String?
}

/// A machine whose devices have threads of their own.
public protocol ThreadReporting: ControlledMachine {
    /// Objects of -object iothread, with the host's numbers of their threads.
    var ioThreads: [(name: String, hostIdentifier: Int)] { get }
}

/// A machine whose processors may translate code.
public protocol TranslationReporting: ControlledMachine {
    /// `info jit` and `info opcount`; nil where nothing is translated.
    func translationReport() -> (text: String, opcodes: String)?
}

/// A machine with a memory balloon.
public protocol BalloonControlling: ControlledMachine {
    /// Bytes that the guest has now; nil without a balloon device.
    var balloonActualBytes: UInt64? { get }
    /// Asks the guest to keep this many bytes.
    func setBalloon(target bytes: UInt64)
}

/// A machine whose balloon tells what the guest's memory is used for.
public protocol BalloonStatisticsKeeping: BalloonControlling {
    /// Seconds between questions to the guest; 0 asks nothing.
    var balloonStatisticsInterval: Int { get set }
    /// The last answer by tag (virtio 1.2, 5.5.6.5), and its second since 1970; nil without a balloon device.
    var balloonStatistics: (values: [Int: UInt64], lastUpdate: Int64)? { get }
}

/// A machine with USB cables.
public protocol USBReporting: ControlledMachine {
    /// What hangs on the cables, by controller and port; nil without a controller.
    var usbReports: [USBReport]? { get }
}

/// A device on a USB cable, for `info usb`.
public struct USBReport: Equatable, Sendable {
    /// The controller's number from 0, and the address that the guest gave the device.
    public var bus: Int, address: Int
    /// From 1, of the controller and then of hubs: "2.1".
    public var port: String
    /// In Mb/s: "1.5", "12", "480", "5000".
    public var speed: String
    /// What its descriptor says.
    public var product: String
    /// What the person called it.
    public var identifier: String?
    /// A device as it is seen now.
    public init(bus: Int, address: Int, port: String, speed: String, product: String, identifier: String?) {
        (self.bus, self.address, self.port) = (bus, address, port)
        (self.speed, self.product, self.identifier) = (speed, product, identifier)
    }
}

/// Character devices by label, in order.
public final class CharacterDevices {
    private var entries: [(label: String, backend: any CharacterBackend)] = []

    /// No devices.
    public init() {}

    /// All of them, in the order in which they were added.
    public var all: [any CharacterBackend] { entries.map(\.backend) }

    /// The one with this label.
    public subscript(_ label: String) -> (any CharacterBackend)? { entries.first { $0.label == label }?.backend }

    /// Adds one whose label is not taken.
    public func add(_ backend: any CharacterBackend) { entries.append((backend.label, backend)) }

    /// Takes one out; it is not closed.
    public func remove(_ label: String) { entries.removeAll { $0.label == label } }

    /// Closes all, in order: at the end of the process.
    public func closeAll() {
        for entry in entries { entry.backend.close() }
        entries = []
    }
}

/// A machine that can make character devices while it runs (`chardev-add`).
public protocol CharacterDeviceMaking: ControlledMachine {
    /// Makes the device and adds it to `characterDevices`.
    func makeCharacterDevice(_ spec: CharacterDeviceSpec) throws(UserError)
}

/// A machine whose engine can say what its processors offer.
public protocol ProcessorReporting: ControlledMachine {
    /// What the engine and the host under it offer.
    var processorCapabilities: CPUModel.Capabilities { get }
    /// What the guest sees; nil without processors.
    var processorModel: CPUModel? { get }
}
