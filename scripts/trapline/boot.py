# SPDX-License-Identifier: BSD-2-Clause
"""One boot: a process, contained, and its serial line.

What a guest can do to the runner is bounded here: time between results, output, memory. The
process gets a session of its own, no input, and dies with the runner, whatever kills it.

A Boot does not wait: whoever owns it registers its descriptors with a selector and calls
ready(), expired() and close(). The runner forks from its one thread only, because a parent's
death signal comes when the *thread* that forked ends.
"""

import ctypes
import json
import os
import re
import signal
import subprocess
import time

from . import ktap
from .text import printable

GRACE = 1.0             # seconds between the guest's last word and its end
_KEPT_ERRORS = 32768    # bytes of stderr kept
_CHUNK = 65536          # bytes read at once
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000

_libc = ctypes.CDLL(None, use_errno=True)


def starved(process):
    """Seconds that process `process` has waited for a CPU: its first thread, and of the others the one that
    waited longest. An emulator's main loop and its CPUs wait for each other as well."""
    first, longest = 0, 0
    try:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/schedstat", encoding="ascii") as file:
                waited = int(file.read().split()[1])
            if thread == str(process):
                first = waited
            else:
                longest = max(longest, waited)
    except (OSError, ValueError, IndexError):
        pass                            # it has ended, or this kernel does not count
    return (first + longest) / 1e9


def contain(parent, private_network):
    """For the child between fork and exec."""
    def prepare():
        if private_network and _libc.unshare(_CLONE_NEWNET):
            # Without privilege, a user namespace gives the right to a network namespace. Where
            # neither is allowed, the guest still runs; its emulator then shares our network.
            _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        # After unshare: a change of credentials clears it.
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)                 # the runner died before the line above
    return prepare


