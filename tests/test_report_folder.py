# SPDX-License-Identifier: BSD-2-Clause
"""./trapline report: a folder that shows a failure where there is QEMU or Bochs and nothing else."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
QEMU, BOCHS = shutil.which("qemu-system-x86_64"), shutil.which("bochs-bin")
pytestmark = pytest.mark.skipif(not QEMU, reason="no QEMU")

# What an emulator loads at run time besides its libraries.
SHARED = {"qemu": ["/usr/share/qemu/kvmvapic.bin", "/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so"],
          "bochs": ["/usr/lib/x86_64-linux-gnu/bochs", "/usr/lib/bochs"]}


def run_suite(path, machine, *guests):
    subprocess.run([ROOT / "run_tests.sh", "-q", "--machine", machine, "--json", path, *guests], cwd="/",
                   stdout=subprocess.DEVNULL, check=False, timeout=300)
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def tcg(tmp_path_factory):
    path = tmp_path_factory.mktemp("tcg") / "run.json"
    run_suite(path, "tcg", "int3", "strings")
    return path


def report(run, what, folder, *more):
    return subprocess.run([ROOT / "trapline", "report", run, what, "-o", folder, *more], capture_output=True,
                          text=True, cwd="/", timeout=300, check=False)


def known_bugs(doc):
    return list(dict.fromkeys(r["bug"] for r in doc["results"] if r["verdict"] == "known" and r["bug"]))


def command(folder):
    """The one command of report.md, as words."""
    text = (folder / "report.md").read_text()
    return shlex.split(re.search(r"^```sh\n(.*)\n```$", text, re.M)[1].partition("</dev/null")[0])


def emulator_root(directory, program):
    """An otherwise empty root directory with `program` and what it loads; the kernel's loader included."""
    def take(path):
        target = directory / str(path).lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target) if os.path.isfile(path) else shutil.copytree(path, target)

    objects = [program]
    for path in SHARED["qemu" if "qemu" in program else "bochs"]:
        if os.path.exists(path):
            take(path)
            objects += [str(p) for p in Path(path).rglob("*.so*") if not p.is_symlink()] or [path]
    objects = [path for path in objects if not path.endswith(".bin")]
    listed = subprocess.run(["ldd", *objects], capture_output=True, text=True, check=False).stdout
    for path in {*re.findall(r"(?:=> |^\s+)(/\S+) \(", listed, re.M)}:
        take(path)
    take(program)
    for name in ("dev", "tmp", "report"):
        (directory / name).mkdir(exist_ok=True)
    (directory / "dev/null").touch()
    return directory


