# SPDX-License-Identifier: BSD-2-Clause
"""QEMU: `tcg` and `kvm`."""

import os
import re
import shlex
import socket

from ..text import printable
from .base import Command, Machine, ask, facts, memory_file

# q35 for its PAM registers, without what costs time at start or disturbs what is measured.
_LEAN = ("smm", "hpet", "vmport", "smbus", "sata", "usb", "i8042")


def learn_qemu(path):
    """{"version", "number", "lean"} of a QEMU, or {"error"}."""
    out, errors = ask([path, "--version"])
    match = re.search(r"^QEMU emulator version (\d[\d.]*)([^\n]*)", out or "")
    if not match:
        why = " ".join((errors or "").split())[:100] or "it does not say that it is QEMU"
        return {"error": f"{path} does not work: {printable(why.encode())}"}
    out, _ = ask([path, "-M", "q35,help"])
    properties = set(re.findall(r"^\s+([\w-]+)=", out or "", re.M))
    return {"version": "QEMU " + match[1] + match[2].rstrip(), "number": match[1].rstrip("."),
            "lean": [p for p in _LEAN if p in properties]}


class _Qemu(Machine):
    qemu_params = True

    def _facts(self):
        return facts(self.tools, self.tools.qemu, learn_qemu)

    def probe(self):
        return self._facts().get("error")

    def version(self):
        return self._facts().get("version", "")

    def number(self):
        return self._facts()["number"]

    def program(self):
        return self.tools.qemu

    def _argv(self, rom, cpus, qemu_params, memory=64):
        lean = "".join(f",{p}=off" for p in self._facts()["lean"])
        return [self.tools.qemu, "-no-user-config", "-M", "q35" + lean + self._machine,
                *self._accelerator(cpus), "-smp", str(cpus), "-m", str(memory), "-nodefaults",
                "-display", "none", "-no-reboot", "-serial", "stdio",
                "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-bios", rom, *qemu_params]

    _machine = ""

    def elsewhere(self):
        """(end of -M, words) of a command for a host that is not this one, with the guest's 64 MiB."""
        return self._machine, []

    def _accelerator(self, cpus):
        raise NotImplementedError

    def command(self, order):
        rom = memory_file("trapline-rom", order.rom)
        argv = self._argv(f"/proc/self/fd/{rom}", order.cpus, order.qemu_params, order.memory)
        return Command(argv, [rom])

    def has_gdbstub(self):
        return True

    def cannot_step(self):
        from .. import gdbstub

        return super().cannot_step() or gdbstub.missing()

    def start(self, order, names, timeout):
        if not order.gdb:
            return super().start(order, names, timeout)
        from ..gdbstub import SteppedBoot

        elf = os.path.splitext(order.image)[0] + ".elf"
        return SteppedBoot(self, self.command(order), names, timeout, elf, order.gdb)

    def shown(self, rom, cpus, qemu_params=()):
        return shlex.join(self._argv(rom, cpus, qemu_params))

    def broke(self, status, errors):
        # 1 is QEMU's own; a guest's value, doubled and odd, is never that small.
        return super().broke(status, errors) or status == 1 or status > 125

    def ended(self, status, errors):
        lines = [line for line in errors.splitlines() if line.strip()]
        if status == 1 and lines:
            return f"QEMU stopped: {lines[-1][:200]}"
        if status == 0:
            return "the machine was reset or switched off: a triple fault, most likely"
        if status > 1 and status & 1:
            return f"it wrote {status >> 1:#x} to the exit port"
        return super().ended(status, errors)


class Tcg(_Qemu):
    """QEMU's own emulation."""

    name = accel = "tcg"
    what = "QEMU's emulation, with nested SVM"
    fallback = True
    nested = ("svm",)       # TCG has never had VMX

    def automatic(self):
        return True

    def _accelerator(self, cpus):
        # One CPU needs no thread of its own; two must run at the same time.
        return ["-accel", "tcg,thread=" + ("multi" if cpus > 1 else "single"), "-cpu", "max"]


class Kvm(_Qemu):
    """The host's KVM under QEMU.

    QEMU stays paused for ever after a KVM internal error, so the runner listens on QMP, over
    a socket pair: no port, no file. Guest memory is a memfd, whose pages are 4 KiB in the host,
    so that a page is cold on its own.
    """

    name = accel = "kvm"
    what = "the host's KVM under QEMU"
    _machine = ",memory-backend=ram"

    def elsewhere(self):
        return self._machine, ["-object", "memory-backend-memfd,id=ram,size=64M"]

    usual_reason = "this KVM has no hardware behind it, dies in many cases and judges nobody's KVM"

    @property
    def usual(self):
        return () if _hardware() else ("dummy", "int3")

    @property
    def nested(self):
        return tuple(cpu_flags() & {"vmx", "svm"})

    def automatic(self):
        return _hardware()

    def probe(self):
        return super().probe() or self._missing()

    def _missing(self):
        """Why the host's KVM cannot be used, or None."""
        return kvm_missing()

    def version(self):
        return f"KVM of Linux {os.uname().release}, {super().version()}"

    def number(self):
        return re.match(r"[\d.]*", os.uname().release)[0].rstrip(".")

    def has_gdbstub(self):
        return _hardware()      # a KVM without it does not step

    def _accelerator(self, cpus):
        return ["-accel", "kvm", "-cpu", "max",
                "-object", "memory-backend-memfd,id=ram,size=64M"]

    def command(self, order):
        command = super().command(order)
        ours, theirs = socket.socketpair()
        command.qmp = ours
        command.fds.append(theirs.detach())
        command.argv += ["-chardev", f"socket,id=qmp,fd={command.fds[-1]}",
                         "-mon", "chardev=qmp,mode=control"]
        return command


def kvm_missing():
    """Why /dev/kvm cannot be used, in one line, or None."""
    import fcntl

    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return "no /dev/kvm"
    except PermissionError:
        return "no permission for /dev/kvm (is the user in group kvm?)"
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    try:
        version = fcntl.ioctl(fd, 0xae00, 0)        # KVM_GET_API_VERSION
        return None if version == 12 else f"/dev/kvm speaks API version {version}, not 12"
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    finally:
        os.close(fd)


def _hardware():
    """Whether this host's KVM has VMX or SVM behind it; else it is an emulator itself."""
    return bool(cpu_flags() & {"vmx", "svm"})


def cpu_flags():
    """Flags of the host's first CPU."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return flags_in(file.read(65536))
    except OSError:
        return set()


def flags_in(text):
    """Flags of the first CPU of a /proc/cpuinfo."""
    match = re.search(r"^flags\s*:(.*)$", text, re.M)
    return set(match[1].split()) if match else set()


MACHINES = (Kvm, Tcg)
