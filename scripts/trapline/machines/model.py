# SPDX-License-Identifier: BSD-2-Clause
"""`model`: our own mini-hypervisor (x86/model/), with the guest as its L2.

It needs nested SVM, so it runs on another machine: TCG, or the one behind the @. The guest's ROM
goes in front of the model's in the flash of that machine. What that machine gets wrong by itself is
not the model's fault: such a case is "blocked".
"""

import os
import re

from ..errors import UsageError
from .base import Machine, Order
from .qemu import Tcg

MAGIC = b"TRAPLINE-MODEL-1"
WORDS_SIZE = 1008
_SOURCE = os.path.join(os.path.dirname(__file__), *[os.pardir] * 3, "x86", "model")

MEMORY = 192                # MiB: 64 for the guest, the rest is the model's own
BLOCK = 65536               # -bios takes multiples of this


def switches():
    """Ids of the bugs that the model can have, as its source lists them."""
    path = os.path.join(_SOURCE, "bugs.def")
    try:
        with open(path, encoding="utf-8") as file:
            return re.findall(r'^BUG\(\w+, "([^"]+)"\)$', file.read(), re.M)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


class Model(Machine):
    """Virtual CPUs with local APICs, a host bridge with PAM registers, COM1."""

    name = accel = "model"
    what = "our model hypervisor, with --bug a wrong one"
    nests = True
    max_cpus = 4
    nested = ()             # the model keeps SVM for itself
    mode = ""               # what the guest runs under: "", "sev", "sev-es" or "sev-snp"

    def __init__(self, tools, inside=None):
        super().__init__(tools)
        self.inside = inside or Tcg(tools)
        self.underneath = self.inside
        self.slowness = 2 * self.inside.slowness
        if inside is not None:
            self.name = f"{type(self).name}@{inside.name}"

    def probe(self):
        reason = self.inside.probe()
        if reason is None and not os.path.exists(self._image()):
            reason = f"{self._image()} is not built"
        return reason

    def version(self):
        bugs = f" with {' and '.join(self.tools.bugs)}" if self.tools.bugs else ""
        return f"model hypervisor{bugs} on {self.inside.version()}"

    def number(self):
        return self.inside.number()

    def command(self, order):
        return self.inside.command(
            Order(self._compose(order.rom, order.cpus), order.cpus, order.qemu_params, memory=MEMORY))

    def shown(self, rom, cpus, qemu_params=()):
        return self.inside.shown(f"{rom}+{self._image()}", cpus, qemu_params)

    def program(self):
        return self.inside.program()

    def ended(self, status, errors):
        return self.inside.ended(status, errors)

    def words(self):
        """What the model is told besides where its payload lies."""
        words = [f"mode={self.mode}"] if self.mode else []
        words += [f"bug={','.join(self.tools.bugs)}"] if self.tools.bugs else []
        return words + [w for w in ("reach", "hurry") if getattr(self.tools, w)]

    def _image(self):
        return os.path.join(self.tools.build, "model.rom")

    def _compose(self, payload, cpus):
        try:
            with open(self._image(), "rb") as file:
                model = file.read()
        except OSError as error:
            raise UsageError(f"{self._image()}: {error.strerror}") from None
        payload = payload.rjust(-(-len(payload) // BLOCK) * BLOCK, b"\xff")
        words = " ".join([f"rom={len(model)}", f"payload={len(payload)}", f"cpus={cpus}", *self.words()]).encode()
        at = model.find(MAGIC)
        if at < 0 or len(words) >= WORDS_SIZE:
            raise UsageError(f"{self._image()}: has no argument block for '{words.decode()}'")
        at += len(MAGIC)
        return payload + model[:at] + words.ljust(WORDS_SIZE, b"\0") + model[at + WORDS_SIZE:]


class ModelSev(Model):
    """The same, with a C-bit and two views of memory."""

    name = "model-sev"
    what = "the model, its guest under SEV"
    mode = "sev"


class ModelSevEs(Model):
    """The same, with #VC and the GHCB."""

    name = "model-sev-es"
    what = "the model, its guest under SEV-ES"
    mode = "sev-es"


class ModelSevEsV1(ModelSevEs):
    """The same, with version 1 of the GHCB's protocol, as QEMU's legacy-vm-type makes KVM speak it."""

    name = "model-sev-es-v1"
    what = "the model, its guest under SEV-ES, GHCB version 1"

    def words(self):
        return super().words() + ["ghcb=1"]


class ModelSevSnp(Model):
    """The same, with an RMP: pages that are the guest's only once it has validated them."""

    name = "model-sev-snp"
    what = "the model, its guest under SEV-SNP"
    mode = "sev-snp"


MACHINES = (Model, ModelSev, ModelSevEs, ModelSevEsV1, ModelSevSnp)
