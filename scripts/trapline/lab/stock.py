# SPDX-License-Identifier: BSD-2-Clause
"""Stock QEMU as the VMM on an emulated SEV host (docs/sev-host.md).

QEMU and its libraries are part of the initramfs. What is asked of the host before, the command line and what is made of
QEMU's end are those of the machines `sev`, `sev-es` and `sev-snp` (machines/sev.py): this file carries their questions
and their words into the host, and the answers out of it.
"""

import os
from dataclasses import replace

from ..boot import Errors, QmpClient, why_stopped
from ..errors import UsageError
from ..machines import sev
from ..machines.qemu import flags_in
from . import emulator, image, takealong
from .boot import LabBoot
from .hosted import ROOT
from .machine import INIT
from .sevhost import LabSev, LabSevEs, LabSevSnp

MEMORY = 1536           # MiB of Linux, of which QEMU with its libraries takes some 200
_INPUT = "lab/questions"
_KEPT_LINES = 6         # of QEMU's stderr, told with a guest that dies
_KVM, _CPUS = "/dev/kvm", "/proc/cpuinfo"


class Inside(sev.ThisHost):
    """What a host in an emulator has answered: `answers` maps lines of lab/kvm/ask.h to texts."""

    def __init__(self, answers):
        self._answers = answers

    @staticmethod
    def questions(qemu):
        """Lines of what is to be asked of a host for the methods below."""
        return [f"file {_CPUS}", f"open {_KVM}", f"open {sev.DEVICE}",
                *(f"file {sev.PARAMETERS}/{kind.parameter}" for kind in sev.MACHINES), _question(qemu)]

    def flags(self):
        return flags_in(self._answers.get(f"file {_CPUS}", ""))

    def kvm_missing(self):
        why = self._answers.get(f"open {_KVM}", "nobody knows")
        return f"{_KVM}: {why}" if why else None

    def parameter(self, name):
        return self._answers.get(f"file {sev.PARAMETERS}/{name}", "").strip() or None

    def device_closed(self):
        why = self._answers.get(f"open {sev.DEVICE}", "nobody knows")
        return f"{sev.DEVICE}: {why}" if why else None

    def capabilities(self, qemu):
        said = self._answers.get(_question(qemu), "")
        lines = [line for line in said.splitlines() if not line.startswith("{")]
        return sev.understood(said, lines[0] if lines else "")


def _question(qemu):
    return " ".join(["run", f"/{_INPUT}", *sev.questioner(qemu)])


class StockBoot(LabBoot):
    """A guest under QEMU on a host of the lab."""

    def __init__(self, machine, host, order, names, timeout):
        self._failed = False
        self._errors = Errors()
        self._client = QmpClient(lambda command: self._host.order("say " + command.decode().rstrip("\n")))
        super().__init__(machine, host, order, names, timeout)

    def _ordered(self):
        return self.machine.ordered(self._order)

    def _take(self, kind, text):
        if kind == "S":
            self._errors.feed(text)
        elif kind == "Q":
            state = self._client.feed(text)
            if state is not None and not self._cancelled:
                self._cut = why_stopped(self.machine.accel, state, self._errors.data)
                self._cancel()
        elif kind == "V":
            self._judge(int(text))
        else:
            super()._take(kind, text)

    def _tell_beneath(self):
        super()._tell_beneath()
        if self.reason and not self.stream.closed:
            lines = [line for line in self._errors.text().splitlines() if line.strip()]
            self.stream.pending.notes += [f"QEMU: {line[:200]}" for line in lines[:_KEPT_LINES]]

    def _judge(self, status):
        """QEMU has ended: what the machine of a real host makes of that."""
        real, errors = self.machine.real, self._errors.text()
        self._failed = not self.stream.settled(self._cut) and real.broke(status, errors)
        self._said = real.ended(status, errors)

    @property
    def broke(self):
        return self._failed or super().broke


