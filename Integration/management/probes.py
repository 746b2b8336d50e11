# SPDX-License-Identifier: Apache-2.0
"""What compare-api does on both daemons. A probe is a name, what it does, and how results are compared: "value" (the same),
"shape" (the same kinds and keys), "code" (both succeed, or fail with the same code), "setup" (never left out)."""
import subprocess
import threading
import time

import libvirt

PROBES = []


def probe(name, body, mode="value"):
    PROBES.append((name, body, mode))


def emulator():
    import daemons
    return daemons.EMULATOR


def document(name, number, extra="", memory=64, system="", more=""):
    return f"""<domain type='qemu'><name>{name}</name><uuid>00000000-0000-4000-8000-{number:012}</uuid>{more}
<memory unit='MiB'>{memory}</memory><vcpu current='1'>2</vcpu><os><type arch='x86_64' machine='pc'>hvm</type>{system}</os>
<features><acpi/><apic/></features><devices><emulator>{emulator()}</emulator>
<disk type='file'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/{name}.qcow2'/>
<target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='hda' bus='ide'/><readonly/></disk>
<interface type='user'><mac address='52:54:00:00:00:{number:02}'/><model type='virtio'/></interface>
<serial type='pty'/><console type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<graphics type='vnc' autoport='yes'/><video><model type='vga'/></video>{extra}</devices></domain>"""


NETWORK = """<network><name>net1</name><uuid>00000000-0000-4000-8000-0000000000a1</uuid>
<bridge name='virbr77'/><mac address='52:54:00:aa:bb:cc'/>
<ip address='192.168.177.1' netmask='255.255.255.0'><dhcp><range start='192.168.177.2' end='192.168.177.99'/>
<host mac='52:54:00:00:00:77' name='seven' ip='192.168.177.7'/></dhcp></ip></network>"""
POOL = """<pool type='dir'><name>images</name><uuid>00000000-0000-4000-8000-0000000000b1</uuid>
<target><path>/var/lib/libvirt/images</path></target></pool>"""
SECRET = """<secret ephemeral='no' private='no'><uuid>00000000-0000-4000-8000-0000000000c1</uuid>
<description>a test</description><usage type='volume'><volume>/var/lib/libvirt/images/x</volume></usage></secret>"""
FILTER = """<filter name='mine' chain='root'><uuid>00000000-0000-4000-8000-0000000000d1</uuid>
<rule action='drop' direction='in' priority='500'><tcp dstportstart='22'/></rule></filter>"""
NOBODY = "00000000-0000-4000-8000-00000000ffff"


def volume(name, size=1 << 20, kind="raw", backing=""):
    return (f"<volume><name>{name}</name><capacity>{size}</capacity><target><format type='{kind}'/></target>"
            f"{backing}</volume>")


