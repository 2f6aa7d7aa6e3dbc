# SPDX-License-Identifier: BSD-2-Clause
"""A running lab kernel: an emulator's process, its console, and the messages of our init.

lab/common/ has the format of the messages and of the orders. COM1 carries the kernel's console
out and orders in; the messages come from the emulator's stdout.
"""

import os
import re
import signal
import socket
import subprocess
import tty
from dataclasses import dataclass, field

from ..boot import contain
from ..text import printable

START = b"\2"           # of a message; whatever else an emulator writes is text
_HEAD = 4
_CHUNK = 65536
_KEPT_LOG = 400         # lines of the console
_KEPT_ERRORS = 32768
_KEPT_ANSWER = 65536    # characters of an answer
_KEPT_BENEATH = 40      # lines of what is beneath the kernel

# What in a kernel's log is never right. The lines that follow are kept with it.
TROUBLE = re.compile(
    r"^l0: stop: |WARNING: |BUG: |INFO: (?:possible|suspicious|task|rcu|trying|lockdep)|Oops|"
    r"general protection fault|Kernel panic|KASAN|UBSAN|KCSAN|refcount_t:|"
    r"(?:list_add|list_del) corruption|soft lockup|hard LOCKUP|Unable to handle|divide error")
_STAMP = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[[ \w]+\])? ?")


@dataclass
class Launch:
    """How to start an emulator.

    `fds` go to the process and are closed here. `console` is our end of COM1, for reading and
    writing; `beneath` is a file that a monitor beneath the kernel writes its log to, if there is one.
    """

    argv: list
    console: int
    fds: list = field(default_factory=list)
    private_network: bool = False
    beneath: int | None = None


