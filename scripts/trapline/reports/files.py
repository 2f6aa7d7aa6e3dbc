# SPDX-License-Identifier: BSD-2-Clause
"""Writing a report's file."""

import os


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
