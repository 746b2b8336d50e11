# SPDX-License-Identifier: Apache-2.0
"""What tests with Debian's kernel and a busybox share: an initial file system with the modules that a test names, a
machine whose serial line takes commands, and its QMP socket."""
import json
import os
import pathlib
import queue
import re
import socket
import subprocess
import tempfile
import threading
import time

root = pathlib.Path(__file__).resolve().parent.parent
vmm = os.environ.get("VMM", str(root / ".build/release/roost-vmm"))
MAIN = r"""
for module in /extra/*.ko; do insmod $module || echo FAILED $module; done
echo READY
while read line; do eval "$line"; done < /dev/ttyS0
"""
passed = failed = 0


def check(name, result, machine=None):
    """Counts and prints a result, with what the guest said last where it failed."""
    global passed, failed
    passed, failed = (passed + 1, failed) if result else (passed, failed + 1)
    print(f"{name}: {'ok' if result else 'failed'}", flush=True)
    if not result and machine:
        print("    the guest said last: " + "    ".join(machine.transcript[-14:]), flush=True)
    return bool(result)


def summary():
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


class Guest:
    """Debian's kernel and an initial file system with the named modules and what they need."""

    def __init__(self, modules):
        self.work = tempfile.TemporaryDirectory()
        self.place = pathlib.Path(self.work.name)
        self.kernel = pathlib.Path(subprocess.run([root / "scripts/debian-kernel", "amd64"], check=True,
                                                  capture_output=True, text=True).stdout.strip())
        self.available = {path.name.split(".")[0].replace("-", "_"): path for path in self.kernel.rglob("*.ko*")}
        order = []
        for name in modules:
            self.add(name, order)
        files = []
        for path in order:
            target = self.place / f"{len(files):02}-{path.name.removesuffix('.xz')}"
            target.write_bytes(self.content(path))
            files.append(target)
        (self.place / "main").write_text(MAIN)
        subprocess.run([root / "scripts/busybox-initrd", self.place / "initrd.gz", self.place / "main", *files], check=True)

    @staticmethod
    def content(path):
        data = path.read_bytes()
        if path.suffix == ".xz":
            return subprocess.run(["xz", "-dc"], input=data, check=True, capture_output=True).stdout
        return data

    def add(self, name, order):
        """A module behind those that it needs."""
        path = name and self.available.get(name.replace("-", "_"))
        if not path or path in order:
            return
        for other in re.search(rb"\0depends=([^\0]*)\0", self.content(path)).group(1).decode().split(","):
            self.add(other, order)
        order.append(path)

    def boot(self, arguments, log=None):
        return Machine(["-kernel", self.kernel / "vmlinuz", "-initrd", self.place / "initrd.gz", "-append",
                        "console=ttyS0 quiet", *arguments], self.place)


class Machine:
    """A running machine. `guest` says a line to its shell and waits for an answer; marks are put together by the guest, so
    that the echo of the command itself is no answer."""
    count = 0

    def __init__(self, arguments, place):
        Machine.count += 1
        self.path = f"{place}/qmp{Machine.count}"
        self.lines = queue.Queue()
        self.transcript = []
        self.events = []
        self.process = subprocess.Popen(
            [vmm, "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio",
             "-chardev", f"socket,id=q,path={self.path},server=on,wait=off", "-mon", "chardev=q,mode=control", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, errors="replace")
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.transcript.append(line)
            self.lines.put(line)

    def wait(self, text, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                line = self.lines.get(timeout=0.5)
            except queue.Empty:
                if self.process.poll() is not None:
                    return None
                continue
            if re.search(text, line):
                return line
        return None

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def guest(self, command, text, seconds=60):
        self.say(command)
        return self.wait(text, seconds)

    def connect(self):
        end = time.monotonic() + 30
        while not os.path.exists(self.path) and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(self.path)
        self.file = self.socket.makefile("r")
        self.file.readline()
        self.run("qmp_capabilities")

    def run(self, name, **arguments):
        self.socket.sendall((json.dumps({"execute": name, "arguments": arguments}) + "\n").encode())
        while True:
            answer = json.loads(self.file.readline())
            if "event" not in answer:
                return answer
            self.events.append(answer)

    def event(self, name, seconds, test=lambda data: True):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if any(event["event"] == name and test(event.get("data", {})) for event in self.events):
                return True
            self.run("query-status")
            time.sleep(0.3)
        return False

    def end(self):
        self.process.kill()
        self.process.wait()
