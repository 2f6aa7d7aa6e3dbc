# SPDX-License-Identifier: BSD-2-Clause
"""Errors that are the user's to mend: one sentence each, exit status 2."""


class UsageError(Exception):
    """Wrong option, name or file. str() is one sentence, without full stop, for stderr."""


def nearest(word, candidates):
    """"; did you mean 'x'?" for the valid word most like `word`, or "" if there is none."""
    import difflib

    candidates = list(candidates)
    lower = {c.lower(): c for c in candidates}
    found = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    if not found:
        # A part of a long name is a common way to mistype it.
        found = sorted((c for c in lower if word.lower() in c), key=len)[:1]
    return f"; did you mean '{lower[found[0]]}'?" if found else ""


def unknown(kind, word, candidates):
    """UsageError for a name that is not one of `candidates`."""
    candidates = list(candidates)
    hint = nearest(word, candidates)
    if not hint and candidates:
        shown = ", ".join(candidates[:8]) + (", ..." if len(candidates) > 8 else "")
        hint = f"; valid: {shown}"
    return UsageError(f"unknown {kind} '{word}'{hint}")