def run_alone(root, program, argv, folder):
    """Output of `program` with `argv`, in a root directory that holds it, `folder` as /report, and nothing else."""
    shutil.rmtree(root / "report")
    shutil.copytree(folder, root / "report")
    # A mount namespace for /dev/null, a user namespace for those who are not root, and no network.
    done = subprocess.run(
        ["unshare", "-rmn", "sh", "-c", 'root=$1; shift; mount --bind /dev/null "$root/dev/null" && '
         'exec unshare --root="$root" --wd=/report "$@"', "sh", root, program, *argv],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    serial = root / "report/serial.txt"
    return (serial.read_text() if serial.exists() else done.stdout), done.stderr


@pytest.fixture(scope="module")
def qemu_root(tmp_path_factory):
    return emulator_root(tmp_path_factory.mktemp("qemu") / "root", QEMU)


def test_the_root_is_empty_but_for_the_emulator(qemu_root, tmp_path):
    """What else a command needed would not be there: this one finds no shell."""
    root = qemu_root
    (tmp_path / "folder").mkdir()
    output, errors = run_alone(root, "/bin/sh", ["-c", "echo found"], tmp_path / "folder")
    assert "found" not in output and "No such file" in errors
    output, _ = run_alone(root, QEMU, ["--version"], tmp_path / "folder")
    assert "QEMU emulator version" in output


def check_alone(root, program, folder, result):
    output, errors = run_alone(root, program, command(folder)[1:], folder)
    assert "not ok 1 " in output, output + errors
    assert f"# observed {result['observed']}\n" in output and "# Totals: pass:0 fail:1 skip:0" in output


def subject(folder, doc):
    """The result that the folder is about."""
    point, machine = re.search(r"in it this is `(\S+)@([^`]+)`", (folder / "report.md").read_text()).groups()
    return next(r for r in doc["results"] if f"{r['case']}:{r['environment']}" == point and r["machine"] == machine)


def test_three_bugs_of_qemu_with_qemu_alone(tcg, qemu_root, tmp_path):
    doc = json.loads(tcg.read_text())
    bugs = known_bugs(doc)
    assert len(bugs) >= 3
    root = qemu_root
    assert not list(root.rglob("python*")) and not list(root.rglob("trapline*")) and not (root / "bin").exists()
    for bug in bugs[:3]:
        done = report(tcg, bug, tmp_path / bug)
        assert done.returncode == 0, done.stdout + done.stderr
        assert subject(tmp_path / bug, doc)["bug"] == bug
        check_alone(root, QEMU, tmp_path / bug, subject(tmp_path / bug, doc))


@pytest.mark.full
@pytest.mark.skipif(not BOCHS, reason="no Bochs")
def test_a_bug_of_bochs_with_bochs_alone(tmp_path):
    doc = run_suite(tmp_path / "run.json", "bochs-svm", "step")
    bugs = known_bugs(doc)
    assert bugs, "no known bug of this Bochs in step: name another guest"
    root = emulator_root(tmp_path / "root", BOCHS)
    folder = tmp_path / "report"
    done = report(tmp_path / "run.json", bugs[0], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    check_alone(root, BOCHS, folder, subject(folder, doc))
    script = next(p for p in folder.iterdir() if os.access(p, os.X_OK))
    done = subprocess.run([script], capture_output=True, text=True, cwd="/", timeout=120, check=False)
    assert done.returncode == 1 and "not ok 1 " in done.stdout, done.stdout + done.stderr


def test_what_the_folder_has(tcg, tmp_path):
    doc = json.loads(tcg.read_text())
    bug = known_bugs(doc)[0]
    assert report(tcg, bug, tmp_path / "r").returncode == 0
    text = (tmp_path / "r/report.md").read_text()
    result = subject(tmp_path / "r", doc)
    for part in (result["observed"], result["expected"], doc["machines"]["tcg"]["version"], "## The rule",
                 "## Since when", "## Steps to reproduce", "-bios guest.rom", "## The test", result["where"][:-4]):
        assert part in text, part
    assert result["rule"].partition(": ")[2].rstrip(".").lower() in text.lower()
    assert "/work/" not in text and str(ROOT) not in text
    script = next(p for p in (tmp_path / "r").iterdir() if os.access(p, os.X_OK))
    done = subprocess.run([script], capture_output=True, text=True, cwd="/", timeout=120, check=False)
    assert done.returncode == 1 and f"# observed {result['observed']}\n" in done.stdout
    assert subprocess.run([script, "--nonsense"], capture_output=True, timeout=60, check=False).returncode == 2
    if shutil.which("shellcheck"):
        (tmp_path / "x.sh").write_text(script.read_text().partition("__ROM__\n")[0])
        subprocess.run(["shellcheck", tmp_path / "x.sh"], check=True)


def test_a_hypervisor_that_is_right_is_told(tcg, tmp_path):
    """What does not fail again is said, and is no success."""
    doc = json.loads(tcg.read_text())
    result = next(r for r in doc["results"] if r["verdict"] == "pass" and not r["allowed"])
    result.update(verdict="fail", expected=result["observed"], observed="#UD@insn")
    (tmp_path / "run.json").write_text(json.dumps(doc))
    done = report(tmp_path / "run.json", f"{result['case']}:{result['environment']}", tmp_path / "r")
    assert done.returncode == 1 and "did NOT fail" in done.stdout
    assert "**It did not fail in the same way" in (tmp_path / "r/report.md").read_text()


def test_a_case_of_no_known_bug(tcg, tmp_path):
    doc = json.loads(tcg.read_text())
    result = next(r for r in doc["results"] if r["verdict"] == "known" and r["expected"])
    result.update(verdict="fail", bug="", reason="")
    (tmp_path / "run.json").write_text(json.dumps(doc))
    done = report(tmp_path / "run.json", f"{result['case']}:{result['environment']}", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "r/report.md").read_text()
    assert f"{result['observed']} instead of {result['expected']}" in text.splitlines()[0]


def test_a_crash(tcg, tmp_path):
    """A guest that dies: told by what is missing from its output."""
    doc = json.loads(tcg.read_text())
    result = doc["results"][0]
    result.update(verdict="crash", reason="hung: no result for 10 s", observed="", bug="")
    (tmp_path / "run.json").write_text(json.dumps(doc))
    done = report(tmp_path / "run.json", result["case"], tmp_path / "r")
    assert done.returncode == 1 and "it passes" in done.stdout      # it does not really die
    text = (tmp_path / "r/report.md").read_text()
    assert "guest dies" in text and "ends without a line" in text


@pytest.mark.parametrize("what, sentence", [
    ("nonsense-bug", "no bug of bugs.toml and no case"),
    ("int3/first_exception", "does not fail in this run: pass"),
    ("xsa-462", "nothing in this run fails for xsa-462"),
    ("int3/int3_wram", "did you mean"),
])
def test_bad_words(tcg, tmp_path, what, sentence):
    done = report(tcg, what, tmp_path / "r")
    assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_nothing_is_overwritten(tcg, tmp_path):
    (tmp_path / "mine").write_text("x")
    bug = known_bugs(json.loads(tcg.read_text()))[0]
    done = report(tcg, bug, tmp_path)
    assert done.returncode == 2 and "is not empty" in done.stderr and done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    done = report(tcg, bug, tmp_path / "mine")
    assert done.returncode == 2 and done.stderr.count("\n") == 1


@pytest.mark.parametrize("machine, words", [
    ("lab-6.1-sev", "-object sev-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,policy=0x1"),
    ("lab-6.1-sev-es+events", "-object sev-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,policy=0x5"),
    ("lab-6.1-amd", "-object memory-backend-memfd,id=ram,size=64M -nodefaults"),
])
def test_a_guest_of_the_lab_is_the_same_kind_of_guest_elsewhere(tcg, tmp_path, machine, words):
    doc = json.loads(tcg.read_text())
    doc["results"] = [{**next(r for r in doc["results"] if r["verdict"] == "known"), "machine": machine}]
    doc["machines"] = {machine: doc["machines"]["tcg"]}
    (tmp_path / "run.json").write_text(json.dumps(doc))
    done = report(tmp_path / "run.json", doc["results"][0]["case"], tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert words in " ".join(command(tmp_path / "r"))
    assert any(words.split(" -nodefaults")[0] in path.read_text(errors="replace")
               for path in (tmp_path / "r").iterdir() if path.suffix not in (".md", ".rom", ".elf"))


def test_what_no_folder_can_carry(tcg, tmp_path):
    doc = json.loads(tcg.read_text())
    result = next(r for r in doc["results"] if r["verdict"] == "known")
    for machine, sentence in (("model", "our own model"), ("mine", "reports are made for")):
        changed = json.loads(json.dumps(doc))
        changed["results"] = [{**result, "machine": machine}]
        changed["machines"] = {machine: doc["machines"]["tcg"]}
        (tmp_path / "run.json").write_text(json.dumps(changed))
        done = report(tmp_path / "run.json", result["case"], tmp_path / "r")
        assert done.returncode == 2 and sentence in done.stderr, done.stderr
    doc["results"] = [{**result, "case": "int3/gone"}]
    (tmp_path / "run.json").write_text(json.dumps(doc))
    done = report(tmp_path / "run.json", "int3/gone", tmp_path / "r")
    assert done.returncode == 2 and "of another tree" in done.stderr
