# SPDX-License-Identifier: Apache-2.0
"""For the scripts of this folder: roostd and libvirtd, each private, in namespaces of mounts and networks of its own, with
libvirt's own places (/etc/libvirt, /var/lib/libvirt, /run/libvirt) in a folder that goes away with it."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / ".build/release"))
PLACES = ["/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt", "/run/libvirt"]
EMULATOR = os.environ.get("EMULATOR") or shutil.which("qemu-system-x86_64") or str(BUILD / "roost-vmm")
QEMU_SETTINGS = """security_driver = "none"
user = "root"
group = "root"
namespaces = []
cgroup_controllers = []
remember_owner = 0
"""


def skip(why):
    print(f"{pathlib.Path(sys.argv[0]).name}: skipped: {why}")
    sys.exit(0)


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            skip(f"{tool} is not installed (see scripts/install-dependencies --test)")


class Daemon:
    """One of the two daemons: `kind` is roostd or libvirtd."""

    def __init__(self, kind):
        if os.getuid() != 0:
            skip("namespaces of its own need root")
        self.kind = kind
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"roost-{kind}."))
        lines = ["set -e", "mount --make-rprivate /", "mount -t sysfs sysfs /sys", "ip link set lo up"]
        for place in PLACES:
            own = self.folder / place.replace("/", "_")
            own.mkdir()
            lines.append(f"mkdir -p {place}; mount --bind {own} {place}")
        (self.folder / "_var_lib_libvirt/boot").mkdir()
        (self.folder / "_var_lib_libvirt/images").mkdir()
        # A /dev/kvm that cannot run machines makes libvirtd probe for half a minute, again and again.
        (self.folder / "no").touch(mode=0)
        lines.append(f"[ ! -e /dev/kvm ] || {{ mount --bind {self.folder}/no /dev/kvm; mount -o remount,bind,ro /dev/kvm; }}")
        if kind == "libvirtd":
            (self.folder / "_var_lib_libvirt/qemu").mkdir()
            (self.folder / "_var_lib_libvirt/dnsmasq").mkdir()
            (self.folder / "_etc_libvirt/qemu.conf").write_text(QEMU_SETTINGS)
            lines += ["virtlogd -d -p /run/libvirt/virtlogd.pid", "exec libvirtd -p /run/libvirt/libvirtd.pid"]
        else:
            lines.append(f"exec {BUILD}/roostd --emulator {EMULATOR}")
        self.script = "\n".join(lines)
        self.log = self.folder / "log"
        self.start()

    @property
    def socket(self):
        return self.folder / "_run_libvirt/libvirt-sock"

    @property
    def uri(self):
        return f"qemu+unix:///system?socket={self.socket}"

    @property
    def read_only_uri(self):
        return f"qemu+unix:///system?socket={self.socket}-ro"

    def start(self):
        for path in (self.socket, pathlib.Path(f"{self.socket}-ro")):
            path.unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "-m", "-n", "bash", "-c", self.script], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not (self.socket.exists() and pathlib.Path(f"{self.socket}-ro").exists()):
            if time.monotonic() > end or self.process.poll() is not None:
                print(self.log.read_text()[-2000:])
                sys.exit(f"{self.kind} did not start")
            time.sleep(0.05)

    def inside(self, *command, **options):
        """Runs a command where the daemon is."""
        return subprocess.run(["nsenter", "-t", str(self.process.pid), "-m", "-n", *command], **options)

    def resident(self):
        """Memory in KiB."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    def stop(self):
        # What else runs in its namespaces goes too.
        mine = os.readlink(f"/proc/{self.process.pid}/ns/mnt")
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "ns/mnt") == mine:
                    os.kill(int(entry.name), 9)
            except OSError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)