class Context:
    """What probes work on; what one leaves here the next may use."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.folder = daemon.folder
        for name in ("alpha", "runner"):
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                            str(self.folder / f"_var_lib_libvirt/images/{name}.qcow2"), "64M"], check=True)
        self.c = libvirt.open(daemon.uri)
        self.ro = libvirt.openReadOnly(daemon.read_only_uri)
        self.events = []
        self.running = True
        self.loop = threading.Thread(target=self.turn, daemon=True)
        self.loop.start()

    def turn(self):
        while self.running:
            libvirt.virEventRunDefaultImpl()

    def seen(self, start, wait=0.5):
        """Events since a place, without what depends on the moment."""
        time.sleep(wait)
        return self.events[start:]

    def image(self, name):
        return f"/var/lib/libvirt/images/{name}"

    def close(self):
        self.running = False
        for domain in self.c.listAllDomains(1):
            try:
                domain.destroy()
            except libvirt.libvirtError:
                pass
        for network in self.c.listAllNetworks(2):
            try:
                network.destroy()
            except libvirt.libvirtError:
                pass
        self.ro.close()
        self.c.close()


# ---- Connection and host

probe("conn.getType", lambda x: x.c.getType())
probe("conn.getURI", lambda x: x.c.getURI().replace(str(x.folder), ""))
probe("conn.getHostname", lambda x: x.c.getHostname())
probe("conn.getLibVersion", lambda x: x.c.getLibVersion())
probe("conn.getVersion", lambda x: x.c.getVersion())
probe("conn.isAlive", lambda x: x.c.isAlive())
probe("conn.isEncrypted", lambda x: x.c.isEncrypted())
probe("conn.isSecure", lambda x: x.c.isSecure())
probe("conn.setKeepAlive", lambda x: x.c.setKeepAlive(5, 3))
probe("conn.getInfo", lambda x: [v for i, v in enumerate(x.c.getInfo()) if i != 3])
probe("conn.getMaxVcpus", lambda x: x.c.getMaxVcpus("qemu"))
probe("conn.getMaxVcpus none", lambda x: x.c.getMaxVcpus(None))
probe("conn.getMaxVcpus bad", lambda x: x.c.getMaxVcpus("foo"))
probe("conn.getFreeMemory", lambda x: x.c.getFreeMemory() > 0)
probe("conn.getCellsFreeMemory", lambda x: x.c.getCellsFreeMemory(0, 1), "shape")
probe("conn.getFreePages", lambda x: x.c.getFreePages([4], 0, 1), "shape")
probe("conn.getFreePages bad", lambda x: x.c.getFreePages([7], 0, 1), "shape")
probe("conn.allocPages", lambda x: x.c.allocPages({2048: 0}, 0, 1), "code")
probe("conn.getMemoryParameters", lambda x: x.c.getMemoryParameters(), "shape")
probe("conn.setMemoryParameters", lambda x: x.c.setMemoryParameters({"nonsense": 1}))
probe("conn.getMemoryStats", lambda x: x.c.getMemoryStats(-1), "shape")
probe("conn.getMemoryStats 0", lambda x: x.c.getMemoryStats(0), "shape")
probe("conn.getMemoryStats 99", lambda x: x.c.getMemoryStats(99))
probe("conn.getCPUStats", lambda x: x.c.getCPUStats(-1), "shape")
probe("conn.getCPUStats 0", lambda x: x.c.getCPUStats(0), "shape")
probe("conn.getCPUStats 999", lambda x: x.c.getCPUStats(999))
probe("conn.getCPUMap", lambda x: x.c.getCPUMap())
probe("conn.getCPUModelNames", lambda x: "qemu64" in x.c.getCPUModelNames("x86_64"))
probe("conn.getCPUModelNames bad", lambda x: x.c.getCPUModelNames("foo"))
probe("conn.getCPUModelNames arm", lambda x: x.c.getCPUModelNames("aarch64"), "code")
probe("conn.getSecurityModel", lambda x: x.c.getSecurityModel())
probe("conn.getSysinfo", lambda x: x.c.getSysinfo(), "code")
probe("conn.getSEVInfo", lambda x: x.c.getSEVInfo())
probe("conn.getCapabilities", lambda x: x.c.getCapabilities()[:14], "value")
probe("conn.getDomainCapabilities", lambda x: x.c.getDomainCapabilities(), "code")
probe("conn.getDomainCapabilities q35",
      lambda x: [line for line in x.c.getDomainCapabilities(None, "x86_64", "q35", "qemu").splitlines()[:6]])
for words in (("/nope", None, None, None), (None, "foo", None, None), (None, "aarch64", None, None),
              (None, None, "foo", None), (None, None, None, "kvm"), (None, None, None, "foo")):
    probe(f"conn.getDomainCapabilities {words}", lambda x, words=words: x.c.getDomainCapabilities(*words), "code")
probe("conn.getDomainCapabilities flags", lambda x: x.c.getDomainCapabilities(None, None, None, None, 99), "code")
probe("conn.getStoragePoolCapabilities", lambda x: x.c.getStoragePoolCapabilities(), "code")
def guest_cpu(model, features=(), vendor="", attributes="match='exact'"):
    return (f"<cpu {attributes}><model>{model}</model>" + (f"<vendor>{vendor}</vendor>" if vendor else "")
            + "".join(f"<feature policy='{policy}' name='{name}'/>" for name, policy in features) + "</cpu>")


def host_cpu(model, features=(), vendor=""):
    return (f"<cpu><arch>x86_64</arch><model>{model}</model>" + (f"<vendor>{vendor}</vendor>" if vendor else "")
            + "".join(f"<feature name='{name}'/>" for name in features) + "</cpu>")


# What is wanted of processors, and what several have in common.
WANTED_CPUS = [
    guest_cpu("kvm64"), guest_cpu("kvm64", attributes="match='minimum'"), guest_cpu("kvm64", attributes="match='strict'"),
    guest_cpu("qemu64"), guest_cpu("486"), guest_cpu("Haswell"), guest_cpu("EPYC"), guest_cpu("EPYC-Milan"),
    guest_cpu("Nehalem", [("vme", "disable"), ("ss", "optional")]), guest_cpu("kvm64", [("sse2", "forbid")]),
    guest_cpu("kvm64", [("vmx", "require")]), guest_cpu("kvm64", [("3dnow", "force")]), guest_cpu("kvm64", [("lm", "optional")]),
    guest_cpu("kvm64", vendor="Intel"), guest_cpu("kvm64", vendor="AMD"), guest_cpu("kvm64", vendor="Nobody"),
    guest_cpu("nothing"), guest_cpu("kvm64", [("nothing", "require")]), guest_cpu("kvm64", [("lm", "perhaps")]),
    guest_cpu("kvm64", [("lm", "require"), ("lm", "disable")]), guest_cpu("kvm64", attributes="match='nearly'"),
    guest_cpu("kvm64", attributes="mode='nothing'"), "<cpu mode='host-model'/>", "<cpu mode='host-passthrough'/>",
    "<cpu mode='maximum'/>", "<cpu><feature policy='require' name='lm'/></cpu>", "<cpu><vendor>AMD</vendor></cpu>", "<cpu/>",
    "<cpu", "<nonsense/>", "<cpu><arch>aarch64</arch><model>x</model></cpu>", "<cpu><arch>foo</arch><model>x</model></cpu>",
    "<cpu><arch>x86_64</arch></cpu>", "<cpu match='exact'><arch>x86_64</arch><model>kvm64</model></cpu>", host_cpu("qemu64"),
    "<cpu><model>kvm64</model><topology sockets='1' cores='2'/></cpu>",
    "<cpu><model>kvm64</model><topology sockets='0' cores='2' threads='1'/></cpu>"]
COMMON_CPUS = [
    [host_cpu("Haswell")], [host_cpu("Haswell"), host_cpu("SandyBridge")], [host_cpu("EPYC"), host_cpu("EPYC-Rome")],
    [host_cpu("Nehalem", ["vmx", "invtsc", "osxsave"], "Intel"), host_cpu("Westmere", ["invtsc", "vmx"], "Intel")],
    [host_cpu("Opteron_G3", vendor="AMD"), host_cpu("Opteron_G2", vendor="AMD")], [host_cpu("Haswell"), host_cpu("EPYC")],
    [host_cpu("Skylake-Server", ["pku", "md-clear"]), host_cpu("Cascadelake-Server"), host_cpu("Icelake-Server")],
    [host_cpu("kvm64", ["ssse3", "sse4.1", "popcnt", "aes", "avx2"], "AMD"), host_cpu("EPYC", vendor="AMD")],
    [host_cpu("Penryn", vendor="Intel"), host_cpu("Conroe")], [host_cpu("486")], [host_cpu("Icelake-Client")],
    [host_cpu("Haswell", vendor="AMD"), host_cpu("Haswell", vendor="AMD")], [host_cpu("Haswell", vendor="Nobody")],
    [host_cpu("Nehalem", vendor="Intel"), host_cpu("Opteron_G2", vendor="AMD")], [host_cpu("nothing")],
    [host_cpu("kvm64", ["nothing"])], ["<x/>"], [],
    [guest_cpu("Haswell")], ["<cpu/>"]]
for number, wanted in enumerate(WANTED_CPUS):
    for flags in (0, 1):
        probe(f"conn.compareCPU {number} {flags}", lambda x, wanted=wanted, flags=flags: x.c.compareCPU(wanted, flags))
        probe(f"conn.compareHypervisorCPU {number} {flags}", lambda x, wanted=wanted, flags=flags:
              x.c.compareHypervisorCPU(emulator(), "x86_64", None, "qemu", wanted, flags))
for number, given in enumerate(COMMON_CPUS):
    for flags in range(4):
        probe(f"conn.baselineCPU {number} {flags}", lambda x, given=given, flags=flags: x.c.baselineCPU(given, flags))
        probe(f"conn.baselineHypervisorCPU {number} {flags}", lambda x, given=given, flags=flags:
              x.c.baselineHypervisorCPU(emulator(), "x86_64", None, "qemu", given, flags))
probe("conn.getCPUModelNames all", lambda x: x.c.getCPUModelNames("x86_64"))
probe("conn.compareHypervisorCPU bad emulator", lambda x: x.c.compareHypervisorCPU("/nowhere", None, None, None, "<cpu/>"), "code")
probe("conn.compareHypervisorCPU bad machine", lambda x: x.c.compareHypervisorCPU(
    emulator(), None, "none-such", None, "<cpu/>"), "code")
probe("conn.compareHypervisorCPU bad type", lambda x: x.c.compareHypervisorCPU(emulator(), None, None, "foo", "<cpu/>"), "code")
probe("conn.domainCapabilities cpu", lambda x: x.c.getDomainCapabilities(emulator(), "x86_64", "pc", "qemu")
      .split("<cpu>")[1].split("</cpu>")[0])
probe("conn.capabilities cpu", lambda x: [line for line in x.c.getCapabilities().split("<cpu>")[1].split("</cpu>")[0].split("\n")
                                          if "microcode" not in line])
probe("conn.domainXMLFromNative", lambda x: x.c.domainXMLFromNative("qemu-argv", "qemu -m 1"), "code")
probe("conn.domainXMLToNative bad", lambda x: x.c.domainXMLToNative("foo", "<domain/>"))
probe("conn.suspendForDuration", lambda x: x.ro.suspendForDuration(0, 1))
probe("conn.changeBegin", lambda x: x.c.changeBegin(), "code")
probe("conn.changeRollback", lambda x: x.c.changeRollback(), "code")
probe("conn.setIdentity", lambda x: x.c.setIdentity({"user-name": "x"}), "code")
for name in ("Domains", "DefinedDomains", "Networks", "DefinedNetworks", "StoragePools", "DefinedStoragePools",
             "Secrets", "NWFilters"):
    probe(f"conn.numOf{name} empty", lambda x, name=name: getattr(x.c, "numOf" + name)())
probe("conn.numOfInterfaces", lambda x: x.c.numOfInterfaces())
probe("conn.numOfDefinedInterfaces", lambda x: x.c.numOfDefinedInterfaces())
probe("conn.listInterfaces", lambda x: x.c.listInterfaces())
probe("conn.listAllInterfaces", lambda x: x.c.listAllInterfaces())
probe("conn.interfaceLookupByName", lambda x: x.c.interfaceLookupByName("lo").MACString())
probe("conn.interfaceLookupByName bad", lambda x: x.c.interfaceLookupByName("nope"))
probe("conn.interfaceLookupByMACString bad", lambda x: x.c.interfaceLookupByMACString("52:54:00:99:99:99"))
probe("iface.XMLDesc", lambda x: x.c.interfaceLookupByName("lo").XMLDesc())
probe("iface.isActive", lambda x: x.c.interfaceLookupByName("lo").isActive())
probe("iface.create", lambda x: x.c.interfaceLookupByName("lo").create())
probe("iface.destroy", lambda x: x.c.interfaceLookupByName("lo").destroy())
probe("iface.undefine", lambda x: x.c.interfaceLookupByName("lo").undefine())
probe("conn.interfaceDefineXML", lambda x: x.c.interfaceDefineXML("<interface type='ethernet' name='x'/>"))
probe("conn.numOfDevices", lambda x: x.c.numOfDevices(None) > 3)
probe("conn.numOfDevices cap", lambda x: x.c.numOfDevices("system"))
probe("conn.listDevices", lambda x: x.c.listDevices("system"))
probe("conn.listAllDevices bad flags", lambda x: x.c.listAllDevices(1 << 30), "code")
probe("node.lookup", lambda x: x.c.nodeDeviceLookupByName("computer"))
probe("node.lookup bad", lambda x: x.c.nodeDeviceLookupByName("nope"))
probe("node.wwn", lambda x: x.c.nodeDeviceLookupSCSIHostByWWN("1", "2"))
for name in ("parent", "numOfCaps", "listCaps", "autostart", "isPersistent", "isActive", "destroy", "reset",
             "reAttach", "dettach", "undefine", "create"):
    probe(f"node.{name}", lambda x, name=name: getattr(x.c.nodeDeviceLookupByName("computer"), name)())
probe("node.setAutostart", lambda x: x.c.nodeDeviceLookupByName("computer").setAutostart(1))
probe("node.XMLDesc", lambda x: x.c.nodeDeviceLookupByName("computer").XMLDesc(), "code")
probe("node.createXML", lambda x: x.c.nodeDeviceCreateXML("<device><name>x</name><capability type='system'/></device>"))
probe("node.createXML bad", lambda x: x.c.nodeDeviceCreateXML("<x/>"))
probe("node.defineXML", lambda x: x.c.nodeDeviceDefineXML("<device><name>x</name><capability type='system'/></device>"))

# ---- Events

LIFECYCLE = {0: "defined", 1: "undefined", 2: "started", 3: "suspended", 4: "resumed", 5: "stopped", 6: "shutdown",
             7: "suspended by power management", 8: "crashed"}


def watch(x):
    note = x.events.append
    x.c.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                               lambda c, d, e, detail, o: note((d.name(), LIFECYCLE.get(e, e), detail)), None)
    kinds = {
        libvirt.VIR_DOMAIN_EVENT_ID_REBOOT: lambda c, d, o: note((d.name(), "reboot")),
        libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE: lambda c, d, a, r, o: note((d.name(), "tray", a, r)),
        libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED: lambda c, d, a, o: note((d.name(), "added", a)),
        libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: lambda c, d, a, o: note((d.name(), "removed", a)),
        libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE: lambda c, d, t, u, o: note((d.name(), "metadata", t, u)),
        libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE: lambda c, d, p, o: note((d.name(), "tunable", tuple(sorted(p)))),
    }
    for kind, body in kinds.items():
        x.c.domainEventRegisterAny(None, kind, body, None)
    x.c.networkEventRegisterAny(None, 0, lambda c, n, e, detail, o: note((n.name(), "network", e, detail)), None)
    x.c.storagePoolEventRegisterAny(None, 0, lambda c, p, e, detail, o: note((p.name(), "pool", e, detail)), None)
    x.c.storagePoolEventRegisterAny(None, 1, lambda c, p, o: note((p.name(), "refreshed")), None)
    x.c.secretEventRegisterAny(None, 0, lambda c, s, e, detail, o: note((s.UUIDString(), "secret", e, detail)), None)
    x.c.secretEventRegisterAny(None, 1, lambda c, s, o: note((s.UUIDString(), "value")), None)


probe("event.register", watch, "setup")
probe("event.deregister bad", lambda x: x.c.domainEventDeregisterAny(999), "code")

# ---- Definitions of machines


def define(x):
    x.d = x.c.defineXML(document("alpha", 1))
    return x.d


def texts(x, domain, flags=0):
    return [line for line in domain.XMLDesc(flags).splitlines() if "<uuid>" not in line]


probe("dom.lookupByName missing", lambda x: x.c.lookupByName("alpha"))
probe("dom.lookupByID missing", lambda x: x.c.lookupByID(99))
probe("dom.lookupByUUIDString missing", lambda x: x.c.lookupByUUIDString(NOBODY))
probe("dom.define", define, "setup")
probe("dom.define events", lambda x: x.seen(0))
probe("dom.XMLDesc", lambda x: texts(x, x.d))
probe("dom.XMLDesc flags", lambda x: texts(x, x.d, 3))
probe("dom.XMLDesc migratable", lambda x: texts(x, x.d, 8))
probe("dom.XMLDesc bad flags", lambda x: x.d.XMLDesc(1 << 20))
for text in ("", "<domain/>", "<x/>", "<domain type='qemu'/>", "<domain type='qemu'><name>x</name></domain>",
             "<domain type='foo'><name>x</name></domain>",
             "<domain type='qemu'><name>x</name><memory>1</memory></domain>",
             "<domain type='qemu'><name>x</name><memory>1</memory><os><type>foo</type></os></domain>",
             "<domain type='qemu'><name>x</name><memory>9</memory><os><type machine='foo'>hvm</type></os></domain>",
             "<domain type='qemu'><name>x</name><memory>9</memory><os><type arch='foo'>hvm</type></os></domain>",
             "<domain type='qemu'><name>x/y</name><memory>9</memory><os><type>hvm</type></os></domain>",
             "<domain type='qemu'><name>x</name><uuid>zz</uuid><memory>9</memory><os><type>hvm</type></os></domain>",
             "<domain type='qemu'><name>x</name><memory>9</memory><vcpu>0</vcpu><os><type>hvm</type></os></domain>",
             "<domain type='qemu'><name>x</name><memory>9</memory><vcpu>x</vcpu><os><type>hvm</type></os></domain>",
             "<domain type='qemu'><name>x</name><memory>9</memory><vcpu current='3'>2</vcpu><os><type>hvm</type></os></domain>",
             "<domain type='qemu'><name>x</name><memory unit='foo'>9</memory><os><type>hvm</type></os></domain>",
             "<domain type='kvm'><name>x</name><memory>9</memory><os><type>hvm</type></os></domain>",
             "<domain type='lxc'><name>x</name><memory>9</memory><os><type>exe</type></os></domain>"):
    probe(f"dom.defineXML {text[:90]}", lambda x, text=text: x.c.defineXML(text))
for device in ("<disk/>", "<disk type='file'><target dev='vda'/></disk>", "<disk type='file'><source file='/a'/></disk>",
               "<disk type='foo'><target dev='vdb'/></disk>", "<disk device='foo'><target dev='vdb'/></disk>",
               "<disk type='file'><target dev='vdb' bus='foo'/></disk>", "<interface/>", "<interface type='foo'/>",
               "<interface type='user'><mac address='x'/></interface>", "<interface type='network'/>",
               "<interface type='user'><mac address='01:00:00:00:00:00'/></interface>", "<controller type='foo'/>",
               "<graphics type='foo'/>", "<video><model type='foo'/></video>", "<input type='foo'/>",
               "<sound model='foo'/>", "<serial type='foo'/>", "<channel type='unix'/>", "<rng model='virtio'/>",
               "<watchdog model='foo'/>", "<memballoon model='foo'/>", "<hostdev/>", "<emulator>/nope</emulator>",
               "<graphics type='vnc' port='x'/>", "<boot order='1'/>",
               "<disk type='file'><source file='/b'/><target dev='vdb'/><boot order='0'/></disk>"):
    probe(f"dom.defineXML device {device}",
          lambda x, device=device: x.c.defineXML(document("bad", 66, device)).undefine(), "code")
probe("dom.defineXMLFlags bad", lambda x: x.c.defineXMLFlags(document("alpha", 1), 64))
probe("dom.defineXMLFlags validate", lambda x: x.c.defineXMLFlags(document("alpha", 1), 1))
probe("dom.define other uuid", lambda x: x.c.defineXML(document("alpha", 2)))
probe("dom.define other name", lambda x: x.c.defineXML(document("beta", 1)))
probe("dom.lookupByName", lambda x: x.c.lookupByName("alpha"))
probe("dom.lookupByUUID", lambda x: x.c.lookupByUUID(x.d.UUID()))
probe("dom.lookupByUUIDString", lambda x: x.c.lookupByUUIDString(x.d.UUIDString()))
for flags in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 3, 12, 1 << 20):
    probe(f"conn.listAllDomains {flags}", lambda x, flags=flags: x.c.listAllDomains(flags))
probe("conn.listDefinedDomains", lambda x: x.c.listDefinedDomains())
probe("conn.listDomainsID", lambda x: x.c.listDomainsID())
for name in ("ID", "OSType", "autostart", "controlInfo", "diskErrors", "hasCurrentSnapshot", "hasManagedSaveImage",
             "info", "isActive", "isPersistent", "isUpdated", "jobInfo", "jobStats", "listAllCheckpoints",
             "listAllSnapshots", "maxMemory", "maxVcpus", "memoryStats", "messages", "name", "state", "vcpus",
             "schedulerType", "schedulerParameters", "securityLabel", "securityLabelList", "snapshotListNames",
             "snapshotNum", "snapshotCurrent", "blkioParameters", "memoryParameters", "numaParameters", "perfEvents",
             "emulatorPinInfo", "vcpuPinInfo", "ioThreadInfo", "launchSecurityInfo", "guestVcpus", "hostname",
             "getTime", "fsInfo", "guestInfo", "migrateGetMaxDowntime", "migrateGetMaxSpeed",
             "migrateGetCompressionCache", "abortJob", "backupGetXMLDesc", "managedSaveGetXMLDesc",
             "managedSaveRemove", "suspend", "resume", "reset", "shutdown", "reboot", "destroy", "injectNMI",
             "pMWakeup", "fSTrim", "fsFreeze", "fsThaw", "managedSave", "UUIDString"):
    probe(f"dom.{name} shut off", lambda x, name=name: getattr(x.d, name)())
SHUT = [("blockInfo", "vda"), ("blockInfo", "nope"), ("blockStats", "vda"), ("blockStatsFlags", "vda"),
        ("interfaceStats", "vnet0"), ("interfaceParameters", "52:54:00:00:00:01"), ("interfaceParameters", "nope"),
        ("blockIoTune", "vda"), ("blockIoTune", "nope"), ("blockJobInfo", "vda"), ("blockJobInfo", "nope"),
        ("blockJobAbort", "vda"), ("blockPull", "vda", 0), ("blockRebase", "vda", None, 0),
        ("blockCommit", "vda", None, None), ("blockResize", "vda", 1), ("blockJobSetSpeed", "vda", 1),
        ("blockPeek", "vda", 0, 8), ("memoryPeek", 0, 8, 1), ("interfaceAddresses", 0), ("interfaceAddresses", 1),
        ("interfaceAddresses", 9), ("setMemory", 32768), ("setMaxMemory", 131072), ("setMemoryFlags", 32768, 1),
        ("setMemoryFlags", 32768, 2), ("setMemoryFlags", 65536, 6), ("setMemoryFlags", 99999999, 2),
        ("setMemoryStatsPeriod", 5, 2), ("setMemoryStatsPeriod", 5, 1), ("setVcpus", 2), ("setVcpusFlags", 2, 2),
        ("setVcpusFlags", 9, 2), ("setVcpusFlags", 0, 2), ("setVcpusFlags", 4, 6), ("setVcpusFlags", 2, 6),
        ("vcpusFlags", 0), ("vcpusFlags", 2), ("vcpusFlags", 6), ("vcpusFlags", 1), ("vcpusFlags", 3), ("setVcpu", "1", 1, 2),
        ("setGuestVcpus", "0", 1), ("pinVcpu", 0, (True,)), ("pinVcpuFlags", 0, (True,), 2),
        ("pinVcpuFlags", 77, (True,), 2), ("pinEmulator", (True,), 2), ("vcpuPinInfo", 2), ("emulatorPinInfo", 2),
        ("addIOThread", 1, 2), ("addIOThread", 1, 2), ("ioThreadInfo", 2), ("pinIOThread", 1, (True,), 2),
        ("delIOThread", 1, 2), ("delIOThread", 1, 2), ("setIOThreadParams", 1, {"poll-max-ns": 1}, 1),
        ("schedulerParametersFlags", 2), ("setSchedulerParametersFlags", {"cpu_shares": 512}, 2),
        ("setSchedulerParametersFlags", {"foo": 512}, 2), ("schedulerParametersFlags", 1), ("blkioParameters", 2),
        ("setBlkioParameters", {"weight": 500}, 2), ("setBlkioParameters", {"weight": 5}, 2),
        ("setBlkioParameters", {"foo": 5}, 2), ("memoryParameters", 2), ("setMemoryParameters", {"hard_limit": 999999}, 2),
        ("setMemoryParameters", {"foo": 1}, 2), ("numaParameters", 2), ("setNumaParameters", {"numa_nodeset": "0"}, 2),
        ("perfEvents", 2), ("setPerfEvents", {"cmt": 1}, 2), ("setPerfEvents", {"cmt": 0}, 2),
        ("setBlockIoTune", "vda", {"total_bytes_sec": 1000000}, 2), ("setBlockIoTune", "vda", {"foo": 1}, 2),
        ("setBlockIoTune", "vda", {"total_bytes_sec": 1, "read_bytes_sec": 1}, 2), ("blockIoTune", "vda", 2),
        ("setInterfaceParameters", "52:54:00:00:00:01", {"inbound.average": 1000}, 2),
        ("setInterfaceParameters", "52:54:00:00:00:01", {"foo": 1}, 2),
        ("interfaceParameters", "52:54:00:00:00:01", 2), ("setLifecycleAction", 0, 1, 2), ("setLifecycleAction", 1, 1, 2),
        ("setLifecycleAction", 9, 1, 2), ("setLifecycleAction", 0, 9, 2), ("setLifecycleAction", 0, 1, 1),
        ("setMetadata", 0, "a description", None, None, 2), ("setMetadata", 1, "a title", None, None, 2),
        ("setMetadata", 1, "a\ntitle", None, None, 2), ("setMetadata", 2, "<x/>", "k", "http://x", 2),
        ("setMetadata", 2, "nonsense", "k", "http://x", 2), ("setMetadata", 2, "<x/>", None, "http://x", 2),
        ("setMetadata", 9, "x", None, None, 2), ("metadata", 0, None), ("metadata", 1, None), ("metadata", 2, "http://x"),
        ("metadata", 2, "http://y"), ("metadata", 9, None), ("metadata", 0, None, 1), ("setMetadata", 2, None, None, "http://x", 2),
        ("metadata", 2, "http://x"), ("setMetadata", 0, None, None, None, 2), ("metadata", 0, None),
        ("attachDevice", "<disk type='file'><source file='/x'/><target dev='vdb'/></disk>"),
        ("attachDeviceFlags", "<disk type='file'><source file='/x'/><target dev='vdb'/></disk>", 2),
        ("attachDeviceFlags", "<disk type='file'><source file='/x'/><target dev='vdb'/></disk>", 2),
        ("attachDeviceFlags", "<disk type='file'><source file='/x'/><target dev='vdc'/></disk>", 1),
        ("attachDeviceFlags", "<x/>", 2), ("attachDeviceFlags", "nonsense", 2),
        ("updateDeviceFlags", "<disk type='file'><source file='/y'/><target dev='vdb'/></disk>", 2),
        ("updateDeviceFlags", "<disk type='file'><source file='/y'/><target dev='vdz'/></disk>", 2),
        ("detachDeviceFlags", "<disk type='file'><target dev='vdb'/></disk>", 2),
        ("detachDeviceFlags", "<disk type='file'><target dev='vdb'/></disk>", 2), ("detachDevice", "<x/>"),
        ("detachDeviceAlias", "nope", 2), ("detachDeviceAlias", "nope", 1), ("setAutostart", 1), ("autostart",),
        ("setAutostart", 0), ("screenshot", "stream", 0), ("sendKey", 0, 0, [30], 1), ("sendProcessSignal", 1, 15),
        ("coreDump", "/tmp/x", 0), ("coreDumpWithFormat", "/tmp/x", 99, 0), ("save", "/tmp/x"), ("createWithFlags", 1 << 20),
        ("undefineFlags", 1 << 20), ("destroyFlags", 1 << 20), ("shutdownFlags", 1 << 20), ("reboot", 1 << 20),
        ("migrateSetMaxSpeed", 10), ("migrateSetMaxDowntime", 10), ("openConsole", None, "stream"),
        ("openChannel", None, "stream"), ("openGraphicsFD", 0), ("pMSuspendForDuration", 0, 0), ("getCPUStats", True),
        ("getCPUStats", False), ("setUserPassword", "a", "b"), ("setTime", {"seconds": 1}), ("authorizedSSHKeysGet", "a"),
        ("authorizedSSHKeysSet", "a", ["k"]), ("agentSetResponseTimeout", 5), ("startDirtyRateCalc", 1),
        ("setBlockThreshold", "vda", 5), ("checkpointCreateXML", "<domaincheckpoint/>"), ("checkpointLookupByName", "x"),
        ("backupBegin", "<domainbackup/>", None), ("snapshotLookupByName", "x"), ("snapshotCreateXML", "<x/>"),
        ("migrateToURI3", "qemu+tcp://nowhere/", {}, 0), ("rename", "alpha"), ("rename", ""), ("rename", "gamma"), ("rename", "alpha"),
        ("setLaunchSecurityState", {"sev-secret": "x"}), ("managedSaveDefineXML", "<domain/>"), ("blockCopy", "vda", "<disk/>")]


def call(x, domain, name, *words):
    words = [x.c.newStream() if word == "stream" else word for word in words]
    return getattr(domain, name)(*words)


for number, words in enumerate(SHUT):
    mode = "code" if words[0] in ("blockInfo", "screenshot", "schedulerParametersFlags") else "value"
    probe(f"dom.{words[0]}{words[1:]} shut off #{number}", lambda x, words=words: call(x, x.d, *words), mode)
probe("dom.XMLDesc changed", lambda x: texts(x, x.d))
probe("dom.redefine", lambda x: x.c.defineXML(document("alpha", 1)), "code")
probe("conn.getAllDomainStats shut off", lambda x: [(d.name(), s) for d, s in x.c.getAllDomainStats()], "shape")
probe("conn.domainListGetStats", lambda x: [s for _, s in x.c.domainListGetStats([x.d], 1)])
probe("conn.getAllDomainStats bad", lambda x: x.c.getAllDomainStats(1 << 20, 1 << 31), "code")
probe("conn.domainXMLToNative", lambda x: x.c.domainXMLToNative("qemu-argv", document("alpha", 1)), "code")
probe("dom.snapshot shut off", lambda x: x.d.snapshotCreateXML("<domainsnapshot><name>s0</name></domainsnapshot>").getName())
probe("dom.snapshot exists", lambda x: x.d.snapshotCreateXML("<domainsnapshot><name>s0</name></domainsnapshot>").getName())
probe("snap.XMLDesc", lambda x: [line for line in x.d.snapshotLookupByName("s0").getXMLDesc().splitlines()
                                if "creationTime" not in line])
for name in ("getName", "isCurrent", "hasMetadata", "numChildren", "listChildrenNames", "listAllChildren", "getParent"):
    probe(f"snap.{name}", lambda x, name=name: getattr(x.d.snapshotLookupByName("s0"), name)())
for flags in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1 << 20):
    probe(f"dom.listAllSnapshots {flags}", lambda x, flags=flags: x.d.listAllSnapshots(flags))
    probe(f"dom.snapshotNum {flags}", lambda x, flags=flags: x.d.snapshotNum(flags))
probe("dom.undefine with snapshot", lambda x: x.d.undefine())
probe("dom.rename with snapshot", lambda x: x.d.rename("delta"))
probe("dom.revert", lambda x: x.d.revertToSnapshot(x.d.snapshotLookupByName("s0")))
probe("dom.revert bad flags", lambda x: x.d.revertToSnapshot(x.d.snapshotLookupByName("s0"), 1 << 20))
probe("snap.delete bad flags", lambda x: x.d.snapshotLookupByName("s0").delete(1 << 20))
probe("snap.delete", lambda x: x.d.snapshotLookupByName("s0").delete())
probe("dom.snapshot disk-only", lambda x: x.d.snapshotCreateXML(
    "<domainsnapshot><name>e0</name></domainsnapshot>", 16).getName())
probe("dom.XMLDesc external", lambda x: texts(x, x.d))
probe("snap.XMLDesc external", lambda x: [line for line in x.d.snapshotLookupByName("e0").getXMLDesc().splitlines()
                                          if "creationTime" not in line])
probe("snap.delete external metadata", lambda x: x.d.snapshotLookupByName("e0").delete(2))
probe("dom.redefine again", lambda x: x.c.defineXML(document("alpha", 1)), "code")

# ---- Machines that run


def start(x):
    x.mark = len(x.events)
    x.r = x.c.createXML(document("runner", 3, "<memballoon model='virtio'/><rng model='virtio'>"
                                 "<backend model='random'>/dev/urandom</backend></rng>"), 0)
    return x.r


def live(x, flags=0):
    """The live document without what depends on the host's other processes."""
    skip = ("/dev/pts", "port='59", "<label>", "<imagelabel>", "<log ")
    return [line for line in x.r.XMLDesc(flags).splitlines() if not any(word in line for word in skip)]


