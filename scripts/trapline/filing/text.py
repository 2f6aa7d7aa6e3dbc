# SPDX-License-Identifier: BSD-2-Clause
"""The text of a report, in the form that QEMU's and Bochs's trackers ask for."""

import os
import re
from dataclasses import dataclass

from ..expectations import CRASH
from ..guests import layer_and_environment
from .. import witness
from ..text import clean
from .legend import legend
from .names import ELF, OUTPUT, ROM

_MANUALS = (
    (r"^SDM (\d[A-D]?)", r"Intel SDM, volume \1"),
    (r"^APM (\d)", r"AMD64 APM, volume \1"),
    (r"^GHCB", "GHCB specification"),
)
_MOST_CASES = 12
_MOST_SOURCE = 40       # lines


@dataclass
class Facts:
    """All that a report says: see folder.write, which gathers it."""

    subject: object
    doc: dict
    case: object
    recipe: object
    script: str
    again: object
    said: str               # what the run observed, "crash" for a death
    bug: object             # bugs.Bug or None
    entries: list
    root: str


def render(facts):
    """The whole text, as Markdown."""
    return "\n\n".join(part for part in (
        f"# {_title(facts)}", _summary(facts), _traces(facts), _rule(facts), _steps(facts), _output(facts),
        _versions(facts), _since(facts), _others(facts), _source(facts), _end(facts)) if part) + "\n"


def _hypervisor(facts):
    name = facts.subject.result["machine"]
    return "Bochs" if name.startswith("bochs") else "QEMU (TCG)" if name == "tcg" else "KVM"


def _title(facts):
    if facts.bug:
        return facts.bug.title
    result = facts.subject.result
    if facts.said == CRASH:
        return f"{_hypervisor(facts)}: guest dies in {facts.subject.point}"
    return f"{_hypervisor(facts)}: {facts.said or 'nothing'} instead of {_due(result)} ({facts.subject.point})"


def _due(result):
    if result["expected"]:
        return result["expected"]
    return " or ".join(a["trace"] for a in result["allowed"]) or "what the manual demands"


def _summary(facts):
    if facts.bug:
        return (f"**When:** {_sentence(facts.bug.trigger)}\n\n**Must happen:** {_sentence(facts.bug.right)}\n\n"
                f"**Happens instead:** {_sentence(facts.bug.buggy)}")
    result = facts.subject.result
    lines = [f"A small bare-metal guest runs the instructions under test and writes down each event that is delivered "
             f"to it. On {_version(facts)} it sees something else than the manual demands."]
    if result["reason"]:
        lines.append(f"What became of it: {_sentence(result['reason'])}")
    if result["catches"]:
        lines.append("The case was written to find " + ", ".join(f"`{c}`" for c in result["catches"]) +
                     "; nothing says yet that it is one of these.")
    return "\n\n".join(lines)


def _traces(facts):
    result = facts.subject.result
    rows = [("expected", result["expected"])] if result["expected"] else [
        ("allowed", f"{a['trace']}   ({a['reference']})") for a in result["allowed"]]
    rows.append(("observed", result["observed"] or ("(nothing was said)" if facts.said == CRASH else "")))
    if facts.said == CRASH and result["reason"]:
        rows.append(("end", result["reason"]))
    block = "\n".join(f"    {word:<8}  {text}" for word, text in rows)
    signs = legend(*(text for _, text in rows), facts.said)
    lines = ["## Expected and observed", block]
    if result["notes"]:
        lines.append("\n".join(f"    note      {note}" for note in result["notes"]))
    if signs:
        lines.append("\n".join(f"* {sign}: {meaning}" for sign, meaning in signs))
    if result["dump"]:
        lines.append("The guest's registers at its end:\n\n" + "\n".join(f"    {line}" for line in result["dump"]))
    return "\n\n".join(lines)


def _rule(facts):
    result = facts.subject.result
    rule = result["rule"]
    section, colon, what = rule.partition(": ")
    for pattern, name in _MANUALS:
        section = re.sub(pattern, name, section)
    text = f"{section}:\n\n> {_sentence(what)}" if colon else f"> {_sentence(rule)}"
    references = [a["reference"] for a in result["allowed"]]
    if references:
        text += "\n\n" + "\n".join(f"* {_sentence(reference)}" for reference in references)
    alone = witness.remark(facts.root, result["case"])
    return f"## The rule\n\n{text}" + (f"\n\n{_sentence(alone)}" if alone else "")


