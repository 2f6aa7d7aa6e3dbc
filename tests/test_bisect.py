# SPDX-License-Identifier: BSD-2-Clause
"""Bisection: the exit status of --bisect, and git bisect finding a bug in random histories.

The hypervisor whose history is searched is a stand-in: each commit's configure and Makefile "build"
a script around QEMU which has the bug or has not (tests/standin.py).
"""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]

import standin                                  # noqa: E402

pytestmark = pytest.mark.skipif(not standin.QEMU, reason="no QEMU")
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="no git")
HISTORIES = 20


# Those that every QEMU passes.
THREE = "int3_warm:cpl0,int3_warm:cpl3,int3_warm:compat"


def bisect(case, qemu=standin.QEMU, *words):
    done = subprocess.run([ROOT / "run_tests.sh", "--machine", "tcg", "--qemu", qemu, "--bisect",
                           case, *words], capture_output=True, text=True, timeout=120, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert len(done.stderr.strip().splitlines()) == 1
    return done.returncode, last


@pytest.mark.parametrize("bug, case, status, says", [
    ("", THREE, 0, "bisect: good: 3 points as they must be"),
    ("", "int3/int3_warm:cpl0,first_exception", 0, "good: 2 points"),
    ("#UD@insn", THREE, 1, "bad: int3/int3_warm:cpl0@tcg: observed #UD@insn"),
    ("#UD@insn", "int3_warm:cpl3", 0, "good: 1 point "),
    ("#UD@insn", "int_3_warm,int3_warm", 1, "bad: "),
    ("", "int3_wram", 125, "unknown case 'int3_wram'; did you mean 'int3_warm'?"),
    ("", "", 125, "--bisect names no case"),
])
def test_status(tmp_path, bug, case, status, says):
    found, said = bisect(case, standin.write(tmp_path / "qemu", bug))
    assert (found, says in said) == (status, True), said


def test_known_failures_are_bad():
    """The question is whether it fails, not whether that was to be expected."""
    code, said = bisect("int_0x30_beyond_limit")
    if code == 0:
        pytest.skip("this QEMU has no known failure here")
    assert code == 1 and "observed #GP(0x302)@insn" in said


@pytest.mark.parametrize("script, status, says", [
    ("exit 1", 125, "does not work"),                               # no QEMU at all
    ("echo 'qemu: no such device' >&2; exit 1", 125, "no such device"),
    ("kill -ABRT $$", 125, "killed by SIGABRT"),                     # QEMU's own crash
    ("echo 'KTAP version 1'; kill -SEGV $$", 125, "killed by SIGSEGV"),
    ("exit 0", 1, "triple fault"),                                  # the guest's end
    ("sleep 60", 1, "hung"),
    ("echo 'KTAP version 1'; echo 1..3; echo 'Bail out! unexpected #PF'; exit 37", 1, "#PF"),
])
def test_deaths(tmp_path, script, status, says):
    qemu = tmp_path / "qemu"
    answer = "" if says == "does not work" else \
        f'case "$*" in *-version*|*help*) exec {standin.QEMU} "$@" ;; esac\n'
    qemu.write_text(f"#!/bin/sh\n{answer}{script}\n")
    qemu.chmod(0o755)
    found, said = bisect(THREE, qemu, "--timeout", "0.5")
    assert (found, says in said) == (status, True), said


def test_skipped_cannot_tell(tmp_path):
    config = tmp_path / "unittests.cfg"
    config.write_text("[int3]\nfile = int3\naccel = kvm\n")
    assert bisect("int3_warm", standin.QEMU, "--config", config)[0] == 125


@pytest.mark.full
def test_broken_build_of_the_guests_cannot_tell(tmp_path):
    tree = tmp_path / "trapline"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "build*"), symlinks=True)
    (tree / "x86/dummy.c").write_text("#error broken\n")
    done = subprocess.run([tree / "run_tests.sh", "--bisect", THREE], capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 125 and "the build failed" in done.stderr
    done = subprocess.run([tree / "run_tests.sh", "int3"], capture_output=True, timeout=120,
                          check=False)
    assert done.returncode == 2


# -- Histories --------------------------------------------------------------------------------------

CONFIGURE = """\
#!/bin/sh
case " $* " in *" --target-list=x86_64-softmmu "*) ;; *) exit 1 ;; esac
echo "qemu-system-x86_64: $(dirname "$0")/source
	sh $(dirname "$0")/compile \\$< \\$@" >Makefile
"""


def git(tree, *words, date=None):
    import os

    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
           "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@localhost", "GIT_COMMITTER_NAME": "a",
           "GIT_COMMITTER_EMAIL": "a@localhost", "PATH": os.environ["PATH"], "HOME": str(tree)}
    if date is not None:
        env.update(GIT_AUTHOR_DATE=f"@{date} +0000", GIT_COMMITTER_DATE=f"@{date} +0000")
    done = subprocess.run(["git", *map(str, words)], cwd=tree, env=env, capture_output=True,
                          text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class History:
    """A repository of 10 to 40 commits, some on branches, some broken, one with the bug."""

    def __init__(self, tree, seed):
        self.tree = tree
        self.random = random.Random(seed)
        self.number = 0
        tree.mkdir()
        git(tree, "init", "-q", "-b", "main")
        (tree / "configure").write_text(CONFIGURE)
        (tree / "configure").chmod(0o755)
        self.good = self.commit()
        count = self.random.randrange(10, 41)
        at = self.random.randrange(1, count)
        # The culprit and the one before it can be told; git could not name one of them otherwise.
        near = (at - 1, at)
        bug = ""
        for i in range(count):
            if i == at:
                bug = "#UD@insn"
            kind = "fine" if i in near or i == count - 1 else self.random.choices(
                ("fine", "unbuildable", "crashes", "merge"), (70, 12, 8, 10))[0]
            if kind == "merge":
                self.merge(bug)
            else:
                commit = self.commit(bug, kind)
            if i == at:
                self.culprit = commit

    def commit(self, bug="", kind="fine"):
        self.number += 1
        standin.write(self.tree / "source", bug,
                      f"# {self.number}\n" + ("kill -SEGV $$" if kind == "crashes" else ""))
        compile_ = "exit 1\n" if kind == "unbuildable" else 'install -m755 "$1" "$2"\n'
        (self.tree / "compile").write_text(f"# {self.number}\n{compile_}")
        git(self.tree, "add", "-A")
        git(self.tree, "commit", "-qm", f"commit {self.number}: {kind}", date=self.number * 60)
        return git(self.tree, "rev-parse", "HEAD").strip()

    def merge(self, bug):
        """A side branch with a few commits that touch something else."""
        git(self.tree, "checkout", "-q", "-b", f"side{self.number}")
        side = f"side{self.number}"
        for i in range(self.random.randrange(1, 4)):
            self.number += 1
            (self.tree / f"{side}-{i}").write_text("x")
            git(self.tree, "add", "-A")
            git(self.tree, "commit", "-qm", f"commit {self.number}: {side}", date=self.number * 60)
        git(self.tree, "checkout", "-q", "main")
        self.commit(bug)
        git(self.tree, "merge", "-q", "--no-ff", "-m", f"merge {side}", side,
            date=self.number * 60)


@needs_git
@pytest.mark.full                       # its quick relative is in test_readme.py
@pytest.mark.parametrize("seed", range(HISTORIES))
def test_git_bisect_finds_the_commit(tmp_path, seed):
    history = History(tmp_path / "qemu", seed)
    git(history.tree, "bisect", "start", "main", history.good)
    said = git(history.tree, "bisect", "run", ROOT / "scripts/bisect-qemu", THREE)
    assert git(history.tree, "rev-parse", "refs/bisect/bad").strip() == history.culprit, said
    assert "is the first bad commit" in said


# -- A kernel's tree, with stand-ins for its build and the lab ----------------------------------------

@pytest.fixture
def kernel(tmp_path):
    """A tree that "builds", and a Trapline whose lab and runner write down what they are asked."""
    top, tree = tmp_path / "trapline", tmp_path / "linux"
    (top / "scripts").mkdir(parents=True)
    (tree / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/bisect-kernel", top / "scripts")
    for file, text in {
            top / "scripts/lab": f'echo lab "$@" >>{tmp_path}/log\nexit ${{LAB-0}}\n',
            top / "run_tests.sh": f'echo run "$@" >>{tmp_path}/log\nexit ${{RUN-0}}\n',
            tree / "scripts/config": f'echo config "$@" >>{tmp_path}/log\n'}.items():
        file.write_text("#!/bin/sh\n" + text)
        file.chmod(0o755)
    (tree / "Kbuild").touch()
    (tree / "Makefile").write_text(
        "tinyconfig:\n\ttouch $(O)/.config\nolddefconfig:\n\ttest -f $(O)/.config\n"
        "bzImage:\n\tmkdir -p $(O)/arch/x86/boot\n\techo >$(O)/arch/x86/boot/bzImage\n"
        "modules:\n\t@test -z '$(BROKEN)'\n")

    def step(*words, **variables):
        import os

        (tmp_path / "log").write_text("")
        done = subprocess.run([top / "scripts/bisect-kernel", "-j", "1", *words], cwd=tree,
                              env={**os.environ, **variables}, capture_output=True, text=True,
                              timeout=60, check=False)
        return done.returncode, (tmp_path / "log").read_text().splitlines(), done.stderr

    step.tree = tree
    return step


def test_kernel_step(kernel):
    status, log, errors = kernel("int3_warm,sti", "-k", "cpl0")
    build = kernel.tree / "build-bisect"
    assert status == 0, errors
    assert log[0].startswith(f"config --file {build}/.config ") and "-m KVM_AMD" in log[0]
    assert log[1:] == [f"lab add bisect --kernel {build}/arch/x86/boot/bzImage --modules {build}",
                       "run --machine lab-bisect -k cpl0 --bisect int3_warm,sti"]
    assert (build / ".gitignore").read_text() == "*\n"
    for code in (1, 125):
        assert kernel("int3_warm", RUN=str(code))[0] == code
    assert "run --machine lab-bisect-intel" in kernel("-v", "intel", "x")[1][-1]


@needs_git
def test_kernel_page(kernel):
    """The commands of docs/bisect.md, on a history whose fourth commit is bad."""
    import re

    page = (ROOT / "docs/bisect.md").read_text()
    commands = re.search(r"^```sh linux-tree\n(.*?)^```$", page, re.M | re.S)[1]
    tree = kernel.tree
    (tree.parent / "trapline/run_tests.sh").write_text(f"#!/bin/sh\nexit $(cat {tree}/status)\n")
    git(tree, "init", "-q", "-b", "master")
    for i in range(6):
        (tree / "status").write_text(f"{int(i >= 3)}\n")
        (tree / "number").write_text(str(i))
        git(tree, "add", "-A")
        git(tree, "commit", "-qm", f"commit {i}")
        if i == 0:
            git(tree, "tag", "v6.1")
    done = subprocess.run(["sh", "-e", "-c", commands], cwd=tree, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"is the first bad commit\n(.*\n)*.*commit 3\n", done.stdout)


def test_kernel_that_cannot_be_judged(kernel):
    status, log, errors = kernel("int3_warm", BROKEN="1", MAKEFLAGS="BROKEN=1")
    assert status == 125 and "does not build" in errors and not any("run" in x for x in log)
    assert kernel("int3_warm", LAB="2")[0] == 125
    assert kernel()[0] == 125
    assert kernel("-v", "via", "int3_warm")[0] == 125
    assert kernel("-C", "/nowhere", "int3_warm")[0] == 125
    (kernel.tree / "Kbuild").unlink()
    assert kernel("int3_warm")[0] == 125


def test_qemu_step_says_how_it_is_used():
    done = subprocess.run([ROOT / "scripts/bisect-qemu"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 125 and "CASE[,CASE]" in done.stderr and "-C DIR" in done.stderr


# -- The model, told to be wrong, as the hypervisor whose history is searched ------------------------

def model(case, *words):
    done = subprocess.run([ROOT / "run_tests.sh", "-q", "--machine", "model", *words, "--bisect",
                           case], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr.strip().splitlines()[-1]


@pytest.mark.full
def test_model_with_a_bug():
    assert model("shadow/sti_plain:cpl0")[0] == 0
    code, said = model("shadow/sti_plain:cpl0", "--bug", "model-shadow-late")
    assert code == 1 and said.startswith("bisect: bad: shadow/sti_plain:cpl0@model: observed")


@needs_git
@pytest.mark.full
def test_git_bisect_finds_the_model_bug(tmp_path):
    """Each commit says which bugs the model has; the seventh of twelve switches one on."""
    tree = tmp_path / "hypervisor"
    tree.mkdir()
    git(tree, "init", "-q", "-b", "main")
    for i in range(12):
        (tree / "options").write_text("--bug model-shadow-late\n" if i >= 6 else "\n")
        (tree / "number").write_text(f"{i}\n")
        git(tree, "add", "-A")
        git(tree, "commit", "-qm", f"commit {i}")
        if i == 6:
            culprit = git(tree, "rev-parse", "HEAD").strip()
    git(tree, "bisect", "start", "main", "main~11")
    git(tree, "bisect", "run", "sh", "-c",
        f"exec {ROOT}/run_tests.sh -q --machine model $(cat options) --bisect shadow/sti_plain:cpl0")
    assert git(tree, "rev-parse", "refs/bisect/bad").strip() == culprit


# -- Xen's tree, likewise ------------------------------------------------------------------------------

@pytest.fixture
def xen(tmp_path):
    """A tree that "builds", and a Trapline whose lab and runner write down what they are asked."""
    top, tree = tmp_path / "trapline", tmp_path / "xen"
    (top / "scripts").mkdir(parents=True)
    (tree / "xen").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/bisect-xen", top / "scripts")
    for file, text in {
            top / "scripts/lab": f'echo lab "$@" >>{tmp_path}/log\nexit ${{LAB-0}}\n',
            top / "run_tests.sh": f'echo run "$@" >>{tmp_path}/log\nexit ${{RUN-0}}\n'}.items():
        file.write_text("#!/bin/sh\n" + text)
        file.chmod(0o755)
    (tree / "xen/Kconfig").touch()
    (tree / "xen/Makefile").write_text(
        "defconfig:\n\ttouch .config\nolddefconfig:\n\ttest -f .config\n"
        "build:\n\t@test -z '$(BROKEN)'\n\t@test -z '$(ONCE)' -o -f cleaned\n\ttouch xen.gz\nclean:\n\ttouch cleaned\n")

    def step(*words, **variables):
        import os

        (tmp_path / "log").write_text("")
        done = subprocess.run([top / "scripts/bisect-xen", "-j", "1", *words], cwd=tree,
                              env={**os.environ, **variables}, capture_output=True, text=True,
                              timeout=60, check=False)
        return done.returncode, (tmp_path / "log").read_text().splitlines(), done.stderr

    step.tree = tree
    return step


def test_xen_step(xen):
    status, log, errors = xen("int3_warm,sti", "-k", "cpl0")
    assert status == 0, errors
    assert log == [f"lab add xen-bisect --xen {xen.tree}/xen/xen.gz",
                   "run --machine lab-xen-bisect -k cpl0 --bisect int3_warm,sti"]
    for code in (1, 125):
        assert xen("int3_warm", RUN=str(code))[0] == code
    assert "run --machine lab-xen-bisect-intel+nested" in xen("-v", "intel", "-p", "nested", "x")[1][-1]


def test_xen_is_built_again_from_a_clean_tree(xen):
    status, log, errors = xen("x", MAKEFLAGS="ONCE=1")
    assert status == 0 and "again from a clean tree" in errors and len(log) == 2


def test_xen_that_cannot_be_judged(xen):
    status, log, errors = xen("x", MAKEFLAGS="BROKEN=1")
    assert status == 125 and "does not build" in errors and not log
    assert xen("x", LAB="2")[0] == 125
    assert xen()[0] == 125
    assert xen("-v", "via", "x")[0] == 125
    assert xen("-C", "/nowhere", "x")[0] == 125
    (xen.tree / "xen/Kconfig").unlink()
    assert xen("x")[0] == 125
