# SPDX-License-Identifier: BSD-2-Clause
"""What the tests share: guests of their own, built once, the command, and which of them are quick.

A test marked `full` has a relative that is not, which finds what usually goes wrong: another point of the same
kind, another history, another defect of the same library. `make check` leaves those out, `make check-full`
runs them, and pytest by itself runs all.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Below nohup, or behind a shell's "&", they are ignored, and so they would be in all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

TOP = Path(__file__).resolve().parent.parent
SOURCES = TOP / "tests" / "guests"
sys.path.insert(0, str(TOP / "scripts"))

MISBEHAVIOURS = """HANG SPIN DRIP FLOOD LONG_LINE GARBAGE ESCAPES SECOND_PLAN SECOND_VERSION
    DUPLICATE AHEAD OTHER_NAME STRAY CLOSE_EARLY TRIPLE_FAULT PANIC QUIET_EXIT NO_OUTPUT NO_VERSION
    FORGED_PLAN RESULT_FIRST NO_CLOSE WRONG_TOTALS AFTER_CLOSE HANG_AFTER_CLOSE""".split()

CFLAGS = """-m16 -std=gnu11 -O1 -ffreestanding -fno-pic -fno-pie -mgeneral-regs-only
    -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none
    -Wall -Wextra -Werror""".split()


# Most of a guest built with one line changed has been compiled before.
_CCACHE = next((d for d in ("/usr/lib/ccache", "/usr/lib64/ccache", "/usr/lib/ccache/bin")
                if Path(d, "gcc").exists()), None)
if _CCACHE and _CCACHE not in os.environ["PATH"].split(":"):
    os.environ["PATH"] = f"{_CCACHE}:{os.environ['PATH']}"
os.environ.setdefault("CCACHE_NOHASHDIR", "1")      # the copies lie in folders of their own


def pytest_configure(config):
    config.addinivalue_line("markers", "full: not part of `make check`; `make check-full` runs it")


def full_but(values, quick):
    """`values` for pytest.mark.parametrize: all but those of `quick` are marked `full`."""
    return [v if v in quick else pytest.param(v, marks=pytest.mark.full) for v in values]


class Command:
    """run_tests.sh's Python part, on a directory of test guests."""

    def __init__(self, build):
        self.build = build
        self.config = build / "unittests.cfg"
        self.bugs = build / "bugs.toml"
        self.expectations = build / "expectations"

    def argv(self, *words):
        return [sys.executable, "-m", "trapline", "--config", str(self.config),
                "--build", str(self.build), "--bugs", str(self.bugs),
                "--expectations", str(self.expectations), *words]

    @property
    def environment(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        return environment | {"PYTHONPATH": str(TOP / "scripts")}

    def __call__(self, *words, timeout=60):
        """CompletedProcess of the command, its output as text."""
        return subprocess.run(self.argv(*words), env=self.environment, cwd=self.build,
                              capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)

    def start(self, *words, **more):
        return subprocess.Popen(self.argv(*words), env=self.environment, cwd=self.build,
                                stdin=subprocess.DEVNULL, text=True, **more)

    def results(self, *words, **more):
        """({id: result}, CompletedProcess), the results from --json."""
        path = self.build / f"results-{os.getpid()}.json"
        path.unlink(missing_ok=True)
        done = self(*words, "--json", str(path), **more)
        assert done.returncode in (0, 1), done.stderr
        found = json.loads(path.read_text())
        return {f"{r['case']}:{r['environment']}@{r['machine']}": r
                for r in found["results"]}, done


def _build(directory):
    compiler = os.environ.get("CC", "gcc")

    def run(*argv):
        done = subprocess.run([str(a) for a in argv], cwd=SOURCES, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    run(compiler, *CFLAGS, "-c", "start.S", "-o", directory / "start.o")
    guests = [("good", "good.c", [])] + [
        (name.lower(), "bad.c", [f"-D{name}", f'-DNAME="{name.lower()}"'])
        for name in MISBEHAVIOURS]
    for name, source, flags in guests:
        run(compiler, *CFLAGS, *flags, "-c", source, "-o", directory / f"{name}.o")
        run("ld", "-m", "elf_i386", "-T", "rom.lds", "--build-id=none", "-z", "noexecstack",
            "-o", directory / f"{name}.elf", directory / "start.o", directory / f"{name}.o")
        run("objcopy", "-O", "binary", "-j", ".rom", directory / f"{name}.elf",
            directory / f"{name}.rom")
    return [name for name, _, _ in guests]


@pytest.fixture(scope="session")
def guests(tmp_path_factory):
    """Directory with every test guest and a unittests.cfg that names them."""
    if not shutil.which("gcc") and "CC" not in os.environ:
        pytest.skip("no gcc for the test guests")
    directory = tmp_path_factory.mktemp("guests")
    names = _build(directory)
    (directory / "unittests.cfg").write_text("".join(
        f"[{n}]\nfile = {n}\ngroups = {'fine' if n == 'good' else 'bad'}\n" for n in names))
    (directory / "bugs.toml").write_text(
        '[some-bug]\ntitle="t"\ntrigger="t"\nright="r"\nbuggy="b"\nversions="v"\nevidence="e"\n')
    (directory / "expectations").mkdir()
    return directory


def without_expectations(guests):
    """Command on the test guests, whatever a test before has written there."""
    command = Command(guests)
    shutil.rmtree(command.expectations)
    command.expectations.mkdir()
    return command


@pytest.fixture
def trapline(guests):
    """Command on the test guests, without expectations."""
    return without_expectations(guests)


needs_qemu = pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU")
needs_bochs = pytest.mark.skipif(not shutil.which("bochs-bin"), reason="no Bochs")


def drive(boot, seconds):
    """What the runner's loop does for one boot, until it ends."""
    end = time.monotonic() + seconds
    while boot.alive and time.monotonic() < end:
        for fd in select.select(list(boot.fds), [], [], 0.05)[0]:
            boot.ready(fd)
        if time.monotonic() > boot.deadline:
            boot.expired()
    assert not boot.alive
