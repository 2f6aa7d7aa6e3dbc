# SPDX-License-Identifier: BSD-2-Clause
"""The machines of AMD's memory encryption: what can be said of them without such a host."""

import json
import re
import shutil
import stat
import subprocess

import pytest

from sources import ROOT
from trapline import config, guests
from trapline.errors import UsageError
from trapline.lab import emulator
from trapline.machines import qemu, sev
from trapline.machines.base import Tools
from trapline.machines.choice import choose

QEMU = shutil.which("qemu-system-x86_64")
QEMUS = [path for path in dict.fromkeys((QEMU, emulator.path())) if path]     # 7.2 or so, and 10 or so
CLASSES = [sev.Sev, sev.SevEs, sev.SevSnp]


def qmp(program, *commands):
    """What that QEMU returns for each QMP command, `{"execute": …}`."""
    text = "".join(json.dumps(c) + "\n" for c in
                   ({"execute": "qmp_capabilities"}, *commands, {"execute": "quit"}))
    done = subprocess.run([program, "-nodefaults", "-display", "none", "-M", "none", "-qmp", "stdio"],
                          input=text, capture_output=True, text=True, timeout=30, check=False)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return [s["return"] for s in said if "return" in s][1:-1]


def properties(program, kind):
    """Names of an object type's properties, or None if that QEMU has no such type."""
    found = qmp(program, {"execute": "qom-list-properties", "arguments": {"typename": kind}})
    return {p["name"] for p in found[0]} if found else None


def words(text):
    """("TYPE", {"id": "sev0", …}) of what -object or -M takes."""
    kind, *rest = text.split(",")
    return kind, dict(word.split("=", 1) for word in rest)


@pytest.fixture(params=QEMUS)
def program(request):
    """Each QEMU that is here: the default one, and the lab's."""
    return request.param


@pytest.fixture
def argv(program, class_):
    """The machine's command line, for a ROM that does not exist."""
    machine = class_(Tools(qemu=program))
    if class_.object_type not in sev.objects(program):
        assert class_ is sev.SevSnp, f"this QEMU has no {class_.object_type}"
        pytest.skip(f"{machine.version()} has no {class_.object_type}")
    machine._known = (51, 1)
    return machine._argv("no-such.rom", 1, ())


@pytest.mark.parametrize("class_", CLASSES, ids=lambda c: c.name)
def test_command_line_is_one_that_qemu_takes(program, argv):
    ids = set()
    for text in (argv[i + 1] for i, word in enumerate(argv) if word == "-object"):
        kind, given = words(text)
        known = properties(program, kind)
        assert known, f"this QEMU has no {kind}"
        assert set(given) - {"id"} <= known, text
        ids.add(given["id"])
    _, given = words(argv[argv.index("-M") + 1])
    done = subprocess.run([program, "-M", "q35,help"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"^\s+([\w-]+)=", done.stdout, re.M)) | {"kernel-irqchip"}
    assert set(given) <= known
    assert {given["confidential-guest-support"], given["memory-backend"]} == ids
    assert given.get("smm", "off") == "off"


def starts(argv):
    """What QEMU says, run with that command line."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.returncode == 1, done
    return done.stderr


@pytest.mark.parametrize("class_", CLASSES, ids=lambda c: c.name)
def test_qemu_comes_as_far_as_the_accelerator(argv):
    """It takes every word; what stops it is that this KVM has no SEV, or else that the ROM is not there."""
    refused = re.compile(r"-accel kvm: |no-such.rom|KVM kernel module")
    assert refused.search(starts(argv))
    for right, wrong in ("policy=", "polic="), ("smm=off", "sm=off"), ("-cpu", "-cpus"):
        broken = [word.replace(right, wrong) for word in argv]
        assert broken != argv
        assert not refused.search(starts(broken)), wrong


def test_policies():
    """The bits of AMD's API specifications: what each mode must and must not have."""
    assert sev.Sev.policy & 0x4 == 0                # SEV-ES required: no
    assert sev.SevEs.policy & 0x4
    assert sev.SevSnp.policy & 1 << 17              # must be one
    assert sev.SevSnp.policy & 0xffff == 0          # any version of the firmware's interface


