#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records what QEMU's device registers answer to random accesses while no processor runs.

usage: record-registers.py          writes pic.txt, uart.txt and i8042.txt beside itself

Each line is "w PORT VALUE" or "r PORT ANSWER", byte accesses, hexadecimal. ReplayTests puts the same accesses to the
device models and expects the same answers. Left out is what QEMU is known to do unlike the chips: level-triggered mode
through ICW1 of the PIC, and commands of the keyboard controller that overtake one another.
"""
import os
import random
import subprocess


class Machine:
    def __init__(self):
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-S", "-qtest", "stdio", "-display", "none",
             "-nodefaults", "-serial", "null", "-m", "64"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.lines = []

    def command(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        while True:
            answer = self.process.stdout.readline().strip()
            if not answer.startswith("IRQ"):
                return answer

    def write(self, port, value):
        self.command(f"outb {port:#x} {value:#x}")
        self.lines.append(f"w {port:x} {value:x}")

    def read(self, port):
        value = int(self.command(f"inb {port:#x}").split()[1], 16)
        self.lines.append(f"r {port:x} {value:x}")
        return value


def some_byte(source):
    return source.choice([source.randrange(256), 1 << source.randrange(8), 0, 0xFF])


def pic(machine, source):
    machine.write(0x4D0, 0x28)
    machine.write(0x4D1, 0x0C)
    for _ in range(600):
        port = source.choice([0x20, 0x21, 0xA0, 0xA1])
        if source.random() < 0.5:
            machine.read(port)
        else:
            value = some_byte(source)
            machine.write(port, value & ~8 if port in (0x20, 0xA0) and value & 0x10 else value)
        # The serial port's transmitter interrupt moves IRQ 4.
        if source.random() < 0.3:
            machine.write(0x3F9, source.choice([0, 2]))


def uart(machine, source):
    for _ in range(900):
        port = 0x3F8 + source.randrange(8)
        if source.random() < 0.5:
            machine.read(port)
        else:
            machine.write(port, some_byte(source))


def i8042(machine, source):
    # The mouse's parameters before its first reset are QEMU's own.
    machine.write(0x64, 0xD4)
    machine.write(0x60, 0xFF)
    for _ in range(250):
        for _ in range(8):
            if machine.read(0x64) & 1:
                machine.read(0x60)
        if source.random() < 0.6:
            command = source.choice([0x20, 0x60, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAD, 0xAE, 0xD2, 0xD3, 0xD4])
            machine.write(0x64, command)
            if command == 0x60:
                machine.write(0x60, source.choice([0x47, 0x61, 0x03, 0x30, 0x74]))
            elif command in (0xD2, 0xD3):
                machine.write(0x60, some_byte(source))
            elif command == 0xD4:
                machine.write(0x60, source.choice([0xF2, 0xFF, 0xE9, 0xF6, 0xF4, 0xF5, 0xEA]))
        else:
            machine.write(0x60, source.choice([0xF2, 0xFF, 0xEE, 0xF4, 0xF5, 0xF6, 0xED, 0xF3, 0x02]))


for record in (pic, uart, i8042):
    machine = Machine()
    record(machine, random.Random(1))
    machine.process.kill()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), record.__name__ + ".txt")
    with open(path, "w") as file:
        file.write("\n".join(machine.lines) + "\n")
