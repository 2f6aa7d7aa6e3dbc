# SPDX-License-Identifier: BSD-2-Clause
"""kvm_intel and kvm_amd on CPUs that Bochs emulates: Tiger Lake and Ryzen.

Bochs boots no kernel by itself: kernel and initramfs come on a CD, through Bochs's own BIOS.
"""

import os
import shlex

from ..machines.base import memory_file
from ..machines.bochs import BochsSvm, BochsVmx
from . import image, iso
from .host import Launch, serial_terminal
from .machine import LabMachine

# What Linux needs to be told on Bochs.
#   noxsave          Bochs and Linux disagree about the layout of what Tiger Lake saves
#   reboot=t         a triple fault ends Bochs (reset_on_triple_fault=0); it has no -no-reboot
#   initcall_…       reads a list of certificates; tries out a source of random numbers: each a tenth of the boot
_MORE = "noxsave reboot=t initcall_blacklist=load_system_certificate_list,jent_mod_init tsc=reliable"

# `ips` is how many instructions make a second for timers and for COM1; a guest has none of Bochs's
# timers, so it is Linux's needs that count. See machines/bochs.py for the rest.
_CONFIG = """\
display_library: rfb, options="timeout=0"
plugin_ctrl: speaker=0
romimage: file={bios}
vgaromimage: file=/dev/null
megs: {memory}
cpu: model={cpu}, count=1, ips=100000000, ignore_bad_msrs=1, reset_on_triple_fault=0
clock: sync=none
com1: enabled=1, mode=term, dev={console}
ata0-master: type=cdrom, path={cd}, status=inserted
boot: cdrom
port_e9_hack: enabled=1
panic: action=fatal
error: action=ignore
info: action=ignore
log: {log}
"""
_BIOSES = ("/usr/share/bochs/BIOS-bochs-latest", "/usr/local/share/bochs/BIOS-bochs-latest")


def lacks_bios():
    """Why Bochs cannot boot from a CD, or None."""
    return None if _bios() else "no BIOS for Bochs (package bochsbios)"


def _bios():
    return next(filter(os.path.exists, _BIOSES), None)


def config(cpu, memory, cd, console, log):
    """Bochs's configuration, for `memory` MiB."""
    return _CONFIG.format(bios=_bios(), memory=memory, cpu=cpu, cd=cd, console=console, log=log)


def launch(machine, disc, memory, ours, theirs, console):
    """host.Launch of `machine`, an emulator of Bochs's, from a CD's bytes; the rest is serial_terminal()'s."""
    cd = memory_file("trapline-lab", disc)
    text = memory_file("trapline-bochsrc", config(
        machine.emulator.cpu, memory, f"/proc/self/fd/{cd}", console, "/proc/self/fd/2").encode())
    go = memory_file("trapline-rc", b"c\n")
    argv = [machine.underneath.program(), "-q", "-f", f"/proc/self/fd/{text}", "-rc", f"/proc/self/fd/{go}"]
    return Launch(argv, ours, [cd, text, go, theirs], private_network=True)


class LabBochs(LabMachine):
    """A kernel on one of Bochs's CPUs."""

    slowness = 8.0
    own_words = ("cold=pages",)     # all of them, for each case, is a third of a run
    without = ""            # what of CPUID Linux must not see, and why
    what_in = "Bochs's emulation"

    def probe(self):
        return iso.lacking() or lacks_bios() or super().probe()

    def _launch(self, initramfs):
        ours, theirs, name = serial_terminal()
        with open(self.kernel.vmlinuz, "rb") as file:
            disc = iso.bootable(file.read(), initramfs, f"{image.COMMAND_LINE} {_MORE} "
                                f"clearcpuid={self.without}")
        return launch(self, disc, self.memory, ours, theirs, name)

    def shown(self, rom, cpus, qemu_params=()):
        text = config(self.emulator.cpu, self.memory, "LAB.ISO", "/dev/tty", "/dev/null")
        return f"printf %s {shlex.quote(text)} >bochsrc; bochs-bin -q -f bochsrc"


class LabBochsIntel(LabBochs):
    """`lab-NAME-intel`."""

    suffix = "-intel"
    vendor, of_guests = "kvm-intel", "vmx"
    # Fast short REP MOV. Bochs has not the MSR with which the BIOS says that fast string operations are
    # on, so Linux takes away ERMS, but not this bit; kernels to 6.2 then have a memmove() that copies
    # 4 GiB where less than 32 bytes are to be moved.
    without = "580"
    emulator = BochsVmx
    # Its guests would not be interrupted where they spin with IF clear (bochs-vmentry-pending-intr): the wait
    # for another CPU must be a VM exit.
    turns = True


class LabBochsAmd(LabBochs):
    """`lab-NAME-bochs`."""

    suffix = "-bochs"
    # KVM begins with a 16-bit TSS in TR. The VMM mends that for the first CPU, nobody can for one that
    # starts with SIPI, and Bochs does not let it into long mode (lab/kvm/vmm.c).
    max_cpus = 1
    vendor, of_guests = "kvm-amd", "svm"
    # MWAITX, whose timer Bochs does not have: a delay with it never ends.
    without = "221"
    emulator = BochsSvm
