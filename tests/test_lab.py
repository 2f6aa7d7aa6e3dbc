# SPDX-License-Identifier: BSD-2-Clause
"""The lab: what needs no kernel, and, where one is in the cache, guests on it."""

import io
import lzma
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from conftest import drive
from trapline.lab.hosted import HostedMachine
from trapline.lab import bisect, cli, debian, image, store, table
from trapline.lab import boot as lab_boot
from trapline.lab.host import START, TROUBLE, Host, Launch, serial_socket

TOP = Path(__file__).resolve().parent.parent


# -- Kernels and where they come from. ---------------------------------------------------------------

@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "trapline" / "lab"


def module(name, depends="", params=(), release="6.1.0-1"):
    """What kmod reads of a module."""
    entries = ["license=GPL", f"depends={depends}", *(f"parmtype={p}:int" for p in params),
               f"name={name}", f"vermagic={release} SMP mod_unload"]
    return b"\x7fELF\0" + b"\0".join(e.encode() for e in entries) + b"\0"


def bzimage(release="6.1.0-1", version="Debian 6.1.99-1"):
    data = bytearray(8192)
    data[0x1f1], data[0x201] = 4, 0x66
    data[0x202:0x206] = b"HdrS"
    data[0x20e:0x210] = (0x300).to_bytes(2, "little")
    text = f"{release} (builder) #1 SMP {version} (2025-01-01)".encode() + b"\0"
    data[0x500:0x500 + len(text)] = text
    return bytes(data)


