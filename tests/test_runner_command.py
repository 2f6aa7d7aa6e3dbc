# SPDX-License-Identifier: BSD-2-Clause
"""The command: exit statuses, reports, expectations, and that nothing is left behind."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from conftest import TOP, needs_bochs, needs_qemu

pytestmark = needs_qemu


# Usage

@pytest.mark.parametrize("words, sentence", [
    (["god"], "unknown guest 'god'; did you mean 'good'?"),
    (["good/pases"], "unknown case 'good/pases'; did you mean 'good/passes'?"),
    (["good/passes:cp0"], "unknown case 'good/passes:cp0'; did you mean 'good/passes:cpl0'?"),
    (["-k", "pasess"], "-k 'pasess' selects no case; did you mean 'passes'?"),
    (["-k", "good and"], "-k 'good and' is not an expression"),
    (["--machine", "tgc"], "unknown machine 'tgc'; did you mean 'tcg'?"),
    (["-g", "fin"], "unknown group 'fin'; did you mean 'fine'?"),
    (["--machin", "tcg"], "unknown option '--machin'; did you mean '--machine'?"),
    (["--machine=tcg", "--ktp"], "unknown option '--ktp'; did you mean '--ktap'?"),
    (["-j", "0"], "-j '0' is not a number above zero"),
    (["--timeout", "soon"], "--timeout 'soon' is not a number above zero"),
    (["--explain", "pases"], "unknown case 'pases'; did you mean 'passes'?"),
    (["--json", "/no/such/file"], "/no/such/file: there is no directory /no/such"),
    (["--junitxml", "/"], "/: is a directory"),
    (["--machine"], "argument --machine: expected one argument"),
    (["--qemu", "no-such-qemu", "--machine", "tcg"],
     "machine 'tcg' cannot be used here: no no-such-qemu"),
    (["--config", "none.cfg"], "none.cfg: No such file or directory"),
])
def test_usage(trapline, words, sentence):
    done = trapline(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"run_tests.sh: {sentence}")
    assert done.stderr.count("\n") == 1


def test_usage_from_files(trapline):
    (trapline.expectations / "tcg.toml").write_text('machines = ["tcg"]\n[[known]]\ncase = "x"\n')
    done = trapline("--machine", "tcg", "good")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "expectations/tcg.toml: entry 1 (x): has no 'observed'" in done.stderr


def test_internal_errors_are_2(trapline):
    shutil.copy(trapline.build / "good.elf", trapline.build / "norom.elf")
    trapline.config.with_name("odd.cfg").write_text("[norom]\nfile = norom\n")
    done = trapline("--config", "odd.cfg", "--machine", "tcg")
    assert done.returncode == 2 and "norom.rom: No such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_status(trapline):
    assert trapline("--machine", "tcg", "-k", "passes").returncode == 0
    assert trapline("--machine", "tcg", "-k", "skips").returncode == 0
    assert trapline("--machine", "tcg", "-k", "fails").returncode == 1
    assert trapline("--machine", "tcg", "quiet_exit").returncode == 1
    assert trapline("--help").returncode == 0


@needs_bochs
def test_machine_list(trapline):
    done = trapline("--machine", "list")
    assert done.returncode == 0
    assert re.search(r"^tcg +(yes|auto) .* QEMU \d", done.stdout, re.M)
    assert re.search(r"^bochs-svm +yes .* Bochs \d", done.stdout, re.M)
    done = trapline("--machine", "list", "--qemu", "no-such-qemu")
    assert re.search(r"^tcg +no: no no-such-qemu", done.stdout, re.M)


def test_list_and_explain(trapline):
    done = trapline("--list", "good")
    assert done.stdout.splitlines()[:3] == [
        "good/passes:cpl0", "good/passes:cpl3", "good/fails:cpl0"]
    assert trapline("--list", "-k", "good and fails").stdout.split() == [
        "good/fails:cpl0", "good/fails:cpl3"]
    done = trapline("--explain", "good/fails:cpl0", "--root", str(TOP / "tests" / "guests"))
    assert "Test rule of fails" in done.stdout
    assert "cpl0 cpl3" in done.stdout
    assert "./run_tests.sh good/fails" in done.stdout
    assert "This page of prose is what --explain shows." in done.stdout
    assert "SPDX" not in done.stdout


# Expectations

def known(trapline, case, observed, more=""):
    (trapline.expectations / "tcg.toml").write_text(
        f'machines = ["tcg"]\n[[known]]\ncase = "{case}"\nobserved = {json.dumps(observed)}\n'
        f'reason = "because"\nbug = "some-bug"\n{more}')


def verdicts(trapline, *words):
    results, done = trapline.results("--machine", "tcg", *words)
    return {k: r["verdict"] for k, r in results.items()}, done


def test_known(trapline):
    known(trapline, "good/fails:*", ["#UD@x", "#UD@insn"])
    found, done = verdicts(trapline, "-k", "fails")
    assert set(found.values()) == {"known"} and done.returncode == 0
    assert "\nknown  some-bug  1 case   t (v)\n" in done.stdout
    assert "because" not in done.stdout
    assert "known  good/fails:cpl0@tcg  because [some-bug]" in trapline("--machine", "tcg", "-v", "-k", "fails").stdout
    found, done = verdicts(trapline, "-k", "fails", "--strict")
    assert set(found.values()) == {"fail"} and done.returncode == 1


def test_known_but_different(trapline):
    known(trapline, "good/fails:cpl0", "#UD@after")
    found, done = verdicts(trapline, "-k", "fails")
    assert set(found.values()) == {"fail"} and done.returncode == 1
    assert "known to fail, but differently" in done.stdout


def test_known_elsewhere(trapline):
    known(trapline, "good/fails:*", "#UD@insn", 'version = "<1"\n')
    assert set(verdicts(trapline, "-k", "fails")[0].values()) == {"fail"}


def test_fixed(trapline):
    known(trapline, "good/passes:cpl0", "#UD@insn")
    found, done = verdicts(trapline, "-k", "passes")
    assert found == {"good/passes:cpl0@tcg": "fixed", "good/passes:cpl3@tcg": "pass"}
    assert done.returncode == 0 and "fixed  good/passes:cpl0@tcg  passes, though" in done.stdout


def test_passes_at_times(trapline):
    known(trapline, "good/*:cpl0", "#BP@...", "sometimes = true\n")
    found, done = verdicts(trapline, "-k", "cpl0 and (passes or fails)")
    assert found["good/passes:cpl0@tcg"] == "pass" and done.returncode == 1


def test_known_crash(trapline):
    known(trapline, "quiet_exit/bad:*", "crash")
    found, done = verdicts(trapline, "quiet_exit")
    assert list(found.values()) == ["pass"] * 2 + ["known"] * 2 + ["pass"] * 2
    assert done.returncode == 0


# Reports

def test_plain_when_piped(trapline):
    done = trapline("--machine", "tcg", "good")
    assert not re.search(r"[^\x20-\x7e\n]", done.stdout)
    block = done.stdout[done.stdout.index("fail   good/fails@tcg  in 2 of 2: cpl0 cpl3\n"):].splitlines()
    assert [line.split()[0] for line in block[1:4]] == ["rule", "expected", "observed"]
    assert done.stdout.count("good/fails") == 2, "its headline, and the command that runs it again"
    assert "\nnew    1 case on tcg with failures that no expectation knows\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("tcg: 8 points in ")


def on_terminal(trapline, *words, kill_at=None):
    """(output, status) of the command on a terminal, interrupted once it has printed `kill_at`."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(trapline.argv(*words), stdout=follower, stderr=follower,
                               stdin=follower, cwd=trapline.build,
                               env=trapline.environment | {"TERM": "xterm-256color"})
    os.close(follower)
    output = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:         # the last writer has gone
            break
        output += data
        if kill_at and kill_at in output:
            process.send_signal(signal.SIGINT)
            kill_at = None
    os.close(leader)
    return output, process.wait()


