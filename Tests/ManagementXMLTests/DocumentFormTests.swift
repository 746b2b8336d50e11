// SPDX-License-Identifier: Apache-2.0

import ManagementModel
import ManagementXML
import Testing

/// What a machine's parts look like when libvirt 9.0 has completed and printed them.
@Suite struct DocumentFormTests {
    private func text(_ devices: String = "", _ more: String = "", machine: String = "pc") throws -> String {
        try define(devices, more, machine: machine).printed()
    }

    @Test(arguments: [
        ("<vcpu cpuset='0-3,^2,5,6'>2</vcpu>", "cpuset='0-1,3,5-6'"),
        ("<numatune><memory mode='preferred'/></numatune>", "<memory mode='preferred' placement='auto'/>"),
        ("<numatune><memory mode='strict' nodeset='0-2,^1'/></numatune>", "<memory mode='strict' nodeset='0,2'/>"),
        ("<iothreads>2</iothreads><iothreadids><iothread id='2'/></iothreadids>", "<iothread id='1'/>"),
        ("<features><pmu/></features>", "<pmu state='on'/>"),
        ("<features><vmcoreinfo/></features>", "<vmcoreinfo state='on'/>"),
        ("<features><hyperv><relaxed state='on'/></hyperv></features>", "<hyperv mode='custom'>"),
        ("<features><hyperv mode='passthrough'/></features>", "<hyperv mode='passthrough'>\n    </hyperv>"),
        ("<features><smm state='on'><tseg>48</tseg></smm></features>", "<tseg unit='MiB'>48</tseg>"),
        ("<seclabel type='dynamic' relabel='yes'/>", "<seclabel type='none' model='none'/>"),
        (
            "<cpu><numa><cell id='1' cpus='1' memory='1024'/><cell id='0' cpus='0' memory='1024'/></numa></cpu><vcpu>2</vcpu>",
            "<cell id='0' cpus='0' memory='1024' unit='KiB'/>\n      <cell id='1'"
        ),
        (
            "<x:commandline xmlns:x='http://libvirt.org/schemas/domain/qemu/1.0'><x:arg value='-a'/></x:commandline>",
            "<qemu:arg value='-a'/>"
        ),
    ])
    func partsOfTheMachine(_ given: String, _ printed: String) throws {
        let text = try text("", given)
        #expect(text.contains(printed), "\(text)")
    }

    @Test func noLimitIsNotPrinted() throws {
        let text = try text("", "<memtune><hard_limit unit='KiB'>9007199254740991</hard_limit></memtune>")
        #expect(!text.contains("memtune"))
    }

    @Test(arguments: [
        ("<panic/>", "<panic model='isa'"), ("<vsock><cid auto='yes'/></vsock>", "<vsock model='virtio'>"),
        (
            "<interface type='hostdev'><source><address type='pci' domain='0' bus='222' slot='31' function='1'/></source></interface>",
            "<address type='pci' domain='0x0000' bus='0xde' slot='0x1f' function='0x1'/>"
        ),
        ("<interface type='bridge'><source bridge='b'/><model type='ViRtIo'/></interface>", "<model type='virtio'/>"),
        (
            "<interface type='user'><driver txmode='iothread' name='vhost' ioeventfd='off'/></interface>",
            "<driver name='vhost' txmode='iothread' ioeventfd='off'/>"
        ),
        (
            "<redirfilter><usbdev class='-1' version='9.4' allow='no'/></redirfilter>",
            "<usbdev version='9.40' allow='no'/>"
        ),
        ("<rng model='virtio'><backend model='random'/></rng>", "<backend model='random'>/dev/random</backend>"),
        ("<filesystem fmode='644'><source dir='/a'/><target dir='b'/></filesystem>", "fmode='0644'"),
        (
            "<controller type='pci' index='0' model='pci-root'><pcihole64 unit='GiB'>1</pcihole64></controller>",
            "<pcihole64 unit='KiB'>1048576</pcihole64>"
        ),
        (
            "<disk type='network'><source protocol='iscsi' name='iqn'><host name='h'/></source><target dev='vda'/></disk>",
            "<source protocol='iscsi' name='iqn/0'>\n        <host name='h' port='3260'/>"
        ),
        ("<smartcard mode='host'/>", "<address type='ccid' controller='0' slot='0'/>"),
        (
            "<disk type='file'><source file='/a'/><target dev='hda' bus='ide'/><address type='drive' controller='0' bus='0' unit='0'/></disk>",
            "<address type='drive' controller='0' bus='0' target='0' unit='0'/>"
        ),
    ])
    func devices(_ given: String, _ printed: String) throws {
        let text = try text(given)
        #expect(text.contains(printed), "\(text)")
    }

    @Test func blanksBetweenElementsMeanNothing() throws {
        let text = try text("<controller type='usb' index='0'>\n   </controller>")
        #expect(text.contains("<controller type='usb' index='0' model='piix3-uhci'>\n      <address"))
        // Text stays as it is where it is text.
        #expect(
            try self.text("", "<description>  a\n b </description>").contains("<description>  a\n b </description>"))
    }

    @Test func readOnlyDisksAreInNoSnapshotWithoutSaying() throws {
        let text = try text("<disk type='file' snapshot='no'><source file='/a'/><target dev='vda'/><readonly/></disk>")
        #expect(!text.contains("snapshot="))
    }

    @Test func filtersAreForTapDevices() throws {
        #expect(try !text("<interface type='user'><filterref filter='f'/></interface>").contains("filterref"))
        #expect(
            try text("<interface type='bridge'><source bridge='b'/><filterref filter='f'/></interface>")
                .contains("<filterref filter='f'/>"))
    }

    @Test func hubsAreAddedWherePortsAreTooFew() throws {
        let mice = String(repeating: "<input type='mouse' bus='usb'/>", count: 4)
        let text = try text(mice)
        #expect(text.contains("<hub type='usb'>\n      <address type='usb' bus='0' port='1'/>"))
        for port in ["2", "1.1", "1.2", "1.3"] {
            #expect(text.contains("<address type='usb' bus='0' port='\(port)'/>"))
        }
    }

    @Test func channelsGoWhereThereIsRoom() throws {
        let channels = String(repeating: "<channel type='pty'><target type='virtio'/></channel>", count: 3)
        let text = try text("<controller type='virtio-serial' index='0' ports='3'/>" + channels)
        #expect(text.contains("<address type='virtio-serial' controller='0' bus='0' port='2'/>"))
        #expect(text.contains("<address type='virtio-serial' controller='1' bus='0' port='1'/>"))
    }

    @Test func onePortHasNoNeighbours() throws {
        let text = try text("<memballoon model='none'/><controller type='usb' model='none'/>", machine: "q35")
        #expect(!text.contains("pcie-root-port"))
    }

    @Test func addedControllersComeLast() throws {
        let text = try text("<controller type='pci' index='0' model='pcie-root'/>", machine: "q35")
        let order = text.split(separator: "\n").filter { $0.contains("<controller") }
            .compactMap { $0.split(separator: "'").dropFirst().first }
        #expect(order.first == "pci" && order.last == "pci" && order.dropFirst().first != "pci")
    }
}
