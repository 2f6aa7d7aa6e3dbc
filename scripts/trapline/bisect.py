# SPDX-License-Identifier: BSD-2-Clause
"""--bisect: what `git bisect run` wants to know of a hypervisor, as an exit status.

0 is good, 1 is bad, 125 is "cannot tell". A guest that hangs or dies is bad, for that is what
broken hypervisors do to guests. A machine that itself crashes or cannot be started, a case that
is skipped and a set-up that is wrong tell nothing; git would take 2 for "bad", so all of that
is 125. Expectations are ignored: the question is not whether the failure was to be expected.
"""

from . import select
from .errors import UsageError
from .verdicts import CRASHED, FAIL, FLAKY

GOOD, BAD, CANNOT_TELL = 0, 1, 125
_WORDS = {GOOD: "good", BAD: "bad", CANNOT_TELL: "cannot tell"}


def words(argument, sections, load):
    """What CASE[,CASE] of --bisect means as GUEST words; `load(section)` gives images by file.

    A case may come without its guest: the first one that has it is meant. UsageError if there is
    none of that name.
    """
    found = []
    for word in filter(None, (part.strip() for part in argument.split(","))):
        if "/" in word or word in sections:
            found.append(word)
            continue
        images = load(sections.values())
        name, colon, environment = word.partition(":")
        section, case = select.explained(list(sections.values()), images, name)[0]
        found.append(f"{section.name}/{case.name}{colon}{environment}")
    if not found:
        raise UsageError("--bisect names no case")
    return found


def status(results, interrupted=False):
    """(exit status, sentence) for verdicts.Results."""
    bad = [r for r in results if _is_bad(r)]
    unsure = [r for r in results if not _is_bad(r) and r.verdict not in ("pass", "fixed")]
    if bad:
        code, decisive = BAD, bad
    elif unsure or interrupted or not results:
        code, decisive = CANNOT_TELL, unsure
    else:
        code, decisive = GOOD, []
    if decisive:
        first = decisive[0]
        what = f"observed {first.observed}" if first.verdict == FAIL and first.observed \
            else first.reason or first.verdict
        more = f", and {len(decisive) - 1} more" if len(decisive) > 1 else ""
        why = f": {first.target.id}: {what}{more}"
    else:
        why = f": {len(results)} point{'s' * (len(results) != 1)} as they must be" \
            if code == GOOD else ""
    return code, _WORDS[code] + why


def _is_bad(result):
    if result.verdict == FLAKY:
        return any(run["verdict"] in (FAIL, CRASHED) for run in result.runs)
    return result.verdict == FAIL or result.verdict == CRASHED and not result.broke
