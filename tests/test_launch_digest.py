# SPDX-License-Identifier: BSD-2-Clause
"""What the monitor's Secure Processor measures of a launch (lab/host/psp/measure.c), against what OpenSSL computes here,
from AMD's texts, of the same ROM: three ROMs, three kinds, by our VMM and by a stock QEMU. Where a kernel is in the cache."""

import hashlib
import hmac
import re
import select
import struct
import time
import uuid
from pathlib import Path

import pytest
from conftest import full_but

from trapline import args
from trapline.lab import sevhost, store
from trapline.lab.debian import version_key
from trapline.machines import known
from trapline.machines.base import Order, Tools

TOP = Path(__file__).resolve().parent.parent
ROMS = full_but(["dummy", "sev_paging", "vc"], ("dummy",))
TIK = b"Trapline's TIK.\0"
POLICY = {"sev": 1, "sev-es": 5}


# -- From the specifications. ----------------------------------------------------------------------------------

def measurement(policy, digest, nonce):
    """SEV API, LAUNCH_MEASURE, for version 1.55 build 9."""
    return hmac.digest(TIK, bytes([4, 1, 55, 9]) + struct.pack("<I", policy) + digest + nonce, "sha256")


def page_info(digest, kind, contents, gpa):
    """SNP ABI, PAGE_INFO: the next launch digest."""
    contents = hashlib.sha384(contents).digest() if contents else bytes(48)
    return hashlib.sha384(digest + contents + struct.pack("<HBBBBBBQ", 0x70, kind, 0, 0, 0, 0, 0, gpa)).digest()


def vmsa(code, stack, dx, features, fpu):
    """The first CPU's at reset (APM 2, "Processor Initialization State" and "VMSA"), as KVM seals it: with the attributes of
    CS and SS, RDX and SEV_FEATURES as given, and with the FPU's registers or without."""
    page = bytearray(4096)

    def put(at, form, *values):
        struct.pack_into("<" + form, page, at, *values)

    for at in (0x00, 0x30, 0x40, 0x50):                         # ES, DS, FS, GS
        put(at, "HHIQ", 0, 0x93, 0xffff, 0)
    put(0x10, "HHIQ", 0xf000, code, 0xffff, 0xffff0000)         # CS
    put(0x20, "HHIQ", 0, stack, 0xffff, 0)                      # SS
    put(0x60, "HHIQ", 0, 0, 0xffff, 0)                          # GDTR
    put(0x70, "HHIQ", 0, 0x82, 0xffff, 0)                       # LDTR
    put(0x80, "HHIQ", 0, 0, 0xffff, 0)                          # IDTR
    put(0x90, "HHIQ", 0, 0x8b, 0xffff, 0)                       # TR
    put(0xd0, "Q", 0x1000)                                      # EFER.SVME
    put(0x148, "QQQQQQQ", 0x40, 0, 0x10, 0x400, 0xffff0ff0, 2, 0xfff0)  # CR4, CR3, CR0, DR7, DR6, RFLAGS, RIP
    put(0x268, "Q", 0x0007040600070406)                         # PAT
    put(0x310, "Q", dx)
    put(0x3b0, "Q", features)
    put(0x3e8, "Q", 1)                                          # XCR0
    if fpu:
        put(0x408, "I", 0x1f80)                                 # MXCSR
        put(0x410, "H", 0x37f)                                  # x87 control
    return bytes(page)


def metadata(rom):
    """(base, bytes, type) of each section that the ROM's table of GUIDs leads to."""
    at = rom.find(uuid.UUID("dc886566-984a-4798-a75e-5585a7bf67cc").bytes_le)
    start = len(rom) - struct.unpack_from("<I", rom, at - 6)[0]
    magic, _, _, sections = struct.unpack_from("<4sIII", rom, start)
    assert magic == b"ASEV"
    return [struct.unpack_from("<III", rom, start + 16 + 12 * i) for i in range(sections)]


