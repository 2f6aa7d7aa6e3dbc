# SPDX-License-Identifier: BSD-2-Clause
"""The kernels of the lab: one folder each, whole or not there.

    ~/.cache/trapline/lab/          or below $XDG_CACHE_HOME
        kernels/NAME/vmlinuz        and *.ko, unpacked, and kernel.json
                     vmlinux        what is inside of vmlinuz, where it could be unpacked
        apt/                        debian.py's
        debs/                       packages, and what is left of interrupted downloads
"""

import fcntl
import json
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from ..errors import UsageError, unknown

MODULES = ("kvm-amd", "kvm-intel")      # what a lab is for; kmod.py finds what they stand on


@dataclass
class Kernel:
    """One kernel. `modules` maps names to what they depend on, in order of loading."""

    name: str                   # "6.1": what the machines are called after
    release: str                # "6.1.0-35-cloud-amd64": uname -r
    version: str                # "6.1.137": what expectations compare
    source: str                 # where it came from, for people
    modules: dict
    params: dict                # module: its parameters
    debian: dict = field(default_factory=dict)      # suite, flavour, package versions

    @property
    def folder(self):
        return os.path.join(kernels(), self.name)

    @property
    def vmlinuz(self):
        return os.path.join(self.folder, "vmlinuz")

    @property
    def vmlinux(self):
        """The unpacked kernel, or where there is none, vmlinuz: what QEMU takes either way."""
        path = os.path.join(self.folder, "vmlinux")
        return path if os.path.exists(path) else self.vmlinuz

    def module_file(self, module):
        return os.path.join(self.folder, module + ".ko")


def root():
    """The lab's folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        base = os.path.expanduser("~/.cache")
    return os.path.join(base, "trapline", "lab")


def kernels():
    return os.path.join(root(), "kernels")


def order(name):
    """Sort key: 6.9 before 6.12."""
    return [(int(n), word) for n, word in re.findall(r"(\d+)|(\D+)", name)
            for n in [n or 0]]


def names(folder=None):
    """Names of the kernels, or of what else lies in `folder`, oldest version first."""
    try:
        found = os.listdir(folder or kernels())
    except OSError:
        return []
    return sorted((n for n in found if not n.startswith(".")), key=order)


def load(name):
    """Kernel `name`. UsageError if there is none or it is damaged."""
    if name not in names():
        raise unknown("lab kernel", name, names()) if names() else UsageError(
            f"there is no lab kernel '{name}': see scripts/lab add --help")
    path = os.path.join(kernels(), name, "kernel.json")
    try:
        with open(path, encoding="utf-8") as file:
            return Kernel(**json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path}: {error}; scripts/lab remove {name} and add it again") from None


@contextmanager
def locked():
    """One scripts/lab at a time may change the store."""
    os.makedirs(kernels(), exist_ok=True)
    with open(os.path.join(root(), "lock"), "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("another scripts/lab is at work") from None
        for folder in (kernels(), os.path.join(root(), "xens")):
            for left in os.listdir(folder) if os.path.isdir(folder) else ():
                if left.startswith("."):
                    shutil.rmtree(os.path.join(folder, left))   # of one that was interrupted
        yield


@contextmanager
def new(name, folder=None):
    """A folder to fill; it becomes `name` in `folder` (the kernels') if the block ends well."""
    folder = folder or kernels()
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{name}")
    os.mkdir(temporary)
    try:
        yield temporary
        final, old = os.path.join(folder, name), os.path.join(folder, f".{name}.old")
        if os.path.exists(final):
            os.rename(final, old)
        os.rename(temporary, final)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def save(folder, kernel):
    with open(os.path.join(folder, "kernel.json"), "w", encoding="utf-8") as file:
        json.dump(asdict(kernel), file, indent=1)
        file.write("\n")


def remove(name):
    """Forget kernel `name`."""
    if name not in names():
        load(name)
    shutil.rmtree(os.path.join(kernels(), name))