probe("run.createXML bad", lambda x: x.c.createXML("<x/>"))
probe("run.createXML bad flags", lambda x: x.c.createXML(document("runner", 3), 1 << 20))
probe("run.createXML", start, "setup")
probe("run.start events", lambda x: x.seen(x.mark))
probe("run.createXML again", lambda x: x.c.createXML(document("runner", 3), 0))
probe("run.create running", lambda x: x.r.create())
probe("run.XMLDesc", live)
probe("run.lookupByID", lambda x: x.c.lookupByID(x.r.ID()))
for flags in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192):
    probe(f"run.listAllDomains {flags}", lambda x, flags=flags: x.c.listAllDomains(flags))
RUN_SHAPE = {"info", "memoryStats", "vcpus", "getCPUStats", "jobStats", "jobInfo", "blockStats", "blockStatsFlags",
             "interfaceStats", "interfaceAddresses", "guestInfo", "controlInfo", "schedulerParameters", "numaParameters",
             "schedulerType", "memoryParameters", "blkioParameters", "ioThreadInfo", "diskErrors", "fsInfo",
             "schedulerParametersFlags", "blockInfo", "hostname", "getTime", "migrateGetMaxDowntime",
             "migrateGetMaxSpeed", "migrateGetCompressionCache"}
for name in ("OSType", "autostart", "controlInfo", "diskErrors", "hasCurrentSnapshot", "hasManagedSaveImage", "info",
             "isActive", "isPersistent", "isUpdated", "jobInfo", "jobStats", "maxMemory", "maxVcpus", "memoryStats",
             "messages", "state", "vcpus", "schedulerType", "schedulerParameters", "securityLabel", "securityLabelList",
             "snapshotNum", "blkioParameters", "memoryParameters", "numaParameters", "perfEvents", "emulatorPinInfo",
             "vcpuPinInfo", "ioThreadInfo", "launchSecurityInfo", "guestVcpus", "hostname", "getTime", "fsInfo",
             "guestInfo", "migrateGetMaxDowntime", "migrateGetMaxSpeed", "migrateGetCompressionCache", "abortJob",
             "managedSaveGetXMLDesc", "managedSaveRemove", "fSTrim", "fsFreeze", "fsThaw", "managedSave", "undefine",
             "pMWakeup", "injectNMI"):
    mode = "shape" if name in RUN_SHAPE else "value"
    probe(f"run.{name}", lambda x, name=name: getattr(x.r, name)(), mode)
