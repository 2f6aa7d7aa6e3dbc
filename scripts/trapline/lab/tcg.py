# SPDX-License-Identifier: BSD-2-Clause
"""kvm_amd on QEMU's emulated AMD CPU."""

import shlex
from dataclasses import replace

from ..machines.base import memory_file
from ..machines.qemu import Tcg
from . import emulator, image
from .debian import version_key
from .host import Launch, serial_socket
from .machine import LabMachine


class LabTcg(LabMachine):
    """`lab-NAME`."""

    vendor, of_guests = "kvm-amd", "svm"
    emulator = Tcg
    slowness = 4.0
    turns = True            # measured here only
    what_in = "QEMU's emulation"
    cpu = "max,la57=off"
    board = "q35,smm=off,hpet=off,usb=off"

    def __init__(self, tools, variant=""):
        # The lab's own QEMU, unless another was asked for by name. With shadow paging, 10.0 turns the
        # first fault on a page that KVM has not mapped yet into a triple fault; 7.2 does not.
        if tools.qemu_is_default and emulator.path() and "npt=0" not in variant.split("+"):
            tools = replace(tools, qemu=emulator.path())
        super().__init__(tools, variant)

    @property
    def reuse(self):
        """QEMU before 9.1 forgets to take a guest's breakpoints out of its CPU at #VMEXIT: they go on
        to hit whoever comes by, the next guest too."""
        return version_key(self.underneath.number()) >= version_key("9.1")

    def _command_line(self):
        return image.COMMAND_LINE

    def _argv(self, kernel, initrd, console):
        return [self.tools.qemu, "-no-user-config", "-M", self.board,
                "-accel", "tcg,thread=single", "-cpu", self.cpu, "-m", str(self.memory), "-nodefaults",
                "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
                "-append", self._command_line(), "-serial", console,
                "-chardev", "stdio,id=messages,signal=off",
                "-device", "isa-debugcon,iobase=0xe9,chardev=messages"]

    def _launch(self, initramfs):
        ours, theirs = serial_socket()
        initrd = memory_file("trapline-lab", initramfs)
        argv = self._argv(self.kernel.vmlinux, f"/proc/self/fd/{initrd}", "chardev:com1")
        argv[1:1] = ["-chardev", f"socket,id=com1,fd={theirs}"]
        return Launch(argv, ours, [initrd, theirs])

    def shown(self, rom, cpus, qemu_params=()):
        return shlex.join(self._argv(self.kernel.vmlinux, "INITRAMFS", "stdio"))
