# SPDX-License-Identifier: Apache-2.0
"""Machines that are moved: what the scripts that save, load and migrate guests have in common."""
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parent.parent
program = os.environ.get("ROOST_VMM", str(root / ".build/release/roost-vmm"))
# Seconds; generous, for hosts that are busy with other things.
patience = 180


class Failure(Exception):
    """What went wrong, in a line."""


class Machine:
    """A roost-vmm that is spoken to through QMP."""

    def __init__(self, folder, name, arguments, incoming=None, namespace=None, binary=None):
        self.name = name
        self.log = pathlib.Path(folder) / (name + ".log")
        self.errors = pathlib.Path(folder) / (name + ".err")
        control = pathlib.Path(folder) / (name + ".qmp")
        line = ["ip", "netns", "exec", namespace] if namespace else []
        line += [binary or program, "-display", "none", "-monitor", "none", "-serial", f"file:{self.log}", "-qmp",
                 f"unix:{control},server=on,wait=off", *map(str, arguments)]
        if incoming:
            line += ["-incoming", incoming]
        self.events = []
        with open(self.errors, "w") as errors:
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=errors)
        self.qmp = socket.socket(socket.AF_UNIX)
        end = time.time() + patience
        while True:
            try:
                self.qmp.connect(str(control))
                break
            except OSError:
                if time.time() > end or self.process.poll() is not None:
                    raise Failure(f"{name} does not answer: {self.errors.read_text()}") from None
                time.sleep(0.02)
        self.lines = self.qmp.makefile("r")
        self._read()
        self.command("qmp_capabilities")

    def _read(self):
        try:
            line = self.lines.readline()
        except OSError as error:
            line = ""
            self.errors.open("a").write(str(error))
        if not line:
            raise Failure(f"{self.name} is gone: {self.errors.read_text()}")
        return json.loads(line)

    def command(self, name, /, fails=False, **arguments):
        """The answer; with `fails` the error's text or None."""
        request = {"execute": name}
        if arguments:
            request["arguments"] = arguments
        try:
            self.qmp.sendall((json.dumps(request) + "\n").encode())
        except OSError as error:
            raise Failure(f"{self.name} is gone: {error}") from None
        while True:
            answer = self._read()
            if "error" in answer:
                if fails:
                    return answer["error"]["desc"]
                raise Failure(f"{self.name}: {name}: {answer['error']['desc']}")
            if "return" in answer:
                return None if fails else answer["return"]
            self.events.append(answer)

    def monitor(self, line):
        """A command of the human monitor."""
        answer = self.command("human-monitor-command", **{"command-line": line})
        if answer.startswith("Error"):
            raise Failure(f"{self.name}: {line}: {answer}")
        return answer

    def event_time(self, name):
        """Seconds since 1970 of the last event of that name that came so far; None without one."""
        self.command("query-status")
        times = [event["timestamp"] for event in self.events if event["event"] == name]
        return times[-1]["seconds"] + times[-1]["microseconds"] / 1e6 if times else None

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_text(self, pattern, count=1):
        """Waits until the serial port has said it so often."""
        end = time.time() + patience
        while len(re.findall(pattern, self.text())) < count:
            if time.time() > end or self.process.poll() is not None:
                raise Failure(f"{self.name}: not {count} of {pattern!r}: {self.text()[-1500:]} {self.errors.read_text()}")
            time.sleep(0.05)

    def begin_move(self, uri):
        self.command("migrate", uri=uri)

    def end_move(self, period=0.05):
        """Waits for a move's end and gives its report."""
        end = time.time() + patience
        while True:
            report = self.command("query-migrate")
            if report.get("status") in ("completed", "failed", "cancelled"):
                return report
            if time.time() > end:
                raise Failure(f"{self.name}: the move does not end: {report}")
            time.sleep(period)

    def migrate(self, uri):
        """Moves the machine away; anything but success is a failure."""
        self.begin_move(uri)
        report = self.end_move()
        if report["status"] != "completed":
            raise Failure(f"{self.name}: the move {report['status']}: {report.get('error-desc')}")
        return report

    def status(self):
        return self.command("query-status")["status"]

    def quit(self):
        self.command("quit")
        if self.process.wait(patience) != 0:
            raise Failure(f"{self.name} did not end with status 0: {self.errors.read_text()}")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Namespaces:
    """Network namespaces that are joined by a cable, with the addresses 10.99.0.1 and 10.99.0.2; gone at the end."""

    def __init__(self, *names):
        self.names = [f"roost-{name}-{os.getpid()}" for name in names]
        for name in self.names:
            self.run("ip", "netns", "add", name)
            self.inside(name, "ip", "link", "set", "lo", "up")
        if len(names) == 2:
            self.run("ip", "link", "add", "move0", "netns", self.names[0], "type", "veth", "peer", "name", "move1",
                     "netns", self.names[1])
            for number, name in enumerate(self.names):
                self.inside(name, "ip", "address", "add", f"10.99.0.{number + 1}/24", "dev", f"move{number}")
                self.inside(name, "ip", "link", "set", f"move{number}", "up")

    @staticmethod
    def run(*command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"{' '.join(command)}: {done.stderr.strip()}")

    def inside(self, name, *command):
        self.run("ip", "netns", "exec", name, *command)

    def close(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], stdin=subprocess.DEVNULL, capture_output=True)


def kernel():
    """The folder of Debian's cloud kernel."""
    return subprocess.run([root / "scripts/debian-kernel", "cloud-amd64"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()


def make_initrd(folder, script, modules, extra=()):
    """An initramfs whose first process runs a script with these modules loaded."""
    folder = pathlib.Path(folder)
    found = pathlib.Path(kernel()) / "modules"
    files = []
    for name in modules:
        file = next(found.rglob(name + ".ko"), None)
        if file:
            files.append(file)
    loads = "".join(f"insmod /extra/{file.name}\n" for file in files)
    (folder / "guest").write_text("dmesg -n 1\n" + loads + script)
    target = str(folder / "initrd.gz")
    subprocess.run([root / "scripts/busybox-initrd", target, folder / "guest", *files, *extra], check=True)
    return target


def run(name, body):
    """Runs a script's body with a temporary folder; a failure is one line and status 1."""
    # Ends machines also when the script is told to end.
    with tempfile.TemporaryDirectory() as folder:
        try:
            body(pathlib.Path(folder))
        except Failure as failure:
            sys.exit(f"{name}: {failure}")
