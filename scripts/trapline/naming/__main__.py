# SPDX-License-Identifier: BSD-2-Clause
"""scripts/signatures and scripts/naming-rates."""

import os
import sys

from . import make, measure

COMMANDS = {"signatures": make.main, "naming-rates": measure.main}
sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:], os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))))
