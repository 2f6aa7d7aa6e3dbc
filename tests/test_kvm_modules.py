# SPDX-License-Identifier: BSD-2-Clause
"""KVM's modules alone: what is taken of a source tree; and, where the source of one of Debian's kernels is in the
cache (scripts/lab source), the SEV bug of 2023, by taking its repair out again."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from trapline.errors import UsageError
from trapline.lab import cli, modules, sevhost, source, store
from trapline.machines import known
from trapline.machines.base import Tools

TOP = Path(__file__).resolve().parent.parent

MAKEFILE = """\
ccflags-y += -I $(srctree)/arch/x86/kvm
include $(srctree)/virt/kvm/Makefile.kvm
kvm-y += x86.o
"""


def tree_of(path, **files):
    """A source tree with KVM's Makefile and these files; "__" in a name is "/"."""
    for name, text in {"arch__x86__kvm__Makefile": MAKEFILE, **files}.items():
        file = path / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def test_what_is_taken_of_a_tree(tmp_path):
    tree = tree_of(tmp_path / "tree", **{
        "arch__x86__kvm__svm__svm.c": "1", "virt__kvm__kvm_main.c": "2", "include__linux__kvm_host.h": "3",
        "arch__x86__include__asm__svm.h": "4", "arch__x86__include__asm__page.h": "5", "kernel__fork.c": "6",
        "include__linux__sched.h": "7"})
    modules.sync(str(tree), str(tmp_path / "work"))
    found = sorted(str(p.relative_to(tmp_path / "work")) for p in (tmp_path / "work").rglob("*") if p.is_file())
    assert found == ["arch/x86/include/asm/svm.h", "arch/x86/kvm/Makefile", "arch/x86/kvm/svm/svm.c",
                     "include/linux/kvm_host.h", "virt/kvm/kvm_main.c"]
    assert "srctree" not in (tmp_path / "work/arch/x86/kvm/Makefile").read_text()


def test_only_what_differs_is_written(tmp_path):
    """Or make would build all of it, for each commit."""
    tree = tree_of(tmp_path / "tree", **{"arch__x86__kvm__a.c": "a", "arch__x86__kvm__b.c": "b",
                                         "arch__x86__kvm__gone.c": "g"})
    work = tmp_path / "work"
    modules.sync(str(tree), str(work))
    for file in work.rglob("*"):
        os.utime(file, (1, 1))
    (work / "arch/x86/kvm/a.o").write_text("an object")
    (work / "arch/x86/kvm/kvm-asm-offsets.h").write_text("made by the build")
    tree_of(tree, **{"arch__x86__kvm__b.c": "B"})
    (tree / "arch/x86/kvm/gone.c").unlink()
    modules.sync(str(tree), str(work))
    times = {p.name: p.stat().st_mtime for p in (work / "arch/x86/kvm").iterdir()}
    assert times["a.c"] == times["Makefile"] == 1 and times["b.c"] > 1
    assert "gone.c" not in times and {"a.o", "kvm-asm-offsets.h"} <= set(times)


@pytest.mark.parametrize("makefile, complaint", [
    (None, "is no source tree of Linux"), ("kvm-y += x86.o\n", "is not as expected")])
def test_wrong_trees_are_one_sentence(tmp_path, makefile, complaint):
    tree = tmp_path / "tree"
    tree.mkdir()
    if makefile:
        tree_of(tree, arch__x86__kvm__Makefile=makefile)
    with pytest.raises(UsageError, match=complaint):
        modules.sync(str(tree), str(tmp_path / "work"))


