#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Run Trapline's guests. Configures and builds first where that is needed, then hands over to
# scripts/trapline; --help lists the options.

set -u
root=$(cd "$(dirname "$0")" && pwd) || exit 2

# To git bisect run, 2 would mean "bad".
trouble=2
case " $* " in
*" --bisect "*|*" --bisect="*) trouble=125 ;;
esac

die() {
	echo "run_tests.sh: $*" >&2
	exit $trouble
}

install=
for word do
	shift
	case $word in
	--install-deps) install=--install-deps ;;
	*) set -- "$@" "$word" ;;
	esac
done

# Both are quiet on stdout, which belongs to --ktap and --list.
if [ -n "$install" ] || [ ! -f "$root/config.mak" ]; then
	(cd "$root" && ./configure $install) >&2 || exit $trouble
fi
python=$(sed -n 's/^PYTHON *= *//p' "$root/config.mak")
case " $* " in
*" --help "*|*" -h "*) ;;
*)	make -s -C "$root" "-j$(nproc)" >&2 || die "the build failed" ;;
esac
PYTHONPATH=$root/scripts exec "${python:-python3}" -m trapline "$@"
