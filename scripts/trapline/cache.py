# SPDX-License-Identifier: BSD-2-Clause
"""What took long to find out, kept as JSON until that in which it was found has changed."""

import json
import os

ANY_KEY = "bundle"      # of a value that fits whatever it is asked for: nothing changes in the bundle


def load(path, key):
    """The value that `path` holds for `key`, a list; None if it holds none."""
    try:
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
        return kept["value"] if kept["key"] in (key, ANY_KEY) else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def text(key, value):
    """What `path` is to contain for that. TypeError if JSON has no such value."""
    return json.dumps({"key": key, "value": value})


def store(path, key, value):
    """Have `path` hold it. Where that cannot be (a read-only directory, a date in `value`) it only costs time."""
    temporary = f"{path}.{os.getpid()}"
    try:
        content = text(key, value)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(content)
        os.replace(temporary, path)     # two runners may do this at the same time
    except (OSError, TypeError):
        pass
