# SPDX-License-Identifier: BSD-2-Clause
"""`./trapline report`: from a failure in a run to what a hypervisor's developers need.

choose.py   which point of the run, and all that shows the same
text.py     the report as text
folder.py   that text with the ROM, the command and the script, run once to see that it fails
"""
