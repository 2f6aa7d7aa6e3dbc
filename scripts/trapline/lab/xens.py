# SPDX-License-Identifier: BSD-2-Clause
"""The Xens of the lab: one folder each, beside the kernels of store.py, with the hypervisor and what is known of it.

    ~/.cache/trapline/lab/xens/NAME/xen         unpacked (Xen unpacks itself slowly in an emulator), and xen.json
"""

import gzip
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field

from ..errors import UsageError, unknown
from . import deb, debian, store

PREFIX = "xen-"         # of a name, so that lab-xen-4.17 is no kernel's machine
_PACKAGE = r"^xen-hypervisor-[0-9]"
_ELF = b"\x7fELF"
_GZIP = b"\x1f\x8b"
# What Debian writes into it, and what a tree of one's own has beside it.
_VERSION = re.compile(rb"\0(4\.\d+\.\d+(?:[+~-][\w.+~-]*)?)\0")
_MAKEFILE = re.compile(r"XEN_VERSION\s*=\s*(\d+)\s.*?XEN_SUBVERSION\s*=\s*(\d+)\s.*?XEN_EXTRAVERSION\s*\??=\s*\.?"
                       r"(\d*)", re.S)


@dataclass
class Xen:
    """One hypervisor."""

    name: str                   # "xen-4.17"
    version: str                # "4.17.7": what expectations compare
    release: str                # "4.17.7+13-g2445b30a44-0+deb12u1", or as good as is known
    source: str                 # where it came from, for people
    debian: dict = field(default_factory=dict)      # suite, package version

    @property
    def folder(self):
        return os.path.join(folder(), self.name)

    @property
    def path(self):
        return os.path.join(self.folder, "xen")

    def has_parameter(self, name):
        """Whether its command line knows `name`, as far as the file tells."""
        with open(self.path, "rb") as file:
            return b"\0" + name.encode() + b"\0" in file.read()


    def has_shadow(self):
        """Whether shadow paging was compiled in, as far as the file tells: the names of its sources are there."""
        with open(self.path, "rb") as file:
            return b"arch/x86/mm/shadow/" in file.read()


def folder():
    return os.path.join(store.root(), "xens")


def names():
    """Names of the Xens, oldest version first."""
    return store.names(folder())


def load(name):
    """Xen `name`. UsageError if there is none or it is damaged."""
    if name not in names():
        raise unknown("Xen of the lab", name, names()) if names() else UsageError(
            f"there is no Xen '{name}' in the lab: see scripts/lab add --help")
    path = os.path.join(folder(), name, "xen.json")
    try:
        with open(path, encoding="utf-8") as file:
            return Xen(**json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path}: {error}; scripts/lab remove {name} and add it again") from None


def remove(name):
    """Forget Xen `name`."""
    load(name)
    shutil.rmtree(os.path.join(folder(), name))


def add_file(name, path, version=None):
    """Xen `name` out of a file that somebody built: xen.gz, or xen."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    data = _unpacked(data, path)
    release = version or _release_of(data, path)
    return _keep(name, data, release, os.path.abspath(path))


def add_debian(name, suite, version=None, mirror=None, keyring=None, dry_run=False, say=print):
    """Xen `name` out of `suite`: the newest whose version begins with `version` (default: the name's). None after
    a dry run. The package lists are fetched first."""
    debian.configure(suite, mirror, keyring=keyring)
    say(f"package lists of {suite}: some 10 MB")
    debian.update()
    return fetch(name, suite, version, dry_run, say, {"mirror": mirror, "keyring": keyring})


def fetch(name, suite, version=None, dry_run=False, say=print, more=None):
    """add_debian, with the package lists that are there."""
    wanted = version or name.removeprefix(PREFIX)
    fitting = [s for s in packages() if (s["Version"] + ".").startswith(wanted + ".")
               or s["Version"].startswith((wanted + "-", wanted + "+", wanted + "~"))]
    if not fitting:
        have = sorted({s["Version"] for s in packages()}, key=debian.version_key)
        raise UsageError(f"no Xen {wanted} in this suite" + (f"; there are {', '.join(have)}" if have else ""))
    stanza = max(fitting, key=lambda s: debian.version_key(s["Version"]))
    say(f"{stanza['Package']} {stanza['Version']}: {int(stanza['Size']) / 1e6:.1f} MB to fetch, "
        "of which some 3 MB are kept")
    if dry_run:
        return None
    if name in names() and load(name).debian.get("package") == stanza["Version"]:
        say(f"{name} is up to date")
        return load(name)
    paths = debian.download([stanza], True)
    try:
        return add_package(name, paths[0], f"Debian {suite}", {
            "suite": suite, "package": stanza["Version"], "version": wanted, **(more or {})})
    finally:
        for path in paths:
            os.unlink(path)


def packages():
    """Stanzas of all packages with a Xen, of the suite that debian.configure() named."""
    return [s for s in debian.packages(debian.named(_PACKAGE)) if s["Package"].endswith("-amd64")]


def add_package(name, path, source, debian_facts=None):
    """Xen `name` out of a package of Debian's."""
    for member, read in deb.members(path):
        if re.match(r"boot/xen-[\w.]*-?amd64\.gz$", member):
            data = _unpacked(read(), f"{path}: {member}")
            return _keep(name, data, _release_of(data, path), source, debian_facts)
    raise UsageError(f"{path}: has no boot/xen-…-amd64.gz")


def _unpacked(data, where):
    if data[:2] == _GZIP:
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise UsageError(f"{where}: is damaged: {error}") from None
    if data[:4] != _ELF or b"Xen" not in data:
        raise UsageError(f"{where}: is no Xen (xen.gz, or the ELF file that is in it)")
    return data


def _release_of(data, path):
    found = _VERSION.search(data)
    if found:
        return found[1].decode()
    try:
        with open(os.path.join(os.path.dirname(os.path.abspath(path)), "Makefile"), encoding="utf-8") as file:
            made = _MAKEFILE.search(file.read())
    except (OSError, ValueError):
        made = None
    if not made:
        raise UsageError(f"{path}: does not say its version; give it with --version")
    return ".".join(part for part in made.groups() if part)


def _keep(name, data, release, source, debian_facts=None):
    version = re.match(r"\d+(?:\.\d+)+", release)
    if not version:
        raise UsageError(f"'{release}' is no version of Xen")
    xen = Xen(name, version[0], release, source, debian_facts or {})
    with store.new(name, folder()) as temporary:
        with open(os.path.join(temporary, "xen"), "wb") as file:
            file.write(data)
        with open(os.path.join(temporary, "xen.json"), "w", encoding="utf-8") as file:
            json.dump(asdict(xen), file, indent=1)
            file.write("\n")
    return xen
