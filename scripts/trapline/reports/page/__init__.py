# SPDX-License-Identifier: BSD-2-Clause
"""Templates, styles and scripts of the pages that are written."""

import json
import os

_HERE = os.path.dirname(__file__)


def environment():
    """Where the templates are found, with the project's settings."""
    import jinja2

    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True,
                              loader=jinja2.FileSystemLoader(_HERE))


def asset(name):
    """Text of a file of this directory, to be written into a page as it is."""
    with open(os.path.join(_HERE, name), encoding="utf-8") as file:
        return file.read()


def embedded(value):
    """`value` as JSON for a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
