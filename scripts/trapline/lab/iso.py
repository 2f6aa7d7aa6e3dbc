# SPDX-License-Identifier: BSD-2-Clause
"""A bootable CD (ISO 9660 with El Torito) of a few files, for an emulator that boots no kernel by itself.

The boot loader is isolinux, which reads a kernel and an initramfs of any size through the BIOS.
"""

import os
import struct

BLOCK = 2048
# Where the distributions have isolinux and the module that it does not work without.
_LOADERS = (
    ("/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"),   # Debian
    ("/usr/share/syslinux/isolinux.bin", "/usr/share/syslinux/ldlinux.c32"),            # Fedora
    ("/usr/lib/syslinux/bios/isolinux.bin", "/usr/lib/syslinux/bios/ldlinux.c32"),      # Arch
)
_MODULES = ("/usr/lib/syslinux/modules/bios", "/usr/share/syslinux", "/usr/lib/syslinux/bios")
_VOLUME, _BOOT_RECORD, _END, _PATHS_LE, _PATHS_BE, _ROOT, _CATALOG, _FIRST_FILE = 16, 17, 18, 19, 20, 21, 22, 23


def loader():
    """Paths of isolinux.bin and ldlinux.c32, or None."""
    return next((pair for pair in _LOADERS if all(map(os.path.exists, pair))), None)


def bootable(kernel, initrd, command_line):
    """The image that boots Linux: bytes from bytes."""
    program, module = (_read(path) for path in loader())
    config = ("DEFAULT linux\nPROMPT 0\nTIMEOUT 0\nLABEL linux\n KERNEL /vmlinuz\n"
              f" INITRD /initrd\n APPEND {command_line}\n").encode()
    return image({"isolinux.bin": program, "isolinux.cfg": config, "ldlinux.c32": module,
                  "vmlinuz": kernel, "initrd": initrd}, "isolinux.bin")


def lacking(*modules):
    """Why the loader cannot be used with these modules of its own, or None."""
    if not loader():
        return "no isolinux, which Bochs needs to boot a kernel (packages isolinux and syslinux-common)"
    gone = [name for name in modules if not _module(name)]
    return f"no {gone[0]} of isolinux (package syslinux-common)" if gone else None


def bootable_modules(command_line, modules):
    """The image that boots a multiboot kernel: the first of `modules` (name: bytes), with the others behind it."""
    program, linker = (_read(path) for path in loader())
    first, *others = modules
    append = " --- ".join([f"/{first} {command_line}", *(f"/{name}" for name in others)])
    config = f"DEFAULT host\nPROMPT 0\nTIMEOUT 0\nLABEL host\n KERNEL mboot.c32\n APPEND {append}\n".encode()
    return image({"isolinux.bin": program, "isolinux.cfg": config, "ldlinux.c32": linker,
                  "mboot.c32": _read(_module("mboot.c32")), "libcom32.c32": _read(_module("libcom32.c32")),
                  **modules}, "isolinux.bin")


def _module(name):
    return next(filter(os.path.exists, (os.path.join(folder, name) for folder in _MODULES)), None)


def image(files, boot):
    """An image with `files` (8.3 names: bytes) in its only folder, that boots file `boot`."""
    names = sorted(files, key=_name)
    at, where = _FIRST_FILE, {}
    for name in names:
        where[name] = at
        at += _blocks(files[name])
    files = files | {boot: _informed(files[boot], where[boot])}
    root = _record(b"\0", _ROOT, BLOCK, folder=True) + _record(b"\1", _ROOT, BLOCK, folder=True)
    root += b"".join(_record(_name(name), where[name], len(files[name])) for name in names)
    if len(root) > BLOCK:
        raise ValueError("too many files for one block")
    head = [b""] * _VOLUME + [
        _volume(at), b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0")
        + struct.pack("<I", _CATALOG), b"\xffCD001\1", _paths("<"), _paths(">"), root,
        _catalog(where[boot])]
    return b"".join(_padded(part) for part in head + [files[name] for name in names])


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _blocks(data):
    return max(-(-len(data) // BLOCK), 1)


def _padded(data):
    return data.ljust(_blocks(data) * BLOCK, b"\0")


def _name(name):
    base, _, suffix = name.upper().partition(".")
    return f"{base}.{suffix};1".encode()


def _both(form, number):
    """A number in both byte orders, as ISO 9660 likes it."""
    return struct.pack("<" + form, number) + struct.pack(">" + form, number)


def _record(name, block, size, folder=False):
    body = _both("I", block) + _both("I", size) + bytes(7) + bytes([2 * folder, 0, 0])
    body += _both("H", 1) + bytes([len(name)]) + name
    body += bytes(len(body) % 2)
    return bytes([len(body) + 2, 0]) + body


def _paths(order):
    return struct.pack(order + "BBIH", 1, 0, _ROOT, 1) + b"\0\0"


def _volume(blocks):
    """The primary volume descriptor."""
    text = (b"\1CD001\1\0" + b"".ljust(32) + b"TRAPLINE".ljust(32) + bytes(8) + _both("I", blocks)
            + bytes(32) + _both("H", 1) + _both("H", 1) + _both("H", BLOCK) + _both("I", 10)
            + struct.pack("<II", _PATHS_LE, 0) + struct.pack(">II", _PATHS_BE, 0)
            + _record(b"\0", _ROOT, BLOCK, folder=True))
    return text + b" " * 623 + (b"0" * 16 + b"\0") * 4 + b"\1\0"


def _catalog(block):
    """El Torito's boot catalog: for a PC, without emulation of a floppy, four sectors."""
    check = bytes([1, 0, 0, 0]) + bytes(24) + bytes(2) + b"\x55\xaa"
    total = -sum(struct.unpack("<16H", check)) & 0xffff
    return check[:28] + struct.pack("<H", total) + check[30:] \
        + struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, block) + bytes(20)


def _informed(program, block):
    """isolinux.bin with the boot information table at its byte 8, which it reads itself by."""
    words = program[64:].ljust(-(-len(program[64:]) // 4) * 4, b"\0")
    total = sum(struct.unpack(f"<{len(words) // 4}I", words)) & 0xffffffff
    return program[:8] + struct.pack("<IIII", _VOLUME, block, len(program), total) + bytes(40) \
        + program[64:]
