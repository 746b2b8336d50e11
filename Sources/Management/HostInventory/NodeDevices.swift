// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import ManagementModel
internal import XMLTree

/// A device of the host, as the kernel lists it.
public struct NodeDevice: Sendable {
    /// What it can do; the number is its bit in a list's flags.
    public enum Capability: UInt32, Sendable {
        case system = 0, pci = 1, usb = 2, net = 4, storage = 8

        /// What documents call it.
        public var name: String {
            switch self {
            case .system: "system"
            case .pci: "pci"
            case .usb: "usb_device"
            case .net: "net"
            case .storage: "storage"
            }
        }
    }

    /// libvirt's name: the kind and the kernel's address with underscores.
    public let name: String
    /// The kind, by which lists are filtered.
    public let capability: Capability
    /// The name of the device it hangs on; nil for the host itself.
    public let parent: String?
    let path: String
    let details: [XMLElement]

    /// The device's document.
    public var document: String {
        var root = XMLElement("device", [:], [XMLElement("name", text: name)])
        if !path.isEmpty { root.append(XMLElement("path", text: path)) }
        if let parent { root.append(XMLElement("parent", text: parent)) }
        root.append(XMLElement("capability", ["type": capability.name], details))
        return root.printed()
    }
}

/// The host's devices, read from /sys when somebody asks.
public enum NodeDevices {
    /// All of them.
    public static func all(_ host: HostFacts) -> [NodeDevice] {
        [computer(host)] + pci() + usb() + net() + storage()
    }

    /// The device of a name.
    /// - Throws: libvirt's error when there is none.
    public static func find(_ name: String, _ host: HostFacts) throws -> NodeDevice {
        guard let found = all(host).first(where: { $0.name == name }) else {
            throw ManagementError(
                .noNodeDevice, "no node device with matching name '\(name)'", from: .nodeDevice)
        }
        return found
    }

    private static func names(_ folder: String) -> [String] { TextFile.names(in: folder) }

