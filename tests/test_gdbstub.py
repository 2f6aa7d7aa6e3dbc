# SPDX-License-Identifier: BSD-2-Clause
"""Guests that gdb steps: judged, and nothing left behind, also when gdb dies in the middle."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import TOP, needs_qemu

needs_gdb = pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb")
pytestmark = [needs_qemu, needs_gdb]

CASES = ["hoststep/nops", "hoststep/sti_1", "hoststep/software_breakpoint_on_int3"]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    build = tmp_path_factory.mktemp("build")
    subprocess.run(["make", "-s", f"BUILD={build}", f"{build}/hoststep.elf",
                    f"{build}/hoststep.rom"], cwd=TOP, check=True, stdin=subprocess.DEVNULL)
    (build / "unittests.cfg").write_text("[hoststep]\nfile = hoststep\ngdb = hoststep\n")
    return build


def processes_of(folder):
    """Command lines of living processes that name `folder` or were started from it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read()
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read()
        except OSError:
            continue
        if os.fsencode(folder) in environ and int(pid) != os.getpid():
            found.append(line)
    return found


def run(build, tmp_path, gdb=None):
    """(results, processes and files that are left), with `gdb` as the text of a gdb script of ours."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(TOP / "scripts"), "TMPDIR": str(temporary)}
    if gdb:
        (tmp_path / "gdb").write_text(gdb)
        (tmp_path / "gdb").chmod(0o755)
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    out = tmp_path / "results.json"
    subprocess.run([sys.executable, "-m", "trapline", "--config", str(build / "unittests.cfg"),
                    "--build", str(build), "--bugs", str(TOP / "bugs.toml"),
                    "--expectations", str(tmp_path), "--machine", "tcg", "--json", str(out),
                    *CASES], env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, timeout=60, check=False)
    results = json.loads(out.read_text())["results"]
    return results, processes_of(temporary), [p.name for p in temporary.rglob("*")
                                             if p.is_socket() or "gdb" in p.name]


def test_stepped(build, tmp_path):
    results, processes, files = run(build, tmp_path)
    assert {r["verdict"] for r in results} == {"pass"}
    assert len(results) == 15
    assert not processes and not files


@pytest.mark.parametrize("gdb, reason", [
    ("#!/bin/sh\nexit 3\n", "gdb ended before the guest: exit status 3"),
    ("#!/bin/sh\nkill -9 $$\n", "gdb ended before the guest: killed by SIGKILL"),
    ("#!/bin/sh\necho no luck >&2\nexit 1\n", "gdb ended before the guest: no luck"),
    # Connected, and gone at the third case.
    (f"#!/bin/sh\nfor last; do :; done\n"
     f"sed 's/^  eval/  set $count = $count + 1\\n  if $count == 3\\n    shell kill -9 $PPID\\n"
     f"  end\\n  eval/; 1i set $count = 0' \"$last\" >\"$0.script\"\n"
     f"exec {shutil.which('gdb')} \"$1\" \"$2\" \"$3\" \"$4\" \"$5\" \"$6\" \"$7\" \"$8\" \"$9\" "
     "-ex \"${11}\" -x \"$0.script\"\n", "gdb ended before the guest: killed by SIGKILL"),
])
def test_gdb_dies(build, tmp_path, gdb, reason):
    """The point that gdb died in is a crash. The others are judged, but for those that the guest came to before the
    runner knew: it says that nobody stepped it."""
    results, processes, files = run(build, tmp_path, gdb)
    crashed = [r for r in results if r["verdict"] == "crash"]
    assert crashed and reason in crashed[0]["reason"]
    unstepped = [r for r in results if r["verdict"] == "skip"]
    assert {r["reason"] for r in unstepped} <= {"no debugger is attached"}
    assert {r["verdict"] for r in results if r not in unstepped} <= {"pass", "crash"}
    assert not processes and not files
    if "count" in gdb:
        assert any(r["verdict"] == "pass" for r in results)


def test_skipped_without_gdb(build, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOP / "scripts"))
    from trapline import gdbstub

    monkeypatch.setenv("PATH", str(tmp_path))
    assert gdbstub.missing() == "no gdb"
