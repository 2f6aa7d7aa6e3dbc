# SPDX-License-Identifier: BSD-2-Clause
"""The whole run as one JSON object: for gates, baselines and later reading."""

import json
import os
import platform
import re

from .. import __version__
from . import Summary, files


def host():
    """What this host is: CPU, kernel, and its KVM modules with their parameters."""
    cpu = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            match = re.search(r"^model name\s*:\s*(.*)$", file.read(65536), re.M)
            cpu = match[1] if match else ""
    except OSError:
        pass
    uname = platform.uname()
    modules = {}
    for module in ("kvm", "kvm_amd", "kvm_intel", "kvm_pvm"):
        directory = f"/sys/module/{module}/parameters"
        if os.path.isdir(f"/sys/module/{module}"):
            modules[module] = {}
            for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
                try:
                    with open(f"{directory}/{name}", encoding="utf-8") as file:
                        modules[module][name] = file.read().strip()
                except OSError:
                    modules[module][name] = None
    return {"cpu": cpu, "kernel": f"{uname.system} {uname.release} {uname.version}",
            "arch": uname.machine, "cpus": os.cpu_count(), "kvm_modules": modules}


def document(summary: Summary, machines):
    """The object that is written."""
    return {
        "trapline": __version__,
        "host": host(),
        "machines": {m.name: _machine(m, summary) for m in machines},
        "interrupted": summary.interrupted,
        "seconds": round(summary.seconds, 4),
        "results": [_result(r) for r in summary.results],
    }


def _machine(machine, summary):
    found = {"version": machine.version(), "command": machine.shown("build/GUEST.rom", 1),
             "seconds": round(summary.machine_seconds.get(machine.name, 0.0), 4)}
    if machine.facts():
        found["host"] = machine.facts()     # where the guests ran is not this host
    return found


def _result(result):
    target = result.target
    case = target.point.case
    return {
        "case": target.case_id, "guest": target.section.name,
        "environment": target.point.environment, "machine": target.machine.name,
        "verdict": result.verdict, "expected": result.expected,
        "allowed": [{"trace": t, "reference": r} for t, r in result.allowed],
        "observed": result.observed, "reason": result.reason, "rule": case.rule,
        "catches": list(case.catches), "bug": result.known.bug if result.known else "",
        "notes": result.notes, "dump": result.dump,
        "values": [{"name": n, "number": v, "unit": u} for n, v, u in result.values],
        "where": case.where, "seconds": round(result.seconds, 6),
    }


class Json:
    """Writes file `path` at the end, whole or not at all."""

    def __init__(self, path, machines):
        self._path = path
        self._machines = machines

    def begin(self, total):
        pass

    def tick(self):
        pass

    def result(self, result):
        pass

    def end(self, summary):
        files.write(self._path, json.dumps(document(summary, self._machines), indent=1,
                                           ensure_ascii=False) + "\n")
