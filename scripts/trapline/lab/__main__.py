# SPDX-License-Identifier: BSD-2-Clause
"""scripts/lab."""

import signal
import sys

# While there is nothing to clean up yet, Ctrl-C just ends it. Where it is ignored it stays so.
_HANDLER = signal.getsignal(signal.SIGINT)
if _HANDLER is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from .cli import main                           # pylint: disable=wrong-import-position

signal.signal(signal.SIGINT, _HANDLER)
sys.exit(main(sys.argv[1:]))