RUN = [("blockInfo", "vda"), ("blockInfo", "nope"), ("blockStats", "vda"), ("blockStats", "nope"), ("blockStats", ""),
       ("blockStatsFlags", "vda"), ("interfaceStats", "nope"), ("interfaceParameters", "nope"), ("blockIoTune", "vda"),
       ("blockIoTune", "nope"), ("blockJobInfo", "vda"), ("blockJobInfo", "nope"), ("blockJobAbort", "vda"),
       ("blockPeek", "vda", 0, 8), ("blockPeek", "nope", 0, 8), ("memoryPeek", 0, 8, 2), ("interfaceAddresses", 0),
       ("interfaceAddresses", 1), ("interfaceAddresses", 2), ("setMemory", 32768), ("setMemory", 99999999), ("setMemory", 65536),
       ("setMemoryFlags", 32768, 2), ("setMaxMemory", 131072), ("setMemoryStatsPeriod", 5, 1), ("setVcpus", 2), ("setVcpus", 9),
       ("vcpusFlags", 0), ("vcpusFlags", 1), ("vcpusFlags", 2), ("vcpusFlags", 5), ("setVcpusFlags", 1, 2),
       ("setVcpu", "1", 1, 1), ("setVcpu", "77", 1, 1), ("pinVcpu", 0, (True,)), ("pinVcpu", 77, (True,)), ("pinEmulator", (True,)),
       ("addIOThread", 5, 1), ("addIOThread", 5, 1), ("ioThreadInfo",), ("setIOThreadParams", 5, {"poll-max-ns": 1000}, 1),
       ("delIOThread", 5, 1), ("delIOThread", 5, 1), ("schedulerParametersFlags", 1),
       ("setSchedulerParameters", {"cpu_shares": 512}), ("setBlockIoTune", "vda", {"total_bytes_sec": 1000000}, 1),
       ("blockIoTune", "vda", 1), ("setBlockIoTune", "vda", {"total_bytes_sec": 0}, 1), ("setMetadata", 1, "live title", None, None, 1),
       ("metadata", 1, None, 1), ("setMetadata", 2, "<x/>", "k", "http://x", 1), ("metadata", 2, "http://x", 1), ("setLifecycleAction", 1, 2, 1),
       ("attachDevice", "<disk type='file'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/extra.raw'/><target dev='vdb' bus='virtio'/></disk>"),
       ("attachDevice", "<disk type='file'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/extra.raw'/><target dev='vdb' bus='virtio'/></disk>"),
       ("attachDevice", "<disk type='file'><source file='/nope'/><target dev='vdc' bus='virtio'/></disk>"),
       ("attachDevice", "<disk type='file'><source file='/nope'/><target dev='hdc' bus='ide'/></disk>"),
       ("attachDevice", "<interface type='user'><mac address='52:54:00:00:00:55'/><model type='virtio'/></interface>"),
       ("attachDevice", "<interface type='network'><source network='nope'/></interface>"),
       ("attachDevice", "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"), ("attachDevice", "<graphics type='vnc'/>"),
       ("attachDevice", "<x/>"), ("attachDeviceFlags", "<rng model='virtio'><backend model='random'/></rng>", 2),
       ("updateDeviceFlags", "<disk type='file' device='cdrom'><source file='/var/lib/libvirt/images/extra.raw'/><target dev='hda' bus='ide'/><readonly/></disk>", 1),
       ("updateDeviceFlags", "<disk type='file' device='cdrom'><target dev='hda' bus='ide'/><readonly/></disk>", 1),
       ("updateDeviceFlags", "<disk type='file' device='cdrom'><source file='/nope'/><target dev='hda' bus='ide'/><readonly/></disk>", 1),
       ("updateDeviceFlags", "<graphics type='vnc' autoport='yes'/>", 1), ("detachDeviceAlias", "nope", 1),
       ("sendKey", 0, 0, [30], 1), ("sendKey", 0, 0, [9999], 1), ("sendKey", 99, 0, [30], 1), ("sendKey", 0, 0, list(range(17)), 1),
       ("sendProcessSignal", 1, 15), ("coreDumpWithFormat", "/nowhere/x", 0, 16), ("coreDumpWithFormat", "/var/lib/libvirt/images/core", 0, 16),
       ("save", "/nowhere/x"), ("migrateSetMaxSpeed", 10), ("migrateGetMaxSpeed",), ("migrateSetMaxDowntime", 10), ("openConsole", "nope", "stream"),
       ("openChannel", "nope", "stream"), ("openGraphicsFD", 7), ("openGraphicsFD", 0), ("pMSuspendForDuration", 0, 0), ("getCPUStats", True),
       ("getCPUStats", False), ("setUserPassword", "a", "b"), ("setTime", {"seconds": 1}), ("blockResize", "vda", 128 << 20), ("blockResize", "nope", 1),
       ("blockResize", "vda", 128 << 10, 0), ("setBlockThreshold", "nope", 5), ("snapshotLookupByName", "x"), ("rename", "other"), ("setAutostart", 1),
       ("blockPull", "vda", 0), ("blockPull", "nope", 0), ("blockCommit", "vda", None, None), ("blockRebase", "nope", None, 0), ("perfEvents", 1),
       ("screenshot", "stream", 0), ("screenshot", "stream", 9), ("managedSave",), ("setNumaParameters", {"numa_nodeset": "0"}, 1),
       ("createWithFlags", 1), ("suspend",), ("state",), ("suspend",), ("resume",), ("resume",), ("state",), ("reset",), ("reboot",), ("reboot", 1),
       ("shutdownFlags", 1), ("shutdown",), ("abortJob",), ("jobStats",), ("startDirtyRateCalc", 1), ("setInterfaceParameters", "nope", {}, 1)]
