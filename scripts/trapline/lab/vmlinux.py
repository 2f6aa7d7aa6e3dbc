# SPDX-License-Identifier: BSD-2-Clause
"""The kernel inside a bzImage: an ELF file, which an emulator loads without unpacking it instruction by
instruction. For Debian's kernels that is most of a boot's time.

Where the payload lies and how long it is stands in the setup header (Linux, Documentation/arch/x86/boot.rst).
"""

import lzma
import struct
import zlib

from ..errors import UsageError
from .deb import run

_SETUP_SECTORS, _SIGNATURE, _PAYLOAD = 0x1f1, 0x202, 0x248
_ELF = b"\x7fELF"
_NOTE, _PVH_ENTRY = 4, 18       # program header PT_NOTE; note of name "Xen": a 32-bit entry point


def unpacked(image):
    """The ELF file in `image`, the bytes of a bzImage; None where it is packed in a way not known here, or is
    none."""
    if image[_SIGNATURE:_SIGNATURE + 4] != b"HdrS" or len(image) < _PAYLOAD + 8:
        return None
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    start = ((image[_SETUP_SECTORS] or 4) + 1) * 512 + offset
    payload = image[start:start + length]
    try:
        elf = _unpack(payload)
    except (lzma.LZMAError, zlib.error, EOFError, UsageError):
        return None
    return elf if elf[:4] == _ELF else None


def _unpack(payload):
    # The decompressors stop at the end of the stream: the length of what was packed comes after it.
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31).decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        return run(["zstd", "-dc"], payload[:-4], "the kernel's image")
    return payload


def has_pvh_entry(elf):
    """Whether QEMU can start the ELF file of a kernel by itself (-kernel): it has the note of CONFIG_PVH."""
    offset, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for i in range(count):
        kind, _, at, _, _, length = struct.unpack_from("<IIQQQQ", elf, offset + i * size)
        if kind == _NOTE and _notes(elf[at:at + length]):
            return True
    return False


def _notes(data):
    at = 0
    while at + 12 <= len(data):
        name, size, kind = struct.unpack_from("<III", data, at)
        if kind == _PVH_ENTRY and data[at + 12:at + 12 + name] == b"Xen\0":
            return True
        at += 12 + (name + 3 & ~3) + (size + 3 & ~3)
    return False
