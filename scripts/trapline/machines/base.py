# SPDX-License-Identifier: BSD-2-Clause
"""What the runner wants to know of a machine."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field

from .. import cache


@dataclass
class Tools:
    """Programs that machines stand on, and where what was learnt about them is kept."""

    qemu: str = "qemu-system-x86_64"
    bochs: str = "bochs-bin"
    cache: str | None = None
    build: str = "build"
    bugs: tuple = ()        # that the model is to have
    reach: bool = False     # it is to tell which bugs each case can meet
    hurry: bool = False     # its guest is to wait for nothing in vain
    qemu_is_default: bool = True        # nobody asked for this QEMU by name


@dataclass
class Order:
    """One boot to be made, for `cpus` CPUs.

    `rom` is the image with its arguments patched in; `image` is the path of the one without them, and
    `words` are the arguments, for a machine that patches by itself. `gdb` names the script that
    steps the guest, if one is to.
    """

    rom: bytes
    cpus: int = 1
    qemu_params: tuple = ()
    image: str = ""
    words: tuple = ()
    memory: int = 64        # MiB
    gdb: str = ""


@dataclass
class Command:
    """How to start a boot.

    `fds` are passed on to the process under the same numbers and belong to the Boot, which
    closes them. `serial` is the runner's end of a pipe that carries COM1, None for stdout.
    `qmp` is the runner's end of a socket that speaks QMP, or None.
    """

    argv: list
    fds: list = field(default_factory=list)
    serial: int | None = None
    qmp: object = None
    private_network: bool = False


class Machine:
    """Something that runs guests. One object per run; it is asked, it keeps no boots."""

    name = ""
    accel = ""              # tcg, kvm or bochs: unittests.cfg's accel
    what = ""               # half a line for the table
    qemu_params = False     # takes unittests.cfg's qemu_params
    nests = False           # takes `inside`
    variants = False        # takes `variant`, the part of its name behind a "+"
    nested = ("svm", "vmx")     # what a guest may find there for a hypervisor of its own
    max_cpus = None         # where there is a limit
    fallback = False        # `auto` takes it only where it finds no other
    foreign_bugs = ()       # beginnings of the ids of bugs that are not its own: such a failure is blocked
    brings = ()             # parts of a machine (bugs.PARTS) that are not the emulator's that it runs in
    underneath = None       # machine that this one runs on: what fails there is not this one's fault
    guest_words = ()        # arguments that every guest gets here (docs/contract.md)
    usual = ()              # GUEST and GUEST/CASE that it runs if none is named; (): all
    usual_reason = ""       # why not all, half a sentence
    slowness = 1.0          # factor on every timeout
    waits_for_free = True   # another boot may run beside one that says nothing

    def __init__(self, tools):
        self.tools = tools

    @property
    def expected_in(self):
        """What expectations/ may put behind the "@" of its name, to tell it from its like elsewhere."""
        return self.underneath.name if self.underneath else ""

    def probe(self):
        """None if guests can run here, else the reason in one line."""
        raise NotImplementedError

    def automatic(self):
        """Whether `auto` should consider it on this host."""
        return False

    def version(self):
        """What runs the guests, for people: "QEMU 7.2.22 (Debian …)"."""
        raise NotImplementedError

    def number(self):
        """The version that expectation files compare, as digits and dots: "7.2.22"."""
        raise NotImplementedError

    def has_gdbstub(self):
        """Whether a guest can be stepped here from outside at all."""
        return False

    def cannot_step(self):
        """Why gdb cannot step a guest here, or None."""
        return None if self.has_gdbstub() else "has no gdbstub that the runner knows"

    def lacks(self, layer):
        """What this machine would need for cases in this layer of a guest and lacks altogether ("VMX"), or
        None: told without a boot."""
        vendor = layer.partition("-")[0]
        return vendor.upper() if vendor in Machine.nested and vendor not in self.nested else None

    def offers(self, what):
        """Whether it is known to have what a guest did not find, by the name that lacks() uses."""
        vendor = what.partition(" ")[0].lower()
        return vendor in Machine.nested and not self.lacks(vendor)

    def start(self, order, names, timeout):
        """A boot.Boot, or what behaves like one, for `order`; `names` are those of its points."""
        from ..boot import Boot

        return Boot(self, self.command(order), names, timeout)

    def close(self):
        """The run is over: whatever start() kept for later ends."""

    def program(self):
        """Path of the program that runs the guests, for the fingerprint; None if there is none."""

    def facts(self):
        """What is known of the host that the guests ran on, if that is not this one, or None."""
        return None

    def command(self, order):
        """Command for `order`."""
        raise NotImplementedError

    def shown(self, rom, cpus, qemu_params=()):
        """A command line to type, for the ROM file at path `rom`."""
        raise NotImplementedError

    def broke(self, status, errors):
        """Whether that end is the machine's own crash or refusal, not the guest's."""
        return status < 0

    def ended(self, status, errors):
        """What exit status (negative: signal) and stderr text say about a guest's sudden end."""
        if status < 0:
            import signal
            try:
                return f"{self.accel} process killed by {signal.Signals(-status).name}"
            except ValueError:
                return f"{self.accel} process killed by signal {-status}"
        return f"exit status {status}"


def ask(argv):
    """(stdout, stderr) of a program that answers and ends; (None, reason) if it does not."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=20,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    return done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def facts(tools, program, learn):
    """learn(path) for `program`, a dict; {"error": reason} if there is no such program.

    Asking costs as much as a whole boot, so an answer that is no error is kept, with size and
    time of the binary.
    """
    known = program, learn.__name__
    if known not in _learnt:
        _learnt[known] = _facts(tools, program, learn)
    return _learnt[known]


def _facts(tools, program, learn):
    path = shutil.which(program)
    if not path:
        return {"error": f"no {program}"}
    stat = os.stat(path)
    key = [os.path.realpath(path), stat.st_size, stat.st_mtime_ns, learn.__name__]
    if not tools.cache:
        return learn(path)
    kept = os.path.join(tools.cache, os.path.basename(path) + ".facts.json")
    found = cache.load(kept, key)
    if found is None:
        found = learn(path)
        if "error" not in found:
            cache.store(kept, key, found)
    return found


_learnt = {}        # per process: a runner asks for a version with every result


def memory_file(name, data):
    """A file descriptor of an anonymous file with `data`; nothing is left on any disk."""
    fd = os.memfd_create(name, 0)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd
