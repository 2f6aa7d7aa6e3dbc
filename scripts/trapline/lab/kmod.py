# SPDX-License-Identifier: BSD-2-Clause
"""Kernel modules: unpacking them, and what their .modinfo section says."""

import lzma
import re

from .deb import run

SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")


def name_of(path):
    """"kvm-amd" of "…/kvm-amd.ko.xz", None of what is no module. The kernel's '_' is '-' here."""
    base = path.rpartition("/")[2]
    for suffix in SUFFIXES:
        if base.endswith(suffix):
            return base.removesuffix(suffix).replace("_", "-")
    return None


def unpacked(path, data):
    """The module's ELF file."""
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".zst"):
        return run(["zstd", "-dc"], data, path)
    if path.endswith(".gz"):
        return run(["gzip", "-dc"], data, path)
    return data


def info(elf):
    """{"depends": [names], "params": [names], "vermagic": text} of an unpacked module."""
    found = re.search(rb"\0depends=([^\0]*)\0", elf)
    depends = found[1].decode().replace("_", "-").split(",") if found and found[1] else []
    magic = re.search(rb"\0vermagic=([^\0]*)\0", elf)
    # The first entry of the section has no NUL of another string before it: hence the lookbehind.
    params = re.findall(rb"(?<![\w.])parmtype=([\w.]+):", elf)
    return {"depends": depends, "params": sorted({p.decode() for p in params}),
            "vermagic": magic[1].decode() if magic else ""}


def closure(wanted, modules):
    """Names in order of loading: each of `wanted` that is in `modules`, after its dependencies.

    `modules` maps names to info(). A dependency that is not there is taken to be built in.
    """
    done = []

    def visit(name):
        if name in modules and name not in done:
            for other in modules[name]["depends"]:
                visit(other)
            done.append(name)

    for name in wanted:
        visit(name)
    return done