RUN_CODE = {"openGraphicsFD", "screenshot", "blockPeek", "startDirtyRateCalc"}


def prepare(x):
    with open(x.folder / "_var_lib_libvirt/images/extra.raw", "wb") as made:
        made.truncate(1 << 20)


probe("run.prepare", prepare, "setup")
for number, words in enumerate(RUN):
    mode = "code" if words[0] in RUN_CODE else "shape" if words[0] in RUN_SHAPE else "value"
    probe(f"run.{words[0]}{words[1:]} #{number}", lambda x, words=words: call(x, x.r, *words), mode)
probe("run.XMLDesc changed", live)
probe("run.changed events", lambda x: sorted({e for e in x.seen(x.mark) if e[0] == "runner"}))
probe("conn.getAllDomainStats running", lambda x: sorted(
    key for d, s in x.c.getAllDomainStats(0, 1) for key in s))
probe("conn.getAllDomainStats flags 3", lambda x: len(x.c.getAllDomainStats(1, 3)))
probe("run.snapshot", lambda x: x.r.snapshotCreateXML("<domainsnapshot><name>r0</name></domainsnapshot>").getName())
probe("run.snapshotCurrent", lambda x: x.r.snapshotCurrent())
probe("run.revert", lambda x: x.r.revertToSnapshot(x.r.snapshotLookupByName("r0")), "code")
probe("run.snapshot delete", lambda x: x.c.lookupByName("runner").snapshotLookupByName("r0").delete(), "code")
probe("ro.create", lambda x: x.ro.lookupByName("alpha").create())
probe("ro.define", lambda x: x.ro.defineXML(document("alpha", 1)))
probe("ro.XMLDesc secure", lambda x: x.ro.lookupByName("alpha").XMLDesc(1))
probe("ro.destroy", lambda x: x.ro.lookupByName("runner").destroy())
probe("ro.poolDefine", lambda x: x.ro.storagePoolDefineXML(POOL))
probe("ro.stats", lambda x: len(x.ro.getAllDomainStats()))
probe("ro.memoryPeek", lambda x: x.ro.lookupByName("runner").memoryPeek(0, 8, 2))
probe("run.destroy", lambda x: x.c.lookupByName("runner").destroy())
probe("run.gone", lambda x: x.c.lookupByName("runner"))
probe("run.gone info", lambda x: x.r.info())