def test_on_a_terminal(trapline):
    output, status = on_terminal(trapline, "-v", "--machine", "tcg", "good", "escapes")
    assert status == 1
    text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", output)
    assert b"good/passes:cpl0@tcg" in text and rb"\x1b[2J" in text
    # rich's own sequences only: no clear-screen, no title, no 8-bit CSI.
    assert b"\x1b[1A" in output and b"\x1b[32m" in output
    assert b"\x1b[2J" not in output and b"\x1b]" not in output and b"\x9b2J" not in output


def test_interrupted_on_a_terminal(trapline):
    output, status = on_terminal(trapline, "-v", "--machine", "tcg", "hang", kill_at=b"hang/before:cpl3")
    assert status == -signal.SIGINT
    assert output.rindex(b"\x1b[?25h") > output.rindex(b"\x1b[?25l"), "the cursor stays hidden"
    assert b"interrupted: 2 of 6 points" in output and b"Traceback" not in output


def parse_kunit(text):
    """{name: ok, fail or skip} by the rules of the kernel's tools/testing/kunit/kunit_parser.py:
    a version line, a plan, results in order, diagnostics attached to the result that follows."""
    lines = text.splitlines()
    assert lines.pop(0) == "KTAP version 1"
    plan = re.fullmatch(r"1\.\.([0-9]+)", lines.pop(0))
    found = {}
    for line in lines:
        match = re.fullmatch(r"(ok|not ok) ([0-9]+) (- )?([^#]*)( # .*)?", line)
        if not match:
            assert line.startswith("# "), line
            continue
        assert int(match[2]) == len(found) + 1
        skip = re.fullmatch(r"(ok|not ok) ([0-9]+) (- )?(.*) # SKIP ?(.*)", line)
        found[match[4].strip()] = "skip" if skip else "ok" if match[1] == "ok" else "fail"
    assert len(found) == int(plan[1])
    return found


