# SPDX-License-Identifier: BSD-2-Clause
"""What machines have in common that run their guests in a host: an emulator with a hypervisor in it.

A host boots once and runs guest after guest; the machine keeps what is ready. A name may carry options:
lab-6.1+npt=0.
"""

import functools
import os
import re
import subprocess

from ..errors import UsageError
from ..machines.base import Machine
from .boot import LabBoot
from .host import TROUBLE, Host

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
# How much of a range of vectors a case goes through (lib/x86/record/breadth.h), as part of a machine's name:
# lab-6.1+breadth=all. All of them is minutes of VM exits in an emulator.
BREADTHS = {"breadth=edges": ("breadth=edges",), "breadth=all": ()}
_PLACES = ("host_plan", "host_waits_here", "host_is_done_here")


class HostedMachine(Machine):
    """A hypervisor in an emulator. What it packs, and how it is started, is a subclass's."""

    variants = True
    foreign_bugs = ("tcg-", "bochs-")
    programs = ()           # of ours, compiled where they are not there or old
    vmm_options = ()        # words of a machine's name that its VMM understands as they are
    emulator = None         # class of the machine underneath
    host_name = "the lab's kernel"      # for a sentence about its end
    trouble = TROUBLE       # what in its log is never right,
    trouble_end = "---[ end trace"      # and where what follows such a line ends
    brings = ("apic", "smm")
    suffix = ""             # of the name, after the host's
    what_in = ""            # the emulator, for the table
    own_words = ()          # for a guest, besides those that the emulator's have
    console = "console=lines"   # how a guest may write a line
    waits_for_free = False  # another guest would need another host
    turns = False           # where the CPUs of a guest share one: a wait lets the others run
    reuse = True            # one guest after the other on the same host

    def __init__(self, tools, variant=""):
        super().__init__(tools)
        self.underneath = self.emulator(tools)
        self._idle = []             # Hosts
        self._facts = None
        self._images = {}           # what was packed: path → (size, time)
        self.params = {}
        self._options = []          # of the VMM
        breadth = BREADTHS["breadth=edges"]
        if variant:
            self.name = f"{self.name}+{variant}"
            for word in variant.split("+"):
                if word in self.vmm_options:
                    self._options.append(word)
                    continue
                if word in BREADTHS:
                    breadth = BREADTHS[word]
                    continue
                parameter, equals, value = word.partition("=")
                if not equals or not re.fullmatch(r"[\w-]+", parameter) or \
                        not re.fullmatch(r"[\w.-]+", value):
                    raise UsageError(f"machine '{self.name}': '{word}' is neither PARAMETER=VALUE nor "
                                     f"one of {', '.join(self.vmm_options)}")
                self._set_param(parameter, value)
        # What is asked underneath is whether the same case fails.
        self.guest_words = self.underneath.guest_words = (*self.emulator.guest_words, *breadth)

    def _set_param(self, parameter, value):
        """Of the hypervisor; UsageError if it has none such."""
        raise NotImplementedError

    def _pack(self):
        """Bytes of the archive that the host gets, with the images of self._images."""
        raise NotImplementedError

    def _launch(self, archive):
        """A host.Launch."""
        raise NotImplementedError

    def build(self):
        """The programs of ours, compiled where they are not there or old: None, or why they cannot be."""
        return _built(tuple(self.programs))

    def facts(self):
        return self._facts

    def learnt(self, facts):
        """What a host of this machine says of itself."""
        self._facts = {key: value for key, value in facts.items() if key not in ("error", "tainted", "answers")}

    def refused(self, facts):
        """Why a host with these facts runs no guests of this machine, or None."""

    def start(self, order, names, timeout):
        turns = self.turns and order.cpus > 1
        options = self._options + ([_step(order)] if order.gdb else []) + ["turns"] * turns
        ours = [self.console, *self.own_words] + ["waits=yield"] * turns
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
            self._archive = self._pack()
        return Host(self._launch(self._archive))

    def release(self, host, good):
        """A guest on `host` is over."""
        if good and self.reuse and host.status is None:
            self._idle.append(host)
        else:
            host.close()

    def close(self):
        while self._idle:
            self._idle.pop().close()

    def ended(self, status, errors):
        return self.underneath.ended(status, errors)


@functools.cache            # a list of all machines asks for each
def _built(programs):
    try:
        done = subprocess.run(["make", "-s", "-C", ROOT, *programs], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
    except OSError as error:
        return f"make: {error.strerror}"
    return None if done.returncode == 0 else \
        f"{' or '.join(programs)} cannot be built: {' '.join(done.stderr.split())[:200]}"


def _stamp(path):
    stat = os.stat(path)
    return stat.st_size, stat.st_mtime_ns


def _step(order):
    """The VMM's option for a guest that is stepped from outside: where lab/kvm/debugger.c finds things."""
    from ..symbols import addresses

    elf = os.path.splitext(order.image)[0] + ".elf"
    return "step=" + ":".join(f"{place:x}" for place in addresses(elf, _PLACES))