def managed(x):
    x.mark = len(x.events)
    x.d.create()
    x.d.managedSave()
    found = [x.d.hasManagedSaveImage(), x.d.state(), "<name>alpha" in x.d.managedSaveGetXMLDesc()]
    x.d.create()
    found += [x.d.state(), x.d.hasManagedSaveImage()]
    x.d.destroy()
    return found


probe("run.managedSave and start", managed)
probe("run.managedSave events", lambda x: x.seen(x.mark))


def saved(x):
    path = "/var/lib/libvirt/images/alpha.save"
    x.d.create()
    x.d.save(path)
    found = [x.d.state(), x.c.saveImageGetXMLDesc(path).count("<name>")]
    x.c.restore(path)
    found.append(x.d.state())
    x.d.destroy()
    return found


probe("run.save and restore", saved)
probe("conn.restore bad", lambda x: x.c.restore("/nope"))
probe("conn.saveImageGetXMLDesc bad", lambda x: x.c.saveImageGetXMLDesc("/var/lib/libvirt/images/extra.raw"))
probe("conn.saveImageDefineXML bad", lambda x: x.c.saveImageDefineXML("/nope", "<domain/>"))
probe("run.createWithFlags paused", lambda x: (x.d.createWithFlags(1), x.d.state(), x.d.resume(), x.d.state(), x.d.destroy()))
probe("run.autodestroy", lambda x: x.d.createWithFlags(2), "code")
probe("run.destroy again", lambda x: x.d.destroyFlags(1), "code")
probe("dom.undefine", lambda x: x.d.undefine())
probe("dom.undefine again", lambda x: x.d.undefine())
probe("dom.info gone", lambda x: x.d.info())

# ---- Networks


def network(x):
    x.mark = len(x.events)
    x.n = x.c.networkDefineXML(NETWORK)


def lines(text):
    return text.splitlines()


for text in ("<x/>", "<network/>", "<network><name>x/y</name></network>", "<network><name>n</name><forward mode='foo'/></network>",
             "<network><name>n</name><ip address='x'/></network>",
             "<network><name>n</name><forward mode='bridge'/></network>",
             "<network><name>n</name><ip address='10.0.0.1' netmask='255.0.0.0'><dhcp><range start='10.0.0.9' end='10.0.0.2'/></dhcp></ip></network>",
             "<network><name>n</name><ip address='10.0.0.1' netmask='255.0.0.0'><dhcp><range start='11.0.0.1' end='11.0.0.2'/></dhcp></ip></network>"):
    probe(f"net.define {text[:120]}", lambda x, text=text: x.c.networkDefineXML(text).undefine(), "code")
probe("net.lookup missing", lambda x: x.c.networkLookupByName("nope"))
probe("net.lookup uuid missing", lambda x: x.c.networkLookupByUUIDString(NOBODY))
probe("net.define", network, "setup")
probe("net.XMLDesc", lambda x: lines(x.n.XMLDesc()))
for name in ("name", "isActive", "isPersistent", "autostart", "bridgeName", "DHCPLeases", "listAllPorts", "destroy", "UUIDString"):
    probe(f"net.{name} inactive", lambda x, name=name: getattr(x.n, name)())
probe("net.setAutostart", lambda x: (x.n.setAutostart(1), x.n.autostart(), x.n.setAutostart(0)))
probe("net.create", lambda x: x.n.create())
probe("net.create again", lambda x: x.n.create())
probe("net.events", lambda x: x.seen(x.mark))
for name in ("isActive", "DHCPLeases", "listAllPorts", "bridgeName"):
    probe(f"net.{name} active", lambda x, name=name: getattr(x.n, name)())
