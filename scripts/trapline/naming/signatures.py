# SPDX-License-Identifier: BSD-2-Clause
"""signatures.json: which points fail under each bug of the model hypervisor, and how.

    {"format": 1,
     "made_on": "model hypervisor on QEMU 7.2.22 …",
     "known": {"model": ["int3/int3_warm:cpl0,cpl3", …], "model-sev-es": […], …},
     "bugs": {"model-event-lost": {"machine": "model", "fails": {"(none)": ["int3/int3_warm:cpl0", …], …}}, …}}

`known` has the points of which it is known what they do under each bug of that machine: those that are not below
the bug pass. Of any other point (slow ones, those of guests that came later) nothing is said. A point that dies
or hangs has the trace "crash".
"""

import json
import os
from dataclasses import dataclass, field

from ..errors import UsageError
from ..expectations import CRASH
from ..verdicts import CRASHED, PASS, SKIP

FORMAT = 1
NAME = "signatures.json"


@dataclass
class Signature:
    """What fails under one bug: trace by point id ("int3/int3_warm:cpl0"). `known` are the points that were tried."""

    bug: str
    machine: str
    fails: dict = field(default_factory=dict)
    known: frozenset = frozenset()


def seen(verdict, observed):
    """What a failing point showed, as signatures and expectations/ write it."""
    return CRASH if verdict == CRASHED else observed


def of_results(known, results, classes):
    """Signatures by bug from what Proof.signatures() gives; `classes` has the machine's class by bug."""
    found = {bug: Signature(bug, class_.name, {}, frozenset(known.get(class_, ())))
             for bug, class_ in classes.items()}
    for bug, result in results:
        if result.verdict not in (PASS, SKIP):
            found[bug].fails[result.target.point_id] = seen(result.verdict, result.observed)
    return found


def merged(old, new, guests):
    """`old` with what `new` says of `guests`, for every bug of `new`."""
    def kept(points):
        return {p for p in points if p.partition("/")[0] not in guests}

    found = {}
    for bug, signature in new.items():
        before = old.get(bug, Signature(bug, signature.machine))
        fails = {p: before.fails[p] for p in kept(before.fails)}
        found[bug] = Signature(bug, signature.machine, {**fails, **signature.fails},
                               frozenset(kept(before.known) | signature.known))
    return found


def text(signatures, made_on):
    """The file's text: a line for each trace, so that a change of one is a change of a line."""
    known = {}
    for signature in signatures.values():
        known.setdefault(signature.machine, signature.known)

    def row(key, value):
        return f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=True)}"

    lines = ["{", f' {row("format", FORMAT)},', f' {row("made_on", made_on)},', ' "known": {']
    for i, (machine, points) in enumerate(sorted(known.items())):
        lines.append(f"  {json.dumps(machine)}: [")
        folded = _folded(points)
        lines += [f"   {json.dumps(word)}{',' * (word != folded[-1])}" for word in folded]
        lines.append("  ]" + "," * (i < len(known) - 1))
    lines += [" },", ' "bugs": {']
    for i, (bug, signature) in enumerate(sorted(signatures.items())):
        lines.append(f'  {json.dumps(bug)}: {{{row("machine", signature.machine)}, "fails": {{')
        traces = {}
        for point, trace in signature.fails.items():
            traces.setdefault(trace, set()).add(point)
        rows = [row(trace, _folded(points)) for trace, points in sorted(traces.items())]
        lines += [f"   {line}{',' * (line != rows[-1])}" for line in rows]
        lines.append("  }}" + "," * (i < len(signatures) - 1))
    return "\n".join([*lines, " }", "}"]) + "\n"


def load(path):
    """Signatures by bug of file `path`; {} if there is none. UsageError if it is something else."""
    try:
        with open(path, encoding="utf-8") as file:
            doc = json.load(file)
        if doc["format"] != FORMAT:
            raise ValueError(f"format {doc['format']}, not {FORMAT}")
        known = {machine: frozenset(_unfolded(words)) for machine, words in doc["known"].items()}
        return {bug: Signature(bug, entry["machine"], {
                    point: trace for trace, words in entry["fails"].items() for point in _unfolded(words)},
                    known[entry["machine"]])
                for bug, entry in doc["bugs"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: is no file of signatures ({error}); make it with scripts/signatures") from None


def path_in(root):
    """Where the tree keeps it."""
    return os.path.join(root, NAME)


def _folded(points):
    """["int3/int3_warm:cpl0,cpl3", …] for ids of points."""
    cases = {}
    for point in sorted(points):
        case, _, environment = point.partition(":")
        cases.setdefault(case, []).append(environment)
    return [f"{case}:{','.join(environments)}" for case, environments in cases.items()]


def _unfolded(words):
    for word in words:
        case, _, environments = word.partition(":")
        for environment in environments.split(","):
            yield f"{case}:{environment}"
