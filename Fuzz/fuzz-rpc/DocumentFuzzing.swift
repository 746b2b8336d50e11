// SPDX-License-Identifier: Apache-2.0

internal import HostInventory
internal import MachineDriver
internal import ManagementModel
internal import ManagementXML
internal import NetworkFilters
internal import RandomKit
internal import RPCTestKit
internal import StorageTestKit
internal import SecretStore
internal import StateStore
internal import StorageBackends
internal import XMLTree

/// Documents of every kind.
struct DocumentFuzzing {
    private let context = DomainContext(
        emulator: { $0 == "x86_64" ? "/usr/bin/qemu-system-x86_64" : nil },
        canonicalMachine: { name, _ in
            ["pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"][name] ?? (name.hasPrefix("pc-") ? name : nil)
        })
    private let folder = "/tmp/roost-fuzz-\(UniqueID.random())"
    private let filters: FilterDriver
    private let secrets: SecretDriver
    private let pools: PoolDriver

    private static let domain = """
        <domain type='kvm' id='3'><name>m</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><metadata><a:b xmlns:a='u'>x</a:b></metadata>
        <memory unit='MiB'>64</memory><currentMemory unit='KiB'>4000</currentMemory><vcpu placement='static' cpuset='1-3,^2' current='1'>4</vcpu>
        <iothreads>2</iothreads><cputune><vcpupin vcpu='0' cpuset='0-1'/></cputune><os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type>
        <loader type='pflash' readonly='yes'>/f</loader><boot dev='hd'/><boot dev='network'/></os><features><acpi/><apic/><smm state='on'/></features>
        <cpu mode='host-model'><topology sockets='1' dies='1' cores='2' threads='2'/><numa><cell id='0' cpus='0-3' memory='65536'/></numa></cpu>
        <clock offset='utc'><timer name='rtc' tickpolicy='catchup'/></clock><devices>
        <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='/a,b'/><target dev='vda' bus='virtio'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/></disk>
        <disk type='network'><source protocol='nbd' name='x'><host name='h' port='10809'/></source><target dev='sda' bus='scsi'/><boot order='2'/></disk>
        <controller type='usb' index='0' model='qemu-xhci' ports='15'/><controller type='pci' index='0' model='pcie-root'/>
        <controller type='pci' index='1' model='pcie-root-port'><target chassis='1' port='0x8'/></controller>
        <controller type='virtio-serial' index='0'/><controller type='scsi' index='0' model='virtio-scsi'/>
        <interface type='user'><mac address='52:54:00:01:02:03'/><model type='virtio'/><portForward proto='tcp'><range start='2222' to='22'/></portForward></interface>
        <serial type='pty'><target port='0'/></serial><console type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <input type='tablet' bus='usb'/><graphics type='vnc' port='5901' listen='127.0.0.1'/><video><model type='vga' vram='16384' heads='1'/></video>
        <hostdev mode='subsystem' type='pci'><source><address domain='0' bus='1' slot='2' function='0'/></source></hostdev>
        <memballoon model='virtio'/><rng model='virtio'><rate bytes='1' period='2'/><backend model='random'>/dev/urandom</backend></rng>
        </devices><seclabel type='none'/></domain>
        """
    private static let others = [
        "<filter name='f' chain='ipv4' priority='-700'><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><rule action='accept' direction='out' priority='500'><tcp srcipaddr='$IP' dstportstart='80' dstportend='90' state='NEW'/></rule><filterref filter='g'><parameter name='A' value='1'/></filterref></filter>",
        "<secret ephemeral='no' private='yes'><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><usage type='volume'><volume>/v</volume></usage></secret>",
        "<pool type='dir'><name>p</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><source><device path='/dev/x'/><format type='auto'/></source><target><path>/tmp</path><permissions><mode>0755</mode><owner>-1</owner></permissions></target></pool>",
    ]

    init() throws {
        filters = try FilterDriver(folder: folder + "/filters")
        secrets = try SecretDriver(folder: folder + "/secrets", events: EventHub())
        pools = try PoolDriver(folder: folder + "/pools", imageTool: "/bin/false", events: EventHub())
    }

    /// Removes what was written.
    func end() {
        for part in ["/filters", "/secrets", "/pools/autostart", "/pools/running", "/pools", ""] {
            for name in StateFiles.names(in: folder + part, suffix: "") {
                try? StateFiles.remove(folder + part + "/" + name)
            }
            StateFiles.removeFolder(folder + part)
        }
    }

    /// A machine: what is accepted is accepted again as it is printed, and has arguments or an error.
    func domain(_ random: inout SeededGenerator) throws {
        let text = Damage.text(Self.domain, &random)
        guard var definition = try? DomainDefinition(parsing: text, context) else { return }
        // What was added goes behind what the document had, and is sorted in when that is read again; then nothing moves.
        guard let again = try? DomainDefinition(parsing: definition.printed(), context),
            let third = try? DomainDefinition(parsing: again.printed(), context), third.printed() == again.printed()
        else { fatalError("accepted, and then not, or otherwise:\n\(text)\n\(definition.printed())") }
        DeviceAliases.assign(to: &definition)
        let emulator = EmulatorFacts(
            path: "/e", version: 7_002_000, machines: [], processorModels: [], devices: [], hasKVM: true)
        var builder = CommandLineBuilder(definition, emulator: emulator, socketFolder: "/s")
        if let arguments = try? builder.build() { _ = try? HotPlug.steps(arguments) }
    }

    /// Any tree: what was read is printed and read again.
    func tree(_ random: inout SeededGenerator) {
        let text = Damage.text((Self.others + [Self.domain]).randomElement(using: &random)!, &random)
        guard let tree = try? XMLParser.parse(text) else { return }
        guard (try? XMLParser.parse(tree.printed())) != nil else { fatalError("not read again: \(tree.printed())") }
    }

    /// A device and the options of a command.
    func parts(_ random: inout SeededGenerator) {
        let devices = Self.domain.split(separator: "\n").filter { $0.hasPrefix("<disk") || $0.hasPrefix("<interface") }
        let text = Damage.text(String(devices.randomElement(using: &random)!), &random)
        _ = try? DomainDefinition.device(parsing: text)
        _ = HotPlug.options(text, first: "driver")
    }

    /// Documents that the other drivers keep.
    func drivers(_ random: inout SeededGenerator) {
        let text = Damage.text(Self.others.randomElement(using: &random)!, &random)
        if let made = try? filters.define(text) { try? filters.undefine(made.uuid) }
        if let made = try? secrets.define(text) { try? secrets.undefine(made.uuid) }
        if let made = try? pools.add(text, persistent: true) { try? pools.undefine(made.uuid) }
    }
}