class Host:
    """One emulator with a lab kernel in it.

        facts       what init said when it was ready: {"kernel", "cpu", "params", "error", "tainted",
                    "answers"}; None before. Answers are to the questions that it was given (lab/kvm/ask.h)
        log         lines of the kernel's console, the last hundreds
        since_ready those of them that came behind facts
        dead        why there is no process any more, or None
    """

    def __init__(self, launch):
        """Starts it; OSError if that fails."""
        self.facts = None
        self._answers = {}
        self.log = []
        self.since_ready = []
        self.dead = None
        self.returncode = None
        self._console = launch.console
        self._beneath = launch.beneath
        self._line = b""
        self._data = b""
        self._errors = b""
        self._ordered = ""
        try:
            self._process = subprocess.Popen(
                launch.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, pass_fds=launch.fds, start_new_session=True, bufsize=0,
                preexec_fn=contain(os.getpid(), launch.private_network))
        except BaseException:
            os.close(launch.console)
            self._drop_beneath()
            raise
        finally:
            for fd in launch.fds:
                os.close(fd)
        self._exit = os.pidfd_open(self._process.pid)
        self._out = self._process.stdout.fileno()
        self._err = self._process.stderr.fileno()
        self._open = {self._console, self._out, self._err, self._exit}
        for fd in (self._console, self._out, self._err):
            os.set_blocking(fd, False)

    @property
    def fds(self):
        """Descriptors to watch for reading; they change."""
        return set(self._open)

    @property
    def status(self):
        """The process's exit status, None while it runs."""
        return self._process.poll()

    def ready(self, fd):
        """What a readable `fd` brings: a list of (type, text), where type is a message's, "L" for
        a line of the console, or "X" for the end of the process."""
        if fd not in self._open:
            return []
        if fd == self._exit:
            return self._exited()
        if fd == self._err:
            self._errors = (self._errors + (self._read(fd) or b""))[-_KEPT_ERRORS:]
            return []
        # A complaint of the kernel belongs to what the guest does now: lines first.
        said = self._lines(self._read(self._console)) if self._console in self._open else []
        if fd == self._out:
            said += self._messages(self._read(fd))
        return said

    def order(self, text):
        """Send an order; once more where it does not arrive whole (lab/common/order.h)."""
        self._ordered = text
        line = text.encode()
        try:
            os.write(self._console, b"%b#%d\n" % (line, len(line)))
        except OSError:
            pass                        # it is dead, and its descriptors will say so

    def kill(self):
        """End the process; its descriptors tell when it has happened."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self):
        """End it and leave nothing behind."""
        self.kill()
        self._process.wait()
        for fd in list(self._open):
            self._drop(fd)
        self._drop_beneath()
        if self.dead is None:
            self.dead = "ended"

    def said_beneath(self):
        """How many bytes a monitor beneath the kernel has written to its log."""
        return 0 if self._beneath is None else os.fstat(self._beneath).st_size

    def beneath(self, since=0):
        """The last lines of that log, of what came behind `since` bytes."""
        start = max(since, self.said_beneath() - _KEPT_ERRORS)
        text = b"" if self._beneath is None else os.pread(self._beneath, _KEPT_ERRORS, start)
        return [printable(line, 400) for line in text.splitlines()[-_KEPT_BENEATH:]]

    def last_words(self):
        """The end of the log, or of stderr, for a sentence."""
        # Bochs puts a frame around its last ones; of what is asked of TCG all the same (sevhost.py), QEMU warns.
        errors = [line for line in self._errors.decode("utf-8", "replace").splitlines()
                  if line.strip(" =") and "warning: TCG doesn't support requested feature" not in line]
        lines = errors or self.log
        return printable(lines[-1].encode(), 160) if lines else "nothing was said"

    # Its parts

    def _drop_beneath(self):
        if self._beneath is not None:
            os.close(self._beneath)
        self._beneath = None

    def _read(self, fd):
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError:                 # EIO: the other end of a terminal is gone
            data = b""
        if not data:
            self._drop(fd)
        return data

    def _drop(self, fd):
        if fd not in self._open:
            return
        self._open.discard(fd)
        if fd == self._out:
            self._process.stdout.close()
        elif fd == self._err:
            self._process.stderr.close()
        else:
            os.close(fd)

    def _lines(self, data):
        *lines, self._line = (self._line + data).split(b"\n")
        said = []
        for line in lines:
            text = _STAMP.sub("", printable(line.rstrip(b"\r"), 400))
            for log in [self.log] + [self.since_ready] * (self.facts is not None):
                log.append(text)
                del log[:-_KEPT_LOG]
            said.append(("L", text))
        return said

    def _messages(self, data):
        self._data += data
        said = []
        while True:
            _, start, rest = self._data.partition(START)
            self._data = start + rest
            size = _HEAD + int.from_bytes(self._data[2:_HEAD], "little")
            if len(self._data) < size:
                return said
            said.append((chr(self._data[1]), self._data[_HEAD:size]))
            self._data = self._data[size:]
            if said[-1][0] == "H":
                self.facts = self._hello(said[-1][1].decode("utf-8", "replace")) | {"answers": self._answers}
            elif said[-1][0] == "P":
                question, _, text = said.pop()[1].decode("utf-8", "replace").partition("\n")
                self._answers[question] = (self._answers.get(question, "") + text)[:_KEPT_ANSWER]
            elif said[-1][0] == "A":
                said.pop()
                self.order(self._ordered)

    @staticmethod
    def _hello(text):
        facts = {"kernel": "", "cpu": "", "params": {}, "error": "", "tainted": ""}
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key == "param":
                name, _, value = value.partition("=")
                facts["params"][name] = value
            elif key == "error":
                facts["error"] += ("; " if facts["error"] else "") + value
            else:
                facts[key] = value
        return facts

    def _exited(self):
        self._process.wait()
        said = []
        while self._console in self._open and (more := self._read(self._console)):
            said += self._lines(more)
        while self._out in self._open and (more := self._read(self._out)):
            said += self._messages(more)
        while self._err in self._open and (more := self._read(self._err)):
            self._errors = (self._errors + more)[-_KEPT_ERRORS:]
        for fd in list(self._open):
            self._drop(fd)
        self.returncode = self._process.returncode
        self.dead = f"exit status {self.returncode}" if self.returncode >= 0 else \
            signal.Signals(-self.returncode).name
        return said + [("X", b"")]


def serial_socket():
    """(our end, the emulator's end) of a COM1, as descriptors."""
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


def serial_terminal():
    """(our end, the emulator's end, its path) of a COM1 that must be a terminal."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    return ours, theirs, os.ttyname(theirs)