class _Stock:
    """What the three have in common, before the LabSev of its kind."""

    real_class = None
    vmm_options = ()
    console = ""            # it is QEMU's serial port
    memory = MEMORY

    def __init__(self, tools, variant=""):
        self._given, self._chosen, self._real = tools, "", None
        # --qemu names the VMM; what the host is emulated by is the lab's own.
        super().__init__(replace(tools, qemu_is_default=True), variant)

    @property
    def real(self):
        """The machine of a host of its own, of which everything is that is said to QEMU."""
        if self._real is None:
            self._real = self.real_class(replace(self._given, qemu=self._chosen or self._usual()))
        return self._real

    def _usual(self):
        """The QEMU that a real host's machine would take; where nobody named it and it is too old, the lab's."""
        own, lab = self._given.qemu, emulator.path()
        return lab if lab and self._given.qemu_is_default and self.real_class.object_type not in sev.objects(own) \
            else own

    def _set_param(self, parameter, value):
        """`+qemu=lab` takes the QEMU of scripts/lab qemu as the VMM, `+qemu=system` that of ./configure or --qemu."""
        if parameter != "qemu":
            super()._set_param(parameter, value)
        elif value == "lab" and emulator.path():
            self._chosen = emulator.path()
        elif value == "system":
            self._chosen = self._given.qemu
        elif value == "lab":
            raise UsageError(f"machine '{self.name}': the lab has no QEMU of its own: scripts/lab qemu --debian trixie")
        else:
            raise UsageError(f"machine '{self.name}': qemu= is lab or system, not '{value}'")

    @property
    def _qemu(self):
        return self.real.tools.qemu

    def probe(self):
        reason = super().probe() or self.real.unfit()
        if reason is None:
            try:
                takealong.files(self.tools, self._qemu)
            except UsageError as error:
                reason = str(error)
        return reason

    def version(self):
        return f"{self.real.program_version()} on {super().version()}"

    def has_gdbstub(self):
        return False

    def cannot_step(self):
        return "has no gdbstub that is reached from outside of the host"

    def _pack(self):
        files, links = takealong.files(self.tools, self._qemu)
        asked = "".join(f"{line}\n" for line in Inside.questions(self._qemu))
        return image.initramfs(self.kernel, self.vendor, self.params, os.path.join(ROOT, INIT), self._images,
                               {"lab/ask": asked.encode(), _INPUT: sev.QUESTIONS, **files}, links.items())

    def start(self, order, names, timeout):
        return StockBoot(self, self._host(order.image), order, names, timeout)

    def refused(self, facts):
        """As the real host's machine would say it of this host."""
        self._real = self.real_class(self.real.tools, host=Inside(facts["answers"]))
        return self._real.probe()

    def learnt(self, facts):
        super().learnt(facts)
        self._facts["vmm"] = self.real.program_version()
        self._facts["vmm_command"] = self.real.shown("ROM", 1)

    def ordered(self, order):
        """The host's order: the command line of the real host's machine, whose descriptors are opened in there."""
        command = self.real.command(order)
        command.qmp.close()
        for fd in command.fds:
            os.close(fd)
        for word in command.argv:
            if " " in word:
                raise UsageError(f"machine '{self.name}': '{word}' has a blank in it, which the way to a lab's host "
                                 "does not carry")
        return " ".join(("exec", os.path.basename(order.image), *map(str, command.fds), str(len(command.argv)),
                         *command.argv, *order.words, *self.own_words))


class LabQemuSev(_Stock, LabSev):
    """`lab-NAME-qemu-sev`."""

    suffix = "-qemu-sev"
    what_in = "QEMU's emulation, under a stock QEMU with SEV"
    real_class = sev.Sev


class LabQemuSevEs(_Stock, LabSevEs):
    """`lab-NAME-qemu-sev-es`."""

    suffix = "-qemu-sev-es"
    what_in = "QEMU's emulation, under a stock QEMU with SEV-ES"
    real_class = sev.SevEs


class LabQemuSevSnp(_Stock, LabSevSnp):
    """`lab-NAME-qemu-sev-snp`."""

    suffix = "-qemu-sev-snp"
    what_in = "QEMU's emulation, under a stock QEMU with SEV-SNP"
    real_class = sev.SevSnp
