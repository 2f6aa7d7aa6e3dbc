# SPDX-License-Identifier: BSD-2-Clause
"""`python3 -m trapline`, which run_tests.sh calls."""

import sys

from .cli import main

sys.exit(main(sys.argv[1:]))
