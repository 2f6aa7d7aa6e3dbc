# SPDX-License-Identifier: BSD-2-Clause
"""What the lab's KVM machines have in common: a kernel, and a vendor's KVM module. A name may carry module
parameters: lab-6.1+npt=0."""

import os

from ..errors import UsageError, nearest
from . import image, store
from .hosted import ROOT, HostedMachine

INIT = os.path.join("build", "lab", "init")


class LabMachine(HostedMachine):
    """A kernel, the vendor's KVM module, and an emulator."""

    accel = "kvm"
    programs = (INIT,)
    memory = 512            # MiB
    # What the VMM may do to every guest: lab-6.1+state (lab/kvm/churn.c).
    vmm_options = ("events", "state", "slots",
                   *(f"{what}={order}" for what in ("state", "moved")
                     for order in ("qemu", "cloud-hypervisor", "firecracker", "reversed")))
    vendor = ""             # "kvm-amd" or "kvm-intel"
    of_guests = ""          # what a guest may find there for its own guests: "svm" or "vmx"
    kernel_name = ""

    def __init__(self, tools, variant=""):
        self._kernel = None
        super().__init__(tools, variant)

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

    def _set_param(self, parameter, value):
        self.params[self._module_of(parameter), parameter] = value

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
        return self.underneath.probe() or self.build()

    def version(self):
        return f"KVM of Linux {self.kernel.version} ({self.kernel.release}), in " \
            + self.underneath.version()

    def number(self):
        return self.kernel.version

    def has_gdbstub(self):
        return True             # the VMM obeys the same plan

    def cannot_step(self):
        return None                 # our VMM does what gdb does elsewhere

    def _pack(self):
        return image.initramfs(self.kernel, self.vendor, self.params, os.path.join(ROOT, INIT), self._images)