def _steps(facts):
    result = facts.subject.result
    lines = [
        "## Steps to reproduce",
        "In the folder of this report:",
        f"```sh\n{facts.recipe.command}\n```",
        *(["`cbitpos` is the C-bit from Zen 3 on; CPUID Fn8000_001F EBX has a host's own."]
          if "cbitpos" in facts.recipe.command else []),
        f"It prints `not ok 1 {facts.case.image.name}/{facts.case.point.name}` and, before it, what was expected and "
        "observed. On a hypervisor without the bug it prints `ok 1 …`." if facts.said != CRASH else
        "The output ends without a line `ok 1 …` and without `# Totals:`. On a hypervisor without the bug it has both.",
        f"`./{facts.script}` does the same and has an exit status: 0 right, 1 wrong. It contains the ROM, needs a "
        f"POSIX shell and {'Bochs' if facts.recipe.machine.accel == 'bochs' else 'QEMU'} and can be used with "
        "`git bisect run` (`QEMU=…` names the program)." if facts.recipe.machine.accel != "bochs" else
        f"`./{facts.script}` does the same and has an exit status: 0 right, 1 wrong. It contains the ROM and needs a "
        "POSIX shell and Bochs (`BOCHS=…` names the program). A Bochs without the built-in debugger wants no "
        "`-rc bochs.rc`.",
        f"`{ROM}` is all of the guest: it starts at the reset vector, goes to 64-bit mode, runs this one test "
        f"({_environment(result['environment'])}) and reports on COM1. There is no BIOS, no disk and no "
        f"operating system. `{ELF}` is the same code with symbols" +
        (", for `gdb guest.elf` with QEMU's `-s -S`." if facts.recipe.machine.accel != "bochs" else "."),
    ]
    return "\n\n".join(lines)


def _environment(name):
    layer, plain = layer_and_environment(name)
    text = {"cpl0": "as the kernel, CPL 0", "cpl3": "as a 64-bit user program, CPL 3",
            "compat": "as a 32-bit user program under a 64-bit kernel, CPL 3",
            "legacy": "in 32-bit protected mode",
            "legacy-cpl0": "in 32-bit protected mode, outside of long mode, CPL 0",
            "cpl1": "in ring 1 (CPL 1), 64-bit code", "cpl2": "in ring 2 (CPL 2), 64-bit code",
            "legacy-cpl1": "in 32-bit protected mode, outside of long mode, CPL 1",
            "legacy-cpl2": "in 32-bit protected mode, outside of long mode, CPL 2",
            "legacy-cpl3": "in 32-bit protected mode, outside of long mode, CPL 3",
            "real": "in real mode", "big-real": "in real mode with a 32-bit stack above 64 KiB",
            "v86": "in virtual-8086 mode, IOPL 3"}.get(plain, plain)
    if layer:
        vendor = layer.partition("-")[0]
        text += f", as a nested guest that the ROM runs by {vendor.upper()} ({layer})"
    return text


def _output(facts):
    again = facts.again
    if again.why:
        return f"## Output\n\nNot run again while this was written: {_sentence(again.why)}"
    same = again.observed == facts.said
    lines = ["## Output", f"Of that command, on {again.version} (`{OUTPUT}`):",
             "```text\n" + clean_lines(again.output) + "\n```"]
    if not same:
        lines.insert(1, "**It did not fail in the same way when it was run again for this report**: "
                     + (f"observed {again.observed}." if again.observed else "it passed."))
    return "\n\n".join(lines)