@pytest.mark.skipif(not shutil.which("prove"), reason="no prove")
def test_ktap_agrees(trapline):
    known(trapline, "good/fails:cpl0", "#UD@insn")
    results, _ = trapline.results("--machine", "tcg", "good", "quiet_exit", "escapes")
    done = trapline("--machine", "tcg", "--ktap", "good", "quiet_exit", "escapes")
    assert done.returncode == 1 and done.stderr == ""
    ours = {k: {"pass": "ok", "known": "ok", "fixed": "ok", "skip": "skip"}.get(
        r["verdict"], "fail") for k, r in results.items()}
    assert parse_kunit(done.stdout) == ours

    path = trapline.build / "out.tap"
    path.write_text(done.stdout)
    prove = subprocess.run(["prove", "-e", "cat", str(path)], capture_output=True, text=True)
    failed = [n for n, word in enumerate(parse_kunit(done.stdout).values(), 1) if word == "fail"]
    said = re.search(r"Failed tests?: *(.*)", prove.stdout)[1]
    numbers = []
    for part in said.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    assert numbers == failed
    assert f"Tests: {len(ours)} Failed: {len(failed)}" in prove.stdout

    good = trapline("--machine", "tcg", "--ktap", "-k", "passes or skips")
    path.write_text(good.stdout)
    assert good.returncode == 0
    assert subprocess.run(["prove", "-e", "cat", str(path)], capture_output=True).returncode == 0


def test_json(trapline):
    path = trapline.build / "all.json"
    trapline("--machine", "tcg", "good", "--json", str(path))
    found = json.loads(path.read_text())
    assert {"trapline", "host", "machines", "results"} <= found.keys()
    assert {"cpu", "kernel", "kvm_modules"} <= found["host"].keys()
    machine = found["machines"]["tcg"]
    assert machine["version"].startswith("QEMU ") and "-bios" in machine["command"]
    assert machine["seconds"] > 0
    assert {"case", "guest", "environment", "machine", "verdict", "expected", "observed", "reason",
            "rule", "catches", "seconds"} <= found["results"][0].keys()
    assert found["results"][0]["case"] == "good/passes"


def test_junit(trapline):
    path = trapline.build / "all.xml"
    assert trapline("--machine", "tcg", "good", "escapes", "--junitxml", str(path)).returncode == 1
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite.get("tests") == "14" and suite.get("failures") == "4"
    assert suite.get("skipped") == "2" and suite.get("errors") == "0"
    cases = {(c.get("classname"), c.get("name")): c for c in suite.findall("testcase")}
    failure = cases["good@tcg", "fails:cpl0"].find("failure")
    assert failure.get("message").startswith("observed #UD@insn, expected #BP@after")
    assert "Test rule of fails" in failure.text
    assert cases["good@tcg", "skips:cpl0"].find("skipped") is not None
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", path.read_text())


def test_results_come_as_they_are_known(trapline):
    """The first lines are there while the guest still hangs."""
    process = trapline.start("-v", "--machine", "tcg", "--timeout", "5", "hang", "-k", "cpl0",
                             stdout=subprocess.PIPE)
    started = time.monotonic()
    assert process.stdout.readline() == "pass   hang/before:cpl0@tcg\n"
    assert time.monotonic() - started < 4
    process.terminate()
    process.communicate()


# Nothing stays behind

def children(pid):
    """Processes below `pid`, by number."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


MACHINES = ["tcg"] + (["bochs-svm"] if shutil.which("bochs-bin") else []) + (
    ["kvm"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else [])


KILLED_WHILE_COLLECTING = """
import os, sys
from trapline import cli, plugin

collect = plugin.Guest.collect

def collect_and_die(self):
    os.kill(os.getpid(), int(sys.argv[1]))
    yield from collect(self)

plugin.Guest.collect = collect_and_die
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_killed_while_pytest_collects(trapline, number):
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_COLLECTING, str(int(number)),
                           *trapline.argv("--machine", "tcg", "good")[3:]], env=trapline.environment,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -number, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("machine", MACHINES)
def test_killed_runner_leaves_nothing(trapline, machine, number):
    process = trapline.start("--machine", machine, "hang", "spin", "-k", "bad", "-j", "2",
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert wait_for(lambda: len(children(process.pid)) == 2, 10)
    time.sleep(0.1)
    below = children(process.pid)
    process.send_signal(number)
    out, errors = process.communicate(timeout=10)
    assert process.returncode == -number
    assert wait_for(lambda: all(gone(pid) for pid in below)), "a guest outlived the runner"
    assert "Traceback" not in out + errors
    if number != signal.SIGKILL:
        assert "interrupted: 0 of 4 points" in out


def test_reader_goes_away(trapline):
    process = trapline.start("--machine", "tcg", "good", "hang", "-k", "cpl0", "--timeout", "1",
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait() == -signal.SIGPIPE
    assert errors == ""


# The whole, as a user has it

def test_run_tests_sh(tmp_path):
    if not (TOP / "build" / "dummy.rom").exists():
        pytest.skip("the guests are not built")
    script = TOP / "run_tests.sh"
    done = subprocess.run([script, "--machine", "tcg", "dummy"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 pass" in done.stdout
    done = subprocess.run([script, "--machine", "tcg", "dumny"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "run_tests.sh: unknown guest 'dumny'; did you mean 'dummy'?\n"
