# SPDX-License-Identifier: BSD-2-Clause
"""Trapline's runner: boots guests on machines and judges what they report.

Modules, each standing only on those above it:

    errors          UsageError, and the nearest valid word for a mistyped one
    text            untrusted bytes made printable
    tables          reading a TOML file with checked keys
    bugs            bugs.toml
    guests          cases and points of a guest, read from its ELF file
    symbols         addresses of a register dump to NAME+0x12
    config          unittests.cfg
    ktap            what a guest says on COM1
    machines/       what runs a guest: one class each
    boot            one boot: a contained process and its serial line
    expectations    expectations/*.toml
    verdicts        from a guest's words to a verdict
    scheduler       boots side by side, and again after a fatal case
    select          which points on which machines
    baseline        an earlier run as a gate
    bisect          a verdict for git bisect run
    repeat          several runs of a point as one result
    fingerprint     what a run depends on besides the guests
    reports/        console, KTAP, JSON, HTML
    loop            a run from its first boot to its last report
    plugin          all of it as pytest items and reports
    cli             options and exit status
"""

__version__ = "0.1"
