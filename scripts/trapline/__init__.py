# SPDX-License-Identifier: BSD-2-Clause
"""Trapline's runner: boots guests on machines and judges what they report.

Which module may know which is a table of docs/architecture.md, and tests/test_rooms.py holds them to it.
"""

__version__ = "0.1"