def package(path, files):
    """A .deb with these files, as dpkg-deb would make it."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

    def member(name, data):
        head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        return head + data + b"\n" * (len(data) % 2)

    path.write_bytes(b"!<arch>\n" + member("debian-binary", b"2.0\n")
                     + member("control.tar.xz", b"odd") + member("data.tar.xz", tar.getvalue()))


def kernel_files(release="6.1.0-1"):
    tree = f"usr/lib/modules/{release}/kernel/"
    return {
        f"boot/vmlinuz-{release}": bzimage(release),
        tree + "arch/x86/kvm/kvm.ko": module("kvm", "irqbypass", ["tdp_mmu"], release),
        tree + "arch/x86/kvm/kvm-amd.ko.xz": lzma.compress(
            module("kvm_amd", "kvm,ccp", ["npt", "nested"], release)),
        tree + "virt/lib/irqbypass.ko": module("irqbypass", release=release),
        tree + "drivers/net/other.ko": module("other", release=release),
    }


def test_kernel_from_a_package(cache, tmp_path, capsys):
    package(tmp_path / "k.deb", kernel_files())
    assert cli.main(["add", "mine", "--deb", str(tmp_path / "k.deb")]) == 0
    kernel = store.load("mine")
    assert (kernel.release, kernel.version) == ("6.1.0-1", "6.1.99")
    assert list(kernel.modules) == ["irqbypass", "kvm", "kvm-amd"]
    assert kernel.params["kvm-amd"] == ["nested", "npt"]
    assert Path(kernel.module_file("kvm-amd")).read_bytes().startswith(b"\x7fELF")
    assert cli.main(["list"]) == 0
    assert "lab-mine" in capsys.readouterr().out
    assert cli.main(["remove", "mine"]) == 0
    assert store.names() == []


def test_kernel_that_was_built(cache, tmp_path):
    (tmp_path / "kvm").mkdir()
    (tmp_path / "bzImage").write_bytes(bzimage("7.0.0-rc1+", "Mon"))
    (tmp_path / "kvm" / "kvm-intel.ko").write_bytes(module("kvm_intel", "kvm", release="7.0.0-rc1+"))
    words = ["add", "x", "--kernel", str(tmp_path / "bzImage"), "--modules", str(tmp_path)]
    assert cli.main(words) == 0
    assert store.load("x").version == "7.0.0"


@pytest.mark.parametrize("words, complaint", [
    (["add", "6.1"], "needs one of"),
    (["add", "6.1", "--debian", "x", "--deb", "y"], "needs one of"),
    (["add", "../6.1", "--debian", "x"], "cannot be the name"),
    (["add", "6.1-intel", "--debian", "x"], "cannot be the name"),
    (["add", "6.1", "--kernel", "x"], "go together"),
    (["add", "6.1", "--deb", "/dev/null"], "is not a Debian package"),
    (["add", "6.1", "--deb", "no-such-file"], "no-such-file"),
    (["remove"], "needs names"),
    (["remove", "5.5"], "no lab kernel"),
    (["bisect", "a/b", "--from", "5.10", "--to", "6.1"], "fewer than two kernels"),
    (["frobnicate"], "invalid choice"),
])
def test_wrong_words_are_one_sentence(cache, capsys, words, complaint):
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("scripts/lab: ") and complaint in said and said.count("\n") == 1


def test_module_of_another_kernel_is_refused(cache, tmp_path, capsys):
    files = kernel_files() | {"lib/modules/x/kernel/arch/x86/kvm/kvm-intel.ko":
                              module("kvm_intel", "kvm", release="6.2.0")}
    package(tmp_path / "k.deb", files)
    assert cli.main(["add", "mine", "--deb", str(tmp_path / "k.deb")]) == 2
    assert "kvm-intel is for 6.2.0" in capsys.readouterr().err
    assert store.names() == []


def test_interrupted_add_leaves_nothing(cache):
    with store.locked():
        with pytest.raises(KeyboardInterrupt), store.new("x") as folder:
            (Path(folder) / "vmlinuz").write_bytes(b"half")
            raise KeyboardInterrupt
        assert os.listdir(store.kernels()) == []
        os.mkdir(os.path.join(store.kernels(), ".killed"))
    with store.locked():
        assert os.listdir(store.kernels()) == []


def test_two_at_once_are_refused(cache):
    with store.locked():
        done = subprocess.run([TOP / "scripts/lab", "remove", "x"], capture_output=True, text=True)
    assert done.returncode == 2 and "another scripts/lab is at work" in done.stderr


def test_versions_are_ordered_as_numbers():
    versions = ["6.12.117", "5.10.262", "6.1.192", "6.12.43", "7.2.13", "6.9"]
    assert sorted(versions, key=debian.version_key) == [
        "5.10.262", "6.1.192", "6.9", "6.12.43", "6.12.117", "7.2.13"]
    assert debian.upstream("6.1.172-1~deb11u1") == "6.1.172"


# -- What is booted. -----------------------------------------------------------------------------------

def test_cpio_is_read_by_cpio():
    archive = image.cpio({"init": b"#!", "lab/kvm.ko": b"abc"})
    assert archive.count(b"070701") == 8
    assert len(archive) % 4 == 0 and b"TRAILER!!!" in archive


# -- Bisection. ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("verdicts, answer", [
    ("ggggbbb", ("3", "4", "bad")),
    ("bbg", ("1", "2", "good")),
    ("gb", ("0", "1", "bad")),
    ("gggg", None),
    ("bbbb", None),
    ("ggcccbb", ("1", "5", "bad")),
    ("cggbc", ("2", "3", "bad")),
    ("cccc", None),
    ("bbxx", ("1", "2", "other")),      # bad in two ways
])
def test_bisect(verdicts, answer):
    kinds = {"g": ("good", ""), "b": ("bad", "one"), "c": ("cannot tell", ""), "x": ("bad", "other")}
    asked = []
    found = bisect.bisect([str(i) for i in range(len(verdicts))],
                          lambda v: kinds[verdicts[int(v)]], lambda v, *_: asked.append(v))
    assert found == answer
    assert len(asked) == len(set(asked))


def test_results_make_a_kernel_good_or_bad():
    def result(verdict, observed="", reason=""):
        return {"verdict": verdict, "observed": observed, "reason": reason, "environment": "cpl0"}
    assert bisect.judge([result("pass", "#BP@after"), result("blocked")])[0] == "good"
    assert bisect.judge([result("pass"), result("fail", "#UD@insn")]) == (
        "bad", "cpl0: observed #UD@insn")
    assert bisect.judge([result("crash", "", "hung")]) == ("bad", "cpl0: hung")
    assert bisect.judge([result("blocked", "", "tcg"), result("skip")])[0] == "cannot tell"


def test_table_words():
    def results(*verdicts):
        return [{"verdict": v} for v in verdicts]
    assert table.word("b", results("fail", "pass")) == "**present** (1 of 2 cases)"
    assert table.word("b", results("fail", "crash")) == "**present**"
    assert table.word("b", results("pass", "skip")) == "absent"
    assert table.word("b", results("pass", "blocked")) == "absent (1 blocked)"
    assert table.word("b", results("blocked", "skip")) == "blocked"
    known = [{"verdict": "known", "bug": bug} for bug in ("a", "b")]
    assert table.word("b", [*known, *results("pass")]) == "**present** (1 of 2 cases)"
    assert table.word("b", known[:1]) == "hidden by other bugs"


# -- A host that is a script. -----------------------------------------------------------------------------

class Machine:
    """What LabBoot asks of its machine."""

    slowness = 0.1
    host_name, refused = HostedMachine.host_name, HostedMachine.refused
    trouble, trouble_end = HostedMachine.trouble, HostedMachine.trouble_end

    def __init__(self):
        self.released = []

    def learnt(self, facts):
        pass

    def refused(self, facts):
        return None

    def release(self, host, good):
        self.released.append(good)
        host.close()


FAKE = """
import os, socket, sys, time
com1 = socket.socket(fileno=int(sys.argv[1]))
def message(kind, text):
    sys.stdout.buffer.write(%r + kind + len(text).to_bytes(2, "little") + text)
    sys.stdout.buffer.flush()
