# SPDX-License-Identifier: BSD-2-Clause
"""kvm_amd on a CPU with what TCG lacks: NRIPS, decode assists, SEV, SEV-ES and SEV-SNP (docs/sev-host.md).

Between the emulator and Linux lies a monitor of ours, lab/host/. QEMU starts it in the kernel's place; kernel
and initramfs come in one file, the bundle.
"""

import os
import re
import shlex
import struct

from ..errors import UsageError, unknown
from ..machines.base import memory_file
from .debian import version_key
from .host import Launch, serial_socket
from .machine import ROOT
from .tcg import LabTcg

MONITOR = os.path.join("build", "lab", "host.elf")
OLDEST_QEMU = "10"
LBRV_WANTED = "6.10"
_LOG_PORT = 0x403       # lab/host/base/log.h
_MAGIC, _ALIGN = b"L0BUNDLE", 4096      # lab/host/base/bundle.h


def bundle(kernel, initramfs):
    """An anonymous file with both as the monitor wants them. `kernel` is a path: a hundred megabytes are copied by the
    host's kernel alone."""
    with open(kernel, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        initrd_at = _ALIGN + length + -length % _ALIGN
        both = memory_file("trapline-lab",
                           struct.pack("<8sQQQQ", _MAGIC, _ALIGN, length, initrd_at, len(initramfs)))
        os.lseek(both, _ALIGN, os.SEEK_SET)
        done = 0
        while done < length:
            done += os.sendfile(both, file.fileno(), done, length - done)
    os.pwrite(both, initramfs, initrd_at)
    return both


# What may follow `+as-is=` and `+without=`: the files of the monitor's that have the names, and how they have them.
_NAMES = {
    "as-is": ("defect of the emulator", "correct.def", r'^CORRECT\(\w+, "([\w-]+)"'),
    "without": ("feature", "features.def", r"^FEATURE\((\w+),"),
}


def _checked(option, value):
    """`value`, the names behind `+as-is=` or `+without=`; UsageError for the first that the monitor does not know."""
    kind, file, line = _NAMES[option]
    with open(os.path.join(ROOT, "lab", "host", "base", file), encoding="utf-8") as text:
        names = re.findall(line, text.read(), re.M)
    for name in value.split(","):
        if name not in names and (option, name) != ("as-is", "all"):
            raise unknown(f"{kind} in '+{option}={value}':", name, names)
    return value


_PARAMETERS = {"sev": "sev", "sev-es": "sev_es", "sev-snp": "sev_snp"}      # of kvm_amd


def missing(kernel, kind):
    """Why this kernel has no "sev", "sev-es" or "sev-snp", or None."""
    if "kvm-amd" not in kernel.modules:
        return f"kernel {kernel.name} has no kvm-amd"
    if kind == "sev-snp" and "sev_es" in kernel.params["kvm-amd"] and "sev_snp" not in kernel.params["kvm-amd"]:
        return f"kernel {kernel.name} has no SEV-SNP: Linux {kernel.version} is older than 6.11, whose kvm_amd was the " \
            "first with a parameter sev_snp"
    if _PARAMETERS[kind] not in kernel.params["kvm-amd"]:
        return f"kernel {kernel.name} has no {kind.upper()}: its kvm_amd has no parameter {_PARAMETERS[kind]} " \
            "(Debian's cloud flavour is built without; scripts/lab add --sev takes the other)"
    if "ccp" not in kernel.modules:
        return f"kernel {kernel.name} has no {kind.upper()}: there is no module ccp, the Secure Processor's " \
            "driver (Debian's cloud flavour is built without; scripts/lab add --sev takes the other)"
    return None


class LabAmd(LabTcg):
    """`lab-NAME-amd`: plain guests."""

    suffix = "-amd"
    expected_in = "monitor"
    what_in = "QEMU's emulation, with NRIPS and decode assists"
    programs = (*LabTcg.programs, MONITOR)
    # The highest bit of an address is the C-bit, and Linux then has 47 of them: KVM marks pages of devices with
    # address bits that a guest has not, which TCG must have.
    # Virtualized VMLOAD and VMSAVE, which TCG has and does not offer, keep Linux's out of the monitor's memory; and so
    # does a board whose only device that reaches memory by itself, the SATA controller, is not there.
    cpu = "max,la57=off,phys-bits=48,x-force-features=on,v-vmsave-vmload=on"
    board = LabTcg.board + ",sata=off"
    monitor_words = ("l0.without=sev",)
    # Linux asks for the devices of 256 buses, since the memory for their configuration is there; there is one bus.
    kernel_words = ("pci=lastbus=0",)

    def __init__(self, tools, variant=""):
        self._asked = []        # of the monitor, by the machine's name
        super().__init__(tools, variant)
        if self.params.get(("kvm-amd", "npt")) in ("0", "N", "n"):
            raise UsageError(f"machine '{self.name}': with npt=0, QEMU from 10 on turns the first fault on a page that "
                             "KVM has not mapped into a triple fault, and older ones are too old for the monitor; "
                             f"lab-{self.kernel_name}+npt=0 runs on QEMU 7.2")

    def _set_param(self, parameter, value):
        """`+as-is=ID` leaves a defect of the emulator as it is, `+without=NAME` takes something from the CPU
        (lab/host/base/options.h)."""
        if parameter in ("as-is", "without"):
            self._asked.append(f"l0.{parameter}={_checked(parameter, value)}")
        else:
            super()._set_param(parameter, value)

    def probe(self):
        reason = super().probe()
        if reason is None and version_key(self.underneath.number()) < version_key(OLDEST_QEMU):
            reason = f"QEMU {self.underneath.number()} is too old for it, whose own SVM is wrong where this one " \
                f"looks: {OLDEST_QEMU} or newer (scripts/lab qemu --debian trixie)"
        return reason

    def version(self):
        return super().version() + ", beneath it our monitor"

    def _command_line(self):
        return " ".join((super()._command_line(), *self.kernel_words, *self.monitor_words, *self._asked))

    def _argv(self, kernel, initrd, console, log="file,path=MONITOR.LOG"):
        return [*super()._argv(kernel, initrd, console), "-chardev", f"{log},id=monitor",
                "-device", f"isa-debugcon,iobase={_LOG_PORT:#x},chardev=monitor"]

    def _launch(self, initramfs):
        ours, theirs = serial_socket()
        both = bundle(self.kernel.vmlinux, initramfs)
        log = memory_file("trapline-monitor", b"")
        argv = self._argv(os.path.join(ROOT, MONITOR), f"/proc/self/fd/{both}", "chardev:com1",
                          f"file,path=/proc/self/fd/{log}")
        argv[1:1] = ["-chardev", f"socket,id=com1,fd={theirs}"]
        return Launch(argv, ours, [both, theirs, log], beneath=os.dup(log))

    def shown(self, rom, cpus, qemu_params=()):
        return shlex.join(self._argv(os.path.join(ROOT, MONITOR), "BUNDLE", "stdio"))


class LabSev(LabAmd):
    """`lab-NAME-sev`: guests whose memory is encrypted."""

    suffix = "-sev"
    what_in = "QEMU's emulation, with SEV: encrypted memory"
    kind = "sev"                # the VMM's option
    nested = ()                 # KVM cannot read an encrypted VMCB
    monitor_words = ()
    # KVM cannot emulate OUTS where it cannot read the guest's memory.
    console = "console=words"

    def __init__(self, tools, variant=""):
        super().__init__(tools, variant)
        if any(option.startswith("moved=") for option in self._options):
            raise UsageError(f"machine '{self.name}': memory that is encrypted is of one VM: +moved=… is not for it")
        self._options.append(self.kind)
        # Or newer KVM warns of a CPU without LBR virtualization, which is a condition of SEV-ES.
        if self.kind == "sev" and _PARAMETERS["sev-es"] in self.kernel.params["kvm-amd"]:
            self.params.setdefault(("kvm-amd", _PARAMETERS["sev-es"]), "0")

    def probe(self):
        return missing(self.kernel, self.kind) or super().probe()

    def refused(self, facts):
        name = f"kvm_amd.{_PARAMETERS[self.kind]}"
        value = facts["params"].get(name)
        return None if value in ("Y", "1") else \
            f"KVM offers no {self.kind.upper()} here: {name} is {value or 'not there'}"


class LabSevEs(LabSev):
    """`lab-NAME-sev-es`: and their registers."""

    suffix = "-sev-es"
    what_in = "QEMU's emulation, with SEV-ES: encrypted registers, #VC"
    kind = "sev-es"

    @property
    def monitor_words(self):
        # LBR virtualization, which TCG has not: newer KVM makes it a condition of SEV-ES, and older KVM would let guests
        # find that it is not there.
        return ("l0.with=lbrv",) * (version_key(self.kernel.version) >= version_key(LBRV_WANTED))

    def __init__(self, tools, variant=""):
        super().__init__(tools, variant)
        if any(option.startswith("state") for option in self._options):
            raise UsageError(f"machine '{self.name}': nobody can take registers out of a SEV-ES guest, and put "
                             "them back: +state is not for it")


class LabSevSnp(LabSevEs):
    """`lab-NAME-sev-snp`: and the integrity of both."""

    suffix = "-sev-snp"
    what_in = "QEMU's emulation, with SEV-SNP: integrity of memory"
    kind = "sev-snp"
    monitor_words = ("l0.with=lbrv,snp",)
    # Its IOMMU does not say where the IOAPIC is, which remapping of interrupts would need.
    kernel_words = (*LabSevEs.kernel_words, "intremap=off")
