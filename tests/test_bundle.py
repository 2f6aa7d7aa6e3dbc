# SPDX-License-Identifier: BSD-2-Clause
"""The bundle gives the same verdicts as the tree where nothing is installed but QEMU and python3."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]

import standin                                  # noqa: E402
from sources import unpack_bundle               # noqa: E402

pytestmark = pytest.mark.skipif(not standin.QEMU, reason="no QEMU")
GUESTS = ["dummy", "int3", "shadow", "ipi"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The unpacked bundle."""
    return unpack_bundle(tmp_path_factory.mktemp("bundle"))


def verdicts(report):
    return [(r["case"], r["environment"], r["machine"], r["verdict"],
             r["observed"] if r["verdict"] != "pass" else "")
            for r in json.loads(Path(report).read_text())["results"]]


@pytest.fixture(scope="module")
def in_tree(tmp_path_factory):
    report = tmp_path_factory.mktemp("tree") / "tree.json"
    subprocess.run([ROOT / "run_tests.sh", "-q", "--machine", "tcg", "--json", report, *GUESTS],
                   stdout=subprocess.DEVNULL, timeout=200, check=False)
    return verdicts(report)


def copy_program(program, root):
    """A program and what it is linked with, to their places under `root`."""
    program = program if program.startswith("/") else shutil.which(program)
    found = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for path in [program, *re.findall(r"(/\S+) \(0x", found)]:
        to = root / path.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        if not to.exists():
            shutil.copy2(path, to)


@pytest.mark.full
def test_explains_that_a_rule_has_no_witness(bundle):
    case = next(iter(json.loads((ROOT / "unwitnessed.json").read_text())["cases"]))
    told = subprocess.run([bundle / "run", "--explain", case], capture_output=True, text=True, check=True).stdout
    assert "by the manual alone" in told


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root")
@pytest.mark.full
def test_in_an_empty_chroot(bundle, in_tree, tmp_path):
    root = tmp_path / "root"
    for name in ("bin", "lib", "lib64"):
        if Path(f"/{name}").is_symlink():
            (root / f"usr/{name}").mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
    for program in ("sh", "dirname", standin.QEMU, "/usr/bin/python3"):
        copy_program(program, root)
    library = Path(subprocess.run(
        ["/usr/bin/python3", "-c", "import os; print(os.path.dirname(os.__file__))"],
        capture_output=True, text=True, check=True).stdout.strip())
    shutil.copytree(library, root / str(library).lstrip("/"), symlinks=True,
                    ignore=shutil.ignore_patterns("__pycache__", "dist-packages",
                                                  "site-packages", "test"))
    for module in (library / "lib-dynload").glob("*.so"):
        copy_program(str(module), root)
    for module in Path("/usr/lib").glob("*/qemu/accel-*.so"):
        copy_program(str(module), root)         # QEMU's own, part of its package
    if Path("/usr/share/qemu").exists():
        shutil.copytree("/usr/share/qemu", root / "usr/share/qemu", symlinks=True)
        if Path("/usr/share/seabios").exists():
            shutil.copytree("/usr/share/seabios", root / "usr/share/seabios", symlinks=True)
    shutil.copytree(bundle, root / "trapline")
    for folder in ("proc", "dev", "tmp"):
        (root / folder).mkdir(exist_ok=True)
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", """
            mount -t proc proc "$1/proc"
            mount --rbind /dev "$1/dev"
            shift
            exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$@\"""", "sh", root, root,
         "/trapline/run", "--machine", "tcg", "--json", "/tmp/report.json", *GUESTS],
        capture_output=True, text=True, timeout=200, check=False)
    if "mount: " in done.stderr:
        pytest.skip("mounts are not allowed here")
    assert done.returncode == 0, "\n".join(x for x in done.stdout.splitlines() if x.startswith("# crash"))[:1500] + done.stderr
    assert verdicts(root / "tmp/report.json") == in_tree
    lines = done.stdout.splitlines()
    assert lines[0] == "KTAP version 1" and lines[1] == f"1..{len(in_tree)}"
    assert lines[-1].startswith("# Totals: ")


def run(bundle, *words, python="/usr/bin/python3", **variables):
    return subprocess.run(
        [bundle / "run", "--machine", "tcg", *map(str, words)], capture_output=True, text=True,
        timeout=200, check=False, env={**os.environ, "PYTHON": python, **variables})


@pytest.mark.full
def test_statuses(bundle, tmp_path):
    bad = standin.write(tmp_path / "qemu", "#UD@insn")
    assert run(bundle, "int3/int3_warm:cpl0").returncode == 0
    assert run(bundle, "--qemu", bad, "int3/int3_warm:cpl0").returncode == 1
    assert run(bundle, "nosuch").returncode == 2
    assert run(bundle, "--bisect", "int3_warm:cpl0").returncode == 0
    assert run(bundle, "--qemu", bad, "--bisect", "int3_warm:cpl0").returncode == 1
    assert run(bundle, "--bisect", "nosuch").returncode == 125
    assert run(bundle, "dummy", python="/bin/false").returncode == 2
    for option in ("--html", "--junitxml"):
        done = run(bundle, option, tmp_path / "x", "dummy")
        assert done.returncode == 2 and "the bundle" in done.stderr


@pytest.mark.full
def test_selection_and_explanation(bundle):
    done = run(bundle, "-k", "int3_warm and cpl0 and not (legacy or svm or vmx)")
    assert "ok 1 int3/int3_warm:cpl0@tcg" in done.stdout and "1..1" in done.stdout, done.stderr
    assert run(bundle, "-k", "int3 and (").returncode == 2
    assert "rule" in run(bundle, "--explain", "int3_warm").stdout
    assert "int3/int3_warm:cpl0" in run(bundle, "--list").stdout


@pytest.mark.full
def test_baseline_from_elsewhere(bundle, tmp_path):
    base = tmp_path / "base.json"
    assert run(bundle, "--save-baseline", base, "int3").returncode == 0
    done = subprocess.run([ROOT / "run_tests.sh", "-q", "--machine", "tcg", "--baseline", base,
                           "int3"], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout
    doc = json.loads(base.read_text())
    assert doc["commit"] == (bundle / "COMMIT").read_text().strip()


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.13"])
@pytest.mark.full
def test_other_pythons(bundle, in_tree, version, tmp_path):
    for found in (f"python{version}",
                  *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))):
        try:
            if subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode == 0:
                break
        except OSError:
            continue
    else:
        pytest.skip(f"no Python {version}")
    report = tmp_path / "report.json"
    done = run(bundle, "--json", report, *GUESTS, python=found)
    assert done.returncode == 0, done.stderr
    assert verdicts(report) == in_tree


@pytest.mark.full
def test_the_same_tree_gives_the_same_bytes(bundle, tmp_path):
    del bundle
    made = (ROOT / "build/trapline.tar.gz").read_bytes()
    subprocess.run([sys.executable, ROOT / "scripts/bundle", ROOT / "build", tmp_path / "again.tar.gz"], check=True)
    assert (tmp_path / "again.tar.gz").read_bytes() == made
