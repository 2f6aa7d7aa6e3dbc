# SPDX-License-Identifier: BSD-2-Clause
"""Xen on emulated CPUs, with a dom0 that is one program of ours (lab/xen/).

A name may carry what a toolstack says of a domain (hap=0, nested) and parameters of Xen's command line:
lab-xen-4.17+hap=0, lab-xen-4.17+nested, lab-xen-4.17+loglvl=all.
"""

import os
import re
import shlex
from dataclasses import replace

from ..errors import UsageError
from ..machines.base import memory_file
from ..machines.bochs import BochsVmx
from ..machines.qemu import Tcg
from . import bochs, emulator, image, iso, xens
from .debian import version_key
from .host import Launch, serial_socket, serial_terminal
from .hosted import ROOT, HostedMachine

DOM0 = os.path.join("build", "lab", "dom0")
NESTED_WANTS_MORE = "4.20"      # of an AMD CPU
MEMORY = 448            # MiB, of which a guest has 64
# No more on COM1 than what is wrong; no scrubbing of memory, and none of what guards against attacks through
# speculation, which an emulator does not speculate for.
COMMAND_LINE = ("console=com1 com1=115200,8n1 dom0_mem=40M,max:40M bootscrub=no loglvl=error guest_loglvl=error "
                "spec-ctrl=no xpti=no")
# The APIC ids of a domain's CPUs are even numbers.
IDS = "apicstep=2"
TROUBLE = re.compile(r"Xen BUG|Xen WARN|BUG at|WARNING:|Assertion '|Panic on CPU|FATAL |domain_crash called|"
                     r"Domain \d+ .*crashed on|watchdog|list_(?:add|del) corruption|UBSAN|Unhandled|"
                     r"BUG_ON|lock.*held|Xen call trace")
TROUBLE_END = "****************************************"


class XenMachine(HostedMachine):
    """A Xen and an emulator."""

    accel = "xen"
    programs = (DOM0,)
    vmm_options = ("hap=0", "nested")
    of_guests = ""          # what a guest may find there for its own guests, if it is asked for
    host_name = "Xen"
    trouble, trouble_end = TROUBLE, TROUBLE_END
    xen_name = ""

    def __init__(self, tools, variant=""):
        self._xen = None
        super().__init__(tools, variant)

    @property
    def nested(self):
        """As xl has it: not unless the domain is to have it."""
        return (self.of_guests,) if "nested" in self._options else ()

    @property
    def xen(self):
        if self._xen is None:
            self._xen = xens.load(self.xen_name)
        return self._xen

    def _set_param(self, parameter, value):
        if not self.xen.has_parameter(parameter):
            raise UsageError(f"machine '{self.name}': Xen {self.xen.version} has no parameter '{parameter}'")
        self.params[parameter] = value

    def probe(self):
        try:
            if "hap=0" in self._options and not self.xen.has_shadow():
                return f"Xen {self.xen.version} was built without shadow paging"
        except (UsageError, OSError) as error:
            return str(error)
        return self.underneath.probe() or self.build()

    def version(self):
        return f"Xen {self.xen.release}, in " + self.underneath.version()

    def number(self):
        return self.xen.version

    def refused(self, facts):
        paging = facts.get("paging", "").split(",")
        if "hap=0" in self._options and "shadow" not in paging:
            return f"Xen {self.xen.version} was built without shadow paging"
        if "hap=0" not in self._options and "hap" not in paging:
            return f"Xen {self.xen.version} has no nested paging on this CPU"
        return None

    def cannot_step(self):
        return "the lab's VMM for Xen does not step guests"

    def _pack(self):
        return image.images(self._images)

    def command_line(self):
        """What Xen gets."""
        return " ".join((COMMAND_LINE, *self.own_parameters, *(f"{p}={v}" for p, v in self.params.items())))

    own_parameters = ()


class XenTcg(XenMachine):
    """`lab-NAME`."""

    emulator = Tcg
    of_guests = "svm"
    slowness = 4.0
    turns = True
    own_words = (IDS,)
    what_in = "QEMU's emulation"

    def __init__(self, tools, variant=""):
        if tools.qemu_is_default and emulator.path():
            tools = replace(tools, qemu=emulator.path())
        super().__init__(tools, variant)

    def probe(self):
        if self.nested and version_key(self.xen.version) >= version_key(NESTED_WANTS_MORE):
            return (f"Xen {self.xen.version} nests on a CPU with NRIPS, decode assists, FlushByAsid and LBR "
                    "virtualization only, and QEMU's emulation has none of them")
        return super().probe()

    def _argv(self, kernel, archive, console):
        return [self.tools.qemu, "-no-user-config", "-M", "q35,smm=off,hpet=off,usb=off",
                "-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-m", str(MEMORY), "-nodefaults",
                "-display", "none", "-no-reboot", "-kernel", self.xen.path, "-append", self.command_line(),
                "-initrd", f"{kernel},{archive}", "-serial", console,
                "-chardev", "stdio,id=messages,signal=off",
                "-device", "isa-debugcon,iobase=0xe9,chardev=messages"]

    def _launch(self, archive):
        ours, theirs = serial_socket()
        initrd = memory_file("trapline-lab", archive)
        argv = self._argv(os.path.join(ROOT, DOM0), f"/proc/self/fd/{initrd}", "chardev:com1")
        argv[1:1] = ["-chardev", f"socket,id=com1,fd={theirs}"]
        return Launch(argv, ours, [initrd, theirs])

    def shown(self, rom, cpus, qemu_params=()):
        return shlex.join(self._argv(DOM0, "IMAGES.CPIO", "stdio"))


class XenBochsIntel(XenMachine):
    """`lab-NAME-intel`."""

    suffix = "-intel"
    emulator = BochsVmx
    of_guests = "vmx"
    slowness = 8.0
    turns = True
    own_words = (IDS, "cold=pages")
    # A guest that waits for its other CPU with IF clear is not interrupted (bochs-vmentry-pending-intr), and Xen's
    # only CPU has nothing else that would take it away.
    max_cpus = 1
    what_in = "Bochs's emulation"
    # Bochs and Xen disagree about the layout of what Tiger Lake saves; MWAIT and the C-states and clocks that Xen
    # looks for are not there.
    own_parameters = ("xsave=0", "mwait-idle=0", "cpuidle=0", "cpufreq=none")

    def probe(self):
        return iso.lacking("mboot.c32", "libcom32.c32") or bochs.lacks_bios() or super().probe()

    def _launch(self, archive):
        ours, theirs, name = serial_terminal()
        with open(self.xen.path, "rb") as xen, open(os.path.join(ROOT, DOM0), "rb") as dom0:
            disc = iso.bootable_modules(self.command_line(), {
                "xen": xen.read(), "dom0": dom0.read(), "images": archive})
        return bochs.launch(self, disc, MEMORY, ours, theirs, name)

    def shown(self, rom, cpus, qemu_params=()):
        config = bochs.config(self.emulator.cpu, MEMORY, "LAB.ISO", "/dev/tty", "/dev/null")
        return f"printf %s {shlex.quote(config)} >bochsrc; bochs-bin -q -f bochsrc"
