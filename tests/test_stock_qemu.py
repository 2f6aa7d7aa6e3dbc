# SPDX-License-Identifier: BSD-2-Clause
"""Stock QEMU as the VMM on the lab's SEV hosts: that it is started as on a host of its own, with what it needs, and that
its end is understood. Where a kernel with SEV is in the cache, guests run by it."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import drive
from test_sevhost import kernel
from trapline.errors import UsageError
from trapline.lab import emulator, image, sevhost, stock, store, takealong
from trapline.lab.host import START, Host, Launch, serial_socket
from trapline.machines import known, sev
from trapline.machines.base import Order, Tools

TOP = Path(__file__).resolve().parent.parent
QEMUS = [path for path in dict.fromkeys((shutil.which("qemu-system-x86_64"), emulator.path())) if path]
KINDS = [stock.LabQemuSev, stock.LabQemuSevEs, stock.LabQemuSevSnp]
GOOD = kernel(["npt", "sev", "sev_es", "sev_snp"])


def lab_machine(kind, qemu, variant=""):
    made = type(kind.__name__, (kind,), {"name": f"lab-x{kind.suffix}", "kernel_name": "x", "kernel": GOOD})
    return made(Tools(qemu=qemu, qemu_is_default=False), variant=variant)


def answers(kind, qemu, **other):
    """What a good host says."""
    said = dict.fromkeys(stock.Inside.questions(qemu), "")
    said["file /proc/cpuinfo"] = f"processor\t: 0\nflags\t\t: fpu svm {kind.real_class.flag}\n"
    said[f"file {sev.PARAMETERS}/{kind.real_class.parameter}"] = "Y\n"
    said[stock.Inside.questions(qemu)[-1]] = '{"QMP": {}}\n{"return": {}}\n' \
        '{"return": {"pdh": "x", "cbitpos": 47, "cert-chain": "y", "reduced-phys-bits": 1}}\n{"return": {}}\n'
    return said | other


def fits(kind, qemu):
    if kind.real_class.object_type not in sev.objects(qemu):
        pytest.skip(f"this QEMU has no {kind.real_class.object_type}")


# -- The command line. ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("qemu", QEMUS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.suffix)
@pytest.mark.parametrize("cpus", [1, 2])
def test_command_line_is_that_of_a_real_host(kind, qemu, cpus, monkeypatch):
    """Word for word, numbers of descriptors included: what `sev` and the like would start on an EPYC with this C-bit."""
    fits(kind, qemu)
    order = Order(b"image", cpus=cpus, qemu_params=("-device", "edu"), image="build/x.rom", words=("cpus=2", "points=0-7"))
    monkeypatch.setattr(sev, "capabilities", lambda _: (47, 1))
    real = known.create(kind.real_class.name, Tools(qemu=qemu))
    command = real.command(order)
    command.qmp.close()
    for fd in command.fds:
        os.close(fd)

    inside = lab_machine(kind, qemu)
    assert inside.refused({"answers": answers(kind, qemu)}) is None
    word, guest, rom, qmp, count, *rest = inside.ordered(order).split(" ")
    assert (word, guest) == ("exec", "x.rom") and rest[int(count):] == ["cpus=2", "points=0-7"]
    assert rest[:int(count)] == command.argv
    assert [int(rom), int(qmp)] == command.fds
    assert f"/proc/self/fd/{rom}" in command.argv and f"socket,id=qmp,fd={qmp}" in command.argv
    assert f"-object {kind.real_class.object_type},id=sev0,cbitpos=47,reduced-phys-bits=1," in " ".join(rest)


def test_blank_in_a_word_is_refused(monkeypatch):
    monkeypatch.setattr(sev, "capabilities", lambda _: (47, 1))
    with pytest.raises(UsageError, match="'a b' has a blank in it"):
        lab_machine(stock.LabQemuSev, QEMUS[0]).ordered(Order(b"", image="x.rom", qemu_params=("a b",)))


# -- Which QEMU. ---------------------------------------------------------------------------------------------

@pytest.mark.skipif(len(QEMUS) < 2, reason="there is one QEMU")
def test_which_qemu_is_the_vmm():
    assert lab_machine(stock.LabQemuSev, QEMUS[0])._qemu == QEMUS[0]
    assert lab_machine(stock.LabQemuSev, QEMUS[0], "qemu=lab")._qemu == QEMUS[1]
    assert lab_machine(stock.LabQemuSev, QEMUS[0], "qemu=system")._qemu == QEMUS[0]
    # What nobody named may be replaced where it is too old; what was named is refused.
    if sev.SevSnp.object_type not in sev.objects(QEMUS[0]):
        assert "has no object sev-snp-guest" in lab_machine(stock.LabQemuSevSnp, QEMUS[0]).real.unfit()
    assert lab_machine(stock.LabQemuSev, QEMUS[0]).tools.qemu == QEMUS[1], "beneath the host is the lab's"
    with pytest.raises(UsageError, match="qemu= is lab or system"):
        lab_machine(stock.LabQemuSev, QEMUS[0], "qemu=10")


# -- What is missing is one sentence, the real host's. -----------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.suffix)
@pytest.mark.parametrize("question, answer, complaint", [
    ("file /proc/cpuinfo", "flags\t: fpu svm\n", "no flag"),
    ("open /dev/kvm", "No such file or directory", "/dev/kvm: No such file"),
    (f"file {sev.PARAMETERS}/PARAMETER", "N\n", "is N: load kvm_amd with"),
    (f"file {sev.PARAMETERS}/PARAMETER", "", "kvm_amd is not loaded"),
    ("open /dev/sev", "Permission denied", "/dev/sev: Permission denied"),
    ("QUESTION", '{"error": {"class": "GenericError", "desc": "SEV: Failed to open"}}\n', "QEMU: SEV: Failed to open"),
    ("QUESTION", "qemu: symbol lookup error\n", "QEMU says nothing about SEV: qemu: symbol lookup error"),
    ("QUESTION", "", "QEMU says nothing about SEV")])
def test_what_a_host_lacks(kind, question, answer, complaint):
    qemu = QEMUS[-1]
    fits(kind, qemu)
    question = question.replace("PARAMETER", kind.real_class.parameter).replace("QUESTION", stock.Inside.questions(qemu)[-1])
    said = answers(kind, qemu)
    assert lab_machine(kind, qemu).refused({"answers": said}) is None
    assert question in said
    reason = lab_machine(kind, qemu).refused({"answers": said | {question: answer}})
    assert complaint in reason and "\n" not in reason


# -- What QEMU needs. --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("qemu", QEMUS)
def test_all_libraries_are_taken_along(qemu, tmp_path):
    """The dynamic linker that is taken along finds each in what is taken along, and QEMU answers."""
    files, links = takealong.files(Tools(), qemu)
    for name, path in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / name)
    assert all(to.lstrip("/") in files for to in links.values())
    program = tmp_path / (links.get(qemu.lstrip("/")) or qemu).lstrip("/")
    linker = [tmp_path / "lib64/ld-linux-x86-64.so.2", "--inhibit-cache", "--library-path", tmp_path / "lib64"]
    listed = subprocess.run([*linker, "--list", program], capture_output=True, text=True, check=True).stdout
    paths = re.findall(r"=> (\S+)", listed)
    assert len(paths) > 10 and all(p.startswith(str(tmp_path)) for p in paths if "ld-linux" not in p), listed
    version = subprocess.run([*linker, program, "--version"], capture_output=True, text=True, check=True).stdout
    assert version == subprocess.run([qemu, "--version"], capture_output=True, text=True, check=True).stdout


def test_what_cannot_be_taken_along(tmp_path):
    script = tmp_path / "qemu-of-somebody"
    script.write_text("#!/bin/sh\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(UsageError, match="cannot be taken into the lab"):
        takealong.files(Tools(), str(script))


def test_link_in_an_archive():
    made = image.cpio({"a/b": b"x"}, [("c/d", "/a/b")])
    if not shutil.which("cpio"):
        pytest.skip("no cpio")
    listed = subprocess.run(["cpio", "-tv", "--quiet"], input=made, capture_output=True, check=True).stdout.decode()
    assert re.search(r"^lrwxrwxrwx .* c/d -> /a/b$", listed, re.M)


# -- A QEMU that is a script, on a host that is one. ---------------------------------------------------------------

FAKE = """
import socket, sys
com1 = socket.socket(fileno=int(sys.argv[1]))
def message(kind, text):
    sys.stdout.buffer.write(%r + kind + len(text).to_bytes(2, "little") + text)
    sys.stdout.buffer.flush()
