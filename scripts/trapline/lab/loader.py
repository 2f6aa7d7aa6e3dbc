# SPDX-License-Identifier: BSD-2-Clause
"""Linux without firmware or boot loader, for an emulator that can put files into RAM (Bochs).

The ROM is one screenful of instructions from the reset vector to Linux's 32-bit entry
(Documentation/arch/x86/boot.rst); what a BIOS and a boot loader would have prepared lies in RAM
already. There is no ACPI and no PCI set-up, and a lab needs neither.

Bochs reads a file into its memory as one piece, and gives a block of guest memory its place in that
piece when the block is first touched, in the order of touching. So there is one file, and the first
thing the ROM does is to touch all that the file covers, in order.
"""

import struct

from ..errors import UsageError

LOAD_AT = 0x1000            # where the file begins
MP_TABLE_AT = 0x9fc00       # in the last KiB of low memory, where Linux looks for it
KERNEL_AT = 0x100000
PARAMS_AT = 0x10000         # boot_params, and the command line behind it
INITRD_AT = 0x6000000       # above all that the kernel unpacks itself to
FLAG_AT = 0x11fff           # in the last byte there: not zero after the first reset
_ROM_BYTES = 0x20000

_SETUP_HEADER = 0x1f1
_E820_COUNT, _E820_TABLE = 0x1e8, 0x2d0


def _split(bzimage):
    """(setup header, protected-mode kernel) of a bzImage."""
    if bzimage[0x202:0x206] != b"HdrS":
        raise UsageError("the lab's kernel is no bzImage")
    sectors = bzimage[0x1f1] or 4
    end = 0x202 + bzimage[0x201]
    return bzimage[_SETUP_HEADER:end], bzimage[(sectors + 1) * 512:]


def _mp_table(at):
    """One CPU, one I/O APIC, in the words of Intel's MultiProcessor Specification 1.4."""
    entries = [struct.pack("<BBBBIIII", 0, 0, 0x14, 3, 0x600, 0x201, 0, 0),
               struct.pack("<BB6s", 1, 0, b"ISA   "),
               struct.pack("<BBBBI", 2, 1, 0x11, 1, 0xfec00000)]
    for irq in range(16):
        if irq != 2:                # the timer comes in where the cascade was
            entries.append(struct.pack("<BBHBBBB", 3, 0, 0, 0, irq, 1, irq or 2))
    for kind, pin in ((3, 0), (1, 1)):
        entries.append(struct.pack("<BBHBBBB", 4, kind, 0, 0, 0, 0xff, pin))
    body = b"".join(entries)
    table = bytearray(struct.pack("<4sHBB8s12sIHHII", b"PCMP", 44 + len(body), 4, 0, b"TRAPLINE",
                                  b"LAB         ", 0, 0, len(entries), 0xfee00000, 0) + body)
    table[7] = -sum(table) & 0xff
    pointer = bytearray(struct.pack("<4sIBBB5s", b"_MP_", at + 16, 1, 4, 0, bytes(5)))
    pointer[10] = -sum(pointer) & 0xff
    return bytes(pointer + table)


def memory(bzimage, initrd, command_line, megabytes):
    """{address: bytes}: what must be in RAM at reset; all else that lies between is zero."""
    header, code = _split(bzimage)
    params = bytearray(4096)
    params[_SETUP_HEADER:_SETUP_HEADER + len(header)] = header
    params[0x210] = 0xff                                    # loader: not one that has a number
    params[0x211] |= 1                                      # loaded high
    struct.pack_into("<I", params, 0x214, KERNEL_AT)
    struct.pack_into("<II", params, 0x218, INITRD_AT, len(initrd))
    struct.pack_into("<I", params, 0x228, PARAMS_AT + 4096)
    ram = ((0x1000, MP_TABLE_AT - 0x1000), (0x100000, (megabytes << 20) - 0x100000))
    params[_E820_COUNT] = len(ram)
    for i, (start, size) in enumerate(ram):
        struct.pack_into("<QQI", params, _E820_TABLE + 20 * i, start, size, 1)
    return {MP_TABLE_AT: _mp_table(MP_TABLE_AT), KERNEL_AT: code, INITRD_AT: initrd,
            PARAMS_AT: (bytes(params) + command_line.encode()).ljust(
                FLAG_AT + 1 - PARAMS_AT, b"\0")}


def rom(end):
    """128 KiB that end at 4 GiB, for memory filled up to `end`."""
    base = 0x1_0000_0000 - 0x1000           # the code's page
    gdt = 0x100                             # offsets in it
    flat = 0x40
    page = bytearray(b"\xf4" * 0x1000)      # hlt

    real = b"\xfa"                                                      # cli
    real += b"\x2e\x66\x0f\x01\x16" + struct.pack("<H", 0xf000 + gdt)   # lgdtl %cs:…
    real += b"\x66\xb8" + struct.pack("<I", 0x11)                       # mov $(ET | PE), %eax
    real += b"\x0f\x22\xc0"                                             # mov %eax, %cr0
    real += b"\x66\xea" + struct.pack("<IH", base + flat, 0x10)         # ljmpl $0x10, $flat
    page[0:len(real)] = real

    code = b"\xb8" + struct.pack("<I", 0x18)                # mov $0x18, %eax
    code += b"\x8e\xd8\x8e\xc0\x8e\xd0"                     # mov %eax, %ds, %es, %ss
    code += b"\x8e\xe0\x8e\xe8"                             # mov %eax, %fs, %gs
    code += b"\xbf" + struct.pack("<I", LOAD_AT)             # mov $LOAD_AT, %edi
    loop = b"\x8a\x07"                                      # mov (%edi), %al
    loop += b"\x81\xc7" + struct.pack("<I", 0x10000)        # add $64K, %edi
    loop += b"\x81\xff" + struct.pack("<I", end)            # cmp $end, %edi
    code += loop + b"\x72" + struct.pack("b", -len(loop) - 2)               # jb
    # A second reset means that the kernel has died: end the emulator.
    code += b"\x80\x3d" + struct.pack("<I", FLAG_AT) + b"\0"            # cmpb $0, FLAG_AT
    shutdown = b"\x66\xba" + struct.pack("<H", 0x8900)                  # mov $0x8900, %dx
    for char in b"Shutdown":
        shutdown += b"\xb0" + bytes([char]) + b"\xee"                   # mov $char, %al; out
    shutdown += b"\xf4"                                                 # hlt
    code += b"\x74" + bytes([len(shutdown)]) + shutdown                 # je over it
    code += b"\xc6\x05" + struct.pack("<I", FLAG_AT) + b"\1"            # movb $1, FLAG_AT
    code += b"\xbe" + struct.pack("<I", PARAMS_AT)                      # mov $PARAMS_AT, %esi
    code += b"\x31\xdb\x31\xed\x31\xff"                                 # xor ebx, ebp, edi
    code += b"\xb8" + struct.pack("<I", KERNEL_AT) + b"\xff\xe0"        # jmp *%eax
    page[flat:flat + len(code)] = code

    # Behind the pointer to it: selectors 0x10 and 0x18, as Linux wants them.
    page[gdt:gdt + 6] = struct.pack("<HI", 31, base + gdt + 8)
    page[gdt + 8:gdt + 40] = struct.pack("<QQQQ", 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff)
    page[0xff0:0xff3] = b"\xe9" + struct.pack("<h", -0xff3)             # jmp to its start
    return b"\xff" * (_ROM_BYTES - 0x1000) + bytes(page)
