# SPDX-License-Identifier: BSD-2-Clause
"""The folder of a report: everything that it takes to see one failure without Trapline."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .. import config, guests, select, standalone
from ..args import patched
from ..boot import contain
from ..errors import UsageError
from ..expectations import CRASH
from ..machines.base import Tools
from ..machines.bochs import BochsSvm, BochsVmx
from ..machines.qemu import Kvm, Tcg
from ..machines.sev import Sev, SevEs, SevSnp
from ..naming.signatures import seen
from ..reports import files
from .names import ELF, OUTPUT, ROM, TEXT

TIMEOUT = 60            # seconds for the one run, times the machine's slowness
_MEMORY = 64            # MiB


@dataclass
class Case:
    """One point, as this tree has built it."""

    section: object
    image: object
    point: object


@dataclass
class Again:
    """What came of running the command: the machine's `version`, its `output`, and what that shows.

    `why` says why it was not run, "" if it was.
    """

    version: str = ""
    output: str = ""
    observed: str = ""
    why: str = ""


@dataclass
class Recipe:
    """How to run it: `command` is typed in the folder, `extra` are files besides the ROM, text by name."""

    machine: object
    cpus: int
    command: str
    extra: dict = field(default_factory=dict)


def find(subject, root, build):
    """Case of the tree for a Subject. UsageError if the tree has no such point."""
    name, _, case = subject.result["case"].partition("/")
    sections = config.load(os.path.join(root, "unittests.cfg"))
    if name not in sections:
        raise UsageError(f"unittests.cfg has no guest '{name}', which this run has: it is of another tree")
    section = sections[name]
    if section.gdb:
        raise UsageError(f"{subject.point} is stepped by gdb from outside, which no ROM can carry")
    image = guests.load(build, section.file, os.path.join(build, "cache"))
    for point in select.points(section, image):
        if point.case.name == case and point.environment == subject.result["environment"]:
            return Case(section, image, point)
    raise UsageError(f"guest '{name}' as built here has no point {subject.point}: the run is of another tree")


def machine_of(name, tools):
    """The Machine whose command a report of machine `name` gives. UsageError if it can have none."""
    if name == "tcg":
        return Tcg(tools)
    for class_ in (SevSnp, SevEs, Sev):
        if name == class_.name or (name.startswith("lab-") and name.partition("+")[0].endswith("-" + class_.name)):
            return class_(tools)
    if name == "kvm" or name.startswith("lab-"):
        return Kvm(tools)
    for class_ in (BochsSvm, BochsVmx):
        if name == class_.name:
            return class_(tools)
    if name.startswith("model"):
        raise UsageError(f"{name} is our own model hypervisor: its bugs are there on purpose")
    raise UsageError(f"machine {name}: reports are made for tcg, kvm, SEV hosts, the lab's machines and Bochs")


def recipe(machine, case, cpus):
    """Recipe for `case` on `machine`."""
    if machine.accel == "bochs":
        return Recipe(machine, cpus, "bochs -q -f bochsrc -rc bochs.rc </dev/null; cat serial.txt",
                      {"bochsrc": machine.config(ROM, cpus, "serial.txt", "bochs.log"), "bochs.rc": "c\n"})
    board, backend = machine.elsewhere()
    argv = ["qemu-system-x86_64", "-M", "q35" + board,
            "-accel", machine.accel, "-cpu", "max", "-smp", str(cpus), "-m", str(_MEMORY), *backend,
            "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-bios", ROM, *case.section.qemu_params]
    return Recipe(machine, cpus, shlex.join(argv))


def rom(case, recipe_):
    """The bytes of the ROM that runs this point and nothing else."""
    data = patched(Path(case.image.rom).read_bytes(),
                   [f"points={case.point.index}", *standalone.words(recipe_.cpus, recipe_.machine)],
                   case.image.rom)
    return recipe_.machine.padded(data) if recipe_.machine.accel == "bochs" else data


def prepare(directory):
    """Makes `directory`. UsageError if there is something in it already."""
    try:
        os.makedirs(directory, exist_ok=True)
        if os.listdir(directory):
            raise UsageError(f"{directory}: is not empty; nothing was written")
    except OSError as error:
        raise UsageError(f"{directory}: {error.strerror}") from None


def lay_out(directory, case, recipe_):
    """Write all but the text. Name of the script."""
    folder = Path(directory)
    (folder / ROM).write_bytes(rom(case, recipe_))
    shutil.copyfile(case.image.elf, folder / ELF)
    for name, text in recipe_.extra.items():
        (folder / name).write_text(text)
    script = re.sub(r"[^\w-]+", "-", f"{case.section.name}-{case.point.name}")
    (folder / script).write_text(standalone.script(
        case.section, case.image, recipe_.machine, [case.point], script, recipe_.cpus))
    (folder / script).chmod(0o755)
    return script


def run(directory, recipe_, program):
    """Again: the command, run in `directory` with `program` for its first word."""
    machine = recipe_.machine
    why = machine.probe()
    if why:
        return Again(why=why)
    command = shlex.quote(program) + recipe_.command[recipe_.command.index(" "):]
    # A shell of its own group, so that whatever it started ends with it.
    with subprocess.Popen(["sh", "-c", command], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True,
                          preexec_fn=contain(os.getpid(), machine.accel == "bochs")) as process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT * machine.slowness)
        except subprocess.TimeoutExpired:
            output = b""
        finally:
            try:
                os.killpg(process.pid, 9)
            except ProcessLookupError:
                pass
    if machine.accel == "bochs":
        try:
            output = Path(directory, "serial.txt").read_bytes()
        except OSError:
            output = b""
        for name in ("serial.txt", "bochs.log"):
            Path(directory, name).unlink(missing_ok=True)
    text = output.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return Again(machine.version(), text, _observed(text))


def _observed(output):
    """What the guest's output shows: the trace of a failing case, "crash", or "" if it passed or was skipped."""
    if not re.search(r"^# Totals:", output, re.M):
        return CRASH
    if not re.search(r"^not ok ", output, re.M):
        return ""
    return "; ".join(re.findall(r"^# observed (.*)$", output, re.M))


def write(subject, doc, directory, root, build, tools: Tools, catalogue, entries):
    """Make the folder; Again. UsageError, and nothing written, if the subject cannot be packed."""
    from . import text

    machine = machine_of(subject.result["machine"], tools)
    case = find(subject, root, build)
    prepare(directory)
    said = seen(subject.result["verdict"], subject.result["observed"])
    least = max([1] + [int(w.partition("=")[2]) for w in case.point.case.needs if w.startswith("cpus=")])
    program = tools.bochs if machine.accel == "bochs" else tools.qemu
    here = subject.result["machine"] == machine.name
    again = None
    for cpus in dict.fromkeys((least, case.section.smp)):       # one CPU is the better report, if it is enough
        if not here:
            cpus = case.section.smp
        chosen = recipe(machine, case, cpus)
        script = lay_out(directory, case, chosen)
        again = run(directory, chosen, machine.program() or program) if here else \
            Again(why=f"{subject.result['machine']} is not this host")
        if again.why or again.observed == said:
            break
    if not again.why:
        files.write(os.path.join(directory, OUTPUT), again.output)
    files.write(os.path.join(directory, TEXT), text.render(
        text.Facts(subject, doc, case, chosen, script, again, said, catalogue.get(subject.bug), entries, root)))
    return again
