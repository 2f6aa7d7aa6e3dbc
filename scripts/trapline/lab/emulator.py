# SPDX-License-Identifier: BSD-2-Clause
"""A QEMU for the lab, newer than the system's, next to it: unpacked, not installed.

QEMU 7.2 has defects that get in a lab's way (docs/lab.md). The packages come as the kernels do, with
all libraries; the program runs through its own dynamic linker.
"""

import glob
import os
import shlex
import shutil
import subprocess

from ..errors import UsageError
from . import debian, store

PACKAGE = "qemu-system-x86"
PROGRAM = "qemu-system-x86_64"


def path():
    """The program, or None where there is none."""
    found = os.path.join(store.root(), "qemu", PROGRAM)
    return found if os.access(found, os.X_OK) else None


def add(suite, say, dry_run=False):
    """Fetch it from `suite`; `say` is told what will be fetched. Its path, None after a dry run."""
    debian.configure(suite)
    debian.update()
    files = debian.closure(PACKAGE)
    if not files:
        raise UsageError(f"{suite} has no {PACKAGE}")
    version = next(name for name, _ in files if name.startswith(PACKAGE + "_")).split("_")[1]
    say(f"{PACKAGE} {version} with its libraries: {len(files)} packages, "
        f"{sum(size for _, size in files) / 1e6:.1f} MB to fetch, some 150 MB are kept")
    if dry_run:
        return None
    packages = debian.fetch_closure(PACKAGE)
    final, new = os.path.join(store.root(), "qemu"), os.path.join(store.root(), "qemu.new")
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    for package in packages:
        done = subprocess.run(["dpkg-deb", "-x", package, new], check=False, capture_output=True,
                              text=True)
        if done.returncode:
            raise UsageError(f"{package}: {done.stderr.strip()}")
    for extra in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"):
        shutil.rmtree(os.path.join(new, extra), ignore_errors=True)
    _wrap(new, final)
    shutil.rmtree(final, ignore_errors=True)
    os.rename(new, final)
    for package in packages:
        os.unlink(package)
    return path()


def _wrap(folder, final):
    """The script that starts the program with its own libraries once `folder` has become `final`."""
    linker = [p for pattern in ("lib64", "usr/lib64", "usr/lib/x86_64-linux-gnu",
                                "lib/x86_64-linux-gnu")
              for p in glob.glob(os.path.join(folder, pattern, "ld-linux-x86-64.so.2"))]
    program = os.path.join(folder, "usr/bin", PROGRAM)
    if not linker or not os.path.exists(program):
        raise UsageError(f"{PACKAGE} has not the files that were expected")
    libraries = [os.path.join(final, p) for p in
                 ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")]
    for sub in sorted(glob.glob(os.path.join(folder, "usr/lib/x86_64-linux-gnu/*/"))):
        if glob.glob(os.path.join(sub, "*.so.*")):
            libraries.append(os.path.join(final, os.path.relpath(sub, folder)))
    command = [os.path.join(final, os.path.relpath(os.path.realpath(linker[0]), folder)),
               "--library-path", ":".join(libraries),
               os.path.join(final, "usr/bin", PROGRAM),
               "-L", os.path.join(final, "usr/share/qemu"),
               "-L", os.path.join(final, "usr/share/seabios")]
    script = os.path.join(folder, PROGRAM)
    with open(script, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    os.chmod(script, 0o755)
