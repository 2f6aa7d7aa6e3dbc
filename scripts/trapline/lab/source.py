# SPDX-License-Identifier: BSD-2-Clause
"""KVM's source of one of Debian's kernels, and what its modules are built against: unpacked, not installed.

    ~/.cache/trapline/lab/sources/NAME/tree         arch/x86/kvm, virt/kvm and KVM's headers, as released
                                       headers      linux-headers, linux-kbuild, as below /
"""

import os
import re
import shutil
import subprocess
import tarfile

from ..errors import UsageError
from . import deb, debian, store

# Of a source tree: what modules.py takes.
PARTS = re.compile(
    r"(arch/x86/kvm|virt/kvm|include/kvm)/|"
    r"(include/(uapi/)?linux|arch/x86/include/(uapi/)?asm)/(kvm[\w-]*|svm|vmx)\.h$")


def folder(name):
    return os.path.join(store.root(), "sources", name)


def packages(kernel):
    """Stanzas of the packages for a kernel that came from Debian."""
    version = next(iter(kernel.debian.get("packages", {}).values()), None)
    if version is None:
        raise UsageError(f"{kernel.name} does not come from Debian's archive: nobody knows its headers")
    series = re.match(r"\d+\.\d+", kernel.version)[0]
    wanted = [f"linux-headers-{kernel.release}", f"linux-source-{series}"]
    headers = _exactly(wanted[0], version)
    wanted += re.findall(r"linux-(?:headers|kbuild)-\d[\w.+~-]*", headers.get("Depends", ""))
    return [headers, *(_exactly(name, version) for name in wanted[1:])]


def _exactly(name, version):
    for stanza in debian.packages([name]):
        if stanza["Version"] == version:
            return stanza
    raise UsageError(f"the mirror no longer has {name} {version}: scripts/lab update, and try again")


def fetch(kernel, say):
    """The folder of `kernel`'s source and headers, fetched if they are not there; `say` is told what is."""
    final = folder(kernel.name)
    if _release_of(final) == kernel.release:
        return final
    debian.configure(kernel.debian.get("suite", ""), kernel.debian.get("mirror"),
                     keyring=kernel.debian.get("keyring"), any_date=kernel.debian.get("any_date", False))
    stanzas = packages(kernel)
    say(f"source and headers of {kernel.release}: {sum(int(s['Size']) for s in stanzas) / 1e6:.0f} MB to fetch, "
        "some 100 MB are kept")
    paths = debian.download(stanzas)
    new = final + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(os.path.join(new, "headers"))
    for stanza, path in zip(stanzas, paths):
        if stanza["Package"].startswith("linux-source-"):
            _unpack_source(path, os.path.join(new, "tree"))
        else:
            _unpack(path, os.path.join(new, "headers"))
    _settle(os.path.join(new, "headers"), os.path.join(final, "headers"))
    with open(os.path.join(new, "release"), "w", encoding="ascii") as file:
        file.write(kernel.release)
    shutil.rmtree(final, ignore_errors=True)
    os.rename(new, final)
    for path in paths:
        os.unlink(path)
    return final


def _release_of(path):
    try:
        with open(os.path.join(path, "release"), encoding="ascii") as file:
            return file.read()
    except OSError:
        return None


def _unpack(path, into):
    done = subprocess.run(["dpkg-deb", "-x", path, into], check=False, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"{path}: {done.stderr.strip()}")


def _unpack_source(path, into):
    """What PARTS says of the archive inside of the package."""
    with deb.contents(path) as outer:
        for member in outer:
            if re.search(r"/linux-source-[\d.]+\.tar\.xz$", member.name):
                with tarfile.open(fileobj=outer.extractfile(member), mode="r|xz") as inner:
                    _take(inner, into)
                return
    raise UsageError(f"{path}: has no archive of a source tree")


def _take(archive, into):
    for member in archive:
        name = member.name.partition("/")[2]
        if member.isfile() and PARTS.match(name):
            target = os.path.join(into, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                shutil.copyfileobj(archive.extractfile(member), file)


def _settle(headers, final):
    """The packages name each other by absolute paths: those that the files will have."""
    base = os.path.join(headers, "usr/src")
    for name in os.listdir(base):
        for file in ("Makefile", ".kernelvariables"):
            path = os.path.join(base, name, file)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, encoding="utf-8") as opened:
                    text = opened.read()
                with open(path, "w", encoding="utf-8") as opened:
                    opened.write(re.sub(r"(?<![\w/])/usr/(src|lib)/linux", rf"{final}/usr/\1/linux", text))
