# SPDX-License-Identifier: BSD-2-Clause
"""Reports that are a file, written at the end."""

import os

from . import Report


def write(path, text):
    """Write `text` to `path`, whole or not at all; a pipe or device is written as it is."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "w", encoding="utf-8") as file:     # /dev/stdout, a pipe
            file.write(text)
        return
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


class FileReport(Report):
    """A report that needs nothing but the run's end: text(summary) is what file `path` gets."""

    def __init__(self, path):
        self._path = path

    def text(self, summary):
        """What to write."""
        raise NotImplementedError

    def end(self, summary):
        write(self._path, self.text(summary))
