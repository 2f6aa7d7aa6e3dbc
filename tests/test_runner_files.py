# SPDX-License-Identifier: BSD-2-Clause
"""unittests.cfg, expectations/, bugs.toml and the ELF section: what is taken and what is refused."""

import re
import shutil
import subprocess

import pytest
from conftest import TOP

from trapline import args, bugs, config, expectations, guests as guests_
from trapline.errors import UsageError, nearest
from trapline.machines import known
from trapline.machines.base import Tools


def refuse(function, *arguments):
    with pytest.raises(UsageError) as caught:
        function(*arguments)
    sentence = str(caught.value)
    assert "\n" not in sentence and not sentence.endswith(".")
    return sentence


# unittests.cfg

def load(tmp_path, text):
    path = tmp_path / "unittests.cfg"
    path.write_text(text)
    return config.load(str(path))


def test_config(tmp_path):
    found = load(tmp_path, """\
# comment
[ one ]
file = int3.elf
smp = 4
extra_params = -cpu 'max,+x' -append "a b"
groups = fast  slow
accel = tcg
timeout = 90s
arch = x86_64
check = /proc/version=x /sys/y=1
machines = tcg bochs-*

[two]       # another
file=int3
""")
    one, two = found.values()
    assert (one.name, one.file, one.smp) == ("one", "int3", 4)
    assert one.qemu_params == ("-cpu", "max,+x", "-append", "a b")
    assert one.groups == ("fast", "slow") and one.timeout == 90 and one.accel == "tcg"
    assert one.check == (("/proc/version", "x"), ("/sys/y", "1"))
    assert one.machines == ("tcg", "bochs-*")
    assert (two.name, two.file, two.smp, two.timeout) == ("two", "int3", 1, None)


@pytest.mark.parametrize("line, text, sentence", [
    (3, "[a]\nfile=x\nfiel = y\n", "unknown key 'fiel'; did you mean 'file'?"),
    (3, "[a]\nfile=x\nsmp = two\n", "smp = two: is not a number of CPUs from 1 to 64"),
    (3, "[a]\nfile=x\nsmp = $(reboot)\n", "smp = $(reboot): is not a number of CPUs from 1 to 64"),
    (3, "[a]\nfile=x\ntimeout = soon\n", "timeout = soon: is not a number of seconds"),
    (3, "[a]\nfile=x\naccel = kmv\n",
     "accel = kmv: is not one of tcg, kvm, bochs; did you mean 'kvm'?"),
    (3, "[a]\nfile=x\narch = arm\n", "arch = arm: is not x86_64"),
    (3, "[a]\nfile=x\nmachines = tgc\n",
     "machines = tgc: unknown machine 'tgc'; did you mean 'tcg'?"),
    (3, "[a]\nfile=x\nqemu_params = 'open\n", "qemu_params = 'open: no closing quotation"),
    (3, "[a]\nfile=x\ncheck = y\n", "check = y: is not made of /FILE=VALUE words"),
    (3, "[a]\nfile=x\nfile=y\n", "'file' again, first on line 2"),
    (4, "[a]\nfile=x\nqemu_params=-S\nextra_params=-S\n", "'extra_params' again, first on line 3"),
    (3, "[a]\nfile=x\n[a]\n", "section 'a' again, first on line 1"),
    (1, "file=x\n", "'file' before the first section"),
    (1, "[a b]\n", "'[a b]' is not a section name in brackets"),
    (2, "[a]\nfile\n", "'file' is neither a section nor key = value"),
    (2, "[a]\nfile =\n", "'file' has no value"),
    (2, "[a]\nfile = ../x\n", "file = ../x: is not the name of an image"),
    (1, "[a]\nsmp=1\n", "section 'a' has no 'file'"),
])
def test_config_errors(tmp_path, line, text, sentence):
    path = tmp_path / "unittests.cfg"
    assert refuse(load, tmp_path, text) == f"{path}:{line}: {sentence}"


def test_config_evaluates_nothing(tmp_path):
    victim = tmp_path / "victim"
    load(tmp_path, f"[a]\nfile=x\nqemu_params = $(touch {victim}) `touch {victim}`\n")
    assert not victim.exists()


def test_config_of_the_tree():
    assert "int3" in config.load(str(TOP / "unittests.cfg"))


# expectations/

ENTRY = """machines = ["tcg"]
[[known]]
case = "int3/*_gate:cpl0"
version = "<9.1"
observed = "#GP(0x302)@insn"
reason = "wrong scale"
bug = "some-bug"
"""
BUGS = {"some-bug": None}


def expect(tmp_path, text):
    (tmp_path / "tcg.toml").write_text(text)
    return expectations.load(str(tmp_path), BUGS, known)


def test_expectations(tmp_path):
    assert expect(tmp_path, ENTRY.replace('"int3/*_gate:cpl0"', '["a/*", "b/*"]'))[0].covers(
        "b/x:cpl0")
    entry, = expect(tmp_path, ENTRY)
    assert entry.observed == ("#GP(0x302)@insn",)
    assert entry.covers("int3/x_gate:cpl0") and not entry.covers("int3/x_gate:cpl3")
    assert entry.applies("tcg", "7.2.22")
    assert not entry.applies("tcg", "9.1.0") and not entry.applies("kvm", "7.2.22")


