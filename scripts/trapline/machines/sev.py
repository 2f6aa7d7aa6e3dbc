# SPDX-License-Identifier: BSD-2-Clause
"""`sev`, `sev-es`, `sev-snp`: KVM with memory encryption, on an AMD EPYC. docs/sev.md.

A guest needs no other firmware there: its ROM carries what QEMU asks of one.
"""

import json
import os
import re
import subprocess

from .base import ask
from .qemu import Kvm, cpu_flags

_PARAMETERS = "/sys/module/kvm_amd/parameters"
_DEVICE = "/dev/sev"
LIKELY = 51, 1          # C-bit and reduced bits from Zen 3 on; CPUID Fn8000_001F EBX has a host's own
_QUESTIONS = b"".join(b'{"execute":"%s"}\n' % word
                      for word in (b"qmp_capabilities", b"query-sev-capabilities", b"quit"))


def capabilities(qemu):
    """(C-bit, reduced physical bits) as QEMU learns them from this host, or the reason why not."""
    try:
        done = subprocess.run([qemu, "-no-user-config", "-nodefaults", "-display", "none",
                               "-M", "none,accel=kvm", "-qmp", "stdio"],
                              input=_QUESTIONS, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"QEMU does not answer: {error}"
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        answer = said.get("return")
        if isinstance(answer, dict) and "cbitpos" in answer:
            return answer["cbitpos"], answer["reduced-phys-bits"]
        if "error" in said:
            return f"QEMU: {said['error'].get('desc', said['error'])}"
    last = done.stderr.decode("utf-8", "replace").split("\n")[0]
    return f"QEMU says nothing about SEV{': ' + last if last else ''}"


def objects(qemu):
    """Types that -object of this QEMU takes."""
    out, errors = ask([qemu, "-object", "help"])
    return set(re.findall(r"^\s+([\w-]+)", (out or "") + (errors or ""), re.M))


class Sev(Kvm):
    """Memory is encrypted; events are the hypervisor's business as ever."""

    name = "sev"
    what = "KVM with SEV: encrypted memory"
    flag = parameter = "sev"        # in /proc/cpuinfo, of kvm_amd
    object_type = "sev-guest"
    policy = 0x1                    # no debugging
    _machine = ",memory-backend=ram,confidential-guest-support=sev0"

    def __init__(self, tools):
        super().__init__(tools)
        self._known = None

    def automatic(self):
        return self.flag in cpu_flags()

    def probe(self):
        if self.flag not in cpu_flags():
            return f"the CPU has no {self.title()} (no flag {self.flag} in /proc/cpuinfo)"
        reason = super().probe() or self._parameter_off() or self._device_closed()
        if reason is None and self.object_type not in objects(self.tools.qemu):
            reason = f"{super(Kvm, self).version()} has no object {self.object_type}"
        if reason is None and isinstance(self._capabilities(), str):
            reason = self._capabilities()
        return reason

    def title(self):
        """As people write it: "SEV-ES"."""
        return self.name.upper()

    def _parameter_off(self):
        path = os.path.join(_PARAMETERS, self.parameter)
        try:
            with open(path, encoding="ascii") as file:
                value = file.read().strip()
        except OSError:
            return f"kvm_amd is not loaded, or has no parameter {self.parameter}"
        if value in ("Y", "1"):
            return None
        return f"{path} is {value}: load kvm_amd with {self.parameter}=1, see docs/sev.md"

    def _device_closed(self):
        if not os.path.exists(_DEVICE):
            return f"no {_DEVICE}: the module ccp is not loaded, or the firmware has SEV off"
        if not os.access(_DEVICE, os.R_OK | os.W_OK):
            return f"no permission for {_DEVICE}"
        return None

    def _capabilities(self):
        if self._known is None:
            self._known = capabilities(self.tools.qemu)
        return self._known

    def object_words(self, c_bit, reduced):
        """What -object takes for a guest."""
        return f"{self.object_type},id=sev0,cbitpos={c_bit},reduced-phys-bits={reduced}," \
               f"policy={self.policy:#x}"

    def backend_words(self):
        """The same for its memory."""
        return "memory-backend-memfd,id=ram,size=64M"

    def elsewhere(self):
        return self._machine, ["-object", self.backend_words(), "-object", self.object_words(*LIKELY)]

    def _accelerator(self, cpus):
        known = self._capabilities()
        # Somebody may ask for the command line on another host.
        c_bit, reduced = known if isinstance(known, tuple) else LIKELY
        return ["-accel", "kvm", "-cpu", "max", "-object", self.backend_words(),
                "-object", self.object_words(c_bit, reduced)]


class SevEs(Sev):
    """Registers are encrypted as well: #VC in the place of exits."""

    name = "sev-es"
    what = "KVM with SEV-ES: encrypted registers, #VC"
    flag = parameter = "sev_es"
    policy = 0x5


class SevSnp(Sev):
    """Integrity as well."""

    name = "sev-snp"
    what = "KVM with SEV-SNP: and their integrity"
    flag = parameter = "sev_snp"
    object_type = "sev-snp-guest"
    policy = 0x30000
    _machine = Sev._machine + ",kernel-irqchip=split"

    def backend_words(self):
        return "memory-backend-memfd,id=ram,size=64M,share=true,prealloc=false"


MACHINES = (Sev, SevEs, SevSnp)
