// SPDX-License-Identifier: Apache-2.0

package import XMLTree

/// A machine as this command describes it to the server: q35, virtio devices, a serial console and a VNC screen.
package struct MachineDocument {
    /// What the server will know it by.
    package var name: String
    /// In bytes.
    package var memory: UInt64
    /// Processors of the guest, as `<vcpu>` says.
    package var cpus: Int
    /// Whether the server has KVM; else the software CPU.
    package var usesKVM: Bool
    /// The path of the disk's image, which is qcow2.
    package var disk: String?
    /// The path of a CD-ROM's image.
    package var disc: String?
    /// A kernel on the server's host that is started without firmware; nil boots from disks.
    package var kernel: String?
    /// Only with `kernel`.
    package var initrd: String?
    /// Only with `kernel`; nil is an empty one.
    package var commandLine: String?
    /// The network of the server that the machine is in; nil for user networking.
    package var network: String?
    /// With user networking, the port of this host that leads to the guest's SSH server.
    package var sshPort: UInt16?
    /// What this command made for the machine.
    package var ownedFiles: [String] = []
    /// Whom to log in as by SSH; nil where no cloud-init user was made.
    package var user: String?

    /// A machine without disks, on user networking.
    package init(name: String, memory: UInt64, cpus: Int, usesKVM: Bool) {
        self.name = name
        self.memory = memory
        self.cpus = cpus
        self.usesKVM = usesKVM
    }

    /// The document.
    package var xml: String {
        var root = XMLElement("domain", ["type": usesKVM ? "kvm" : "qemu", "xmlns:qemu": Self.commandLineSpace])
        root.append(XMLElement("name", text: name))
        if !ownedFiles.isEmpty || sshPort != nil {
            root.append(OwnedFiles.metadata(ownedFiles, sshPort: sshPort, user: user))
        }
        root.append(XMLElement("memory", [XMLAttribute("unit", "KiB")], children: [.text(String(memory >> 10))]))
        root.append(XMLElement("vcpu", text: String(cpus)))
        root.append(system)
        root.append(XMLElement("features", [:], [XMLElement("acpi"), XMLElement("apic")]))
        root.append(XMLElement("cpu", ["mode": usesKVM ? "host-passthrough" : "maximum"]))
        root.append(XMLElement("on_crash", text: "destroy"))
        root.append(XMLElement("devices", [:], devices))
        if let sshPort, network == nil { root.append(Self.forwarding(sshPort)) }
        return root.printed()
    }

    private static let commandLineSpace = "http://libvirt.org/schemas/domain/qemu/1.0"

    private var system: XMLElement {
        var system = XMLElement(
            "os", [:],
            [
                XMLElement(
                    "type", [XMLAttribute("arch", "x86_64"), XMLAttribute("machine", "q35")], children: [.text("hvm")])
            ])
        if let kernel {
            system.append(XMLElement("kernel", text: kernel))
            if let initrd { system.append(XMLElement("initrd", text: initrd)) }
            if let commandLine { system.append(XMLElement("cmdline", text: commandLine)) }
        } else {
            system.append(XMLElement("boot", ["dev": "hd"]))
        }
        return system
    }

    private var devices: [XMLElement] {
        var list: [XMLElement] = []
        if let disk {
            list.append(
                XMLElement(
                    "disk", ["type": "file", "device": "disk"],
                    [
                        XMLElement("driver", ["name": "qemu", "type": "qcow2", "discard": "unmap"]),
                        XMLElement("source", ["file": disk]), XMLElement("target", ["dev": "vda", "bus": "virtio"]),
                    ]))
        }
        if let disc {
            // Kernels made for clouds have no driver for a CD-ROM; cloud-init finds the seed by its label on any disk.
            list.append(
                XMLElement(
                    "disk", ["type": "file", "device": "disk"],
                    [
                        XMLElement("driver", ["name": "qemu", "type": "raw"]), XMLElement("source", ["file": disc]),
                        XMLElement("target", ["dev": "vdb", "bus": "virtio"]), XMLElement("readonly"),
                    ]))
        }
        if let network {
            list.append(
                XMLElement(
                    "interface", ["type": "network"],
                    [XMLElement("source", ["network": network]), XMLElement("model", ["type": "virtio"])]))
        } else if sshPort == nil {
            list.append(XMLElement("interface", ["type": "user"], [XMLElement("model", ["type": "virtio"])]))
        }
        list.append(XMLElement("console", ["type": "pty"]))
        list.append(
            XMLElement(
                "rng", ["model": "virtio"],
                [XMLElement("backend", [XMLAttribute("model", "random")], children: [.text("/dev/urandom")])]))
        return list
    }

    private static func forward(_ port: UInt16) -> String { "user,id=roost-net,hostfwd=tcp:127.0.0.1:\(port)-:22" }

    /// Gives a copy of such a machine a port of its own.
    package static func moveForwarding(in document: inout XMLElement, from old: UInt16, to new: UInt16) {
        guard var line = document[child: "qemu:commandline"] else { return }
        line.elements = line.elements.map { argument in
            guard argument["value"] == forward(old) else { return argument }
            return XMLElement("qemu:arg", ["value": forward(new)])
        }
        document[child: "qemu:commandline"] = line
    }

    /// User networking whose SSH port is this host's: libvirt's documents have no words for it without passt.
    private static func forwarding(_ port: UInt16) -> XMLElement {
        let arguments = [
            "-netdev", forward(port),
            "-device", "virtio-net-pci,netdev=roost-net,bus=pcie.0,addr=0x10",
        ]
        return XMLElement("qemu:commandline", [:], arguments.map { XMLElement("qemu:arg", ["value": $0]) })
    }
}
