# SPDX-License-Identifier: BSD-2-Clause
"""The lab's machines: `lab-6.1` and so on, one or two for each kernel that scripts/lab knows.

A kernel boots once and runs guest after guest; the machine keeps what is ready. A name may carry
module parameters: lab-6.1+npt=0.
"""

import os
import re
import shlex
import subprocess
from dataclasses import replace

from ..errors import UsageError, nearest
from ..lab import emulator, image, store
from ..lab.debian import version_key
from ..lab.boot import LabBoot
from ..lab.host import Host, Launch, serial_socket
from .base import Machine, memory_file
from .qemu import Tcg

_ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
INIT = os.path.join("build", "lab", "init")
MEMORY = 512            # MiB


class LabMachine(Machine):
    """A kernel, the vendor's KVM module, and an emulator."""

    accel = "kvm"
    variants = True
    vendor = ""             # "kvm-amd" or "kvm-intel"
    emulator = None         # class of the machine underneath
    kernel_name = ""
    reuse = True            # one guest after the other on the same host

    def __init__(self, tools, variant=""):
        # The lab's own QEMU, unless another was asked for by name. With shadow paging, 10.0 turns the
        # first fault on a page that KVM has not mapped yet into a triple fault; 7.2 does not.
        if tools.qemu_is_default and emulator.path() and "npt=0" not in variant.split("+"):
            tools = replace(tools, qemu=emulator.path())
        super().__init__(tools)
        self.underneath = self.emulator(tools)
        self._kernel = None
        self._idle = []             # Hosts
        self._facts = None
        self._images = {}           # what was packed: path → (size, time)
        self.params = {}
        if variant:
            self.name = f"{self.name}+{variant}"
            for word in variant.split("+"):
                parameter, equals, value = word.partition("=")
                if not equals or not re.fullmatch(r"\w+", parameter) or \
                        not re.fullmatch(r"[\w.-]+", value):
                    raise UsageError(f"machine '{self.name}': '{word}' is not PARAMETER=VALUE")
                self.params[self._module_of(parameter), parameter] = value

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

    @staticmethod
    def _build():
        """Our init, compiled where it is not there or old."""
        try:
            done = subprocess.run(["make", "-s", "-C", _ROOT, INIT], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, check=False)
        except OSError as error:
            return f"make: {error.strerror}"
        return None if done.returncode == 0 else \
            f"{INIT} cannot be built: {' '.join(done.stderr.split())[:200]}"

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

    def start(self, order, names, timeout):
        words = f"{os.path.basename(order.image)} {order.cpus} {' '.join(order.words)}"
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
                                              os.path.join(_ROOT, INIT), self._images)
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


class LabTcg(LabMachine):
    """kvm_amd on QEMU's emulated AMD CPU."""

    vendor = "kvm-amd"
    emulator = Tcg
    slowness = 4.0

    @property
    def reuse(self):
        """QEMU before 9.1 forgets to take a guest's breakpoints out of its CPU at #VMEXIT: they go on
        to hit whoever comes by, the next guest too."""
        return version_key(self.underneath.number()) >= version_key("9.1")

    def _argv(self, kernel, initrd, console):
        return [self.tools.qemu, "-no-user-config", "-M", "q35,smm=off,hpet=off,usb=off",
                "-accel", "tcg,thread=single", "-cpu", "max", "-m", str(MEMORY), "-nodefaults",
                "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
                "-append", image.COMMAND_LINE, "-serial", console,
                "-chardev", "stdio,id=messages,signal=off",
                "-device", "isa-debugcon,iobase=0xe9,chardev=messages"]

    def _launch(self, initramfs):
        ours, theirs = serial_socket()
        initrd = memory_file("trapline-lab", initramfs)
        argv = self._argv(self.kernel.vmlinuz, f"/proc/self/fd/{initrd}", "chardev:com1")
        argv[1:1] = ["-chardev", f"socket,id=com1,fd={theirs}"]
        return Launch(argv, ours, [initrd, theirs])

    def shown(self, rom, cpus, qemu_params=()):
        return shlex.join(self._argv(self.kernel.vmlinuz, "INITRAMFS", "stdio"))


def _machines():
    """A class for each kernel and vendor."""
    made = []
    for name in store.names():
        try:
            kernel = store.load(name)
        except UsageError:
            continue
        if "kvm-amd" in kernel.modules:
            made.append(type("LabAmd", (LabTcg,), {
                "name": f"lab-{name}", "kernel_name": name,
                "what": f"kvm_amd of Linux {kernel.version} in QEMU's emulation"}))
    return tuple(made)


MACHINES = _machines()