def order(): return com1.recv(4096).decode().strip().rpartition("#")[0]
def ended(status): message(b"V", b"%%d" %% status); message(b"E", b"tainted=0\\n"); order()
message(b"P", b"file x\\nfirst "); message(b"P", b"file x\\nsecond"); message(b"H", b"kernel=6.1 x\\ntainted=0\\n")
assert order() == "exec it"
message(b"D", b"KTAP version 1\\n1..1\\n")
""" % START


class Machine:
    """What StockBoot asks of its machine."""

    slowness, accel, host_name, trouble, trouble_end = 0.1, "kvm", "the host", re.compile("WARNING"), "end"

    def __init__(self):
        self.real = sev.Sev(Tools())
        self.answers = None

    def learnt(self, facts):
        self.answers = facts["answers"]

    def refused(self, facts):
        return None

    def ordered(self, order):
        return f"exec {order}"

    def release(self, host, good):
        host.close()


def on_fake_host(script):
    ours, theirs = serial_socket()
    machine = Machine()
    host = Host(Launch([sys.executable, "-c", FAKE + script, str(theirs)], ours, [theirs]))
    boot = stock.StockBoot(machine, host, "it", ["g/a:cpl0"], 2.0)
    drive(boot, 20)
    host.close()
    return boot, machine


def test_good_end():
    boot, machine = on_fake_host('message(b"D", b"ok 1 g/a:cpl0\\n# Totals: pass:1 fail:0 skip:0\\n"); ended(33)')
    assert boot.reason is None and not boot.broke and boot.stream.results[0].ok
    assert machine.answers == {"file x": "first second"}


def test_refusal_of_qemu_is_its_own_sentence():
    boot, _ = on_fake_host('message(b"S", b"qemu: -accel kvm: sev_common_kvm_init: "); message(b"S", b"no\\n"); ended(1)')
    assert boot.reason == "died before its plan: QEMU stopped: qemu: -accel kvm: sev_common_kvm_init: no" or \
        "QEMU stopped: qemu: -accel kvm: sev_common_kvm_init: no" in boot.reason
    assert boot.broke


@pytest.mark.parametrize("status, words", [(0, "triple fault"), (35, "it wrote 0x11 to the exit port"), (-6, "SIGABRT")])
def test_other_ends(status, words):
    boot, _ = on_fake_host(f"ended({status})")
    assert words in boot.reason


def test_guest_that_qemu_stops():
    state = json.dumps({"return": {"running": False, "status": "internal-error"}}).encode() + b"\n"
    boot, _ = on_fake_host(
        'message(b"Q", b\'{"QMP": {}}\\r\\n\')\n'
        'assert order() == \'say {"execute": "qmp_capabilities"}\'\n'
        'message(b"S", b"KVM internal error. Suberror: 1\\nemulation failure\\nRIP=00001234\\n")\n'
        'message(b"Q", b\'{"event": "STOP"}\\r\\n\')\n'
        'assert order() == \'say {"execute": "query-status"}\'\n'
        f'message(b"Q", {state!r})\nassert order() == "cancel"\nended(-9)')
    assert boot.reason == "KVM internal error (emulation failure) at 0x1234"


# -- On a real kernel, if there is one. ------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def lab():
    """Beginning of the names of the newest kernel in the user's own cache that has SEV-ES."""
    for name in reversed(store.names()):
        if not sevhost.missing(store.load(name), "sev-es"):
            found = known.create(f"lab-{name}-qemu-sev", Tools(build=str(TOP / "build")))
            return f"lab-{name}-qemu" if found.probe() is None else pytest.skip(found.probe())
    return pytest.skip("no kernel with SEV in the cache (scripts/lab add 6.1 --debian bookworm --sev)")


def test_guest_under_stock_qemu(lab, tmp_path):
    """The verdict, the exit and what the report says of the VMM."""
    path = tmp_path / "results.json"
    done = subprocess.run([TOP / "run_tests.sh", "--machine", f"{lab}-sev", "--json", path, "dummy"],
                          capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert [r["verdict"] for r in found["results"]] == ["pass"]
    host = found["machines"][f"{lab}-sev"]["host"]
    assert host["vmm"].startswith("QEMU ") and "-object sev-guest,id=sev0,cbitpos=" in host["vmm_command"]