def clean_lines(output, most=40):
    """`output` of a guest as it may stand in a text: at most `most` lines, nothing unprintable."""
    lines = [clean(line) for line in output.rstrip("\n").split("\n")]
    if len(lines) > most:
        lines = [*lines[:most // 2], f"({len(lines) - most} lines left out)", *lines[-most // 2:]]
    return "\n".join(lines)


def _version(facts):
    return facts.doc["machines"].get(facts.subject.result["machine"], {}).get("version", "") or \
        facts.subject.result["machine"]


def _versions(facts):
    result, doc = facts.subject.result, facts.doc
    machine = doc["machines"].get(result["machine"], {})
    program, host = machine.get("program", {}), machine.get("host") or doc.get("host", {})
    rows = [("Seen on", _version(facts))]
    if program:
        digest = program.get("build_id") and f"build id {program['build_id']}" or \
            program.get("sha256") and f"sha256 {program['sha256']}" or ""
        rows.append(("Program", f"`{os.path.basename(program.get('path', ''))}`, {digest}"))
    rows.append(("Date of the run", doc.get("started", "")))
    if host:
        rows.append(("Host", ", ".join(str(host[k]) for k in ("arch", "cpu", "kernel") if host.get(k))))
    passes = []
    for other in doc["results"]:
        if other["machine"] != result["machine"] and other["verdict"] == "pass" and \
                (other["case"], other["environment"]) == (result["case"], result["environment"]):
            version = doc["machines"].get(other["machine"], {}).get("version") or other["machine"]
            passes.append(f"{version} ({other['machine']})")
    if passes:
        rows.append(("The same ROM passes on", "; ".join(passes)))
    return "## Versions\n\n| | |\n|---|---|\n" + "\n".join(
        f"| {a} | {b.replace('|', chr(92) + '|')} |" for a, b in rows if b)


def _since(facts):
    lines = []
    if facts.bug:
        lines.append(f"* {_sentence(facts.bug.versions)}")
        lines.append(f"* How we know: {_sentence(facts.bug.evidence)}")
        if facts.bug.link:
            lines.append(f"* See {facts.bug.link}")
    names = {facts.subject.point, f"{facts.case.image.name}/{facts.case.point.name}"}
    ranges = {}
    for entry in facts.entries:
        if any(entry.covers(n) for n in names) and (not facts.bug or entry.bug == facts.bug.id):
            for machine in entry.machines:
                ranges.setdefault(machine, set()).add(str(entry.version or "every version"))
    for machine, versions in sorted(ranges.items()):
        if machine in ("model",) or machine.startswith("model"):
            continue
        lines.append(f"* Our records have this point failing on `{machine}`: {' and '.join(sorted(versions))}")
    return "## Since when\n\n" + "\n".join(lines) if lines else \
        "## Since when\n\nNot known: seen on this version, others were not tried."


def _others(facts):
    cases = {}
    for result in facts.subject.alike:
        cases.setdefault(result["case"], []).append(result["environment"])
    points = sum(map(len, cases.values()))
    if points < 2:
        return ""
    lines = [f"* {case}: {', '.join(environments)}" for case, environments in cases.items()]
    if len(lines) > _MOST_CASES:
        lines = [*lines[:_MOST_CASES], f"* and {len(lines) - _MOST_CASES} cases more"]
    why = " for the same reason" if facts.subject.bug else ""
    return f"## What else shows it\n\nIn the same run {points} tests fail{why}. The ROM here is " \
        f"{facts.subject.point}; all of them, by case and mode:\n\n" + "\n".join(lines)


def _source(facts):
    path, _, line = facts.subject.result["where"].rpartition(":")
    try:
        with open(os.path.join(facts.root, path), encoding="utf-8") as file:
            lines = file.read().splitlines()
        at = int(line) - 1
        if not 0 <= at < len(lines):
            raise ValueError
    except (OSError, ValueError, UnicodeDecodeError):
        return ""
    first = at                              # with the comment above it, if there is one
    while lines[first - 1].startswith((" *", "/*")) and first > 0:
        first -= 1
    last = at + 1
    depth = lines[at].count("(") - lines[at].count(")")
    while last < len(lines) and last - first < _MOST_SOURCE and (depth > 0 or lines[last].startswith(("{", "\t", "}"))):
        depth += lines[last].count("(") - lines[last].count(")")
        last += 1
    shown = "\n".join(clean(text.expandtabs(8)) for text in lines[first:last])
    return f"## The test\n\nFrom `{path}`, line {line} (the instructions under test are in `{ELF}` at the symbols " \
        f"`snippet_*`):\n\n```c\n{shown}\n```"


def _end(facts):
    commit = facts.doc.get("commit", "")
    return (f"---\nMade by Trapline{' ' + commit if commit else ''} from the run of {facts.doc.get('started', '')}; "
            f"in it this is `{facts.subject.point}@{facts.subject.result['machine']}`"
            + (f", bug `{facts.subject.bug}`." if facts.subject.bug else "."))


def _sentence(text):
    """`text` with a capital at its beginning, where that is a word, and a full stop at its end."""
    text = text.strip()
    if not text:
        return ""
    if re.match(r"[a-z]+\b(?![-_(/=])", text):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else text + "."
