# SPDX-License-Identifier: BSD-2-Clause
"""`ovmf`: the .efi images, started by UEFI firmware in QEMU.

It judges the same emulator as `tcg` and takes a hundred times as long, so unless the command line
names cases it runs a few only: what it tests is the way in.
"""

import os
import shlex

from .base import Command, memory_file
from .qemu import Tcg

# Debian and Ubuntu, Fedora and RHEL, Arch, and what QEMU itself brings along.
FIRMWARE = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd",
            "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
            "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/qemu/edk2-x86_64-code.fd")


class Ovmf(Tcg):
    """QEMU's emulation with OVMF."""

    name = "ovmf"
    what = "UEFI firmware in QEMU's emulation, a few cases"
    slowness = 6.0
    usual_reason = "every boot goes through the firmware, which takes seconds"
    usual = ("dummy", "int3/int3_warm", "int3/int3_cold_idt", "int3/int3_replaced_by_other_cpu",
             "int3/int3_code_breakpoint")

    def _firmware(self):
        return next(filter(os.path.exists, FIRMWARE), None)

    def probe(self):
        return super().probe() or (
            None if self._firmware() else "no OVMF (package ovmf or edk2-ovmf)")

    def automatic(self):
        return False

    def version(self):
        return f"{super().version()}, {self._firmware()}"

    def _argv(self, rom, cpus, qemu_params, memory=64):
        argv = super()._argv(rom, cpus, qemu_params, max(memory, 256))
        at = argv.index("-bios")
        argv[at:at + 2] = ["-drive", "if=pflash,unit=0,format=raw,readonly=on,file="
                           + self._firmware(), "-kernel", rom]
        return argv

    def command(self, order):
        from ..args import patched

        path = os.path.splitext(order.image)[0] + ".efi"
        with open(path, "rb") as file:
            image = patched(file.read(), order.words, path)
        fd = memory_file("trapline-efi", image)
        return Command(self._argv(f"/proc/self/fd/{fd}", order.cpus, order.qemu_params,
                                  order.memory), [fd])

    def shown(self, rom, cpus, qemu_params=()):
        return shlex.join(self._argv(os.path.splitext(rom)[0] + ".efi", cpus, qemu_params))


MACHINES = (Ovmf,)
