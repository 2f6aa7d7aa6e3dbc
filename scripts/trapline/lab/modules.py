# SPDX-License-Identifier: BSD-2-Clause
"""KVM's modules alone, built against the headers of a distribution's kernel, to be loaded into that kernel.

A kernel is minutes; this is two for the first time and seconds after a change. What KVM is made of is copied to
a folder of its own, since headers packages have neither arch/x86/kvm nor virt/kvm and two lines of KVM's Makefile
name those by the kernel's folder. KVM's own headers are the tree's: a commit may change them.
"""

import os
import re
import subprocess

from ..errors import UsageError
from . import kmod, source, store

_KVM = os.path.join("arch", "x86", "kvm")
_MAKEFILES = ((r"-I *\$\(srctree\)/arch/x86/kvm", "-I $(src) -I $(src)/../../../include/trace"),
              (r"\$\(srctree\)/virt/kvm/Makefile\.kvm", "$(src)/../../../virt/kvm/Makefile.kvm"))
_HEADERS = ("arch/x86/include", "arch/x86/include/uapi", "include", "include/uapi")
_UNWANTED = {"amd": "CONFIG_KVM_INTEL=", "intel": "CONFIG_KVM_AMD="}


def sync(tree, work):
    """What source.PARTS says of `tree`, in `work`: only what differs is written, so that make builds no more."""
    if not os.path.isfile(os.path.join(tree, _KVM, "Makefile")):
        raise UsageError(f"{tree} is no source tree of Linux: it has no {_KVM}/Makefile")
    kept = set()
    for top in (_KVM, "virt/kvm", "include", "arch/x86/include"):
        for folder, _, files in os.walk(os.path.join(tree, top)):
            for file in files:
                path = os.path.join(folder, file)
                name = os.path.relpath(path, tree)
                if source.PARTS.match(name) and _is_source(file):
                    kept.add(name)
                    with open(path, "rb") as opened:
                        _write(os.path.join(work, name), _adapted(name, opened.read()))
    for folder, _, files in os.walk(work):
        for file in files:
            path = os.path.join(folder, file)
            if _is_source(file) and not file.endswith((".mod.c", "-asm-offsets.h")) \
                    and os.path.relpath(path, work) not in kept:
                os.unlink(path)
    # trace.h includes itself by a way that begins there.
    os.makedirs(os.path.join(work, "include", "trace"), exist_ok=True)


def _is_source(file):
    return file.endswith((".c", ".h", ".S")) or file.startswith(("Makefile", "Kconfig"))


def _adapted(name, data):
    if name != os.path.join(_KVM, "Makefile"):
        return data
    text = data.decode()
    for pattern, by in _MAKEFILES:
        text, count = re.subn(pattern, lambda _, by=by: by, text)
        if not count:
            raise UsageError(f"{name} is not as expected: nothing in it is like '{pattern}'")
    return text.encode()


def _write(path, data):
    try:
        with open(path, "rb") as file:
            if file.read() == data:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def build(kernel, tree, vendor, jobs, quiet=True):
    """{name: ELF file} of the modules of `tree` for `kernel`, a store.Kernel whose source.fetch() has been.

    `vendor` is "amd" or "intel". UsageError, with the compiler's first complaint, where it does not compile.
    """
    headers = os.path.join(source.folder(kernel.name), "headers", "usr", "src", f"linux-headers-{kernel.release}")
    work = os.path.join(store.root(), "built", kernel.name)
    sync(tree, work)
    own = " ".join(f"-I{os.path.join(work, part)}" for part in _HEADERS)
    done = subprocess.run(
        ["make", "-C", headers, f"M={os.path.join(work, _KVM)}", f"-j{jobs}", "CC=gcc", "HOSTCC=gcc",
         f"NOSTDINC_FLAGS=-nostdinc {own}", "CONFIG_DEBUG_INFO_BTF_MODULES=", "CONFIG_KVM_WERROR=",
         _UNWANTED[vendor], "modules"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if not quiet or done.returncode:
        print(done.stdout, end="", flush=True)
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if re.search(r"\berror\b|\*\*\*", line)]
        raise UsageError("KVM's modules do not build: " + (errors or ["make says no more"])[0])
    found = {}
    for name in ("kvm", f"kvm-{vendor}"):
        path = os.path.join(work, _KVM, name + ".ko")
        stripped = path + ".stripped"
        _strip(path, stripped)
        with open(stripped, "rb") as file:
            found[name] = file.read()
    return found


def add(name, base, built, tree):
    """Kernel `name`: what `base` is, with the modules `built`, of source tree `tree`."""
    infos = {module: kmod.info(elf) for module, elf in built.items()}
    for module, info in infos.items():
        if info["vermagic"].split(" ")[0] != base.release:
            raise UsageError(f"{module} became one for {info['vermagic']}, the kernel is {base.release}")
    for module in base.modules:
        if module not in store.MODULES:             # the other vendor's would not fit any more
            infos.setdefault(module, {"depends": base.modules[module], "params": base.params[module]})
    loaded = kmod.closure([m for m in store.MODULES if m in built], infos)
    kernel = store.Kernel(name, base.release, base.version, f"{base.name}, KVM of {os.path.abspath(tree)}",
                          {m: infos[m]["depends"] for m in loaded}, {m: infos[m]["params"] for m in loaded})
    with store.new(name) as folder:
        for file in {base.vmlinuz, base.vmlinux}:
            os.link(file, os.path.join(folder, os.path.basename(file)))
        for module in loaded:
            path = os.path.join(folder, module + ".ko")
            if module in built:
                with open(path, "wb") as file:
                    file.write(built[module])
            else:
                os.link(base.module_file(module), path)
        store.save(folder, kernel)
    return kernel


def _strip(path, to):
    done = subprocess.run(["strip", "--strip-debug", "-o", to, path], check=False, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(done.stderr.strip())
