# SPDX-License-Identifier: BSD-2-Clause
"""A boot that gdb watches from outside, through QEMU's stub.

The stub listens on a unix socket in a folder of its own, which only this user may enter and which is
gone as soon as gdb is connected; there is no port. QEMU stands still until gdb lets it run. If gdb ends
before the guest has, the boot is over; whatever ends the boot ends gdb.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile

from .boot import Boot, contain
from .text import printable

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "gdb")
_KEPT = 4096            # bytes of gdb's last words


def missing():
    """Why no guest can be stepped on this host, or None."""
    return None if shutil.which("gdb") else "no gdb"


def script(name):
    """Path of the script called `name`, or None."""
    path = os.path.join(SCRIPTS, name + ".gdb")
    return path if os.path.isfile(path) else None


class SteppedBoot(Boot):
    """`elf` is the guest with its symbols, `name` the script's."""

    def __init__(self, machine, command, names, timeout, elf, name):
        self._gdb = None
        self._folder = tempfile.mkdtemp(prefix="trapline-gdb-")
        try:
            path = os.path.join(self._folder, "stub")
            # It listens before either of the two is there, so that gdb can connect at any time.
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen(1)
                command.fds.append(os.dup(listener.fileno()))
            command.argv += ["-chardev", f"socket,id=gdb,fd={command.fds[-1]},server=on,wait=off",
                             "-gdb", "chardev:gdb", "-S"]
            super().__init__(machine, command, names, timeout)
            self._start_gdb([
                "gdb", "-nx", "-batch", "-iex", "set pagination off", "-iex", "set confirm off",
                "-iex", "set remotetimeout 60", elf, "-ex", f"target remote {path}",
                "-x", script(name)])
        except BaseException:
            if hasattr(self, "alive"):
                self.close()
            self._clean()
            raise

    def _start_gdb(self, argv):
        self._words = b""
        self._gdb = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, bufsize=0, preexec_fn=contain(os.getpid(), False))
        words = os.dup(self._gdb.stderr.fileno())
        self._gdb.stderr.close()
        os.set_blocking(words, False)
        self._gdb_words, self._gdb_exit = words, os.pidfd_open(self._gdb.pid)
        self._readers[words] = self._read_gdb
        self._readers[self._gdb_exit] = self._gdb_exited

    def _read_serial(self):
        if os.path.isdir(self._folder):
            shutil.rmtree(self._folder, ignore_errors=True)     # it speaks, so gdb is connected
        return super()._read_serial()

    def _read_gdb(self):
        try:
            data = os.read(self._gdb_words, 4096)
        except BlockingIOError:
            return False
        if not data:
            self._drop(self._gdb_words)
            return False
        self._words = (self._words + data)[-_KEPT:]
        return True

    def _gdb_exited(self):
        while self._gdb_words in self._readers and self._read_gdb():
            pass
        status = self._gdb.wait()
        self._drop(self._gdb_exit)
        if not self._over() and self._process.poll() is None and self._cut is None:
            self._cut = f"gdb ended before the guest: {self._gdb_end(status)}"
            self._kill()

    def _gdb_end(self, status):
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        lines = [line for line in self._words.splitlines() if line.strip()]
        return printable(lines[-1], 150) if lines else f"exit status {status}"

    def _exited(self):
        self._clean()
        super()._exited()

    def close(self):
        self._clean()
        super().close()

    def _clean(self):
        """End gdb and remove the folder."""
        if self._gdb is not None and self._gdb.poll() is None:
            try:
                os.killpg(self._gdb.pid, signal.SIGKILL)
            except ProcessLookupError:
                self._gdb.kill()
            self._gdb.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
