# SPDX-License-Identifier: BSD-2-Clause
"""A QEMU of this machine with all that it needs, to be taken into a lab kernel's initramfs."""

import glob
import os
import re

from ..errors import UsageError
from ..machines.base import ask, facts
from . import emulator

LIBRARIES = "lib64"             # where they lie in the initramfs, as lab/kvm/init.c tells the loader
_WANTED = ("kvmvapic.bin",)     # what QEMU loads of itself on q35, even where it is given -bios
_DATA = "usr/share/qemu"        # where one looks that was started by a script which said -L here
_USUAL = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib")


def files(tools, program):
    """({path inside: path here}, {path inside: where it leads}) for `program`, by whose own name it is found inside.
    UsageError if it cannot be taken along."""
    found = facts(tools, program, _learn)
    if "error" in found:
        raise UsageError(found["error"])
    return found["files"], found["links"]


def _learn(path):
    """The same as {"files", "links"}, or {"error"}."""
    from elftools.common.exceptions import ELFError         # the bundle runs without

    real, folders = _program(path)
    try:
        interpreter, libraries = _closure(real, folders)
    except (ELFError, OSError, ValueError) as error:
        return {"error": f"{real} cannot be taken into the lab: {error}"}
    except _Missing as error:
        return {"error": f"{real} cannot be taken into the lab: there is no {error} for it here"}
    inside = {_name(real): real} | {f"{LIBRARIES}/{name}": library for name, library in libraries.items()}
    linker = libraries.get(os.path.basename(interpreter)) or os.path.realpath(interpreter)
    inside[_name(interpreter)] = linker
    for wanted in _WANTED:
        found = next((p for p in (os.path.join(f, wanted) for f in _data(path)) if os.path.exists(p)), None)
        if found:
            inside[_name(os.path.abspath(found))] = inside[f"{_DATA}/{wanted}"] = found
    links = {} if os.path.abspath(path) == real else {_name(os.path.abspath(path)): real}
    return {"files": inside, "links": links}


def _program(path):
    """(the ELF file that `path` starts, folders of its libraries)."""
    if path == emulator.path():
        root = os.path.dirname(path)
        usual = [os.path.join(root, f.lstrip("/")) for f in _USUAL]
        return os.path.join(root, "usr", "bin", emulator.PROGRAM), \
            usual + [f for top in usual for f in sorted(glob.glob(os.path.join(glob.escape(top), "*/")))]
    return os.path.realpath(path), [*_configured(), *_USUAL]


def _configured():
    """What this machine's dynamic linker has been told besides."""
    found = []
    for path in ("/etc/ld.so.conf", *sorted(glob.glob("/etc/ld.so.conf.d/*.conf"))):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found += re.findall(r"^(/\S+)", file.read(), re.M)
        except OSError:
            pass
    return found


class _Missing(Exception):
    """A library that is in none of the folders."""


def _closure(program, folders):
    """(path of the dynamic linker, {name: path} of all libraries that `program` needs)."""
    interpreter, needed, own = _dynamic(program)
    if not interpreter:
        raise ValueError("it is not linked dynamically")
    found, waiting = {}, [(name, own) for name in needed]
    while waiting:
        name, own = waiting.pop()
        if name in found:
            continue
        path = next((p for p in (os.path.join(f, name) for f in (*own, *folders)) if os.path.exists(p)), None)
        if path is None:
            raise _Missing(name)
        found[name] = os.path.realpath(path)
        _, needed, own = _dynamic(found[name])
        waiting += [(other, own) for other in needed]
    return interpreter, found


def _dynamic(path):
    """(interpreter or "", names of needed libraries, folders that the file itself names)."""
    from elftools.elf.elffile import ELFFile

    interpreter, needed, own = "", [], []
    with open(path, "rb") as file:
        for segment in ELFFile(file).iter_segments():
            kind = segment.header.p_type
            if kind == "PT_INTERP":
                interpreter = segment.get_interp_name()
            for tag in segment.iter_tags() if kind == "PT_DYNAMIC" else ():
                if tag.entry.d_tag == "DT_NEEDED":
                    needed.append(tag.needed)
                elif tag.entry.d_tag in ("DT_RUNPATH", "DT_RPATH"):
                    text = tag.runpath if tag.entry.d_tag == "DT_RUNPATH" else tag.rpath
                    own += re.sub(r"\$(ORIGIN|\{ORIGIN\})", lambda _: os.path.dirname(path), text).split(":")
    return interpreter, needed, own


def _data(program):
    """Folders in which it looks for what it loads."""
    out, _ = ask([program, "-L", "help"])
    return [line for line in (out or "").splitlines() if line.startswith("/")]


def _name(path):
    return path.lstrip("/")