for flags in (0, 1, 2, 4, 8, 16, 32, 1 << 20):
    probe(f"conn.listAllNetworks {flags}", lambda x, flags=flags: x.c.listAllNetworks(flags))
probe("conn.listNetworks", lambda x: x.c.listNetworks())
probe("conn.listDefinedNetworks", lambda x: x.c.listDefinedNetworks())
HOST = "<host mac='52:54:00:00:00:{0}' name='n{0}' ip='192.168.177.{0}'/>"
for number, words in enumerate([
        (3, 4, -1, HOST.format(10), 3), (3, 4, -1, HOST.format(10), 3), (4, 4, -1, HOST.format(11), 3), (3, 4, -1, "<x/>", 3),
        (2, 4, -1, HOST.format(10), 3), (2, 4, -1, HOST.format(10), 3), (1, 4, -1, HOST.format(77).replace("192.168.177.77", "192.168.177.8"), 1),
        (3, 5, 0, "<range start='192.168.177.110' end='192.168.177.120'/>", 3), (3, 5, 0, "<range start='10.1.1.1' end='10.1.1.2'/>", 3),
        (3, 10, -1, "<host ip='192.168.177.1'><hostname>router</hostname></host>", 3), (3, 99, -1, "<x/>", 3), (9, 4, -1, "<x/>", 3),
        (3, 11, -1, "<txt name='a' value='b'/>", 3), (3, 0, -1, "<x/>", 3), (3, 4, 7, HOST.format(12), 3), (3, 9, -1, "<portgroup name='p'/>", 3),
        (3, 4, -1, HOST.format(13), 1 << 20)]):
    probe(f"net.update {words} #{number}", lambda x, words=words: x.n.update(*words))
probe("net.XMLDesc live", lambda x: lines(x.n.XMLDesc()))
probe("net.XMLDesc inactive", lambda x: lines(x.n.XMLDesc(1)))
probe("net.port create", lambda x: x.n.portCreateXML("<networkport/>"), "code")
probe("net.port lookup", lambda x: x.n.portLookupByUUIDString(NOBODY))
probe("net.undefine active", lambda x: (x.n.undefine(), x.n.isPersistent()))
probe("net.destroy", lambda x: x.n.destroy())
probe("net.gone", lambda x: x.n.isActive())
probe("net.createXML", lambda x: x.c.networkCreateXML(NETWORK))
probe("net.transient", lambda x: (x.c.networkLookupByName("net1").isPersistent(), x.c.networkLookupByName("net1").destroy()))
probe("net.transient setAutostart", lambda x: x.c.networkCreateXML(NETWORK).setAutostart(1))
probe("net.transient gone", lambda x: x.c.networkLookupByName("net1").destroy())
probe("net.createXML bad", lambda x: x.c.networkCreateXML("<x/>"))

# ---- Storage


def pool(x):
    x.mark = len(x.events)
    x.p = x.c.storagePoolDefineXML(POOL)


def withoutTimes(text):
    return [line for line in text.splitlines() if not any(word in line for word in (
        "<available", "<allocation", "<physical", "time>", "<btime", "<capacity", "<label>"))]


for text in ("<x/>", "<pool/>", "<pool type='foo'><name>p</name></pool>", "<pool type='dir'><name>p</name></pool>",
             "<pool type='dir'><name>p/q</name><target><path>/x</path></target></pool>",
             "<pool type='dir'><target><path>/x</path></target></pool>", "<pool type='netfs'><name>p</name><target><path>/x</path></target></pool>",
             "<pool type='dir'><name>p</name><target><path>/var/lib/libvirt/images</path></target></pool>",
             "<pool type='logical'><name>p</name></pool>", "<pool type='iscsi'><name>p</name></pool>", "<pool type='rbd'><name>p</name></pool>"):
    probe(f"pool.define {text[:100]}", lambda x, text=text: x.c.storagePoolDefineXML(text).undefine(), "code")
probe("pool.lookup missing", lambda x: x.c.storagePoolLookupByName("nope"))
probe("pool.lookup uuid missing", lambda x: x.c.storagePoolLookupByUUIDString(NOBODY))
probe("pool.lookup path missing", lambda x: x.c.storagePoolLookupByTargetPath("/nope"))
probe("pool.define", pool, "setup")
probe("pool.define twice", lambda x: x.c.storagePoolDefineXML(POOL.replace("images<", "other<")), "code")
probe("pool.XMLDesc inactive", lambda x: withoutTimes(x.p.XMLDesc()))
for name in ("name", "isActive", "isPersistent", "autostart", "numOfVolumes", "listVolumes", "listAllVolumes", "refresh",
             "destroy", "UUIDString"):
    probe(f"pool.{name} inactive", lambda x, name=name: getattr(x.p, name)())
probe("pool.info inactive", lambda x: x.p.info(), "shape")
probe("pool.build", lambda x: x.p.build())
probe("pool.setAutostart", lambda x: (x.p.setAutostart(1), x.p.autostart(), x.p.setAutostart(0)))
probe("pool.create", lambda x: x.p.create())
probe("pool.create again", lambda x: x.p.create())
probe("pool.events", lambda x: x.seen(x.mark))
probe("pool.undefine active", lambda x: x.p.undefine())
probe("pool.delete active", lambda x: x.p.delete())
probe("pool.XMLDesc active", lambda x: withoutTimes(x.p.XMLDesc()))
probe("pool.info", lambda x: x.p.info(), "shape")
probe("pool.lookup path", lambda x: x.c.storagePoolLookupByTargetPath("/var/lib/libvirt/images"))
for flags in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1 << 14, 1 << 25):
    probe(f"conn.listAllStoragePools {flags}", lambda x, flags=flags: x.c.listAllStoragePools(flags))
probe("conn.listStoragePools", lambda x: x.c.listStoragePools())
probe("conn.findStoragePoolSources dir", lambda x: x.c.findStoragePoolSources("dir", None))
probe("conn.findStoragePoolSources foo", lambda x: x.c.findStoragePoolSources("foo", None))
probe("conn.findStoragePoolSources logical", lambda x: x.c.findStoragePoolSources("logical", None), "code")
probe("conn.findStoragePoolSources netfs", lambda x: x.c.findStoragePoolSources("netfs", None))
probe("pool.listVolumes", lambda x: sorted(x.p.listVolumes()))
probe("pool.lookup volume missing", lambda x: x.p.storageVolLookupByName("nope"))
probe("vol.lookup path missing", lambda x: x.c.storageVolLookupByPath("/nope"))
probe("vol.lookup key missing", lambda x: x.c.storageVolLookupByKey("/nope"))
for text in ("<x/>", "<volume/>", "<volume><name>v</name></volume>", "<volume><name>a/b</name><capacity>1</capacity></volume>",
             "<volume><name>v</name><capacity>x</capacity></volume>", volume("v", 1, "foo"), "<volume><name>v</name><capacity unit='foo'>1</capacity></volume>"):
    probe(f"vol.create {text[:100]}", lambda x, text=text: x.p.createXML(text).delete(), "code")
for kind in ("raw", "qcow2", "qed", "vmdk", "vdi", "vpc", "qcow", "luks", "dir"):
    probe(f"vol.create {kind}", lambda x, kind=kind: x.p.createXML(volume(f"v.{kind}", 4 << 20, kind)))
    probe(f"vol.XMLDesc {kind}", lambda x, kind=kind: withoutTimes(x.p.storageVolLookupByName(f"v.{kind}").XMLDesc()))
    probe(f"vol.info {kind}", lambda x, kind=kind: x.p.storageVolLookupByName(f"v.{kind}").info()[:2])
probe("vol.create exists", lambda x: x.p.createXML(volume("v.raw")))
probe("vol.create preallocated", lambda x: x.p.createXML(volume("pre.qcow2", 4 << 20, "qcow2"), 1))
probe("vol.create bad flags", lambda x: x.p.createXML(volume("z", 4 << 20, "raw"), 1 << 20))
probe("vol.create allocation", lambda x: x.p.createXML(
    "<volume><name>alloc.raw</name><capacity>1048576</capacity><allocation>1048576</allocation></volume>").info())
probe("vol.create backed", lambda x: x.p.createXML(volume(
    "back.qcow2", 8 << 20, "qcow2", "<backingStore><path>/var/lib/libvirt/images/v.qcow2</path><format type='qcow2'/></backingStore>")))