def test_any_text_in_a_trace(tmp_path):
    entry, = expect(tmp_path, ENTRY.replace("#GP(0x302)@insn", "[...] intr v@a; [...] (none)"))
    assert entry.shows("[0x1-0x3,0x5] intr v@a; [0x4] (none)")
    assert not entry.shows("[0x1] intr v@a") and not entry.shows("[0x1] intr v@b; [0x4] (none)")
    entry, = expect(tmp_path, ENTRY)
    assert entry.shows("#GP(0x302)@insn") and not entry.shows("#GP(0x302)@insn, #UD@end")


def test_expectations_are_found_by_guest(tmp_path):
    text = "".join(ENTRY[ENTRY.index("[[known]]"):].replace("int3/*_gate:cpl0", case) + "\n"
                   for case in ("int3/*:cpl0", "*/a:cpl0", "vectors/a:*", "int3/a:cpl0"))
    entries = expect(tmp_path, ENTRY[:ENTRY.index("[[known]]")] + text)
    index = expectations.Index(entries, "tcg", "7.2.22")
    assert index.find("int3/a:cpl0") == [entries[0], entries[1], entries[3]]
    assert index.find("vectors-svm/a:cpl0", "vectors/a:cpl0") == [entries[1], entries[2]]
    assert index.find("int3/a:cpl3") == []
    assert expectations.Index(entries, "kvm", "7.2.22").find("int3/a:cpl0") == []


@pytest.mark.parametrize("range_, inside, outside", [
    ("<9.1", "9.0.4", "9.1"), (">=7.2,<10", "7.2.22", "10.0"), ("==2.7", "2.7", "2.8"),
    (">=6.1", "6.18.44", "5.19"),
])
def test_versions(tmp_path, range_, inside, outside):
    entry, = expect(tmp_path, ENTRY.replace("<9.1", range_))
    assert entry.applies("tcg", inside)
    assert not entry.applies("tcg", outside)


@pytest.mark.parametrize("old, new, sentence", [
    ('reason = "wrong scale"\n', "", "has no 'reason'"),
    ('reason = "wrong scale"', 'reason = " "', "'reason' is empty"),
    ('bug = "some-bug"', "", "has neither 'bug' nor 'link'"),
    ("some-bug", "some-bag", "unknown bug 'some-bag'; did you mean 'some-bug'?"),
    ("observed =", "obsreved =", "unknown key 'obsreved'; did you mean 'observed'?"),
    ('"#GP(0x302)@insn"', "3", "'observed' has the wrong type"),
    ('"#GP(0x302)@insn"', "[]", "'observed' is not a trace or a list of traces"),
    ('"int3/*_gate:cpl0"', '["int3/*_gate:cpl0", 3]', "'case' is not a glob or a list of globs"),
    ("<9.1", "old", "version 'old' is not a range such as '<9.1' or '>=7.2,<10'"),
])
def test_expectation_errors(tmp_path, old, new, sentence):
    assert old in ENTRY
    found = refuse(expect, tmp_path, ENTRY.replace(old, new))
    assert found == f"{tmp_path}/tcg.toml: entry 1 (int3/*_gate:cpl0): {sentence}"


def test_expectation_file_errors(tmp_path):
    assert "tcg.toml: not valid TOML" in refuse(expect, tmp_path, "machines = [")
    assert refuse(expect, tmp_path, "").endswith("tcg.toml: has no 'machines'")
    assert "unknown machine 'tgc'; did you mean 'tcg'?" in refuse(
        expect, tmp_path, ENTRY.replace('"tcg"', '"tgc"'))


def test_expectations_of_the_tree():
    catalogue = bugs.load(str(TOP / "bugs.toml"))
    entries = expectations.load(str(TOP / "expectations"), catalogue, known)
    assert entries


# bugs.toml

BUG = '[a-bug]\ntitle="t"\ntrigger="t"\nright="r"\nbuggy="b"\nversions="v"\nevidence="e"\n'


def test_bugs(tmp_path):
    path = tmp_path / "bugs.toml"
    path.write_text(BUG)
    assert bugs.load(str(path))["a-bug"].right == "r"
    path.write_text(BUG.replace('right="r"\n', ""))
    assert refuse(bugs.load, str(path)) == f"{path}: [a-bug]: has no 'right'"
    path.write_text(BUG.replace("a-bug", "A_Bug"))
    assert "an id is lower-case words" in refuse(bugs.load, str(path))


def test_every_bug_that_a_case_names_is_catalogued():
    catalogue = bugs.load(str(TOP / "bugs.toml"))
    named = set()
    for source in (TOP / "x86").glob("*.c"):
        for arguments in re.findall(r"CATCHES\(([^)]*)\)", source.read_text()):
            named |= {(source.name, word) for literal in re.findall(r'"([^"]*)"', arguments)
                      for word in literal.split()}
    assert named
    assert {(file, bug) for file, bug in named if bug not in catalogue} == set()


