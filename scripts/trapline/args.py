# SPDX-License-Identifier: BSD-2-Clause
"""The block of arguments in an image (docs/contract.md)."""

from .errors import UsageError

ARGS_MAGIC = b"TRAPLINE-ARGS-1\n"
ARGS_SIZE = 4096


def patched(rom, words, where):
    """`rom` (bytes) with the argument block filled with `words`. UsageError if it has none."""
    at = rom.find(ARGS_MAGIC)
    if at < 0 or rom.find(ARGS_MAGIC, at + 1) >= 0 or at + ARGS_SIZE > len(rom):
        raise UsageError(f"{where}: does not have exactly one argument block")
    block = ARGS_MAGIC + " ".join(words).encode()
    if len(block) >= ARGS_SIZE:
        raise ValueError("too many words")
    return rom[:at] + block.ljust(ARGS_SIZE, b"\0") + rom[at + ARGS_SIZE:]


def ranges(numbers):
    """"0-3,7" for ascending numbers."""
    parts = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