def test_kernel_that_is_not_of_debian(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with store.locked(), store.new("mine") as folder:
        store.save(folder, store.Kernel("mine", "6.1.0", "6.1", "here", {}, {}))
    assert cli.main(["modules", "mine", "--as", "other"]) == 2
    assert "mine does not come from Debian's archive" in capsys.readouterr().err
    assert cli.main(["modules", "mine", "--as", "other-sev"]) == 2
    assert "cannot be the name of a kernel" in capsys.readouterr().err


@pytest.mark.parametrize("words, complaint", [
    (["-k", "sve", "x"], "-k sve is none of"), (["-m", "no-such", "-C", ".", "x"], "no modules of this commit")])
def test_bisection_that_cannot_tell(words, complaint, tmp_path):
    done = subprocess.run([TOP / "scripts" / "bisect-kernel", *words], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, stdin=subprocess.DEVNULL)
    assert done.returncode == 125 and complaint in done.stderr


# -- The bug of 2023 (bugs.toml, kvm-sev-int3-ud), on real KVM. ----------------------------------------------------

# "KVM: SVM: Don't inject #UD if KVM attempts to skip SEV guest insn" made the #UD depend on this.
REPAIR = re.compile(r"\n\t\tif \(!\(emul_type & EMULTYPE_SKIP\)\)\n\t(\t\tkvm_queue_exception\(vcpu, UD_VECTOR\);)")
# The first event of a guest meets pages that nobody has touched yet, whatever its case.
COLD = ["int3/int3_cold_idt:cpl0", "int3/first_exception:cpl0",
        "int3/int3_cold_stack_rsp0:cpl3", "int3/int3_cold_gdt:compat"]


@pytest.fixture(scope="module")
def base():
    """A kernel with SEV and the repair, whose source is here."""
    for name in store.names():
        kernel = store.load(name)
        tree = Path(source.folder(name)) / "tree"
        svm = tree / "arch/x86/kvm/svm/svm.c"
        if not sevhost.missing(kernel, "sev") and svm.exists() and REPAIR.search(svm.read_text()):
            machine = known.create(f"lab-{name}-sev", Tools(build=str(TOP / "build")))
            return (kernel, tree) if machine.probe() is None else pytest.skip(machine.probe())
    return pytest.skip("no source of a 6.1 with SEV in the cache (scripts/lab add 6.1 --debian bookworm --sev; "
                       "scripts/lab source 6.1)")


def taken_out(tree, to):
    """`tree`, or in a copy at `to` what it was before the repair."""
    if to != tree:
        shutil.copytree(tree, to)
    svm = to / "arch/x86/kvm/svm/svm.c"
    text, count = REPAIR.subn(r"\n\1", svm.read_text())
    assert count == 1
    svm.write_text(text)
    return to


def lab(*words):
    return subprocess.run([TOP / "scripts" / "lab", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          check=True, timeout=3600)


@pytest.mark.full
def test_bug_of_2023(base, tmp_path):
    kernel, tree = base
    path = tmp_path / "results.json"
    try:
        lab("modules", kernel.name, "--as", "test-repaired", "--tree", str(tree))
        lab("modules", kernel.name, "--as", "test-broken", "--tree", str(taken_out(tree, tmp_path / "tree")))
        subprocess.run([TOP / "run_tests.sh", "--machine", "lab-test-repaired-sev,lab-test-broken-sev", "--strict",
                        "--json", path, "int3/int3_warm:cpl0", *COLD], stdin=subprocess.DEVNULL, timeout=1800)
    finally:
        for name in ("test-repaired", "test-broken"):
            subprocess.run([TOP / "scripts" / "lab", "remove", name], stderr=subprocess.DEVNULL)
    seen = {}
    for result in json.loads(path.read_text())["results"]:
        point = f"{result['case']}:{result['environment']}"
        seen.setdefault(result["machine"], {})[point] = result["observed"]
    assert seen["lab-test-repaired-sev"] == dict.fromkeys(["int3/int3_warm:cpl0", *COLD], "#BP@after")
    assert seen["lab-test-broken-sev"] == {"int3/int3_warm:cpl0": "#BP@after", **dict.fromkeys(COLD, "#UD@insn")}


@pytest.mark.full
def test_bisection_finds_it(base, tmp_path):
    """Six commits, the fourth of which takes the repair out: git bisect run finds it by itself."""
    kernel, tree = base
    repository = tmp_path / "linux"
    shutil.copytree(tree, repository)

    def git(*words):
        return subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *words], cwd=repository, check=True,
                              capture_output=True, text=True).stdout

    git("init", "-q")
    for number in range(1, 7):
        if number == 4:
            taken_out(repository, repository)
        else:
            irq = repository / "arch/x86/kvm/irq_comm.c"
            irq.write_text(irq.read_text() + f"/* {number} */\n")
        git("add", "-A")
        git("commit", "-q", "-m", f"commit {number}")
    git("bisect", "start", "HEAD", "HEAD~5")
    try:
        said = git("bisect", "run", str(TOP / "scripts" / "bisect-kernel"), "-m", kernel.name, "-k", "sev", COLD[0])
    finally:
        subprocess.run([TOP / "scripts" / "lab", "remove", "bisect"], stderr=subprocess.DEVNULL)
    assert "is the first bad commit" in said and re.search(r"^    commit 4$", said, re.M), said
