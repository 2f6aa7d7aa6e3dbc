# SPDX-License-Identifier: BSD-2-Clause
"""`python3 -m trapline`, which run_tests.sh calls."""

import gc
import sys

from .cli import main

# Thousands of points are made at the start and live to the end: looking for garbage among them at
# the usual rate takes as long as a boot.
gc.set_threshold(50_000)
sys.exit(main(sys.argv[1:]))
