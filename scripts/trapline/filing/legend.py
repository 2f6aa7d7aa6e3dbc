# SPDX-License-Identifier: BSD-2-Clause
"""The notation of traces for somebody who has never seen it: as much of docs/notation.md as two traces need."""

import re

# What stands in a trace, and the line that explains it; in the order in which they are read.
_ROWS = (
    (r"^crash$", "`crash`", "the guest came to a sudden end, or to none at all: no result"),
    (r"\(none\)", "`(none)`", "no event was delivered"),
    (r"#[A-Z]{2}(?![\w(\[])", "`#BP`, `#UD`, …", "an exception that pushed no error code"),
    (r"#(?!DB)[A-Z]{2}\(0x", "`#NP(0x1a)`", "an exception, with the error code that it pushed"),
    (r"#[A-Z]{2}\([^)]*v", "`#NP(v*8+2)`", "an exception, its error code as a formula of the vector under test"),
    (r"cr2=", "`cr2=…`", "the address in CR2 when the handler ran"),
    (r"#DB\[", "`#DB[BS]`", "a debug exception, with the bits of DR6 that it left set (DR6 was cleared before)"),
    (r"(?<!exit )\bint (0x|v)", "`int 0x15`", "a software interrupt: the two bytes before the return address are `CD 15`"),
    (r"\bextint ", "`extint 0x20`", "an interrupt whose bit in the local APIC's ISR was not set"),
    (r"\bintr (0x|v)", "`intr 0x15`", "an interrupt: its bit in the local APIC's ISR was set"),
    (r"\bnmi\b", "`nmi`", "vector 2, not by an INT 2 instruction"),
    (r"\bexit ", "`exit …`", "a VM exit that the guest, as hypervisor of a nested guest, got"),
    (r"\bL1 ", "`L1 …`", "delivered to the guest while it was hypervisor of a nested guest, not to that one"),
    (r"@insn\b(?!\+)", "`@insn`", "the saved RIP is the address of the instruction under test (as for a fault)"),
    (r"@after\b", "`@after`", "the saved RIP is that of the instruction behind the one under test (as for a trap)"),
    (r"@wait\b", "`@wait`", "it came while the code waited for it with interrupts enabled"),
    (r"@(?!insn\b|after\b|wait\b)[a-z_]", "`@name`", "the saved RIP is that of the label `name` in the code under test"),
    (r"@0x", "`@0x…`", "the saved RIP is that address"),
    (r"handler\[", "`handler[0x3]`", "the first instruction of that vector's handler"),
    (r"\{[A-Z, ]+\}", "`{RF}`", "flags that are set in the pushed RFLAGS, of those that are looked at"),
    (r"[a-z]+=0x", "`irr=0x1`", "a register of the local APIC, read at that moment (for IRR, ISR, TMR the vector's bit)"),
    (r"\[0x[0-9a-f]+[\]\-,]", "`[0x10-0xff]`", "what follows holds for each of these vectors under test, which is `v`"),
    (r"; ", "`;`", "between one run of the code under test and the next"),
    (r" x\d+", "`x100`", "so many times in a row"),
    (r"\| cpu\d", "`| cpu1:`", "from here on, what the second CPU saw"),
)


def legend(*traces):
    """(sign, meaning) pairs for what stands in `traces`."""
    return [(sign, meaning) for pattern, sign, meaning in _ROWS if any(re.search(pattern, t) for t in traces)]
