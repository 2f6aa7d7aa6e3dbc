# SPDX-License-Identifier: BSD-2-Clause
"""What can be done with the JSON reports of runs that are over.

    trapline diff A.json B.json             what B has otherwise than A
    trapline merge -o ALL.json A.json ...   several runs as one
    trapline html RUN.json -o RUN.html      the page of a run
    trapline values RUN.json                what was measured, as a table
    trapline looks-like RUN.json            which bugs its failures look like
    trapline unwitnessed RUN.json ...       the rules that no implementation obeys
    trapline report RUN.json BUG -o DIR     a folder for the hypervisor's developers

Exit status of diff: 0 no difference, 1 some, 2 trouble; of report, 1 if what it packed did not fail again; of
the others, 0 or 2.
"""

import argparse
import json
import os
import sys
from collections import Counter

from . import __version__, bugs, fingerprint, repeat, witness
from .baseline import load
from .errors import UsageError
from .filing import cli as filing
from .naming import cli as naming
from .reports import files
from .reports.json import SCHEMA
from .verdicts import BAD, BLOCKED, FIXED, FLAKY, KNOWN, PASS, SKIP

_HERE = os.path.dirname(os.path.abspath(__file__))
# How good a verdict is: what goes down is worse.
_RANK = {PASS: 3, FIXED: 3, KNOWN: 2, BLOCKED: 2, SKIP: 1, FLAKY: 1}


def identity(result):
    """"int3/cold_stack:cpl0@tcg"."""
    return f"{result['case']}:{result['environment']}@{result['machine']}"


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(message)


def main(argv):
    """Run the command; its exit status."""
    parser = _Parser(prog="trapline", description=__doc__.partition("\n")[0],
                     formatter_class=argparse.RawDescriptionHelpFormatter,
                     epilog="\n".join(__doc__.splitlines()[2:]))
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser,
                                     metavar="diff|merge|html|values|looks-like|unwitnessed|report")
    diff_ = commands.add_parser("diff", help="what B has otherwise than A")
    diff_.add_argument("a", metavar="A.json")
    diff_.add_argument("b", metavar="B.json")
    diff_.add_argument("--tolerance", type=float, default=25.0, metavar="PERCENT",
                       help="differences of measured medians below this are none (default 25)")
    merge_ = commands.add_parser("merge", help="several runs as one")
    merge_.add_argument("runs", nargs="+", metavar="RUN.json")
    merge_.add_argument("-o", "--output", required=True, metavar="ALL.json")
    html_ = commands.add_parser("html", help="the page of a run")
    html_.add_argument("run", metavar="RUN.json")
    html_.add_argument("-o", "--output", required=True, metavar="RUN.html")
    values_ = commands.add_parser("values", help="what was measured, as a table")
    values_.add_argument("run", metavar="RUN.json")
    naming.add(commands)
    witness.add(commands)
    filing.add(commands)
    try:
        options = parser.parse_args(argv)
        if options.command == "diff":
            return diff(load(options.a), load(options.b), options.tolerance, sys.stdout)
        if options.command == "merge":
            docs = [(os.path.basename(path).removesuffix(".json"), load(path))
                    for path in options.runs]
            text = json.dumps(merge(docs), indent=1, ensure_ascii=False) + "\n"
            files.write(options.output, text)
            return 0
        if options.command == "values":
            values(load(options.run), sys.stdout)
            return 0
        command = {"looks-like": naming, "unwitnessed": witness, "report": filing}.get(options.command)
        if command:
            return command.main(options, os.path.abspath(os.path.join(_HERE, "..", "..")))
        from .reports import html

        catalogue = bugs.load(os.path.join(_HERE, "..", "..", "bugs.toml"))
        files.write(options.output, html.render(load(options.run), catalogue))
        return 0
    except UsageError as error:
        sys.stderr.write(f"trapline: {error}\n")
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 2
    except OSError as error:
        sys.stderr.write(f"trapline: {error.filename}: {error.strerror}\n")
        return 2


