# SPDX-License-Identifier: BSD-2-Clause
"""A hypervisor that can be told to have a bug: a script around QEMU that changes what a guest's
serial line says of one point. It stands for what a real regression does to a verdict.
"""

import shutil
from pathlib import Path

QEMU = shutil.which("qemu-system-x86_64")
POINT = "int3/int3_warm:cpl0"

_SCRIPT = """\
#!/bin/sh
case "$*" in *-version*|*help*) exec {qemu} "$@" ;; esac
{before}
{qemu} "$@" | awk -v point={point} -v bug="{bug}" '
	bug != "" && $1 == "ok" && $3 == point {{
		print "# expected #BP@after"
		print "# observed " bug
		sub(/^ok/, "not ok")
		changed = 1
	}}
	$2 == "Totals:" && changed {{
		split($3, pass, ":"); split($4, fail, ":")
		$3 = "pass:" pass[2] - 1; $4 = "fail:" fail[2] + 1
	}}
	{{ print; fflush() }}'
"""


def write(path, bug="", before="", point=POINT):
    """The script at `path`: observed `bug` at `point` if that is not empty; `before` is shell."""
    path = Path(path)
    path.write_text(_SCRIPT.format(qemu=QEMU, bug=bug, before=before, point=point))
    path.chmod(0o755)
    return path


def flaky(path, counter):
    """A script whose every second boot has the bug; `counter` is a file of its own."""
    return write(path, bug="$bug", before=f"""\
echo x >>{counter}; bug=; [ $(($(wc -l <{counter}) % 2)) = 0 ] || bug='#UD@insn'""")