def guest(text): message(b"D", text.encode())
def console(text): com1.send(text.encode()); time.sleep(0.05)
def order():
    text, _, length = com1.recv(4096).decode().strip().rpartition("#")
    assert not text or int(length) == len(text)
    return text
sys.stdout.buffer.write(b"greeting\\n"); message(b"H", b"kernel=6.1 x\\ntainted=0\\n")
order()
guest("KTAP version 1\\n1..2\\n")
""" % START
GOOD = 'guest("ok 1 g/a:cpl0\\nok 2 g/b:cpl0\\n# Totals: pass:2 fail:0 skip:0\\n")\n'
END = 'message(b"R", b"exit 0x10"); message(b"E", b"tainted=%s\\n"); order()\n'


def on_fake_host(script):
    ours, theirs = serial_socket()
    machine = Machine()
    host = Host(Launch([sys.executable, "-c", FAKE + script, str(theirs)], ours, [theirs]))
    boot = lab_boot.LabBoot(machine, host, "g.rom 1 cpus=1", ["g/a:cpl0", "g/b:cpl0"], 1.0)
    drive(boot, 10)
    host.close()
    return boot, machine


def test_good_guest():
    boot, machine = on_fake_host(GOOD + END % "0")
    assert boot.reason is None and [r.ok for r in boot.stream.results] == [True, True]
    assert machine.released == [True]


def test_emulator_may_write_among_the_messages():
    chatter = 'sys.stdout.buffer.write(b"(0).[118] [0x29dc0ac] int3  ; cc\\n")\n'
    boot, _ = on_fake_host(chatter.join(GOOD.splitlines(True) + [""]) + END % "0")
    assert boot.reason is None and [r.ok for r in boot.stream.results] == [True, True]


def test_order_that_lost_something_comes_again():
    boot, _ = on_fake_host('message(b"A", b"")\nassert order().startswith("run g.rom")\n' + GOOD + END % "0")
    assert boot.reason is None and [r.ok for r in boot.stream.results] == [True, True]


def test_complaint_fails_the_case_that_ran():
    boot, machine = on_fake_host(
        'guest("ok 1 g/a:cpl0\\n")\n'
        'console("[    1.5] ------------[ cut here ]------------\\n")\n'
        'console("[    1.5] WARNING: CPU: 0 PID: 1 at arch/x86/kvm/x.c:1 f+0x1/0x2\\n")\n'
        'console("[    1.5] RIP: 0010:f\\n[    1.5] ---[ end trace ]---\\n")\n'
        'guest("ok 2 g/b:cpl0\\n# Totals: pass:2 fail:0 skip:0\\n")\n' + END % "512")
    first, second = boot.stream.results
    assert first.trouble is None
    assert second.trouble == "the host's kernel: WARNING: CPU: 0 PID: 1 at arch/x86/kvm/x.c:1 f+0x1/0x2"
    assert "host: RIP: 0010:f" in second.notes
    assert machine.released == [False]


def test_taint_without_a_word_is_trouble():
    boot, machine = on_fake_host(GOOD + END % "512")
    assert "tainted: 512" in boot.stream.results[1].trouble
    assert machine.released == [False]


def test_host_that_dies():
    boot, machine = on_fake_host('guest("ok 1 g/a:cpl0\\n")\n'
                                 'console("[  1.0] Kernel panic - not syncing: x\\n")\n')
    assert boot.reason == "the lab's kernel died: Kernel panic - not syncing: x"
    assert not boot.blocked and len(boot.stream.results) == 1


def test_emulator_that_dies_is_not_the_kernels_fault():
    boot, _ = on_fake_host('sys.stderr.write("assertion failed: x\\n"); sys.stderr.flush()\n'
                           'os.abort()\n')
    assert boot.blocked and "SIGABRT" in boot.reason and "assertion failed: x" in boot.reason


def test_guest_that_hangs_is_cancelled():
    boot, machine = on_fake_host('assert order() == "cancel"\n' + END % "0")
    assert boot.hung and boot.reason == "hung: no result for 1 s"
    assert machine.released == [True]


def test_host_that_hangs_is_killed():
    boot, machine = on_fake_host("time.sleep(60)\n")
    assert boot.hung and boot.reason.endswith("and the lab's kernel with it")
    assert machine.released == [False]


@pytest.mark.parametrize("line, bad", [
    ("WARNING: CPU: 0 PID: 1 at arch/x86/kvm/svm/svm.c:1", True),
    ("BUG: kernel NULL pointer dereference, address: 0", True),
    ("INFO: possible recursive locking detected", True),
    ("rcu: INFO: rcu_sched self-detected stall on CPU", True),
    ("Oops: 0000 [#1] SMP", True),
    ("kvm: SMP vm created on host with unstable TSC; guest TSC will not be reliable", False),
    ("kvm [83]: vcpu0, guest rIP: 0x1 unhandled rdmsr: 0x1", False),
])
def test_what_is_trouble(line, bad):
    assert bool(TROUBLE.search(line)) == bad


# -- One real kernel, if it is here. ---------------------------------------------------------------------

@pytest.fixture(scope="module")
def lab():
    """Name of a lab machine; the newest kernel in the user's own cache."""
    for name in reversed(store.names()):
        if "kvm-amd" in store.load(name).modules:
            return f"lab-{name}"
    return pytest.skip("no lab kernel in the cache (scripts/lab add 6.1 --debian bookworm)")


