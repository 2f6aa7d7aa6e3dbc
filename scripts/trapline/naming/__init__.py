# SPDX-License-Identifier: BSD-2-Clause
"""Which bug of the catalogue a failure looks like.

signatures.py   what fails under each bug of the model hypervisor, kept in signatures.json
make.py         how that file is made
match.py        a run beside the signatures and beside expectations/ for other versions and machines
say.py          the same as sentences
"""
