# SPDX-License-Identifier: BSD-2-Clause
#
# The program that is all of a lab kernel's userland (docs/lab.md). Not built by `all`: it needs a static
# libc, and is needed only where scripts/lab has a kernel; the lab's machines ask for it.

$(BUILD)/lab/init: $(wildcard lab/common/*.[ch] lab/kvm/*.[ch])
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 $(WARNINGS) -static -pthread -s $(filter %.c,$^) -o $@

# The monitor that makes a SEV host of the emulator (docs/sev-host.md). Freestanding, as the guests are, and with a
# part of their library; so `all` builds it, which keeps the two together.
HOST_O := $(patsubst %,$(BUILD)/%.o,$(basename $(wildcard lab/host/*.c lab/host/*.S)))

all: $(BUILD)/lab/host.elf

$(HOST_O): $(BUILD)/tools

$(BUILD)/lab/host/%.o: lab/host/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -Ilab/host -Ilib -c $< -o $@

$(BUILD)/lab/host/%.o: lab/host/%.S
	@mkdir -p $(@D)
	$(Q)$(CC) $(ASFLAGS) -c $< -o $@

$(BUILD)/lab/host.elf: $(HOST_O) $(BUILD)/lib.a lab/host/host.ld
	$(Q)$(LD) $(LDFLAGS) -T lab/host/host.ld $(filter %.o %.a,$^) -o $@

-include $(HOST_O:.o=.d)