def test_guests_on_a_real_kernel(lab, tmp_path):
    path = tmp_path / "results.json"
    done = subprocess.run(
        [TOP / "run_tests.sh", "--machine", lab, "--json", path, "dummy", "int3/int3_warm",
         "int3/int3_cold_idt"], capture_output=True, text=True, timeout=300,
        stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    import json
    found = json.loads(path.read_text())
    assert {r["verdict"] for r in found["results"]} == {"pass"}
    assert "kvm_amd.npt" in found["machines"][lab]["host"]["params"]


@pytest.mark.full
def test_real_host_complains_and_dies(lab):
    """A warning in the host's log fails the point that runs; a panic is a crash."""
    from trapline.machines import known
    from trapline.machines.base import Order, Tools

    machine = known.create(lab + "+breadth=all", Tools())   # long enough to be met while it runs
    if machine.probe():
        pytest.skip(machine.probe())
    rom = str(TOP / "build" / "int3.rom")
    for orders, check in (
            (["log <4>WARNING: CPU: 9 PID: 9 at nowhere"], lambda boot: any(
                s.trouble and "at nowhere" in s.trouble for s in
                [*boot.stream.results, boot.stream.pending])),
            (["sysrq c"], lambda boot: "the lab's kernel died" in boot.reason)):
        names = [f"int3/int3_repeated_cold_stack:{e}" for e in
                 ("cpl0", "cpl3", "compat", "legacy-cpl0", "legacy-cpl3")]
        words = ("cpus=1", "layers=native", "cases=int3_repeated_cold_stack")
        boot = machine.start(Order(b"", 1, (), rom, words), names, 60.0)
        sent, end = False, time.monotonic() + 200
        import select
        while boot.alive and time.monotonic() < end:
            for fd in select.select(list(boot.fds), [], [], 0.2)[0]:
                boot.ready(fd)
            if boot.stream.planned and not sent:
                sent = True
                for order in orders:
                    boot._host.order(order)
        assert not boot.alive
        assert check(boot), (boot.reason, boot._host.log)
    machine.close()


def test_differences_share_rows():
    def result(verdict, observed=""):
        return {"verdict": verdict, "observed": observed, "reason": ""}
    found = table.differences({
        "a/x:cpl0": {"m": result("pass"), "n": result("fail", "1 | 2")},
        "b/x:svm-cpl0": {"m": result("pass"), "n": result("fail", "1 | 2")},
        "a/y:cpl0": {"m": result("pass"), "n": result("pass")},
    }, ["m", "n"])
    assert found == [["`a/x:cpl0`, b", "right", "fail: `1 \\| 2`"]]
