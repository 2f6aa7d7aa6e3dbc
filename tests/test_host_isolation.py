# SPDX-License-Identifier: BSD-2-Clause
"""Nothing that the SEV host's monitor runs reaches the monitor's memory (lab/host).

A kernel of our own (tests/host/intruder.c) is started on it instead of Linux, once for each way to try.
"""

import os
import shutil
import struct
import subprocess

import pytest

from trapline.lab import emulator
from trapline.lab.sevhost import LabAmd

TOP = os.path.normpath(os.path.join(os.path.dirname(__file__), ".."))
FLAGS = """-std=gnu11 -O2 -m64 -march=x86-64 -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only
    -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -Wall -Wextra -Werror -Ilib""".split()
LINK = "-nostdlib -static -no-pie -z noexecstack -Ttext-segment=0x1000000".split()
PAGE = 4096


def bundle(kernel, initrd=b"none"):
    """As lab/host/base/bundle.h has it."""
    at = PAGE
    initrd_at = at + len(kernel) + -len(kernel) % PAGE
    head = struct.pack("<8sQQQQ", b"L0BUNDLE", at, len(kernel), initrd_at, len(initrd))
    return (head.ljust(at, b"\0") + kernel).ljust(initrd_at, b"\0") + initrd


@pytest.fixture(scope="module")
def qemu():
    program = emulator.path() or shutil.which("qemu-system-x86_64")
    if not program:
        pytest.skip("no QEMU")
    return program


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """(monitor, bundle with the intruder)."""
    folder = tmp_path_factory.mktemp("intruder")
    # Built for the suite already, most likely.
    subprocess.run(["make", "-s", "build/lab/host.elf"], cwd=TOP, check=True, stdin=subprocess.DEVNULL)
    objects = []
    for source in ("tests/host/intruder.S", "tests/host/intruder.c", "lib/string.c"):
        objects.append(str(folder / os.path.basename(source)) + ".o")
        subprocess.run([os.environ.get("CC", "gcc"), *FLAGS, "-c", source, "-o", objects[-1]], cwd=TOP, check=True)
    subprocess.run(["ld", *LINK, *objects, "-o", folder / "intruder"], cwd=TOP, check=True)
    (folder / "bundle").write_bytes(bundle((folder / "intruder").read_bytes()))
    return os.path.join(TOP, "build", "lab", "host.elf"), folder / "bundle"


def log(qemu, monitor, bundle_file, words, folder, cpu=LabAmd.cpu):
    """What is said before the machine ends."""
    path = folder / "log"
    subprocess.run(
        [qemu, "-no-user-config", "-M", LabAmd.board, "-accel", "tcg,thread=single", "-cpu", cpu,
         "-m", "128", "-nodefaults", "-display", "none", "-no-reboot",
         "-kernel", monitor, "-initrd", bundle_file, "-append", words,
         "-chardev", f"file,id=log,path={path}", "-device", "isa-debugcon,iobase=0x403,chardev=log"],
        stdin=subprocess.DEVNULL, timeout=60, check=False)
    return path.read_text()