def test_every_case_of_the_built_guests(tmp_path):
    catalogue = bugs.load(str(TOP / "bugs.toml"))
    for name in {s.file for s in config.load(str(TOP / "unittests.cfg")).values()}:
        if not (TOP / "build" / f"{name}.elf").exists():
            pytest.skip("the guests are not built")
        image = guests_.load(str(TOP / "build"), name, str(tmp_path))
        assert [p.index for p in image.points] == list(range(len(image.points)))
        for point in image.points:
            assert point.case.rule, point
            assert set(point.case.catches) <= catalogue.keys(), point
            assert (TOP / point.case.where.rpartition(":")[0]).exists(), point


# The ELF section

def test_points_of_an_elf_file(guests, tmp_path):
    for _ in range(2):      # read, then from the cache
        image = guests_.load(str(guests), "good", str(tmp_path))
        assert [p.name for p in image.points] == [
            f"{case}:{environment}" for case in ("passes", "fails", "skips", "allows")
            for environment in ("cpl0", "cpl3")]
        assert image.points[2].case.where.startswith("good.c:")
        assert image.points[2].case.rule == "Test rule of fails"


def test_cache_follows_the_file(guests, tmp_path):
    shutil.copy(guests / "good.elf", tmp_path / "g.elf")
    assert len(guests_.load(str(tmp_path), "g", str(tmp_path)).points) == 8
    shutil.copy(guests / "hang.elf", tmp_path / "g.elf")
    assert len(guests_.load(str(tmp_path), "g", str(tmp_path)).points) == 6
    (tmp_path / "g.cases.json").write_text("{rubbish")
    assert len(guests_.load(str(tmp_path), "g", str(tmp_path)).points) == 6


def test_malformed_elf_files(guests, tmp_path):
    assert "guest 'none' is not built" in refuse(guests_.load, str(tmp_path), "none", str(tmp_path))
    (tmp_path / "a.elf").write_text("rubbish")
    assert "not a readable ELF file" in refuse(guests_.load, str(tmp_path), "a", str(tmp_path))
    subprocess.run(["objcopy", "-R", ".trapline.cases", guests / "good.elf", tmp_path / "b.elf"],
                   check=True)
    assert "no section .trapline.cases" in refuse(
        guests_.load, str(tmp_path), "b", str(tmp_path))
    section = tmp_path / "section"
    section.write_bytes(b"\0" * 8 + b"name\0CPL0\0rule\0")
    subprocess.run(["objcopy", "--update-section", f".trapline.cases={section}",
                    guests / "good.elf", tmp_path / "c.elf"], check=True)
    assert "ends within a record" in refuse(guests_.load, str(tmp_path), "c", str(tmp_path))
    section.write_bytes(b"\0" * 8 + b"name\0CPL7\0rule\0\0\0x.c:1\0")
    subprocess.run(["objcopy", "--update-section", f".trapline.cases={section}",
                    guests / "good.elf", tmp_path / "d.elf"], check=True)
    assert "unknown environment 'cpl7'" in refuse(guests_.load, str(tmp_path), "d", str(tmp_path))


# Arguments

def test_arguments():
    rom = b"a" * 100 + args.ARGS_MAGIC.ljust(4096, b"\0") + b"b" * 100
    patched = args.patched(rom, ["points=0-3,7", "cpus=2"], "x.rom")
    assert len(patched) == len(rom)
    assert patched[100:].startswith(b"TRAPLINE-ARGS-1\npoints=0-3,7 cpus=2\0")
    assert patched[-100:] == b"b" * 100
    assert "exactly one argument block" in refuse(args.patched, rom + rom, [], "x.rom")
    assert "exactly one argument block" in refuse(args.patched, b"", [], "x.rom")
    with pytest.raises(ValueError):
        args.patched(rom, ["x" * 4080], "x.rom")


def test_ranges():
    assert args.ranges([0, 1, 2, 3, 7]) == "0-3,7"
    assert args.ranges([5]) == "5"
    assert args.ranges([0, 2, 4]) == "0,2,4"


# Machines

def test_machines():
    assert {"tcg", "kvm", "bochs-svm", "bochs-vmx"} <= set(known.names())
    assert "did you mean 'bochs-svm'?" in refuse(known.create, "bochs-smv", Tools())
    assert "does not run inside" in refuse(known.create, "tcg@kvm", Tools())
    assert known("bochs-*") and known("tcg") and not known("xen")
    missing = Tools(qemu="no-such-qemu", bochs="no-such-bochs")
    assert known.create("tcg", missing).probe() == "no no-such-qemu"
    assert known.create("bochs-vmx", missing).probe() == "no no-such-bochs"
    for useless in ("false", "true", "cat"):
        assert known.create("tcg", Tools(qemu=useless)).probe()
        assert known.create("bochs-svm", Tools(bochs=useless)).probe()


def test_nearest():
    assert nearest("int4", ["dummy", "int3"]) == "; did you mean 'int3'?"
    assert nearest("cold", ["int3_cold_stack", "int3_warm"]) == "; did you mean 'int3_cold_stack'?"
    assert nearest("xyzzy", ["int3"]) == ""