probe("vol.XMLDesc backed", lambda x: withoutTimes(x.p.storageVolLookupByName("back.qcow2").XMLDesc()))
probe("vol.createFrom", lambda x: x.p.createXMLFrom(volume("clone.raw"), x.p.storageVolLookupByName("v.raw")))
probe("vol.createFrom convert", lambda x: x.p.createXMLFrom(volume("clone.qcow2", 4 << 20, "qcow2"), x.p.storageVolLookupByName("v.raw")))
probe("vol.createFrom exists", lambda x: x.p.createXMLFrom(volume("clone.raw"), x.p.storageVolLookupByName("v.raw")))
for name in ("name", "key", "path", "streamBufSize"):
    probe(f"vol.{name}", lambda x, name=name: getattr(x.p.storageVolLookupByName("v.raw"), name)()
          if hasattr(x.p.storageVolLookupByName("v.raw"), name) else None)
probe("vol.infoFlags", lambda x: x.p.storageVolLookupByName("v.qcow2").infoFlags(1))
probe("vol.infoFlags bad", lambda x: x.p.storageVolLookupByName("v.qcow2").infoFlags(64))
probe("vol.storagePoolLookupByVolume", lambda x: x.p.storageVolLookupByName("v.raw").storagePoolLookupByVolume())
for words in ((8 << 20,), (1 << 20,), (1 << 20, 4), (1 << 20, 2), (9 << 20, 1), (1 << 20, 64)):
    probe(f"vol.resize {words}", lambda x, words=words: (x.p.storageVolLookupByName("v.raw").resize(*words),
                                                         x.p.storageVolLookupByName("v.raw").info()[:2]))
probe("vol.resize qcow2", lambda x: (x.p.storageVolLookupByName("v.qcow2").resize(8 << 20), x.p.storageVolLookupByName("v.qcow2").info()[:2]))
probe("vol.wipe", lambda x: x.p.storageVolLookupByName("v.raw").wipe())
probe("vol.wipePattern trim", lambda x: x.p.storageVolLookupByName("v.raw").wipePattern(9))
probe("vol.wipePattern bad", lambda x: x.p.storageVolLookupByName("v.raw").wipePattern(99))
probe("vol.wipePattern dod", lambda x: x.p.storageVolLookupByName("v.raw").wipePattern(2), "code")


def transfer(x, sparse):
    made = x.p.createXML(volume(f"up{sparse}.raw", 1 << 20))
    data = bytes(range(256)) * 16 + bytes(1 << 16) + b"end"
    stream = x.c.newStream()
    made.upload(stream, 0, len(data), 0)
    parts = [data[place:place + 50000] for place in range(0, len(data), 50000)]
    stream.sendAll(lambda s, n, o: parts.pop(0) if parts else b"", None)
    stream.finish()
    stream = x.c.newStream()
    made.download(stream, 0, len(data), sparse)
    got = bytearray()
    if sparse:
        stream.sparseRecvAll(lambda s, b, o: (got.extend(b), len(b))[1], lambda s, n, o: got.extend(bytes(n)) or 0, None)
    else:
        stream.recvAll(lambda s, b, o: (got.extend(b), len(b))[1], None)
    stream.finish()
    return bytes(got) == data


probe("vol.upload and download", lambda x: transfer(x, 0))
probe("vol.upload and download sparse", lambda x: transfer(x, 1))
probe("vol.upload bad flags", lambda x: x.p.storageVolLookupByName("v.raw").upload(x.c.newStream(), 0, 0, 64))
probe("vol.delete bad flags", lambda x: x.p.storageVolLookupByName("v.raw").delete(64))
probe("vol.delete", lambda x: x.p.storageVolLookupByName("v.raw").delete())
probe("vol.delete dir", lambda x: x.p.storageVolLookupByName("v.dir").delete())


def gone(x):
    held = x.p.storageVolLookupByName("v.qed")
    held.delete()
    return held.info()


probe("vol.gone", gone)
probe("pool.refresh", lambda x: (x.p.refresh(), sorted(x.p.listVolumes())))
probe("pool.destroy", lambda x: x.p.destroy())
probe("vol.lookup inactive", lambda x: x.p.storageVolLookupByName("v.qcow2"))
probe("vol.path inactive", lambda x: x.c.storageVolLookupByPath("/var/lib/libvirt/images/v.qcow2"))
probe("pool.delete full", lambda x: x.p.delete(), "code")
probe("pool.undefine", lambda x: x.p.undefine())
probe("pool.gone", lambda x: x.p.isActive())
probe("pool.createXML", lambda x: x.c.storagePoolCreateXML(POOL))
probe("pool.transient", lambda x: (x.c.storagePoolLookupByName("images").isPersistent(), x.c.storagePoolLookupByName("images").destroy()))
probe("pool.createXML missing", lambda x: x.c.storagePoolCreateXML(POOL.replace("/var/lib/libvirt/images", "/nowhere/x")))
probe("pool.createXML build", lambda x: x.c.storagePoolCreateXML(POOL.replace("libvirt/images", "libvirt/images/deep"), 1))
probe("pool.delete", lambda x: (x.c.storagePoolLookupByName("images").destroy()))

# ---- Secrets and filters


def secret(x):
    x.mark = len(x.events)
    x.s = x.c.secretDefineXML(SECRET)


for text in ("<x/>", "<secret/>", "<secret><usage type='foo'/></secret>", "<secret><usage type='volume'/></secret>",
             "<secret><uuid>zz</uuid></secret>"):
    probe(f"secret.define {text}", lambda x, text=text: x.c.secretDefineXML(text).undefine(), "code")
probe("secret.lookup missing", lambda x: x.c.secretLookupByUUIDString(NOBODY))
probe("secret.lookup usage missing", lambda x: x.c.secretLookupByUsage(1, "/nope"))
probe("secret.define", secret, "setup")
probe("secret.define other uuid", lambda x: x.c.secretDefineXML(SECRET.replace("0c1<", "0c2<")))
for name in ("usageID", "usageType", "UUIDString", "value"):
    probe(f"secret.{name}", lambda x, name=name: getattr(x.s, name)())
probe("secret.XMLDesc", lambda x: lines(x.s.XMLDesc()))
probe("secret.setValue", lambda x: (x.s.setValue(b"se\0cret", 0), x.s.value()))
probe("secret.setValue flags", lambda x: x.s.setValue(b"x", 64))
probe("secret.ro value", lambda x: x.ro.secretLookupByUUIDString(x.s.UUIDString()).value())
probe("secret.events", lambda x: x.seen(x.mark))
probe("secret.lookupByUsage", lambda x: x.c.secretLookupByUsage(1, "/var/lib/libvirt/images/x"))
for flags in (0, 1, 2, 4, 8, 64):
    probe(f"conn.listAllSecrets {flags}", lambda x, flags=flags: x.c.listAllSecrets(flags))
probe("conn.listSecrets", lambda x: x.c.listSecrets())
probe("secret.private", lambda x: x.c.secretDefineXML(SECRET.replace("private='no'", "private='yes'")).value())
probe("secret.undefine", lambda x: x.s.undefine())
probe("secret.gone", lambda x: x.s.XMLDesc())
for text in ("<x/>", "<filter/>", "<filter name='f'><rule action='foo' direction='in'/></filter>",
             "<filter name='f' chain='foo'/>", "<filter name='f'><rule action='drop' direction='in'><tcp dstportstart='x'/></rule></filter>",
             "<filter name='f'><filterref filter='nope'/></filter>", "<filter name='f'><rule direction='in'/></filter>"):
    probe(f"filter.define {text}", lambda x, text=text: x.c.nwfilterDefineXML(text).undefine(), "code")
probe("filter.lookup missing", lambda x: x.c.nwfilterLookupByName("nope"))
probe("filter.lookup uuid missing", lambda x: x.c.nwfilterLookupByUUIDString(NOBODY))
probe("filter.define", lambda x: setattr(x, "f", x.c.nwfilterDefineXML(FILTER)), "setup")
probe("filter.XMLDesc", lambda x: lines(x.f.XMLDesc()))
probe("filter.list", lambda x: "mine" in x.c.listNWFilters())
probe("filter.define other uuid", lambda x: x.c.nwfilterDefineXML(FILTER.replace("0d1<", "0d2<")))
probe("conn.listAllNWFilters", lambda x: [f.name() for f in x.c.listAllNWFilters() if f.name() == "mine"])
probe("conn.listAllNWFilterBindings", lambda x: x.c.listAllNWFilterBindings())
probe("filter.binding missing", lambda x: x.c.nwfilterBindingLookupByPortDev("nope"))
probe("filter.binding create", lambda x: x.c.nwfilterBindingCreateXML("<x/>"))
probe("filter.undefine", lambda x: x.f.undefine())
probe("filter.gone", lambda x: x.f.XMLDesc())
