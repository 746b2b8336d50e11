# SPDX-License-Identifier: Apache-2.0
"""A viewer that reads: a stock VNC client library (vncdotool) with the letters of Debian's installer and of the
kernel's console, so that a script
can wait for words on the screen and type."""
import os
import subprocess
import sys
import time

# Letters of 8 by 16 pixels, each as a character and 32 hexadecimal digits.
LETTERS = (
    "!00000000080808080808080008080000'00000808080800000000000000000000(00000004080810101010101008080400"
    ')00000020101008080808080810102000,00000000000000000000000018080810.00000000000000000000000018180000'
    ':00000000000018180000001818000000;00000000000018180000001808081000<00000000000204081020100804020000'
    '>00000000004020100804081020400000A0000000018242442427e424242420000B000000007c4242427c424242427c0000'
    'C000000003c42424040404042423c0000D00000000784442424242424244780000E000000007e4040407c404040407e0000'
    'F000000007e4040407c40404040400000G000000003c424240404e4242463a0000H00000000424242427e42424242420000'
    'I000000003e08080808080808083e0000K00000000424448506060504844420000M00000000424266665a5a424242420000'
    'P000000007c4242427c40404040400000S000000003c424240300c0242423c0000T000000007f0808080808080808080000'
    'U000000004242424242424242423c0000Y00000000414122221408080808080000[0000000e080808080808080808080e00'
    ']00000070101010101010101010107000a0000000000003c42023e4242463a0000b0000004040405c6242424242625c0000'
    'c0000000000003c4240404040423c0000d0000000202023a4642424242463a0000e0000000000003c42427e4040423c0000'
    'f0000000c1010107c1010101010100000g0000000000023a44444438203c42423ch0000004040405c624242424242420000'
    'i000000080800180808080808083e0000j0000000404000c040404040404044830k00000040404044485060504844420000'
    'l000000180808080808080808083e0000m00000000000076494949494949490000n0000000000005c624242424242420000'
    'o0000000000003c4242424242423c0000p0000000000005c6242424242625c4040r0000000000005c624240404040400000'
    's0000000000003c4240300c02423c0000t000000001010107c10101010100c0000u000000000000424242424242463a0000'
    'v00000000000042424224242418180000w00000000000041494949494949360000y0000000000004242424242261a02023c'
    'z0000000000007e0204081020407e0000"00666666240000000000000000000000\'00303030600000000000000000000000'
    '(00000c18303030303030180c00000000)000030180c0c0c0c0c0c183000000000-00000000000000fe0000000000000000'
    '.00000000000000000000181800000000/0000000002060c183060c08000000000100001838781818181818187e00000000'
    '200007cc6060c183060c0c6fe00000000300007cc606063c060606c67c00000000400000c1c3c6cccfe0c0c0c1e00000000'
    '800007cc6c6c67cc6c6c6c67c00000000900007cc6c6c67e0606060c7800000000:00000000181800000018180000000000'
    '<000000060c18306030180c0600000000>0000006030180c060c18306000000000@0000007cc6c6dedededcc07c00000000'
    'A000010386cc6c6fec6c6c6c600000000D0000f86c6666666666666cf800000000F0000fe6662687868606060f000000000'
    'G00003c66c2c0c0dec6c6663a00000000I00003c18181818181818183c00000000K0000e666666c78786c6666e600000000'
    'M0000c6eefefed6c6c6c6c6c600000000N0000c6e6f6fedecec6c6c6c600000000O00007cc6c6c6c6c6c6c6c67c00000000'
    'R0000fc6666667c6c666666e600000000S00007cc6c660380c06c6c67c00000000[00003c30303030303030303c00000000'
    ']00003c0c0c0c0c0c0c0c0c3c00000000a0000000000780c7ccccccc7600000000b0000e06060786c666666667c00000000'
    'c00000000007cc6c0c0c0c67c00000000d00001c0c0c3c6ccccccccc7600000000e00000000007cc6fec0c0c67c00000000'
    'f00001c36323078303030307800000000g000000000076cccccccccc7c0ccc7800h0000e060606c7666666666e600000000'
    'i00001818003818181818183c00000000k0000e06060666c78786c66e600000000l00003818181818181818183c00000000'
    'm0000000000ecfed6d6d6d6c600000000n0000000000dc66666666666600000000o00000000007cc6c6c6c6c67c00000000'
    'p0000000000dc66666666667c6060f000r0000000000dc7666606060f000000000s00000000007cc660380cc67c00000000'
    't0000103030fc30303030361c00000000u0000000000cccccccccccc7600000000v0000000000c6c6c6c6c66c3800000000'
    'w0000000000c6c6d6d6d6fe6c00000000y0000000000c6c6c6c6c6c67e060cf800'
)


def library(root):
    """Makes vncdotool importable: installed already, or from PyPI into .cache. False where neither is possible."""
    try:
        import vncdotool  # noqa: F401
        return True
    except ImportError:
        pass
    place = os.path.join(root, ".cache", "viewer")
    if not os.path.isdir(place):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", place, "vncdotool==1.4.2"]
        if subprocess.run(command, capture_output=True).returncode:
            return False
    sys.path.insert(0, place)
    return True


class Viewer:
    """One connection to a screen."""

    def __init__(self, server, password=None):
        from vncdotool import api
        self.api = api
        self.client = api.connect(server, password=password, timeout=60)
        self.font = {LETTERS[i + 1:i + 33]: LETTERS[i] for i in range(0, len(LETTERS), 33)}
        self.font["0" * 32] = " "

    def picture(self):
        self.client.refreshScreen()
        return self.client.screen.convert("RGB")

    def text(self):
        """The screen as rows of letters; a question mark for what is none."""
        image = self.picture()
        pixels = image.load()
        rows = []
        for top in range(0, image.size[1] - 15, 16):
            row = ""
            for left in range(0, image.size[0] - 7, 8):
                cell = [pixels[left + x, top + y] for y in range(16) for x in range(8)]
                ground = max(set(cell), key=cell.count)
                bits = int("".join("0" if pixel == ground else "1" for pixel in cell), 2)
                row += self.font.get("%032x" % bits, "?")
            rows.append(row.rstrip())
        return "\n".join(rows)

    def wait(self, words, seconds, alive=lambda: True):
        """Waits until one of some words is on the screen, and says which; None when it does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and alive():
            text = self.text()
            for word in words:
                if word in text:
                    return word
            time.sleep(2)
        return None

    def wait_picture(self, test, seconds, alive=lambda: True):
        """Waits until a picture passes a test."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and alive():
            if test(self.picture()):
                return True
            time.sleep(1)
        return False

    def press(self, *keys):
        for key in keys:
            self.client.keyPress(key)
            time.sleep(0.4)

    def type(self, text):
        for letter in text:
            self.client.keyPress(letter)
            time.sleep(0.1)

    def close(self):
        self.client.disconnect()
        self.api.shutdown()