class QmpClient:
    """The whole of a QMP client: agrees on capabilities, asks for the state where QEMU stops the guest.

    `send` takes the bytes of a command.
    """

    def __init__(self, send):
        self._send = send
        self._line = b""

    def overflown(self):
        """Whether the other end says more than a line may hold."""
        return len(self._line) > 1 << 20

    def feed(self, data):
        """The state in which the guest was stopped for good, as these bytes tell, or None."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if "QMP" in message:
                self._execute("qmp_capabilities")
            elif message.get("event") == "STOP":
                self._execute("query-status")
            elif isinstance(message.get("return"), dict) and "status" in message["return"]:
                state = message["return"]
                if not state.get("running") and state.get("status") not in ("shutdown", "postmigrate"):
                    return state.get("status")
        return None

    def _execute(self, command):
        self._send(json.dumps({"execute": command}).encode() + b"\n")


def why_stopped(accel, state, errors):
    """A sentence: QEMU stopped its guest, is in `state` now, and has written `errors`, bytes, to stderr."""
    return _internal_error(errors.decode("latin-1")) if state == "internal-error" else \
        f"{accel} stopped it: {state}"


def _internal_error(text):
    what = re.search(r"KVM internal error\. Suberror: (\d+)\n(?:extra data.*\n)*(.*)", text)
    where = re.search(r"\b[RE]IP=([0-9a-f]+)", text)
    code = re.search(r"^Code=(.*)$", text, re.M)
    sentence = "KVM internal error"
    if what:
        named = what[2] if re.match(r"[a-z ]+$", what[2]) else f"suberror {what[1]}"
        sentence += f" ({printable(named.encode('latin-1', 'replace'), 60)})"
    if where:
        sentence += f" at {int(where[1], 16):#x}"
    if code and "<" in code[1]:
        at = code[1].partition("<")[2].replace(">", "").split()[:6]
        sentence += f", code {printable(' '.join(at).encode('latin-1', 'replace'), 30)}"
    return sentence


class Errors:
    """What a process has written to stderr: `data`, without its middle where it is too much."""

    def __init__(self):
        self.data = bytearray()

    def feed(self, data):
        self.data += data
        if len(self.data) > _KEPT_ERRORS:
            # What went wrong first is said first, and last words are last.
            half = _KEPT_ERRORS // 2
            self.data[half:-half] = b""

    def text(self):
        """Its lines, printable."""
        return printable(bytes(self.data).replace(b"\n", b"\x00")).replace("\\x00", "\n")


class Boot:
    """A running guest.

        stream      ktap.Stream, what the guest has said
        reason      why it ended without having said everything, as a sentence; None before
                    finish() and after a good end
        hung        whether the reason is time
        broke       whether the machine itself failed, so that the guest was not judged
        blocked     whether the reason is what the machine stands on (lab)
    """

    def __init__(self, machine, command, names, timeout):
        """Starts it. `timeout` in seconds without a result. OSError if it cannot be started."""
        self.machine = machine
        self.stream = ktap.Stream(names)
        self.reason = None
        self.hung = self.broke = self.blocked = False
        self.started = time.monotonic()
        self._timeout = timeout
        self._began = self.started      # of the time without a result
        self._deadline = self.started + timeout
        self.spare = 0.0                # seconds by which a host with other work may move the deadline
        self._starved = 0.0             # what starved() said at the last result
        self._errors = Errors()
        self._qmp, self._client = command.qmp, QmpClient(self._send)
        self._cut = None                # why we killed it
        try:
            self._process = subprocess.Popen(
                command.argv, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if command.serial is None else subprocess.DEVNULL,
                stderr=subprocess.PIPE, pass_fds=command.fds, start_new_session=True, bufsize=0,
                preexec_fn=contain(os.getpid(), command.private_network))
        except BaseException:
            if command.serial is not None:
                os.close(command.serial)
            if command.qmp is not None:
                command.qmp.close()
            raise
        finally:
            for fd in command.fds:
                os.close(fd)
        if command.serial is None:
            self._serial = os.dup(self._process.stdout.fileno())
            self._process.stdout.close()
        else:
            self._serial = command.serial
        self._stderr = self._process.stderr.fileno()
        self._exit = os.pidfd_open(self._process.pid)
        for fd in (self._serial, self._stderr):
            os.set_blocking(fd, False)
        if self._qmp is not None:
            self._qmp.setblocking(False)
        self._readers = {self._serial: self._read_serial, self._stderr: self._read_stderr,
                         self._exit: self._exited}
        if self._qmp is not None:
            self._readers[self._qmp.fileno()] = self._read_qmp
        self.alive = True

    # What the owner's loop needs

    @property
    def fds(self):
        """Descriptors to watch for reading; they change."""
        return self._readers.keys()

    @property
    def deadline(self):
        """Value of time.monotonic() at which expired() is due."""
        return self._deadline

    def ready(self, fd):
        """`fd` can be read."""
        if fd in self._readers:
            self._readers[fd]()

    def limit(self, seconds):
        """From now on, no more than `seconds` without a result, and what others took the CPU for."""
        if seconds < self._timeout and not self._over() and self._deadline < float("inf"):
            self.spare += self._timeout - seconds
            self._timeout = seconds
            self._count_from_now()

    def expired(self):
        """The deadline has passed: the end of the guest, one way or the other."""
        if not self._over():
            now = time.monotonic()
            late = min(self.spare, starved(self._process.pid) - self._starved)
            if self._began + self._timeout + late > now:
                self._deadline = self._began + self._timeout + late
                return
            self.hung = True
            self._cut = f"hung: no result for {self._timeout:g} s"
        self._kill()

    def close(self):
        """End it now, whatever it does, and leave nothing behind."""
        self._kill()
        self._process.wait()
        for fd in list(self._readers):
            self._drop(fd)
        self.alive = False

    # Its parts

    def _count_from_now(self):
        self._began = time.monotonic()
        self._deadline = self._began + self._timeout
        if self.spare:
            self._starved = starved(self._process.pid)

    def _kill(self):
        self._deadline = float("inf")       # its end is all that is left to wait for
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                self._process.kill()

    def _drop(self, fd):
        if self._readers.pop(fd, None) is None:
            return
        if self._qmp is not None and fd == self._qmp.fileno():
            self._qmp.close()
            self._qmp = None
        elif fd == self._stderr:
            self._process.stderr.close()
        else:
            os.close(fd)

    def _read_serial(self):
        try:
            data = os.read(self._serial, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._drop(self._serial)
            return False
        over = self._over()
        if self.stream.violation:
            return False
        if self.stream.feed(data):
            self._count_from_now()
        if self.stream.violation:
            self._kill()
        elif self._over() and not over:
            self._deadline = time.monotonic() + GRACE * self.machine.slowness
        return True

    def _over(self):
        return self.stream.closed or self.stream.bail is not None

    def _read_stderr(self):
        try:
            data = os.read(self._stderr, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._drop(self._stderr)
            return False
        self._errors.feed(data)
        return True

    def _read_qmp(self):
        try:
            data = self._qmp.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or self._client.overflown():
            self._drop(self._qmp.fileno())
            return
        state = self._client.feed(data)
        if state is not None:
            while self._stderr in self._readers and self._read_stderr():
                pass                    # QEMU explains itself before it stops
            self._cut = why_stopped(self.machine.accel, state, self._errors.data)
            self._kill()

    def _send(self, command):
        try:
            self._qmp.send(command)
        except OSError:
            pass

    def _exited(self):
        """The process has ended: read what is left in its pipes, then judge."""
        self._process.wait()
        while self._serial in self._readers and self._read_serial():
            pass
        while self._stderr in self._readers and self._read_stderr():
            pass
        self.stream.end()
        end = "" if self.stream.settled(self._cut) else self._end()
        self.reason = self.stream.why(self._cut, end)
        for fd in list(self._readers):
            self._drop(fd)
        self.alive = False

    def _end(self):
        """How the process ended."""
        errors = self._errors.text()
        self.broke = self.machine.broke(self._process.returncode, errors)
        return self.machine.ended(self._process.returncode, errors)
