# SPDX-License-Identifier: BSD-2-Clause
"""Copies of the sources, to be broken by hand; the bundle, unpacked."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def copy_sources(to):
    """The sources in folder `to`, and what is built of them already: only what an edit touches is built anew."""
    for name in ("lib", "x86", "scripts"):
        shutil.copytree(ROOT / name, to / name)
    for name in ("Makefile", "configure", "config.mak"):
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, to / name)
    for name in ("lib", "x86"):
        if (ROOT / "build" / name).exists():
            shutil.copytree(ROOT / "build" / name, to / "build" / name)
    if (ROOT / "build/tools").exists():
        shutil.copy2(ROOT / "build/tools", to / "build/tools")
    return to


def put_defect(file, right, wrong):
    """`wrong` in the place of `right`, which must be in the file once."""
    text = file.read_text()
    assert text.count(right) == 1, f"{file.name} no longer has {right!r} once"
    file.write_text(text.replace(right, wrong))


def unpack_bundle(to):
    """Makes the bundle and unpacks it in folder `to`; its own folder there."""
    subprocess.run(["make", "-s", "bundle"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                   timeout=200)
    subprocess.run(["tar", "-C", to, "-xf", ROOT / "build/trapline.tar.gz"], check=True)
    return to / "trapline-bundle"
