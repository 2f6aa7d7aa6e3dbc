# SPDX-License-Identifier: BSD-2-Clause
"""TOML files with checked keys."""

import json
import os

from . import cache
from .errors import UsageError, nearest


def load(path, cache_dir=None):
    """The table in `path`. UsageError if it cannot be read or is not TOML.

    Python's TOML parser takes as long for our catalogue as a boot does, so what it read is kept as
    JSON in `cache_dir` until size or time of the file change.
    """
    if cache_dir is None or not os.path.exists(path):
        return _parse(path)
    stat = os.stat(path)
    key = [os.path.abspath(path), stat.st_size, stat.st_mtime_ns]
    kept = os.path.join(cache_dir, os.path.basename(path) + ".json")
    table = cache.load(kept, key)
    if table is None:
        table = _parse(path)
        cache.store(kept, key, table)
    return table


def _parse(path):
    try:
        if os.path.exists(path + ".json"):      # of the bundle, for Python before 3.11
            with open(path + ".json", encoding="utf-8") as file:
                return json.load(file)
        import tomllib

        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None


def check_keys(table, required, optional, where):
    """UsageError unless `table` has all of `required`, and nothing beyond `optional`.

    Both are mappings from a key to the type (or tuple of types) of its value; a required
    string must not be blank. `where` begins the sentence.
    """
    valid = {**required, **optional}
    if not isinstance(table, dict):
        raise UsageError(f"{where}: is not a table")
    for key, value in table.items():
        if key not in valid:
            raise UsageError(f"{where}: unknown key '{key}'{nearest(key, valid)}")
        if not isinstance(value, valid[key]):
            raise UsageError(f"{where}: '{key}' has the wrong type")
    for key in required:
        if key not in table:
            raise UsageError(f"{where}: has no '{key}'")
        if isinstance(table[key], str) and not table[key].strip() and key != "observed":
            raise UsageError(f"{where}: '{key}' is empty")