def fake_qemu(directory, answer):
    """A QEMU that says `answer` to the question."""
    path = directory / "qemu"
    path.write_text("#!/bin/sh\ncat >/dev/null\ncat <<'END'\n" + "\n".join(
        json.dumps(line) for line in ({"QMP": {}}, {"return": {}}, answer, {"return": {}})) +
        "\nEND\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_c_bit_is_what_qemu_says(tmp_path):
    qemu = fake_qemu(tmp_path, {"return": {"cbitpos": 47, "reduced-phys-bits": 5, "pdh": "x"}})
    machine = sev.SevEs(Tools(qemu=qemu))
    assert sev.capabilities(qemu) == (47, 5)
    assert machine.object_words(*machine._capabilities()) == \
        "sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=5,policy=0x5"


def test_refusal_is_one_line(tmp_path):
    qemu = fake_qemu(tmp_path, {"error": {"class": "GenericError", "desc": "SEV: Failed to open"}})
    assert sev.capabilities(qemu) == "QEMU: SEV: Failed to open"
    assert "QEMU" in sev.capabilities(str(tmp_path / "none"))


@pytest.mark.parametrize("flags, usual", [(set(), ("dummy", "int3")), ({"vmx"}, ()), ({"svm"}, ())])
def test_kvm_without_hardware_runs_a_few(flags, usual, monkeypatch):
    monkeypatch.setattr(qemu, "cpu_flags", lambda: flags)
    assert qemu.Kvm(Tools()).usual == usual
    assert qemu.Kvm(Tools()).automatic() == bool(flags)


@pytest.mark.parametrize("class_", CLASSES, ids=lambda c: c.name)
def test_probe_names_what_is_missing(class_, monkeypatch, tmp_path):
    machine = class_(Tools(qemu=QEMU or "qemu"))
    monkeypatch.setattr(sev, "cpu_flags", lambda: {"svm"})
    assert f"no flag {class_.flag}" in machine.probe()
    assert not machine.automatic()

    monkeypatch.setattr(sev, "cpu_flags", lambda: {"svm", class_.flag})
    monkeypatch.setattr(sev.Kvm, "probe", lambda self: None)
    monkeypatch.setattr(sev, "PARAMETERS", str(tmp_path))
    assert "not loaded" in machine.probe()
    (tmp_path / class_.parameter).write_text("N\n")
    assert f"{class_.parameter}=1" in machine.probe()
    (tmp_path / class_.parameter).write_text("Y\n")
    monkeypatch.setattr(sev, "DEVICE", str(tmp_path / "device"))
    assert "module ccp" in machine.probe()
    (tmp_path / "device").write_text("")
    monkeypatch.setattr(sev, "objects", lambda qemu: set())
    if QEMU:
        assert f"no object {class_.object_type}" in machine.probe()
    monkeypatch.setattr(sev, "objects", lambda qemu: {class_.object_type})
    monkeypatch.setattr(sev, "capabilities", lambda qemu: "QEMU: no")
    assert machine.probe() == "QEMU: no"
    machine = class_(Tools(qemu=QEMU or "qemu"))
    monkeypatch.setattr(sev, "capabilities", lambda qemu: (51, 1))
    assert machine.probe() is None
    assert machine.automatic()


def test_points_that_the_page_speaks_of(tmp_path):
    """docs/sev.md counts the points of -g sev, and shares all but two of them out between pass and skip."""
    page = (ROOT / "docs/sev.md").read_text()
    files = [s.file for s in config.load(ROOT / "unittests.cfg").values() if "sev" in s.groups]
    files.remove("latency_vmgexit")
    points = sum(p.layer == guests.NATIVE for file in files
                 for p in guests.load(ROOT / "build", file, tmp_path).points)
    assert f"`-g sev` is {len(files)} guests with {points} points" in page
    rows = re.findall(r"^\| .+ \| (\d+) \| [-\d]+ \| (\d+) \|$", page, re.M)
    assert len(rows) == 5 and {int(p) + int(s) + 2 for p, s in rows} == {points}


@pytest.mark.skipif(not QEMU, reason="no QEMU")
def test_auto_says_what_it_leaves_out(monkeypatch, capsys):
    monkeypatch.setattr(sev, "cpu_flags", lambda: {"svm", "sev", "sev_es"})
    monkeypatch.setattr(sev.Kvm, "probe", lambda self: "no /dev/kvm")
    machines = choose(None, Tools(qemu=QEMU))
    assert [m.name for m in machines] == ["tcg"]
    assert capsys.readouterr().err == "".join(
        f"run_tests.sh: {name} is left out: no /dev/kvm\n" for name in ("sev", "sev-es"))


def test_all_that_is_missing_in_one_answer(monkeypatch):
    monkeypatch.setattr(sev, "cpu_flags", lambda: {"svm"})
    with pytest.raises(UsageError) as error:
        choose("sev,sev-es,sev-snp", Tools(qemu=QEMU or "qemu"))
    assert re.findall(r"no flag (\w+)", str(error.value)) == ["sev", "sev_es", "sev_snp"]
