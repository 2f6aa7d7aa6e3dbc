# SPDX-License-Identifier: BSD-2-Clause
"""Bochs: `bochs-svm` and `bochs-vmx`."""

import os
import re
import shlex
import shutil

from .base import Command, Machine, ask, facts, memory_file

# Bochs measures the time of its devices in emulated instructions, `ips` of them a second, and
# COM1 sends a byte in 87 microseconds of that time (115200 baud). A guest that waits for the
# transmitter therefore spends ips * 87e-6 instructions on each byte: 4340 at Bochs's usual
# 50 million, 87 at one million, which is the least that Bochs takes. Measured with 700 bytes of
# output: 249 ms at 200 million, 119 at 50, 80 at 10, 72 at 1, of which 65 are Bochs's start; the
# whole int3 guest: 6.3 s at 50 million, 2.1 at 1, with the same verdicts. What else depends on it
# is only the rate of the timers as seen in instructions, and a guest that must run on any speed of
# CPU cannot depend on that.
IPS = 1_000_000

# Bochs's TSC counts instructions, so that the usual deadline of a wait is minutes.
DEADLINE = 1 << 26

# Debian's Bochs has the debugger compiled in and then stops at a prompt: "c" goes on. There is
# no display without a library; rfb is a VNC server, so the boot gets a network of its own.
# Without speaker=0 it dies for want of a sound device, and from 3.0 on for want of a VGA BIOS.
_CONFIG = """\
display_library: rfb, options="timeout=0"
plugin_ctrl: speaker=0
romimage: file={rom}
vgaromimage: file=/dev/null
megs: {memory}
cpu: model={cpu}, count={cpus}, ips={ips}
com1: enabled=1, mode=file, dev={serial}
panic: action=fatal
error: action=ignore
info: action=ignore
log: {log}
"""


class _Bochs(Machine):
    accel = "bochs"
    guest_words = (f"deadline={DEADLINE}",)
    cpu = ""
    slowness = 3.0

    def _path(self):
        # Debian's "bochs" is a shell script in front of bochs-bin; a process more for nothing.
        path = shutil.which(self.tools.bochs)
        if path and os.path.basename(path) == "bochs":
            path = shutil.which(path + "-bin") or path
        return path

    def _facts(self):
        return facts(self.tools, self._path() or self.tools.bochs, learn_bochs)

    def probe(self):
        found = self._facts()
        if "error" not in found and self.cpu not in found["cpus"]:
            return f"this Bochs has no CPU model {self.cpu}"
        return found.get("error")

    def program(self):
        return self._path()

    def version(self):
        return f"Bochs {self.number()}"

    def number(self):
        return self._facts().get("number", "")

    def config(self, rom, cpus, serial, log, memory=64):
        """The text of a bochsrc, with paths of the ROM, of the file that takes COM1, and of the log."""
        return _CONFIG.format(rom=rom, cpu=self.cpu, cpus=cpus, ips=IPS, serial=serial, log=log,
                              memory=memory)

    @staticmethod
    def padded(rom):
        """`rom` (bytes) as large as Bochs wants it, at least 128 KiB; the reset vector lies at the end."""
        return rom.rjust(0x20000, b"\xff")

    def command(self, order):
        rom = memory_file("trapline-rom", self.padded(order.rom))
        ours, theirs = os.pipe()
        config = memory_file("trapline-bochsrc", self.config(
            f"/proc/self/fd/{rom}", order.cpus, f"/proc/self/fd/{theirs}",
            "/proc/self/fd/2", order.memory).encode())
        go = memory_file("trapline-rc", b"c\n")
        argv = [self._path(), "-q", "-f", f"/proc/self/fd/{config}", "-rc", f"/proc/self/fd/{go}"]
        return Command(argv, [rom, theirs, config, go], serial=ours, private_network=True)

    def shown(self, rom, cpus, qemu_params=()):
        config = self.config(rom, cpus, "/dev/stdout", "/dev/null").replace("\n", "\\n")
        script = (f"printf {shlex.quote(config.replace('%', '%%'))} >bochsrc; echo c >bochs.rc; "
                  f"unshare -n {shlex.quote(self._path() or self.tools.bochs)} "
                  "-q -f bochsrc -rc bochs.rc </dev/null")
        return script

    def ended(self, status, errors):
        panic = re.search(r">>PANIC<< (.*)", errors)
        if panic:
            return f"Bochs: {panic[1].strip()[:200]}"
        return super().ended(status, errors)


def learn_bochs(path):
    """{"number", "cpus"} of a Bochs, or {"error"}."""
    out, errors = ask([path, "--help", "cpu"])
    text = (out or "") + errors
    match = re.search(r"Bochs x86 Emulator (\d+(?:\.\d+)+)", text)
    if not match:
        return {"error": f"{path} does not answer as a Bochs"}
    return {"number": match[1], "cpus": re.findall(r"^(\w+)$", text, re.M)}


class BochsSvm(_Bochs):
    """An AMD CPU with nested paging."""

    name = "bochs-svm"
    cpu = "ryzen"
    nested = ("svm",)
    what = "Bochs as an AMD Ryzen, with SVM"


class BochsVmx(_Bochs):
    """An Intel CPU with EPT."""

    name = "bochs-vmx"
    cpu = "tigerlake"
    nested = ("vmx",)
    what = "Bochs as an Intel Tiger Lake, with VMX"


MACHINES = (BochsSvm, BochsVmx)
