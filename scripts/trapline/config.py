# SPDX-License-Identifier: BSD-2-Clause
"""unittests.cfg: which guests there are and what each needs.

The syntax is that of kvm-unit-tests: "[name]" opens a section, "key = value" lines follow,
"#" starts a comment. Nothing is evaluated: no variables, no commands, no shell.

    file          image to boot: NAME, NAME.elf or NAME.rom of the build directory
    smp           number of CPUs (default 1)
    qemu_params   more words for QEMU's command line, quoted as in a shell; the guest is then
                  skipped on machines that are not QEMU (extra_params is the older name)
    groups        words for -g
    accel         the guest runs only on machines with this accelerator: tcg, kvm or bochs
    machines      the guest runs only on these machines (globs)
    gdb           scripts/gdb/NAME.gdb steps the guest from outside; where there is no gdb or no
                  gdbstub, the guest is skipped
    layers        the layers whose points are run (default: the guest's first, native if it has it)
    timeout       seconds without a result after which the guest is cut off
    arch          x86_64 (what all guests are)
    check         FILE=VALUE words: the guest is skipped where a file says something else
"""

import re
import shlex
from dataclasses import dataclass

from .errors import UsageError, nearest, unknown

ACCELERATORS = ("tcg", "kvm", "bochs")
MAX_CPUS = 64


@dataclass
class Section:
    """One guest to run, from one section. `timeout` in seconds, None for the default."""

    name: str
    line: int
    file: str = ""
    smp: int = 1
    qemu_params: tuple = ()
    groups: tuple = ()
    accel: str | None = None
    machines: tuple = ()
    layers: tuple = ()
    timeout: float | None = None
    gdb: str = ""
    check: tuple = ()           # (path, value) pairs

    def lacking(self, machine):
        """What `machine` lacks altogether for this guest to run there, in few words, or None."""
        from fnmatch import fnmatchcase

        if self.accel and machine.accel != self.accel:
            return f"accelerator {self.accel}"
        if self.machines and not any(fnmatchcase(machine.name, m) for m in self.machines):
            return f"name like {' or '.join(self.machines)}"
        if self.qemu_params and not machine.qemu_params:
            return f"QEMU option {' '.join(self.qemu_params)}"
        if self.gdb and not machine.has_gdbstub():
            return "gdbstub"
        return None

    def unfit(self, machine):
        """Why this guest cannot run on `machine`, as a sentence, or None."""
        if what := self.lacking(machine):
            return f"{machine.name} has no {what}"
        if self.gdb and (why := machine.cannot_step()):
            return f"is stepped by gdb: {why}"
        for path, value in self.check:
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    found = file.read(4096).strip()
            except OSError as error:
                return f"needs {path}={value}: {error.strerror}"
            if found != value:
                return f"needs {path}={value}, it is {found[:40]!a}"
        return None


def _words(value):
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ValueError(f"{error}".lower()) from None


def _smp(value):
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= MAX_CPUS:
        raise ValueError(f"is not a number of CPUs from 1 to {MAX_CPUS}")
    return int(value)


def _timeout(value):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s?", value)
    if not match or not 0 < float(match[1]) <= 86400:
        raise ValueError("is not a number of seconds")
    return float(match[1])


def _file(value):
    match = re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_+.-]*?)(?:\.(?:elf|rom))?", value)
    if not match:
        raise ValueError("is not the name of an image")
    return match[1]


def _groups(value):
    for word in value.split():
        if not re.fullmatch(r"[A-Za-z0-9_.+-]+", word):
            raise ValueError(f"has '{word}', which is not a word")
    return tuple(value.split())


def _accel(value):
    if value not in ACCELERATORS:
        raise ValueError(f"is not one of {', '.join(ACCELERATORS)}{nearest(value, ACCELERATORS)}")
    return value


def _arch(value):
    if value != "x86_64":
        raise ValueError("is not x86_64")
    return value


def _machines(value):
    from .machines import known

    for word in _groups(re.sub(r"[*?@\[\]]", "x", value)) and value.split():
        if not known(word):
            raise ValueError(str(unknown("machine", word, known.names())))
    return tuple(value.split())


def _gdb(value):
    from .gdbstub import script

    if not re.fullmatch(r"[A-Za-z0-9_-]+", value) or not script(value):
        raise ValueError("is not a script of scripts/gdb")
    return value


def _check(value):
    pairs = tuple(tuple(word.partition("=")[::2]) for word in value.split())
    for path, expected in pairs:
        if not path.startswith("/") or not expected:
            raise ValueError("is not made of /FILE=VALUE words")
    return pairs


_KEYS = {"file": _file, "smp": _smp, "qemu_params": _words, "extra_params": _words,
         "groups": _groups, "accel": _accel, "machines": _machines, "layers": _groups, "timeout": _timeout, "gdb": _gdb,
         "arch": _arch, "check": _check}


def load(path):
    """Sections by name, in order. UsageError names file and line."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    sections, section, seen = {}, None, {}
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        where = f"{path}:{number}"
        if line.startswith("["):
            match = re.fullmatch(r"\[\s*([A-Za-z0-9_][A-Za-z0-9_+.-]*)\s*\](?:\s*#.*)?", line)
            if not match:
                raise UsageError(f"{where}: '{line}' is not a section name in brackets")
            if match[1] in sections:
                raise UsageError(f"{where}: section '{match[1]}' again, first on line "
                                 f"{sections[match[1]].line}")
            section, seen = Section(match[1], number), {}
            sections[match[1]] = section
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise UsageError(f"{where}: '{line}' is neither a section nor key = value")
        if section is None:
            raise UsageError(f"{where}: '{key}' before the first section")
        if key not in _KEYS:
            raise UsageError(f"{where}: unknown key '{key}'{nearest(key, _KEYS)}")
        name = "qemu_params" if key == "extra_params" else key
        if name in seen:
            raise UsageError(f"{where}: '{key}' again, first on line {seen[name]}")
        seen[name] = number
        if not value:
            raise UsageError(f"{where}: '{key}' has no value")
        try:
            parsed = _KEYS[key](value)
        except ValueError as error:
            raise UsageError(f"{where}: {key} = {value}: {error}") from None
        if name != "arch":
            setattr(section, name, parsed)
    for section in sections.values():
        if not section.file:
            raise UsageError(f"{path}:{section.line}: section '{section.name}' has no 'file'")
    if not sections:
        raise UsageError(f"{path}: has no sections")
    return sections
