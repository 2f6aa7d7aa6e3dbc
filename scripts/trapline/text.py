# SPDX-License-Identifier: BSD-2-Clause
"""Bytes and strings from guests and emulators, made safe to print.

Nothing that a guest says reaches a terminal or a report without passing here.
"""

import re

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def printable(data, limit=None):
    """`data` (bytes) as ASCII: tab becomes a blank, every other non-printing byte \\xNN.

    At most `limit` characters, a cut marked with "...".
    """
    if limit is not None and len(data) > limit:
        data, cut = data[:limit], True
    else:
        cut = False
    text = data.decode("latin-1").replace("\t", " ")
    text = _UNPRINTABLE.sub(lambda m: f"\\x{ord(m[0]):02x}", text)
    if limit is not None and len(text) > limit:
        text, cut = text[:limit], True
    return text + "..." if cut else text


def is_text(line):
    """Whether `line` (bytes, without its line end) is printable ASCII and tabs only."""
    return not line.translate(None, _TEXT)


_TEXT = bytes(range(0x20, 0x7f)) + b"\t"


def clean(text):
    """`text` (str, from a file of the project) without control and direction characters."""
    return _CONTROL.sub("?", text)