# -- diff -----------------------------------------------------------------------------------------

def diff(a, b, tolerance, out):
    """Print to `out` what run `b` has otherwise than run `a`; 1 if there is anything, else 0."""
    before = {identity(r): r for r in a["results"]}
    after = {identity(r): r for r in b["results"]}
    groups = {"worse": [], "changed": [], "better": [], "gone": [], "new": []}
    for id_, old in before.items():
        new = after.get(id_)
        if new is None:
            groups["gone"].append(f"{id_}  was {old['verdict']}")
        elif new["verdict"] != old["verdict"]:
            down = _RANK.get(new["verdict"], 0) - _RANK.get(old["verdict"], 0)
            word = "worse" if down < 0 else "better" if down > 0 else "changed"
            groups[word].append(f"{id_}  {_said(old)} -> {_said(new)}")
        elif new["verdict"] != PASS and new["observed"] != old["observed"]:
            groups["changed"].append(f"{id_}  {_said(old)} -> {_said(new)}")
        if new is not None:
            _values(groups, id_, old, new, tolerance)
    groups["new"] = [f"{id_}  {_said(new)}" for id_, new in after.items() if id_ not in before]
    for line in _environment(a, b):
        out.write(line + "\n")
    for word, lines in groups.items():
        for line in lines:
            out.write(f"{word:<8} {line}\n")
    some = {word: len(lines) for word, lines in groups.items() if lines}
    same = sum(1 for id_ in before if id_ in after) - sum(
        some.get(word, 0) for word in ("worse", "changed", "better"))
    out.write(", ".join(f"{n} {word}" for word, n in some.items()) + ("; " if some else "")
              + f"{max(same, 0)} the same\n")
    return 1 if some else 0


def _said(result):
    seen = result["observed"] if result["verdict"] in (*BAD, KNOWN) else ""
    return result["verdict"] + (f" ({seen})" if seen else "")


def _values(groups, id_, old, new, tolerance):
    was = {v["name"]: v for v in old["values"]}
    for value in new["values"]:
        before = was.get(value["name"])
        if not value["name"].endswith(".median") or not before or before["number"] <= 0 or \
                before["unit"] != value["unit"]:
            continue
        more = (value["number"] / before["number"] - 1) * 100
        if abs(more) > tolerance:
            groups["worse" if more > 0 else "better"].append(
                f"{id_}  {value['name']} {before['number']:g} -> {value['number']:g} "
                f"{value['unit']} ({more:+.0f} %)")


def _environment(a, b):
    """Lines for what the two runs do not have in common besides their results."""
    pairs = [("trapline", a.get("commit") or a["trapline"], b.get("commit") or b["trapline"])]
    for key in ("cpu", "microcode", "kernel"):
        pairs.append((key, a.get("host", {}).get(key), b.get("host", {}).get(key)))
    modules = [{f"{module}.{name}": value for module, parameters in
                doc.get("host", {}).get("kvm_modules", {}).items()
                for name, value in parameters.items()} for doc in (a, b)]
    for name in sorted(set(modules[0]) | set(modules[1])):
        pairs.append((name, modules[0].get(name), modules[1].get(name)))
    for machine in a["machines"]:
        if machine in b["machines"]:
            one, two = a["machines"][machine], b["machines"][machine]
            pairs.append((machine, one.get("version"), two.get("version")))
            pairs += [(machine, *(f"{'has no' if what in m.get('lacks', {}) else 'has'} {what}" for m in (one, two)))
                      for what in sorted(one.get("lacks", {}).keys() ^ two.get("lacks", {}).keys())
                      if "lacks" in one and "lacks" in two]
            programs = [m.get("program", {}) for m in (one, two)]
            pairs.append((f"{machine}'s program", *(
                p.get("build_id") or p.get("sha256") for p in programs)))
    return [f"{name:<8} {old or '(not said)'} -> {new or '(not said)'}"
            for name, old, new in pairs if old != new]


# -- values ---------------------------------------------------------------------------------------

