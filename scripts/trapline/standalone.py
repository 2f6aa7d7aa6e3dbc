# SPDX-License-Identifier: BSD-2-Clause
"""Self-extracting shell scripts: a guest, or some of its points, and what it takes to run them.

Each needs a POSIX shell, base64, gzip, awk and QEMU (or Bochs), and nothing of this tree.
"""

import base64
import gzip
import shlex
from pathlib import Path

from . import select
from .args import ARGS_MAGIC, ARGS_SIZE, ranges

_HEAD = r"""#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# {name}: {what}
#
#   ./{name}                    all of its {count} point{s}
#   ./{name} cases=NAME[:ENVIRONMENT],...
#   ./{name} --list             their names
#
# Prints KTAP. Exit status: 0 all pass or skip, 1 one fails or the guest dies, 2 usage, 77 it cannot run
# here or all skip. {variables}

points={points}
words="points={ranges} {words}"
case ${{1-}} in
--list) echo "$points"; exit 0 ;;
-*) sed -n '4,12s/^#  \{{0,1\}}//p' "$0" >&2; exit 2 ;;
?*) words="$words $*" ;;
esac
[ ${{#words}} -lt {room} ] || {{ echo "{name}: too many words" >&2; exit 2; }}
"""

_FIND_QEMU = r"""{nothing}
qemu=${{QEMU:-qemu-system-x86_64}}
command -v "$qemu" >/dev/null || {{ echo "{name}: no $qemu; QEMU=... names another" >&2; exit 77; }}
{accel}
"""

_FIND_BOCHS = r"""bochs=${{BOCHS:-$(command -v bochs-bin || echo bochs)}}
command -v "$bochs" >/dev/null || {{ echo "{name}: no $bochs; BOCHS=... names another" >&2; exit 77; }}
"""

_UNPACK = r"""folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
sed '1,/^__ROM__$/d' "$0" | base64 -d | gzip -dc >"$folder/rom" || exit 2
printf '%s\0' "$words" | dd of="$folder/rom" bs=1 seek={offset} conv=notrunc 2>/dev/null || exit 2
limit=
command -v timeout >/dev/null && limit="timeout ${{TIMEOUT:-90}}"
"""

_RUN_QEMU = r"""# shellcheck disable=SC2086
$limit "$qemu" -no-user-config -M q35{machine} -accel "$ACCEL" -cpu max -smp {cpus} -m {memory} -nodefaults \
	-display none -no-reboot -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4 \
	-bios "$folder/rom" {params} </dev/null | tee "$folder/out"
"""

_RUN_BOCHS = r"""cat >"$folder/bochsrc" <<END
{config}END
echo c >"$folder/bochs.rc"
: >"$folder/out"
# shellcheck disable=SC2086
$limit "$bochs" -q -f "$folder/bochsrc" -rc "$folder/bochs.rc" </dev/null >"$folder/said" 2>&1
[ -s "$folder/out" ] || cat "$folder/said" >&2
cat "$folder/out"
"""

_JUDGE = r"""awk '
	sub(/\r$/, "") || 1
	/^1\.\.[0-9]+$/ {{ planned = substr($0, 4) + 0 }}
	/^(not )?ok [0-9]+ / {{ seen++; if ($0 ~ /^not/) bad++; else if ($0 ~ / # SKIP/) skipped++ }}
	/^# Totals:/ {{ closed = 1 }}
	END {{
		if (!planned || seen != planned || !closed || bad) exit 1
		exit skipped == seen ? 77 : 0
	}}' "$folder/out" >/dev/null
exit
__ROM__
"""


def script(section, image, machine=None, points=None, name=None, cpus=None):
    """The text of one script for `points` of `image` (default: what `section` runs), on as many CPUs.

    It runs QEMU, by KVM where that can be used; with `machine` it runs that one, Bochs or QEMU.
    """
    rom = Path(image.rom).read_bytes()
    points = points or select.points(section, image)
    bochs = machine is not None and machine.accel == "bochs"
    name, cpus = name or section.name, cpus or section.smp
    if bochs:
        rom = machine.padded(rom)
        parts = (_HEAD, _FIND_BOCHS, _UNPACK, _RUN_BOCHS, _JUDGE)
        what, variables = "by Bochs", "BOCHS (bochs-bin, or bochs), TIMEOUT (90 seconds)"
    else:
        parts = (_HEAD, _FIND_QEMU, _UNPACK, _RUN_QEMU, _JUDGE)
        accel = f"({machine.accel})" if machine else "(kvm where /dev/kvm can be used,\n# else tcg)"
        what, variables = "by QEMU", f"QEMU (qemu-system-x86_64), ACCEL {accel}, TIMEOUT (90 seconds)"
    # As the runner has it: pages of 4 KiB, so that one can be cold on its own; what SEV wants.
    board, backend = machine.elsewhere() if machine and not bochs else ("", ())
    return "".join(parts).format(
        name=name, what=f"a guest of Trapline, to be run {what}.", count=len(points), s="s" * (len(points) != 1),
        variables=f"Environment: {variables}.",
        points=shlex.quote("\n".join(f"{section.name}/{p.name}" for p in points)),
        ranges=ranges(p.index for p in points), words=" ".join(words(cpus, machine)),
        offset=rom.index(ARGS_MAGIC) + len(ARGS_MAGIC), room=ARGS_SIZE - len(ARGS_MAGIC) - 1,
        cpus=cpus, memory=64, params=shlex.join([*backend, *section.qemu_params]),
        machine=board, accel=_accel(machine),
        config=machine.config("$folder/rom", cpus, "$folder/out", "/dev/null") if bochs else "",
        nothing=f'[ "${{ACCEL:-{section.accel}}}" = {section.accel} ] || exit 77' if section.accel else "",
    ) + base64.encodebytes(gzip.compress(rom, mtime=0)).decode()


def words(cpus, machine=None):
    """The guest's arguments besides its points (docs/contract.md)."""
    return [f"cpus={cpus}", *(machine.guest_words if machine else ())]


def _accel(machine):
    if machine is not None:
        return f"ACCEL=${{ACCEL:-{machine.accel}}}"
    return """if [ -z "${ACCEL-}" ]; then
	[ -w /dev/kvm ] && ACCEL=kvm || ACCEL=tcg
fi"""