    /// Where a link of /sys leads.
    private static func real(_ path: String) -> String {
        // realpath's result is copied and freed at once.
        guard let resolved = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    private static func line(_ path: String) -> String? { TextFile.lines(path).first.map(String.init) }

    /// Letters and digits as they are, all else an underscore.
    private static func plain(_ text: String) -> String {
        String(text.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    }

    private static func computer(_ host: HostFacts) -> NodeDevice {
        let folder = "/sys/class/dmi/id/"
        func text(_ name: String, _ file: String) -> XMLElement? {
            line(folder + file).map { XMLElement(name, text: $0) }
        }
        let hardware = XMLElement(
            "hardware", [:],
            [
                text("vendor", "sys_vendor"), text("version", "product_version"), text("serial", "product_serial"),
                XMLElement("uuid", text: host.uuid.description),
            ].compactMap { $0 })
        let firmware = XMLElement(
            "firmware", [:],
            [text("vendor", "bios_vendor"), text("version", "bios_version"), text("release_date", "bios_date")]
                .compactMap { $0 })
        return NodeDevice(
            name: "computer", capability: .system, parent: nil, path: "",
            details: [text("product", "product_name"), hardware, firmware].compactMap { $0 })
    }

    private static func pci() -> [NodeDevice] {
        names("/sys/bus/pci/devices").compactMap { address in
            let folder = "/sys/bus/pci/devices/" + address
            let parts = address.split { $0 == ":" || $0 == "." }.compactMap { Int($0, radix: 16) }
            guard parts.count == 4 else { return nil }
            let path = real(folder)
            let above = path.split(separator: "/").dropLast().last.map(String.init) ?? ""
            let numbers = zip(["domain", "bus", "slot", "function"], parts).map { XMLElement($0, text: "\($1)") }
            var details = [XMLElement("class", text: line(folder + "/class") ?? "0x000000")] + numbers
            for (name, file) in [("product", "device"), ("vendor", "vendor")] {
                details.append(XMLElement(name, ["id": line(folder + "/" + file) ?? "0x0000"]))
            }
            return NodeDevice(
                name: "pci_" + plain(address), capability: .pci,
                parent: above.contains(":") && above.contains(".") ? "pci_" + plain(above) : "computer", path: path,
                details: details)
        }
    }

    private static func usb() -> [NodeDevice] {
        names("/sys/bus/usb/devices").compactMap { name in
            let folder = "/sys/bus/usb/devices/" + name + "/"
            guard !name.contains(":"), let vendor = line(folder + "idVendor"), let product = line(folder + "idProduct")
            else { return nil }
            return NodeDevice(
                name: "usb_" + plain(name), capability: .usb, parent: "computer", path: real(folder),
                details: [
                    XMLElement("bus", text: line(folder + "busnum") ?? "0"),
                    XMLElement("device", text: line(folder + "devnum") ?? "0"),
                    XMLElement("product", ["id": "0x" + product]), XMLElement("vendor", ["id": "0x" + vendor]),
                ])
        }
    }

    private static func net() -> [NodeDevice] {
        names("/sys/class/net").compactMap { name in
            let folder = "/sys/class/net/" + name
            guard let address = line(folder + "/address") else { return nil }
            let speed = line(folder + "/speed").flatMap { Int($0) }.flatMap { $0 > 0 ? "\($0)" : nil }
            let link = XMLElement("link", ["speed": speed, "state": line(folder + "/operstate") ?? "unknown"])
            let device = real(folder + "/device")
            let parent = device.split(separator: "/").last { part in
                // An address on the PCI has two colons, an interface on the USB one.
                part.count { $0 == ":" } == 2 && part.contains(".")
            }
            return NodeDevice(
                name: "net_\(plain(name))_\(plain(address))", capability: .net,
                parent: parent.map { "pci_" + plain(String($0)) } ?? "computer", path: real(folder),
                details: [
                    XMLElement("interface", text: name), XMLElement("address", text: address), link,
                    XMLElement("capability", ["type": "80203"]),
                ])
        }
    }

    /// Bytes in a sector as /sys counts them.
    private static let sector: UInt64 = 512

    private static func storage() -> [NodeDevice] {
        names("/sys/block").compactMap { name in
            let folder = "/sys/block/" + name
            guard let sectors = TextFile.number(folder + "/size"), sectors > 0,
                !["loop", "ram", "zram", "dm-"].contains(where: name.hasPrefix)
            else { return nil }
            let block = TextFile.number(folder + "/queue/logical_block_size") ?? sector
            let size = sectors &* sector
            return NodeDevice(
                name: "block_" + plain(name), capability: .storage, parent: "computer", path: real(folder),
                details: [
                    XMLElement("block", text: "/dev/" + name), XMLElement("drive_type", text: "disk"),
                    XMLElement("size", text: "\(size)"), XMLElement("logical_block_size", text: "\(block)"),
                    XMLElement("num_blocks", text: "\(size / max(1, block))"),
                ])
        }
    }
}

/// A network interface of the host.
public struct HostInterface: Sendable {
    /// The kernel's name.
    public let name: String
    /// As the kernel prints it; zeros for the loopback interface.
    public let mac: String
    /// IFF_UP: it was brought up, with or without a cable.
    public let isActive: Bool

    /// All interfaces.
    public static var all: [HostInterface] {
        TextFile.names(in: "/sys/class/net").compactMap { name in
            let folder = "/sys/class/net/" + name
            guard let mac = TextFile.lines(folder + "/address").first.map(String.init) else { return nil }
            let flags = TextFile.lines(folder + "/flags").first.flatMap { UInt32($0.dropFirst(2), radix: 16) } ?? 0
            return HostInterface(name: name, mac: mac, isActive: flags & 1 != 0)
        }
    }

    /// The interface that `matches`.
    public static func find(_ what: String, _ matches: (HostInterface) -> Bool) throws -> HostInterface {
        guard let found = all.first(where: matches) else {
            throw ManagementError(.noInterface, "couldn't find interface \(what)", from: .interface)
        }
        return found
    }

    /// The interface's document.
    public var document: String {
        let folder = "/sys/class/net/" + name
        let isBridge = !TextFile.names(in: folder + "/bridge").isEmpty
        var root = XMLElement("interface", ["type": isBridge ? "bridge" : "ethernet", "name": name])
        if let mtu = TextFile.number(folder + "/mtu") { root.append(XMLElement("mtu", ["size": "\(mtu)"])) }
        if isBridge {
            let ports = TextFile.names(in: folder + "/brif").map {
                XMLElement("interface", ["type": "ethernet", "name": $0])
            }
            root.append(XMLElement("bridge", [:], ports))
        } else {
            let state = TextFile.lines(folder + "/operstate").first.map(String.init)
            root.append(XMLElement("link", ["state": state]))
            root.append(XMLElement("mac", ["address": mac]))
        }
        return root.printed()
    }
}