def values(doc, out):
    """Print the values of a run: one row for each machine and name, medians and the like beside it."""
    rows, columns = {}, []
    for result in doc["results"]:
        for value in result["values"]:
            name, _, what = value["name"].rpartition(".")
            unit = value["unit"]
            if what not in ("median", "p99", "count"):
                name, what = value["name"], "value"
            if what not in columns:
                columns.append(what)
            row = rows.setdefault((result["machine"], name), {})
            row[what] = f"{value['number']:,}"
            if what != "count":
                row["unit"] = unit
    columns.append("unit")
    table = [("machine", "what", *columns)] + [
        (*key, *(row.get(column, "") for column in columns)) for key, row in rows.items()]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        cells = [cell.ljust(width) if i < 2 or i == len(row) - 1 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        out.write("  ".join(cells).rstrip() + "\n")


# -- merge ----------------------------------------------------------------------------------------

def merge(docs):
    """One document from (label, document) pairs.

    Runs with the same fingerprint are parts of one: a point that several of them have is one
    result, flaky if they disagree. Where a machine's name means different things, as on several
    hosts, the label is added to it: "kvm[node7]".
    """
    prints = {}
    for label, doc in docs:
        for name in doc["machines"]:
            prints.setdefault(name, {}).setdefault(doc.get("fingerprint", label), label)
    machines, results, hosts = {}, {}, {}
    for label, doc in docs:
        names = {}
        for name, machine in doc["machines"].items():
            meanings = prints[name]
            first = meanings[doc.get("fingerprint", label)]
            names[name] = name if len(meanings) == 1 else f"{name}[{first}]"
            machine = {"host": doc["host"], **machine} if len(meanings) > 1 else dict(machine)
            old = machines.get(names[name])
            if old:
                machine["seconds"] = round(old["seconds"] + machine["seconds"], 4)
                machine["given_up"] = [*old.get("given_up", ()), *machine.get("given_up", ())]
                # Parts of one run, or the same run again: never more than there are.
                machine["lacks"] = {what: max(old.get("lacks", {}).get(what, 0), machine.get("lacks", {}).get(what, 0))
                                    for what in (old.get("lacks", {}) | machine.get("lacks", {}))}
            machines[names[name]] = machine
        hosts.setdefault(json.dumps(doc["host"], sort_keys=True), doc["host"])
        for result in doc["results"]:
            result = {**result, "machine": names.get(result["machine"], result["machine"])}
            results.setdefault(identity(result), []).append(result)
    host = next(iter(hosts.values()))
    if len(hosts) > 1:
        def joined(key):
            return "; ".join(dict.fromkeys(str(h.get(key, "")) for h in hosts.values()))

        host = {"cpu": f"{len(hosts)} hosts: {joined('cpu')}", "kernel": joined("kernel"),
                "hosts": list(hosts.values())}
    return {
        "schema": SCHEMA,
        "trapline": __version__,
        "commit": "; ".join(dict.fromkeys(d["commit"] for _, d in docs if d.get("commit"))),
        "started": min((d["started"] for _, d in docs if d.get("started")), default=""),
        "fingerprint": fingerprint.digest(host, machines),
        "merged": [label for label, _ in docs],
        "host": host, "machines": machines,
        "interrupted": any(d.get("interrupted") for _, d in docs),
        "seconds": round(sum(d.get("seconds", 0) for _, d in docs), 4),
        "results": [_one(same) for same in results.values()],
    }


def _one(same):
    """One result from several of the same point."""
    if len(same) == 1:
        return same[0]
    tried = Counter()
    for result in same:
        for run in result.get("runs") or [{**result, "count": 1}]:
            tried[run["verdict"], run["observed"]] += run["count"]
    tried = [{"verdict": v, "observed": o, "count": n} for (v, o), n in tried.most_common()]
    shown = dict(min(same, key=lambda r: _RANK.get(r["verdict"], 0)), runs=tried)
    shown["verdict"] = repeat.overall(tried)
    if shown["verdict"] == FLAKY:
        shown["reason"] = repeat.counts(tried)
    return shown


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
