# SPDX-License-Identifier: BSD-2-Clause
"""The lab's machines: what Bochs boots from, what the VMM is told, and that nothing is left behind."""

import json
import os
import shutil
import signal
import struct
import subprocess
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import full_but

from trapline import expectations, ktap
from trapline import verdicts as verdicts_
from trapline.errors import UsageError
from trapline.lab import bisect, image, iso, store, table, xens
from trapline.lab.machine import LabMachine
from trapline.lab.xen import XenTcg
from trapline.machines import known
from trapline.machines.base import Machine, Order, Tools
from trapline.scheduler import Scheduler
from trapline.select import Target

TOP = Path(__file__).resolve().parent.parent


# -- What Bochs boots from. ------------------------------------------------------------------------------

FILES = {"isolinux.bin": bytes(range(256)) * 16, "vmlinuz": b"k" * 5000, "initrd": b""}


def test_disc_is_read_by_others(tmp_path):
    if not shutil.which("xorriso"):
        pytest.skip("no xorriso")
    (tmp_path / "a.iso").write_bytes(iso.image(FILES, "isolinux.bin"))
    subprocess.run(["xorriso", "-indev", "a.iso", "-osirrox", "on", "-extract", "/", "out"],
                   cwd=tmp_path, check=True, capture_output=True)
    found = {p.name.lower().rstrip("."): p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert found["vmlinuz"] == FILES["vmlinuz"] and found["initrd"] == b""
    assert found["isolinux.bin"][64:] == FILES["isolinux.bin"][64:]


def test_boot_information_table():
    disc = iso.image(FILES, "isolinux.bin")
    catalog = struct.unpack_from("<I", disc, 17 * iso.BLOCK + 71)[0] * iso.BLOCK
    entry = disc[catalog:catalog + 64]
    assert sum(struct.unpack("<16H", entry[:32])) & 0xffff == 0 and entry[32] == 0x88
    block = struct.unpack_from("<I", entry, 40)[0]
    program = disc[block * iso.BLOCK:][:4096]
    volume, at, size, total = struct.unpack_from("<IIII", program, 8)
    assert (volume, at, size) == (16, block, 4096)
    assert total == sum(struct.unpack("<1008I", program[64:])) & 0xffffffff


def test_signature_is_taken_off():
    module = b"\x7fELF" + b"x" * 100
    signed = module + b"s" * 300 + bytes(8) + (300).to_bytes(4, "big") + b"~Module signature appended~\n"
    assert image.unsigned(signed) == module and image.unsigned(module) == module


# -- What the VMM is told. ---------------------------------------------------------------------------------

def newest(suffix=""):
    """Name of a lab machine, of the newest kernel in the user's own cache; skips where there is none."""
    for name in reversed(store.names()):
        if f"lab-{name}{suffix}" in known.names():
            machine = known.create(f"lab-{name}{suffix}", Tools(build=str(TOP / "build")))
            return machine if machine.probe() is None else pytest.skip(machine.probe())
    return pytest.skip("no lab kernel in the cache (scripts/lab add 6.1 --debian bookworm)")


def test_words_of_a_machine():
    name = newest().name
    machine = known.create(f"{name}+npt=0+state", Tools())
    assert machine.params == {("kvm-amd", "npt"): "0"}
    for word in ("frobnicate", "npt", "=1"):
        with pytest.raises(UsageError, match="is neither PARAMETER=VALUE nor one of"):
            known.create(f"{name}+{word}", Tools())
    with pytest.raises(UsageError, match="has no parameter .nqt"):
        known.create(f"{name}+nqt=0", Tools())


def test_where_the_debugger_finds_things():
    from trapline.lab.hosted import _step

    words = _step(Order(b"", image=str(TOP / "build" / "hoststep.rom"))).removeprefix("step=").split(":")
    said = subprocess.run(["nm", TOP / "build" / "hoststep.elf"], capture_output=True, text=True,
                          check=True).stdout
    for word, symbol in zip(words, ("host_plan", "host_waits_here", "host_is_done_here")):
        assert f"{int(word, 16):016x}" in [line.split()[0] for line in said.splitlines()
                                            if line.endswith(f" {symbol}")]
    with pytest.raises(UsageError, match="has no symbol host_plan"):
        _step(Order(b"", image=str(TOP / "build" / "dummy.rom")))


def test_heads_of_a_table():
    report = {"machines": {name: {"version": "KVM of Linux 6.1.192 (6.1.0-56), in Bochs 2.7"}
                           for name in ("lab-6.1", "lab-6.1-intel+ept=0", "lab-6.1-bochs")}}
    assert [table.head(name, report) for name in report["machines"]] == [
        "6.1.192 AMD", "6.1.192 Intel ept=0", "6.1.192 AMD, Bochs"]


# -- Whose fault it is. -------------------------------------------------------------------------------------

@pytest.mark.parametrize("bug, verdict", [("kvm-gdb-sti", "known"), ("bochs-exit-rf", "blocked"),
                                          ("tcg-cr8", "blocked"), ("", "known")])
def test_bug_of_the_emulator_blocks(bug, verdict):
    entry = expectations.Known("here", ("g/a:*",), ("lab-*@bochs-vmx",), None, ("#UD@insn",), "why",
                               bug, "")
    index = expectations.Index([entry], "lab-6.1-intel", "6.1.192", "bochs-vmx")
    assert expectations.Index([entry], "lab-6.1", "6.1.192", "tcg").find("g/a:cpl0") == []
    target = SimpleNamespace(machine=LabMachine)
    said = ktap.Said(ok=False, observed=["#UD@insn"], expected=["#BP@after"])
    assert verdicts_.judge(target, said, 0.0, expectations=index.find("g/a:cpl0")).verdict == verdict


def target(case, underneath):
    machine = Machine(None)
    machine.name, machine.underneath, machine.number = "lab-x", underneath, lambda: "6.1"
    section = SimpleNamespace(name="g", unfit=lambda machine: None)
    point = SimpleNamespace(name=f"{case}:cpl0", layer="native", index=0,
                            case=SimpleNamespace(catches=("tcg-part",) if case == "c" else ()))
    return Target(section, SimpleNamespace(name="g"), point, machine)


@pytest.mark.parametrize("sometimes", [False, True])
def test_what_the_emulator_always_fails_is_not_asked_again(sometimes):
    tcg = Machine(None)
    tcg.name, tcg.underneath, tcg.number = "tcg", None, lambda: "7.2"
    entry = expectations.Known("here", ("g/a:*",), ("tcg",), None, ("#UD@insn",), "why", "tcg-a", "", sometimes)
    said = []
    run = Scheduler([], 1, said.append, [entry])
    failed = ktap.Said(ok=False, observed=["#GP(0x0)@insn"], expected=["#BP@after"])
    run._emit(target("a", tcg), failed, 0.0)
    if sometimes:
        assert not said and len(run._doubts) == 1
    else:
        assert [(r.verdict, r.reason) for r in said] == [("blocked", "tcg itself fails it, as here says")]
    run._emit(target("b", tcg), failed, 0.0)
    assert len(run._doubts) == 1 + sometimes


@pytest.mark.parametrize("case", ["a", "c"])
@pytest.mark.parametrize("sometimes", [False, True])
def test_the_emulators_part_excuses_nothing_where_the_hypervisor_has_its_own(case, sometimes):
    tcg = Machine(None)
    tcg.name, tcg.underneath, tcg.number = "tcg", None, lambda: "7.2"
    entry = expectations.Known("here", ("g/a:*",), ("tcg",), None, ("#UD@insn",), "why", "tcg-part", "", sometimes)
    failed = ktap.Said(ok=False, observed=["#GP(0x0)@insn"], expected=["#BP@after"])
    for brings, verdict in ((("apic",), "fail"), ((), "blocked")):
        on = target(case, tcg)
        on.machine.brings, on.machine.foreign_bugs = brings, ("tcg-",)
        said = []
        run = Scheduler([], 1, said.append, [entry], parts={"tcg-part": "apic"})
        run._emit(on, failed, 0.0)
        if brings:
            assert [r.verdict for r in said] == ["fail"] and "its apic is not in use" in said[0].notes[0]
        elif case == "a" and not sometimes:
            assert [r.verdict for r in said] == [verdict]
        else:
            assert not said and len(run._doubts) == 1       # it is asked


def test_entries_of_kernels_are_not_about_xen():
    kvm, xen = (expectations.Known("here", ("g/a:*",), (glob,), None, ("#UD@insn",), "why", "b", "")
                for glob in ("lab-*", "lab-xen-*"))
    for entry, machines in ((kvm, [True, False]), (xen, [False, True])):
        assert [entry.applies(name, "1") for name in ("lab-6.1", "lab-xen-4.17")] == machines


def test_what_the_emulator_does_not_survive_is_not_run():
    entry = expectations.Known("here", ("g/a:*",), ("lab-x@tcg",), None, ("death",), "it aborts", "tcg-a", "")
    tcg = SimpleNamespace(name="tcg")
    said = []
    run = Scheduler([target("a", tcg)], 1, said.append, [entry])
    run.run()
    assert [(r.verdict, r.reason) for r in said] == [("blocked", "not run: it aborts")] and run.boots == 0
    for other in (target("b", tcg), target("a", None)):
        assert Scheduler([other], 1, said.append, [entry])._dread(other, "death") is None


# -- Real kernels, where they are. ------------------------------------------------------------------------

def ktap_of(machine, *words):
    """What a run says."""
    done = subprocess.run([TOP / "run_tests.sh", "--machine", machine, "--ktap", *words], text=True,
                          capture_output=True, timeout=400, stdin=subprocess.DEVNULL)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.full
@pytest.mark.parametrize("option", LabMachine.vmm_options)
def test_guest_does_not_notice(option):
    said = ktap_of(f"{newest().name}+{option}", "dummy", "int3/int3_cold_stack_ist", "nmi/cold_idt")
    assert "not ok" not in said and "ok 1" in said


@pytest.mark.full
def test_debugger_of_the_lab():
    said = ktap_of(newest().name, "hoststep/nops", "hoststep/sti_2")
    assert "not ok" not in said and "SKIP" not in said and "ok 1" in said


def processes(token):
    """Those that have `token` in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if token.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(int(pid))
        except OSError:
            pass
    return found


@pytest.mark.parametrize("how", full_but([signal.SIGINT, signal.SIGTERM, signal.SIGKILL], (signal.SIGINT,)))
@pytest.mark.parametrize("delay", full_but([0.3, 2.5, 6.0], (2.5,)))
def test_interrupted_run_leaves_nothing(how, delay):
    interrupt(newest().name, how, delay)


@pytest.mark.parametrize("how", full_but([signal.SIGINT, signal.SIGTERM, signal.SIGKILL], (signal.SIGINT, signal.SIGKILL)))
@pytest.mark.parametrize("delay", full_but([0.3, 2.5, 6.0], (2.5,)))
def test_interrupted_run_on_xen_leaves_nothing(how, delay):
    interrupt(newest_xen(), how, delay)


def interrupt(machine, how, delay):
    """Starts a run there, sends the signal after `delay` seconds, and sees that nothing is left."""
    token = f"TRAPLINE_TOKEN_{uuid.uuid4().hex}"

    def surroundings():
        tree = subprocess.run(["git", "status", "--porcelain"], cwd=TOP, capture_output=True,
                              text=True, check=True).stdout
        return tree, Path("/proc/mounts").read_text(), sorted(
            n for n in os.listdir("/tmp") if n.startswith("trapline-lab"))

    before = surroundings()
    run = subprocess.Popen(
        [TOP / "run_tests.sh", "--machine", machine, "int3"], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env=os.environ | {token: "1"})
    time.sleep(delay)
    run.send_signal(how)
    run.wait(20)
    end = time.monotonic() + 10
    while processes(token) and time.monotonic() < end:
        time.sleep(0.1)
    assert not processes(token)
    assert surroundings() == before


# -- Xen. -------------------------------------------------------------------------------------------------

def newest_xen():
    """Name of the machine of the newest Xen in the user's own cache; skips where there is none."""
    names = xens.names()
    return f"lab-{names[-1]}" if names else pytest.skip(
        "the lab has no Xen: scripts/lab add xen-4.17 --debian bookworm --xen")


def test_a_guest_on_xen(tmp_path):
    machine, report = newest_xen(), tmp_path / "results.json"
    done = subprocess.run([TOP / "run_tests.sh", "--machine", machine, "--json", report, "dummy"], text=True,
                          capture_output=True, timeout=200, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    host = json.loads(report.read_text())["machines"][machine]["host"]
    assert host["kernel"].startswith("Xen 4.") and "hvm-3.0-x86_64" in host["capabilities"]
    assert "dom0_mem=" in host["command_line"] and host["cpu"]


def test_what_a_xen_lacks_is_one_sentence(tmp_path, monkeypatch):
    folder = tmp_path / "xen-old"
    folder.mkdir()
    (folder / "xen").write_bytes(b"\x7fELF Xen\0arch/x86/mm/hap/hap.c\0")
    xen = xens.Xen("xen-old", "4.20.4", "4.20.4-1", "here")
    monkeypatch.setattr(xens, "folder", lambda: str(tmp_path))
    monkeypatch.setattr(xens, "load", lambda name: xen)
    assert not xen.has_shadow()
    kind = type("Kind", (XenTcg,), {"name": "lab-xen-old", "xen_name": "xen-old"})
    assert "without shadow paging" in kind(Tools(), "hap=0").probe()
    assert "decode assists" in kind(Tools(), "nested").probe()
    machine = kind(Tools(), "")
    assert machine.refused({"paging": "hap"}) is None and "nested paging" in machine.refused({"paging": ""})


def test_bisection_over_xens(monkeypatch):
    stanzas = {"a": ["4.14.6-1"], "b": ["4.17.5+23-ga4e5191dc0-1", "4.17.7+13-g24-0+deb12u1"]}
    chosen = []
    monkeypatch.setattr(bisect.debian, "configure", chosen.append)
    monkeypatch.setattr(bisect.debian, "update", lambda: None)
    monkeypatch.setattr(bisect.xens, "packages", lambda: [{"Version": v} for v in stanzas[chosen[-1]]])
    monkeypatch.setattr(bisect.Xens, "stored", lambda self: [("4.17.7+13-g24", "xen-4.17")])
    found = bisect.Candidates("4.14", "4.17", ["a", "b"], bisect.Xens())
    assert found.versions == ["4.14.6", "4.17.5+23-ga4e5191dc0", "4.17.7+13-g24"]
    assert found.name("4.17.7+13-g24") == "xen-4.17"


@pytest.mark.parametrize("line, bad", [
    ("(XEN) Xen BUG at arch/x86/hvm/hvm.c:100", True), ("(XEN) Xen WARN at common/x.c:3", True),
    ("(XEN) Assertion 'x' failed at common/x.c:3", True), ("(XEN) Panic on CPU 0:", True),
    ("(XEN) domain_crash called from vmcb.c:10", True), ("(XEN) Domain 3 (vcpu#0) crashed on cpu#0:", True),
    ("(XEN) d1v0 Triple fault - invoking HVM shutdown action 1", False),
    ("(XEN) Brought up 1 CPUs", False)])
def test_what_xen_complains_of(line, bad):
    assert bool(XenTcg.trouble.search(line)) is bad


def test_versions_of_xen(tmp_path):
    """A release is read out of the file, or out of the tree beside it, or asked for."""
    image = tmp_path / "xen"
    image.write_bytes(b"\x7fELF Xen\0" + b"4.17.7+13-g24-0+deb12u1\0")
    assert xens._release_of(image.read_bytes(), str(image)) == "4.17.7+13-g24-0+deb12u1"
    with pytest.raises(UsageError, match="does not say its version"):
        xens._release_of(b"\x7fELF Xen", str(image))
    (tmp_path / "Makefile").write_text("export XEN_VERSION = 4\nexport XEN_SUBVERSION = 21\n"
                                       "export XEN_EXTRAVERSION ?= .0-rc$(X)\n")
    assert xens._release_of(b"\x7fELF Xen", str(image)) == "4.21.0"
    with pytest.raises(UsageError, match="is no Xen"):
        xens._unpacked(b"\x7fELF Linux", "f")