@pytest.mark.parametrize("way, said", [
    ("none", "intruder: the guest ran"),
    ("map", "intruder: reserved"),
    ("read", "l0: stop: L1 reaches for the monitor's memory: address 0x200000, "),
    ("write", "l0: stop: L1 reaches for the monitor's memory: address 0x200000, "),
    ("no-svme", "intruder: an exception"),
    ("vmrun", "intruder: an exception"),
    ("vmrun-unaligned", "intruder: an exception"),
    ("vmload", "l0: stop: L1 reaches for the monitor's memory: address 0x2004"),
    ("vmsave", "l0: stop: L1 reaches for the monitor's memory: address 0x2004"),
    ("cr3", "l0: stop: L1 reaches for the monitor's memory: address 0x200000, "),
    ("apic-base", "l0: stop: L1 moves its local APIC to 0x200900"),
    ("dma", "l0: stop: L1 reaches for port 0x518, by which QEMU copies files to any address"),
    ("bus", "intruder: no bus master"),
    ("firmware-buffer", "intruder: refused"),
    ("firmware-region", "intruder: refused"),
    ("hsave", "intruder: the guest ran"),       # of L1's the monitor only reads it, for SEV-ES
    ("msr-map", "intruder: VMEXIT_INVALID"),
    ("io-map", "intruder: VMEXIT_INVALID"),
    ("vmsa", "intruder: VMEXIT_INVALID"),
    ("vmsa-unaligned", "intruder: VMEXIT_INVALID"),
    ("nested-page", "l0: stop: L1 gives L2 the memory at 0x200000, which is not its own"),
    ("nested-table", "l0: stop: L1's nested tables go through 0x200000, which is no memory of its own"),
    ("nested-root", "l0: stop: L1's nested tables go through 0x200000, which is no memory of its own"),
    ("no-nesting", "l0: stop: L2 reaches for 0x200000, which is not L1's"),
    ("no-nesting-cr3", "l0: stop: L2 reaches for 0x200000, which is not L1's"),
    ("l2-vmload", "l0: stop: L2 reaches for 0x200000 by VMLOAD or VMSAVE"),
    ("l2-vmsave", "l0: stop: L2 reaches for 0x200000 by VMLOAD or VMSAVE"),
    ("l2-vmload-own", "intruder: the guest ran"),
    ("l2-vmsave-own", "intruder: the guest ran"),
    ("l2-dma", "l0: stop: L1 leaves port 0x518 to its L2"),
    ("unwatched l2-dma", "l0: stop: L1 leaves port 0x518 to its L2"),
    ("l2-pci", "l0: stop: L1 leaves port 0xcf8 to its L2"),
    ("unwatched l2-pci", "l0: stop: L1 leaves port 0xcf8 to its L2"),
    ("l2-hsave", "l0: stop: L1 leaves MSR 0xc0010117 to its L2"),
    ("unwatched l2-hsave", "l0: stop: L1 leaves MSR 0xc0010117 to its L2"),
    ("l2-apic-base", "l0: stop: L1 leaves MSR 0x1b to its L2"),
    ("unwatched l2-apic-base", "l0: stop: L1 leaves MSR 0x1b to its L2"),
    ("unwatched l2-msr-beyond-the-map", "intruder: the guest ran"),
    ("l0.with=snp none", "intruder: the guest ran"),
    ("l0.with=snp read", "l0: stop: L1 reaches for the monitor's memory: address 0x200000, "),
    ("l0.with=snp iommu-store", "l0: the IOMMU is to write to 0x200000, which is not L1's\nintruder: done"),
    ("l0.with=snp iommu-commands", "l0: the IOMMU's commands are at 0x200000, which is not L1's\nintruder: done"),
    ("l0.with=snp rmp-write", "intruder: an exception"),
    ("l0.with=snp rmp-base", "intruder: an exception"),
    ("l0.with=snp rmp-update", "intruder: refused"),
    ("l0.with=snp rmp-update-table", "intruder: refused"),
    ("l0.with=snp rmp-assigned", "intruder: an exception"),
    ("l0.with=snp rmp-assigned-read", "intruder: read"),
    ("rmp-update", "intruder: an exception"),       # a CPU without SEV-SNP: #UD
])
def test_way_in(qemu, images, tmp_path, way, said):
    text = log(qemu, *images, way, tmp_path)
    assert said in text
    assert "the monitor itself raised" not in text


def test_init_ends_the_machine(qemu, images, tmp_path):
    """The emulator takes it although GIF is clear: nobody goes on, neither L1 nor the monitor."""
    text = log(qemu, *images, "init", tmp_path)
    assert "l0: 1" in text and "intruder" not in text


@pytest.mark.parametrize("cpu, said", [
    ("max,-svm", "the CPU has no SVM, on which L1 would run"),
    (f"{LabAmd.cpu},-npt", "the CPU's SVM has no nested paging, on which L1 would run"),
    ("max,la57=off,phys-bits=48", "the CPU has no virtualized VMLOAD and VMSAVE"),
], ids=["SVM", "nested paging", "virtualized VMLOAD"])
def test_cpu_without(qemu, images, tmp_path, cpu, said):
    assert f"l0: stop: {said}" in log(qemu, *images, "none", tmp_path, cpu=cpu)


@pytest.mark.parametrize("words, said", [
    ("l0.without=nrips,decodes read", "l0.without=nrips,decodes: nothing is known by the name of 'decodes'"),
    ("l0.as-is=tcg-exit read", "l0.as-is=tcg-exit: nothing is known by the name of 'tcg-exit'"),
    ("l0.nonsense", "l0.nonsense: the monitor has no such option"),
    ("l0.trace l0.as-is=all l0.without=sev map", "intruder: reserved"),
])
def test_words(qemu, images, tmp_path, words, said):
    assert said in log(qemu, *images, words, tmp_path)


@pytest.mark.parametrize("content, said", [
    (b"no bundle at all".ljust(PAGE), "l0: stop: what -initrd names is no bundle"),
    (bundle(b"no kernel".ljust(PAGE)), "l0: stop: the kernel in the bundle is neither a vmlinux nor a bzImage"),
    (bundle(b"\x7fELF" + bytes(PAGE))[:2 * PAGE], "l0: stop: what -initrd names is no bundle"),
], ids=["other", "no kernel", "cut short"])
def test_bundles(qemu, images, tmp_path, content, said):
    (tmp_path / "bundle").write_bytes(content)
    assert said in log(qemu, images[0], tmp_path / "bundle", "", tmp_path)
