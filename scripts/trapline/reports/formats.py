# SPDX-License-Identifier: BSD-2-Clause
"""The formats in which a run is written to a file: one option of the command line each.

A new one is a row of FORMATS and its module here, with a class that takes (path, Told) and is a
files.FileReport.
"""

import importlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """`--option F`: class `report` of module `module` of this package; `package` is what the bundle lacks for it."""

    option: str
    help: str
    module: str
    report: str
    package: str = ""


@dataclass(frozen=True)
class Told:
    """What a format may draw on besides the Summary."""

    machines: list
    bugs: dict
    namer: object = None        # naming.namer.Namer


FORMATS = (
    Format("json", "write everything as JSON", "json", "Json"),
    Format("html", "write a page to look at: cases and machines, traces drawn", "html", "Html", "jinja2"),
)


def wanted(options, told):
    """The reports that the options (argparse's) ask for. Only their modules are imported."""
    found = []
    for f in FORMATS:
        path = getattr(options, f.option)
        if path:
            found.append(getattr(importlib.import_module(f".{f.module}", __package__), f.report)(path, told))
    return found
