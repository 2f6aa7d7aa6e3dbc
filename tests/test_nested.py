# SPDX-License-Identifier: BSD-2-Clause
"""Nested virtualization: native cases run in every layer, and docs/nested.md tells what was seen."""

import re
import tomllib
from fnmatch import fnmatchcase

import pytest
from sources import ROOT
from trapline import config, guests

LAYERS = ["native", "svm", "svm-nonpt", "svm-reflect", "vmx", "vmx-noept", "vmx-reflect"]
PAGE = (ROOT / "docs/nested.md").read_text()
KNOWN = [entry for path in sorted((ROOT / "expectations").glob("*.toml"))
         for entry in tomllib.loads(path.read_text()).get("known", [])]


@pytest.mark.parametrize("guest", ["int3", "vectors", "shadow", "step", "strings", "movss",
                                   "debug", "nmi"])
def test_every_layer(guest):
    """The sections of one file share its cases; so a case that is added to it is in all of them."""
    sections = [s for s in config.load(ROOT / "unittests.cfg").values() if s.file == guest]
    assert sorted(layer for s in sections for layer in s.layers or ["native"]) == LAYERS


def words(value):
    return value if isinstance(value, list) else [value]


def defects():
    """Rows of the table of defects: bug, case, trace."""
    table = PAGE[PAGE.index("| bug | case |"):].partition("\n\n")[0]
    rows = [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in table.splitlines()[2:]]
    return [(bug, case, trace) for bug, case, _, _, trace in rows]


@pytest.mark.parametrize("bug, case, trace", defects(), ids=lambda text: text)
def test_defect_is_known(bug, case, trace):
    point = case if ":" in case else f"{case}:"
    observed = [o for entry in KNOWN if entry.get("bug") == bug for o in words(entry["observed"])
                if any(fnmatchcase(point, glob) for glob in words(entry["case"]))]
    assert trace in observed


def test_no_defect_is_missing():
    assert {bug for bug, _, _ in defects()} == {
        "bochs-eventinj-rip", "tcg-exitintinfo", "tcg-int3-intercept", "vmrun-tf", "nsvm-vmrun-tf-dr6",
        "tcg-vmrun-shadow", "tcg-pending-at-vmrun", "tcg-vmexit-invalid", "tcg-host-dr7", "l2-triple-fault",
        "bochs-nmi-blocking-at-entry", "bochs-injected-nmi-blocks", "bochs-init-intercept", "eventinj-64bit",
        "real-mode-error-code"}


def named():
    """(guest, case) of what the page names as GUEST/CASE, and of the columns of its last table."""
    yield from re.findall(r"`((?:svm|vmx)_\w+)/(\w+)`", PAGE)
    table = PAGE[PAGE.index("## Which guest"):]
    heading = ["", ""]                      # the guests of the rows that follow
    for line in re.findall(r"^\| (.*) \|$", table, re.M):
        cells = line.split(" | ")[1:]
        if line.startswith("**"):
            heading = [cell.strip("`") for cell in cells]
            continue
        for guest, cell in zip(heading, cells):
            for word in re.findall(r"`([^`]+)`", cell):
                if re.match("(svm|vmx)_", word):
                    guest, _, word = word.partition("/")
                if word and not word.startswith("_"):
                    yield guest, word


def test_what_is_named_is_there(tmp_path):
    for guest, name in sorted(set(named())):
        points = guests.load(ROOT / "build", guest, tmp_path).points
        assert any(fnmatchcase(p.case.name, f"{name}*") for p in points), f"{guest}/{name}"
