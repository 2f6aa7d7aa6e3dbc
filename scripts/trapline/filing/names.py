# SPDX-License-Identifier: BSD-2-Clause
"""The files in the folder of a report."""

ROM, ELF, TEXT, OUTPUT = "guest.rom", "guest.elf", "report.md", "output.txt"
