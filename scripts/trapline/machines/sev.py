# SPDX-License-Identifier: BSD-2-Clause
"""`sev`, `sev-es`, `sev-snp`: KVM with memory encryption, on an AMD EPYC. docs/sev.md.

A guest needs no other firmware there: its ROM carries what QEMU asks of one.
"""

import functools
import json
import os
import re
import subprocess

from .base import ask
from .qemu import Kvm, cpu_flags, kvm_missing

PARAMETERS = "/sys/module/kvm_amd/parameters"
DEVICE = "/dev/sev"
LIKELY = 51, 1          # C-bit and reduced bits from Zen 3 on; CPUID Fn8000_001F EBX has a host's own
QUESTIONS = b"".join(b'{"execute":"%s"}\n' % word
                      for word in (b"qmp_capabilities", b"query-sev-capabilities", b"quit"))


def questioner(qemu):
    """Command line of a QEMU that answers QUESTIONS on its stdin."""
    return [qemu, "-no-user-config", "-nodefaults", "-display", "none", "-M", "none,accel=kvm", "-qmp", "stdio"]


def capabilities(qemu):
    """(C-bit, reduced physical bits) as QEMU learns them from this host, or the reason why not."""
    try:
        done = subprocess.run(questioner(qemu), input=QUESTIONS, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"QEMU does not answer: {error}"
    return understood(done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def understood(out, errors):
    """What that QEMU has said on stdout and stderr, as capabilities() returns it."""
    for line in out.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        answer = said.get("return")
        if isinstance(answer, dict) and "cbitpos" in answer:
            return answer["cbitpos"], answer["reduced-phys-bits"]
        if "error" in said:
            return f"QEMU: {said['error'].get('desc', said['error'])}"
    last = errors.split("\n")[0]
    return f"QEMU says nothing about SEV{': ' + last if last else ''}"


@functools.cache            # three machines ask, and three of each kernel of the lab
def objects(qemu):
    """Types that -object of this QEMU takes."""
    out, errors = ask([qemu, "-object", "help"])
    return set(re.findall(r"^\s+([\w-]+)", (out or "") + (errors or ""), re.M))


class ThisHost:
    """What these machines ask of the host that QEMU runs on. The lab has hosts of its own (lab/stock.py)."""

    def flags(self):
        """Flags of its first CPU."""
        return cpu_flags()

    def kvm_missing(self):
        """Why its /dev/kvm cannot be used, in one line, or None."""
        return kvm_missing()

    def parameter(self, name):
        """Value of a parameter of kvm_amd, None if there is none."""
        try:
            with open(os.path.join(PARAMETERS, name), encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return None

    def device_closed(self):
        """Why its /dev/sev cannot be used, or None."""
        if not os.path.exists(DEVICE):
            return f"no {DEVICE}: the module ccp is not loaded, or the firmware has SEV off"
        return None if os.access(DEVICE, os.R_OK | os.W_OK) else f"no permission for {DEVICE}"

    def capabilities(self, qemu):
        """As the function of that name."""
        return capabilities(qemu)


class Sev(Kvm):
    """Memory is encrypted; events are the hypervisor's business as ever."""

    name = "sev"
    what = "KVM with SEV: encrypted memory"
    flag = parameter = "sev"        # in /proc/cpuinfo, of kvm_amd
    object_type = "sev-guest"
    policy = 0x1                    # no debugging
    _machine = ",memory-backend=ram,confidential-guest-support=sev0"

    def __init__(self, tools, host=None):
        super().__init__(tools)
        self.host = host or ThisHost()
        self._known = None

    def automatic(self):
        return self.flag in self.host.flags()

    def probe(self):
        if self.flag not in self.host.flags():
            return f"the CPU has no {self.title()} (no flag {self.flag} in /proc/cpuinfo)"
        reason = super().probe() or self._parameter_off() or self.host.device_closed()
        if reason is None:
            reason = self.unfit()
        if reason is None and isinstance(self._capabilities(), str):
            reason = self._capabilities()
        return reason

    def unfit(self):
        """Why QEMU itself, whatever the host, cannot do it, or None."""
        return super(Kvm, self).probe() or (None if self.object_type in objects(self.tools.qemu) else
                                            f"{self.program_version()} has no object {self.object_type}")

    def program_version(self):
        """Of QEMU alone: "QEMU 7.2.22 (Debian …)"."""
        return super(Kvm, self).version()

    def title(self):
        """As people write it: "SEV-ES"."""
        return self.name.upper()

    def program_number(self):
        """Its version alone: "7.2.22"."""
        return super(Kvm, self).number()

    def _missing(self):
        return self.host.kvm_missing()

    def _parameter_off(self):
        value = self.host.parameter(self.parameter)
        if value is None:
            return f"kvm_amd is not loaded, or has no parameter {self.parameter}"
        if value in ("Y", "1"):
            return None
        return f"{PARAMETERS}/{self.parameter} is {value}: load kvm_amd with {self.parameter}=1, see docs/sev.md"

    def _capabilities(self):
        if self._known is None:
            self._known = self.host.capabilities(self.tools.qemu)
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
