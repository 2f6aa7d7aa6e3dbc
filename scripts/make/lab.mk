# SPDX-License-Identifier: BSD-2-Clause
#
# The program that is all of a lab kernel's userland (docs/lab.md). Not built by `all`: it needs a static
# libc, and is needed only where scripts/lab has a kernel; the lab's machines ask for it.

$(BUILD)/lab/init: $(wildcard lab/common/*.[ch] lab/kvm/*.[ch])
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 $(WARNINGS) -static -pthread -s $(filter %.c,$^) -o $@
