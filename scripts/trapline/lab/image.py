# SPDX-License-Identifier: BSD-2-Clause
"""The initramfs of a lab kernel: our init, the KVM modules and the guests' images."""

import os
import stat

# Nothing that takes time or disturbs; panic=-1 makes a dying kernel reset at once, which ends the
# emulator. loglevel=5 is what WARN() needs to be heard on COM1. With slabs of one page a large object has a page
# to itself, and begins where it began in the boot before: what KVM makes of the address of its own data
# (docs/findings/sev-failure-bytes.md) is the same in each.
COMMAND_LINE = ("console=ttyS0,115200 panic=-1 oops=panic nokaslr mitigations=off no_timer_check "
                "transparent_hugepage=never slub_max_order=0 loglevel=5 random.trust_cpu=on nowatchdog "
                "cryptomgr.notests rdinit=/init")


def _entry(name, mode, data=b"", rdev=(0, 0), number=0):
    name = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def cpio(files, links=()):
    """A cpio archive; `files` maps paths to bytes, which come with mode 755, `links` is pairs of a path and where it
    leads."""
    parts, folders = [], set()
    every = [(path, stat.S_IFREG | 0o755, data) for path, data in files.items()] + \
        [(path, stat.S_IFLNK | 0o777, to.encode()) for path, to in links]
    for path, mode, data in every:
        parents = path.split("/")[:-1]
        for i in range(1, len(parents) + 1):
            folder = "/".join(parents[:i])
            if folder not in folders:
                folders.add(folder)
                parts.append(_entry(folder, stat.S_IFDIR | 0o755))
        parts.append(_entry(path, mode, data))
    # Before devtmpfs is mounted, the kernel looks for a console.
    for folder in ("dev", "proc", "sys"):
        parts.append(_entry(folder, stat.S_IFDIR | 0o755))
    parts.append(_entry("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1)))
    parts.append(_entry("TRAILER!!!", 0))
    return b"".join(parts)


def modules(kernel, vendor):
    """Names of the modules to load, in order, for "kvm-amd" or "kvm-intel"."""
    done = []

    def visit(name):
        for other in kernel.modules.get(name, ()):
            visit(other)
        if name in kernel.modules and name not in done:
            done.append(name)

    visit(vendor)
    return done


def initramfs(kernel, vendor, params, init, images, more=(), links=()):
    """The archive's bytes.

    `params` maps (module, parameter) to a value; `init` is the path of our program, `images` are the
    paths of the guests' images; `more` maps paths inside to bytes, or to paths here; `links` is as for cpio().
    """
    files, lines = {}, []
    files["init"] = _read(init)
    for module in modules(kernel, vendor):
        words = [f"{p}={value}" for (m, p), value in params.items() if m == module]
        lines.append(" ".join([f"/lab/{module}.ko", *words]))
        files[f"lab/{module}.ko"] = unsigned(_read(kernel.module_file(module)))
    files["lab/modules"] = ("\n".join(lines) + "\n").encode()
    for path in images:
        files[f"images/{os.path.basename(path)}"] = _read(path)
    for path, what in dict(more).items():
        files[path] = what if isinstance(what, bytes) else _read(what)
    return cpio(files, links)


def images(paths):
    """An archive of nothing but the guests' images: what a dom0 of ours gets."""
    return cpio({f"images/{os.path.basename(path)}": _read(path) for path in paths})


def unsigned(module):
    """A module without the signature behind it: checking that takes seconds in an emulator. The kernel
    then calls itself tainted, no more."""
    mark = b"~Module signature appended~\n"
    if not module.endswith(mark):
        return module
    # struct module_signature: 12 bytes, of which the last four are the signature's length.
    end = len(module) - len(mark)
    return module[:end - 12 - int.from_bytes(module[end - 4:end], "big")]


def _read(path):
    with open(path, "rb") as file:
        return file.read()