def snp_digest(rom, cpu):
    digest, base = bytes(48), (1 << 32) - len(rom)
    for at in range(0, len(rom), 4096):
        digest = page_info(digest, 1, rom[at:at + 4096], base + at)
    for at, length, kind in metadata(rom):
        for gpa in range(at, at + length, 4096):
            digest = page_info(digest, {1: 3, 2: 5, 3: 6}[kind], None, gpa)
    return page_info(digest, 2, cpu, 0xfffffffff000)


def first_cpu(machine, suffix):
    """Its VMSA on this machine. KVM's own state at reset is 0x9a and 0x92, with 0x600 in RDX; QEMU writes the manual's, with
    the CPU's signature: TCG's, or what the monitor makes of it for SEV-SNP. From Linux 6.10 on, the FPU is part of it
    where the VM is of a type of its own, which QEMU makes it from 9.1 on."""
    stock, snp = suffix.startswith("qemu-"), suffix.endswith("snp")
    typed = version_key(machine.kernel.version) >= version_key("6.10") and \
        (not stock or version_key(machine.real.program_number()) >= version_key("9.1"))
    segments = (0x9b, 0x93, 0xa00f11 if snp else 0x663) if stock else (0x9a, 0x92, 0x600)
    return vmsa(*segments, int(snp), typed)


# -- Against the host. -------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def machines():
    """machine name → machine, each with one host for all ROMs."""
    made = {}
    yield made
    for machine in made.values():
        machine.close()


def machine_of(made, suffix):
    kind = suffix.removeprefix("qemu-")
    name = next((n for n in reversed(store.names()) if not sevhost.missing(store.load(n), kind)), None)
    if name is None:
        pytest.skip(f"no kernel with {kind} in the cache (scripts/lab add 6.12 --debian trixie --sev)")
    if not Path("/usr/include/bearssl/bearssl_hash.h").exists():
        pytest.skip("needs BearSSL with headers (Debian: libbearssl-dev)")
    if suffix not in made:
        made[suffix] = known.create(f"lab-{name}-{suffix}", Tools(build=str(TOP / "build")))
        assert made[suffix].probe() is None
    return made[suffix]


def run(machine, guest):
    """(the image as it was launched, {what: bytes} of what the monitor has said)."""
    path = TOP / "build" / f"{guest}.rom"
    words = ["cpus=1", *machine.guest_words]
    rom = path.read_bytes()
    boot = machine.start(Order(args.patched(rom, words, guest), image=str(path), words=tuple(words)), [], 120)
    host, end = boot._host, time.monotonic() + 400
    while boot.alive and time.monotonic() < end:
        for fd in select.select(list(boot.fds), [], [], 0.2)[0]:
            boot.ready(fd)
    assert not boot.alive and boot.stream.started, boot.reason
    said = "\n".join(host.beneath())
    found = {what: bytes.fromhex(text) for what, text in
             re.findall(r"^l0: guest \d+, (launch digest|measurement) ([0-9a-f]+)$", said, re.M)}
    return args.patched(rom, [*words, *machine.own_words] if not machine.console else
                        [*words, machine.console, *machine.own_words], guest), found


@pytest.mark.parametrize("guest", ROMS)
@pytest.mark.parametrize("suffix", full_but(["sev", "sev-es", "qemu-sev", "qemu-sev-es"], ("sev-es",)))
def test_sev(machines, suffix, guest):
    machine = machine_of(machines, suffix)
    rom, said = run(machine, guest)
    kind = suffix.removeprefix("qemu-")
    launched = rom if kind == "sev" else rom + first_cpu(machine, suffix)
    digest = hashlib.sha256(launched).digest()
    assert said["launch digest"] == digest
    assert said["measurement"][:32] == measurement(POLICY[kind], digest, said["measurement"][32:])


@pytest.mark.parametrize("guest", ROMS)
@pytest.mark.parametrize("suffix", full_but(["sev-snp", "qemu-sev-snp"], ("qemu-sev-snp",)))
def test_snp(machines, suffix, guest):
    machine = machine_of(machines, suffix)
    rom, said = run(machine, guest)
    assert said["launch digest"] == snp_digest(rom, first_cpu(machine, suffix))
