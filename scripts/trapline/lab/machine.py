# SPDX-License-Identifier: BSD-2-Clause
"""What the lab's machines have in common: a kernel, a vendor's KVM, and an emulator around them.

A kernel boots once and runs guest after guest; the machine keeps what is ready. A name may carry
module parameters: lab-6.1+npt=0.
"""

import os
import re
import subprocess

from ..errors import UsageError, nearest
from ..machines.base import Machine
from . import image, store
from .boot import LabBoot
from .host import Host

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
INIT = os.path.join("build", "lab", "init")
MEMORY = 512            # MiB
# What the VMM may do to every guest, as part of a machine's name: lab-6.1+state (lab/kvm/churn.c).
VMM_OPTIONS = ("events", "state", "slots")
# How much of a range of vectors a case goes through (lib/x86/record/breadth.h), likewise: lab-6.1+breadth=all.
# All of them is minutes of VM exits in an emulator.
BREADTHS = {"breadth=edges": ("breadth=edges",), "breadth=all": ()}
_PLACES = ("host_plan", "host_waits_here", "host_is_done_here")


class LabMachine(Machine):
    """A kernel, the vendor's KVM module, and an emulator."""

    accel = "kvm"
    variants = True
    foreign_bugs = ("tcg-", "bochs-")
    vendor = ""             # "kvm-amd" or "kvm-intel"
    of_guests = ""          # what a guest may find there for its own guests: "svm" or "vmx"
    emulator = None         # class of the machine underneath
    kernel_name = ""
    suffix = ""             # of the name, after the kernel's
    what_in = ""            # the emulator, for the table
    own_words = ()          # for a guest, besides those that the emulator's have
    whole_lines = True      # a guest may write a line at once (console=lines)
    programs = (INIT,)      # of ours, compiled where they are not there or old
    turns = False           # the CPUs of a guest as real-time threads that take turns (lab/kvm/vmm.c)
    waits_for_free = False  # another guest would need another host
    reuse = True            # one guest after the other on the same host

    def __init__(self, tools, variant=""):
        super().__init__(tools)
        self.underneath = self.emulator(tools)
        self._kernel = None
        self._idle = []             # Hosts
        self._facts = None
        self._images = {}           # what was packed: path → (size, time)
        self.params = {}
        self._options = []          # of the VMM
        breadth = BREADTHS["breadth=edges"]
        if variant:
            self.name = f"{self.name}+{variant}"
            for word in variant.split("+"):
                if word in VMM_OPTIONS:
                    self._options.append(word)
                    continue
                if word in BREADTHS:
                    breadth = BREADTHS[word]
                    continue
                parameter, equals, value = word.partition("=")
                if not equals or not re.fullmatch(r"\w+", parameter) or \
                        not re.fullmatch(r"[\w.-]+", value):
                    raise UsageError(f"machine '{self.name}': '{word}' is neither PARAMETER=VALUE nor "
                                     f"one of {', '.join(VMM_OPTIONS)}")
                self.params[self._module_of(parameter), parameter] = value
        # What is asked underneath is whether the same case fails.
        self.guest_words = self.underneath.guest_words = (*self.emulator.guest_words, *breadth)

    @property
    def nested(self):
        """KVM hands on the virtualization of its own vendor, unless it was told not to."""
        return () if self.params.get((self.vendor, "nested")) in ("0", "N", "n") else \
            (self.of_guests,)

    @property
    def kernel(self):
        if self._kernel is None:
            self._kernel = store.load(self.kernel_name)
        return self._kernel

    def _module_of(self, parameter):
        modules = image.modules(self.kernel, self.vendor)
        for module in reversed(modules):
            if parameter in self.kernel.params[module]:
                return module
        every = [p for m in modules for p in self.kernel.params[m]]
        raise UsageError(f"KVM of Linux {self.kernel.version} ({self.vendor}) has no parameter "
                         f"'{parameter}'{nearest(parameter, every)}")

    def probe(self):
        try:
            if self.vendor not in self.kernel.modules:
                return f"kernel {self.kernel_name} has no {self.vendor}"
        except UsageError as error:
            return str(error)
        return self.underneath.probe() or self._build()

    def _build(self):
        """The programs of ours, compiled where they are not there or old."""
        try:
            done = subprocess.run(["make", "-s", "-C", ROOT, *self.programs], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, check=False)
        except OSError as error:
            return f"make: {error.strerror}"
        return None if done.returncode == 0 else \
            f"{' or '.join(self.programs)} cannot be built: {' '.join(done.stderr.split())[:200]}"

    def version(self):
        return f"KVM of Linux {self.kernel.version} ({self.kernel.release}), in " \
            + self.underneath.version()

    def number(self):
        return self.kernel.version

    def facts(self):
        return self._facts

    def learnt(self, facts):
        """What a host of this machine says of itself."""
        self._facts = {"kernel": facts["kernel"], "cpu": facts["cpu"], "params": facts["params"]}

    def refused(self, facts):
        """Why a host with these facts runs no guests of this machine, or None."""

    def cannot_step(self):
        return None                 # our VMM does what gdb does elsewhere

    def start(self, order, names, timeout):
        turns = self.turns and order.cpus > 1
        options = self._options + ([_step(order)] if order.gdb else []) + ["turns"] * turns
        ours = [*["console=lines"] * self.whole_lines, *self.own_words] + ["waits=yield"] * turns
        words = f"{os.path.basename(order.image)} {order.cpus} {','.join(options) or '-'} " \
            + " ".join((*order.words, *ours))
        host = self._host(order.image)
        return LabBoot(self, host, words, names, timeout)

    def _host(self, rom):
        stamp = _stamp(rom)
        while self._idle:
            host = self._idle.pop()
            if host.status is None and self._images.get(rom) == stamp:
                return host
            host.close()
        if self._images.get(rom) != stamp:
            folder = os.path.dirname(rom)
            self._images = {path: _stamp(path) for path in sorted(
                os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".rom"))}
            self._initramfs = image.initramfs(self.kernel, self.vendor, self.params,
                                              os.path.join(ROOT, INIT), self._images)
        return Host(self._launch(self._initramfs))

    def release(self, host, good):
        """A guest on `host` is over."""
        if good and self.reuse and host.status is None:
            self._idle.append(host)
        else:
            host.close()

    def close(self):
        while self._idle:
            self._idle.pop().close()

    def _launch(self, initramfs):
        raise NotImplementedError

    def ended(self, status, errors):
        return self.underneath.ended(status, errors)


def _stamp(path):
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns


def _step(order):
    """The VMM's option for a guest that is stepped from outside: where lab/kvm/debugger.c finds things."""
    from ..symbols import addresses

    elf = os.path.splitext(order.image)[0] + ".elf"
    return "step=" + ":".join(f"{place:x}" for place in addresses(elf, _PLACES))
