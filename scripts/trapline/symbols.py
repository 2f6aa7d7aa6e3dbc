# SPDX-License-Identifier: BSD-2-Clause
"""Addresses of a guest as NAME+0x12, and names as addresses. Loaded only when one is wanted."""

import bisect
import re

from .errors import UsageError

_ADDRESS = re.compile(r"\b(?:0x)?([0-9a-fA-F]{5,16})\b")


class Symbols:
    """Symbols of one ELF file. An unreadable file has none: a dump stays worth reading."""

    def __init__(self, path):
        self._ranges, self._addresses, self._names = [], [], []
        try:
            from elftools.common.exceptions import ELFError
            from elftools.elf.elffile import ELFFile
        except ImportError:                     # the bundle does without
            return

        found = {}
        try:
            with open(path, "rb") as file:
                elf = ELFFile(file)
                for section in elf.iter_sections():
                    if section["sh_flags"] & 2:         # SHF_ALLOC
                        start = section["sh_addr"]
                        self._ranges.append((start, start + section["sh_size"]))
                table = elf.get_section_by_name(".symtab")
                for symbol in table.iter_symbols() if table else ():
                    kind = symbol["st_info"]["type"]
                    if symbol.name and kind in ("STT_FUNC", "STT_NOTYPE", "STT_OBJECT") \
                            and symbol["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS"):
                        # Of several names for an address, show a function's, and rather what
                        # begins there than what ends there.
                        rank = (kind == "STT_FUNC", not symbol.name.endswith("_end"))
                        found.setdefault(symbol["st_value"], []).append((rank, symbol.name))
        except (ELFError, OSError):
            pass
        self._addresses = sorted(found)
        self._names = [max(found[address], key=lambda n: n[0])[1] for address in self._addresses]

    def name(self, address):
        """"NAME+0x12" for an address within the guest, else None."""
        if not any(start <= address < end for start, end in self._ranges):
            return None
        i = bisect.bisect_right(self._addresses, address) - 1
        if i < 0:
            return None
        offset = address - self._addresses[i]
        return self._names[i] + (f"+{offset:#x}" if offset else "")

    def annotate(self, line):
        """`line` with <NAME+0x12> behind every number that is an address of the guest."""
        def one(match):
            name = self.name(int(match[1], 16))
            return f"{match[0]} <{name}>" if name else match[0]
        return _ADDRESS.sub(one, line)


def addresses(path, names):
    """Addresses of the symbols `names` of an ELF file, in that order. UsageError if one is missing."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with open(path, "rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            found = {s.name: s["st_value"] for s in table.iter_symbols()} if table else {}
    except (ELFError, OSError) as error:
        raise UsageError(f"{path}: {error}") from None
    missing = [name for name in names if name not in found]
    if missing:
        raise UsageError(f"{path}: has no symbol {missing[0]}")
    return [found[name] for name in names]
