# SPDX-License-Identifier: BSD-2-Clause
"""The lab's SEV hosts: what they boot, what they refuse, what is made of a host's complaints; and, where a kernel
with SEV is in the cache, one guest of each kind."""

import gzip
import json
import lzma
import re
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from trapline import expectations, ktap, verdicts
from trapline.errors import UsageError
from trapline.lab import cli, debian, sevhost, store, tally, vmlinux
from trapline.machines import known
from trapline.machines.base import Tools

TOP = Path(__file__).resolve().parent.parent


# -- What is inside a bzImage. ------------------------------------------------------------------------------

def kernel_elf(pvh=True):
    """An ELF file with one note, of kind 18 (PVH) or another, behind one of another owner."""
    def note(owner, kind, data):
        return struct.pack("<III", len(owner), len(data), kind) + owner.ljust(-(-len(owner) // 4) * 4, b"\0") + data

    notes = note(b"GNU\0", 18, b"x" * 20) + note(b"Xen\0", 18 if pvh else 6, struct.pack("<I", 0x1000000))
    head = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x1000000, 64, 0, 0, 64, 56, 2,
                                                           0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000000, 0x1000000, 8, 8, 4096)
    noted = struct.pack("<IIQQQQQQ", 4, 4, 64 + 2 * 56, 0, 0, len(notes), len(notes), 4)
    return head + load + noted + notes


def bzimage(payload):
    """One whose setup has four sectors and whose payload begins 0x40 bytes behind it."""
    setup = bytearray(5 * 512)
    setup[0x1f1] = 4
    setup[0x202:0x206] = b"HdrS"
    setup[0x248:0x250] = struct.pack("<II", 0x40, len(payload))
    return bytes(setup) + b"\x90" * 0x40 + payload + b"what follows"


@pytest.mark.parametrize("pack", [lambda d: lzma.compress(d) + struct.pack("<I", len(d)), gzip.compress,
                                  lambda d: d])
def test_kernel_is_unpacked(pack):
    assert vmlinux.unpacked(bzimage(pack(kernel_elf()))) == kernel_elf()


@pytest.mark.parametrize("image", [
    b"", b"\x7fELF" * 1000, bzimage(b"\x02\x21\x4c\x18 LZ4, which needs no time"), bzimage(lzma.compress(b"no ELF file")),
    bzimage(b"\xfd7zXZ\0 is damaged"), bzimage(b"")])
def test_what_cannot_be_unpacked_is_left(image):
    assert vmlinux.unpacked(image) is None


def test_who_can_be_started_without_a_loader():
    assert vmlinux.has_pvh_entry(kernel_elf())
    assert not vmlinux.has_pvh_entry(kernel_elf(pvh=False))


def test_bundle(tmp_path):
    (tmp_path / "kernel").write_bytes(b"k" * 5000)
    with open(sevhost.bundle(tmp_path / "kernel", b"i" * 3), "rb") as file:
        file.seek(0)
        made = file.read()
    magic, kernel_at, kernel_bytes, initrd_at, initrd_bytes = struct.unpack_from("<8sQQQQ", made)
    assert magic == b"L0BUNDLE" and kernel_at % 4096 == initrd_at % 4096 == 0
    assert made[kernel_at:kernel_at + kernel_bytes] == b"k" * 5000
    assert made[initrd_at:initrd_at + initrd_bytes] == b"iii" and len(made) == initrd_at + initrd_bytes


# -- Kernels. ------------------------------------------------------------------------------------------------

def kernel(params, modules=("kvm", "ccp", "kvm-amd")):
    return store.Kernel("6.1", "6.1.0-1-amd64", "6.1.99", "here", {m: [] for m in modules},
                        {"kvm-amd": list(params), "kvm": [], "ccp": []})


@pytest.mark.parametrize("which, kind, complaint", [
    (kernel(["npt", "sev", "sev_es"]), "sev-es", None),
    (kernel(["npt", "sev"]), "sev", None),
    (kernel(["npt", "sev"]), "sev-es", "has no SEV-ES: its kvm_amd has no parameter sev_es"),
    (kernel(["npt", "sev", "sev_es", "sev_snp"]), "sev-snp", None),
    (kernel(["npt", "sev", "sev_es"]), "sev-snp", "Linux 6.1.99 is older than 6.11"),
    (kernel(["npt"]), "sev-snp", "cloud flavour"),
    (kernel(["npt"]), "sev", "cloud flavour"),
    (kernel(["sev", "sev_es"], ["kvm", "kvm-amd"]), "sev", "there is no module ccp"),
    (kernel([], ["kvm", "kvm-intel"]), "sev", "has no kvm-amd")])
def test_which_kernel_has_sev(which, kind, complaint):
    reason = sevhost.missing(which, kind)
    assert reason is None if complaint is None else complaint in reason and "\n" not in reason


@pytest.mark.parametrize("words, complaint", [
    (["add", "x-sev-es", "--debian", "sid"], "cannot be the name of a kernel"),
    (["add", "x-sev-snp", "--debian", "sid"], "cannot be the name of a kernel"),
    (["add", "x-amd", "--debian", "sid"], "cannot be the name of a kernel"),
    (["add", "x", "--debian", "sid", "--sev", "--flavour", "rt-amd64"], "not allowed with"),
    (["add", "x", "--sev", "--deb", "a.deb"], "need --debian SUITE"),
    (["bisect", "x/y", "--from", "1", "--to", "2", "--kind", "sve"], "invalid choice")])
def test_wrong_words_are_one_sentence(capsys, words, complaint):
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1


def test_sev_takes_the_flavour_that_has_it(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(debian, "configure", lambda *_, **__: None)
    monkeypatch.setattr(debian, "update", lambda: None)
    monkeypatch.setattr(debian, "choose", lambda version, flavour: asked.append((version, flavour)) or [])
    for words in (["--sev"], [], ["--flavour", "rt-amd64"], ["--sev", "--version", "newest"]):
        cli.main(["add", "6.1", "--debian", "bookworm", "-n", *words])
    assert asked == [("6.1", "amd64"), ("6.1", "cloud-amd64"), ("6.1", "rt-amd64"), ("newest", "amd64")]
    assert capsys.readouterr().out.count("KVM of cloud-amd64 has no SEV") == 2


def test_newest_of_a_suite(monkeypatch):
    monkeypatch.setattr(debian, "kernel_packages", lambda flavour: [
        {"Package": f"linux-image-{v}", "Version": f"{v}-1"} for v in ("6.9.2", "7.2.13", "7.2.9")])
    assert debian.choose(debian.NEWEST, "amd64")[0]["Version"] == "7.2.13-1"


# -- Machines. -------------------------------------------------------------------------------------------------

def machine(kind, of, variant="", qemu="10.0.13"):
    """A machine of this kernel, on an emulator of this version that need not be there."""
    made = type(kind.__name__, (kind,), {"name": f"lab-x{kind.suffix}", "kernel_name": "x", "kernel": of})(
        Tools(qemu_is_default=False), variant=variant)
    made.underneath.number = lambda: qemu
    made.underneath.probe = lambda: None
    made._build = lambda: None
    return made


GOOD = kernel(["npt", "sev", "sev_es", "sev_snp"])


@pytest.mark.parametrize("kind", [sevhost.LabAmd, sevhost.LabSev, sevhost.LabSevEs, sevhost.LabSevSnp])
def test_old_emulator_is_refused(kind, monkeypatch):
    monkeypatch.setattr(store, "load", lambda _: GOOD)
    assert machine(kind, GOOD).probe() is None
    assert "is too old" in machine(kind, GOOD, qemu="9.2.4").probe()


def test_kernel_without_sev_is_refused():
    assert "has no SEV-ES" in machine(sevhost.LabSevEs, kernel(["sev"])).probe()
    assert machine(sevhost.LabAmd, kernel([], ["kvm", "kvm-amd"])).probe() is None


def test_registers_that_are_sealed_cannot_be_churned():
    assert machine(sevhost.LabSev, GOOD, "state")._options == ["state", "sev"]
    with pytest.raises(UsageError, match="state is not for it"):
        machine(sevhost.LabSevEs, GOOD, "events+state")


def test_shadow_paging_is_refused():
    with pytest.raises(UsageError, match="npt=0"):
        machine(sevhost.LabAmd, GOOD, "npt=0")


def test_words_of_guest_and_monitor():
    plain, sev, es = (machine(kind, GOOD) for kind in (sevhost.LabAmd, sevhost.LabSev, sevhost.LabSevEs))
    assert plain.console == "console=lines" and sev.console == es.console == "console=words"
    assert plain.nested == ("svm",) and sev.nested == es.nested == ()
    assert "l0.without=sev" in plain.shown("x", 1) and "l0." not in es.shown("x", 1)
    newer = store.Kernel(**{**vars(GOOD), "version": "6.12.3"})
    assert "l0.with=lbrv" in machine(sevhost.LabSevEs, newer).shown("x", 1)
    assert "l0.with=lbrv,snp" in machine(sevhost.LabSevSnp, newer).shown("x", 1)
    assert "l0." not in sev.shown("x", 1) and sev.params == {("kvm-amd", "sev_es"): "0"} and not es.params


@pytest.mark.parametrize("value, refused", [("Y", False), ("N", True), (None, True)])
def test_kvm_that_offers_no_sev(value, refused):
    facts = {"params": {"kvm_amd.sev_es": value} if value else {}}
    assert bool(machine(sevhost.LabSevEs, GOOD).refused(facts)) == refused


# -- What the host's kernel says, as a known failure. ------------------------------------------------------------

WARNING = "the host's kernel: WARNING: CPU: 0 PID: 143 at arch/x86/kvm/x86.c:8364 prepare_it+0x246/0x290 [kvm]"
FILE = """\
machines = ["lab-*"]

[[known]]
machine = ["lab-*-sev@monitor", "lab-*-amd@monitor"]
case = "*"
observed = "the host's kernel: WARNING: ... prepare_it..."
sometimes = true
reason = "it is known"
bug = "b"
"""


def judged(tmp_path, said, name="lab-6.1-sev"):
    (tmp_path / "a.toml").write_text(FILE)
    entries = expectations.load(str(tmp_path), {"b": None}, known)
    found = expectations.Index(entries, name, "6.1.99", "monitor").find("int3/x:cpl0")
    target = SimpleNamespace(machine=SimpleNamespace(foreign_bugs=()))
    return verdicts.judge(target, said, 1.0, expectations=found)


def test_complaint_of_the_host_can_be_known(tmp_path):
    fine = ktap.Said(name="x", ok=True, trouble=WARNING)
    assert judged(tmp_path, fine).verdict == verdicts.KNOWN
    assert judged(tmp_path, fine, "lab-6.1").verdict == verdicts.FAIL
    assert judged(tmp_path, ktap.Said(name="x", ok=True)).verdict == verdicts.PASS
    other = ktap.Said(name="x", ok=True, trouble="the host's kernel: WARNING: CPU: 0 PID: 1 at another.c:1")
    assert judged(tmp_path, other).verdict == verdicts.FAIL


def test_complaint_hides_no_failure(tmp_path):
    wrong = ktap.Said(name="x", ok=False, trouble=WARNING, observed=["#UD@insn"])
    assert judged(tmp_path, wrong).verdict == verdicts.FAIL
    silent = judged(tmp_path, ktap.Said(name="x", ok=False, observed=["#UD@insn"]))
    assert silent.verdict == verdicts.FAIL and not silent.notes


# -- One guest of each kind on a real kernel, if there is one. ---------------------------------------------------

@pytest.fixture(scope="module")
def lab():
    """Name of the newest kernel in the user's own cache that has SEV-ES."""
    for name in reversed(store.names()):
        if not sevhost.missing(store.load(name), "sev-es"):
            found = known.create(f"lab-{name}-sev-es", Tools(build=str(TOP / "build")))
            return f"lab-{name}" if found.probe() is None else pytest.skip(found.probe())
    return pytest.skip("no kernel with SEV in the cache (scripts/lab add 6.1 --debian bookworm --sev)")


def test_guests_of_each_kind(lab, tmp_path):
    path = tmp_path / "results.json"
    snp = [] if sevhost.missing(store.load(lab.removeprefix("lab-")), "sev-snp") else [f"{lab}-sev-snp"]
    done = subprocess.run(
        [TOP / "run_tests.sh", "--machine", ",".join([f"{lab}-sev", f"{lab}-sev-es", *snp]), "--json", path, "vc/cpuid_0", "vc/rdmsr"],
        capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for result in json.loads(path.read_text())["results"]:
        assert result["verdict"] == "pass", result
        found.setdefault(result["machine"], set()).add(result["observed"])
    # #VC is what tells them apart.
    assert "#VC" not in str(found[f"{lab}-sev"])
    assert all("#VC(0x72)@insn" in found[machine] for machine in [f"{lab}-sev-es", *snp])


# -- What the monitor corrects of the emulator, one by one. ---------------------------------------------------------

# A point that passes where it is corrected and does not where it is not; what else the machine is then.
MATTERS = {
    # What L1 injects, the emulator tells as it was injected; an INT3 that L2 executes is injected by the monitor, too,
    # but on a CPU without next_rip.
    "tcg-exitintinfo": ("int3/int3_cold_idt:cpl0", "+without=nrips+as-is=tcg-int3-intercept"),
    "tcg-int3-intercept": ("int3/int3_gate_not_present:cpl0", "+without=nrips"),
    "tcg-eventinj-dpl": ("int3/int3_gate_dpl0:cpl3", ""),
    "eventinj-64bit": ("svm_inject/invalid_bound_in_64_bit_code:svm-cpl0", ""),
    "eventinj-reserved-vector": ("svm_inject/invalid_reserved_exceptions:svm-cpl0", ""),
    "invalid-exit-overwrites-save-area": ("svm_inject/invalid_keeps_save_area:svm-cpl0", ""),
    "tcg-rdtscp-exit": ("svm_intercept/rdtscp:svm-cpl0", ""),
    "tcg-cr-exit": ("svm_carried/host_cr4:svm-cpl0", ""),
    "tcg-v-tpr": ("svm_interrupts/v_irq_tpr:svm-cpl0", ""),
    "tcg-svm-cr8": ("shadow/sti_cr8:cpl0", ""),
}


def test_each_correction_has_a_point():
    lines = (TOP / "lab/host/base/correct.def").read_text()
    assert set(re.findall(r'^CORRECT\(\w+, "([\w-]+)"', lines, re.M)) == set(MATTERS)


def verdict_of(machine, point, path):
    subprocess.run([TOP / "run_tests.sh", "--machine", machine, "--strict", "--json", path, point],
                   capture_output=True, timeout=600, stdin=subprocess.DEVNULL)
    return json.loads(path.read_text())["results"][0]["verdict"]


@pytest.mark.full
@pytest.mark.parametrize("bug", MATTERS)
def test_each_correction_matters(lab, tmp_path, bug):
    point, besides = MATTERS[bug]
    assert verdict_of(f"{lab}-amd{besides}", point, tmp_path / "corrected.json") == "pass"
    assert verdict_of(f"{lab}-amd{besides}+as-is={bug}", point, tmp_path / "as-is.json") in ("fail", "crash", "blocked")


def test_words_of_the_monitor_in_a_machine_s_name():
    words = machine(sevhost.LabAmd, GOOD, "without=nrips+as-is=tcg-v-tpr")._command_line().split()
    assert "l0.without=nrips" in words and "l0.as-is=tcg-v-tpr" in words


# -- The table of docs/sev-host.md. ---------------------------------------------------------------------------------

def test_tally(tmp_path):
    machines = ["lab-6.1-sev", "lab-6.1-sev-es", "lab-6.1-amd+vgif=0"]
    report = {"machines": {m: {"version": "KVM of Linux 6.1.192 (6.1.0-56), in QEMU 10.0.13"} for m in machines},
              "results": [{"case": c, "verdict": v} for c, v in (
                  ("int3/a", "pass"), ("int3/b", "pass"), ("int3/c", "known"), ("int3/d", "skip"), ("vc/a", "skip"))]}
    for name in machines:
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tally.BEGIN}\nold\n{tally.END}\nafter\n")
    words = ["tally", "int3", "--groups", "sev", "--machines", ",".join(machines), "--keep", str(tmp_path)]
    assert cli.main([*words, "--write", str(page)]) == 0
    text = page.read_text()
    assert "| guests | 6.1.192 SEV | 6.1.192 SEV-ES | 6.1.192 AMD, NRIPS vgif=0 |" in text and "old" not in text
    assert "| `int3` | 2 pass, 1 known | 2 pass, 1 known |" in text and "| `-g sev` | skipped |" in text
    assert text.startswith("before\n") and text.endswith("after\n")


@pytest.mark.parametrize("words, complaint", [
    (["--groups", "sve"], "unknown group 'sve'"), (["itn3"], "unknown guest 'itn3'"), ([], "needs guests")])
def test_tally_of_what_is_not_there(capsys, words, complaint):
    assert cli.main(["tally", "--machines", "lab-6.1", *words]) == 2
    assert complaint in capsys.readouterr().err
