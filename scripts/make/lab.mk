# SPDX-License-Identifier: BSD-2-Clause
#
# What the lab's hosts run (docs/lab.md). Not built by `all`: needed only where scripts/lab has a host; the lab's
# machines ask for it.

# All of a lab kernel's userland. It needs a static libc.

$(BUILD)/lab/init: $(wildcard lab/common/*.[ch] lab/kvm/*.[ch])
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 $(WARNINGS) -static -pthread -s $(filter %.c,$^) -o $@

# The monitor that makes a SEV host of the emulator (docs/sev-host.md). Freestanding, as the guests are, and with a
# part of their library; so `all` builds it, which keeps the two together.
# What it computes of a launch, it computes by BearSSL, if that is here with its headers (Debian: libbearssl-dev).
BEARSSL := $(if $(wildcard /usr/include/bearssl/bearssl_hash.h),$(firstword $(wildcard \
	$(addsuffix /libbearssl.a,/usr/lib/x86_64-linux-gnu /usr/lib64 /usr/lib))))
HOST_C := $(filter-out lab/host/psp/digest_$(if $(BEARSSL),none,bearssl).c,\
	$(wildcard lab/host/*.c lab/host/*/*.c))
HOST_O := $(patsubst %,$(BUILD)/%.o,$(basename $(HOST_C) $(wildcard lab/host/*.S)))

all: $(BUILD)/lab/host.elf

$(HOST_O): $(BUILD)/tools

$(BUILD)/lab/host/%.o: lab/host/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -Ilab/host -Ilib -c $< -o $@

$(BUILD)/lab/host/%.o: lab/host/%.S
	@mkdir -p $(@D)
	$(Q)$(CC) $(ASFLAGS) -c $< -o $@

$(BUILD)/lab/host.elf: $(HOST_O) $(BUILD)/lib.a lab/host/host.ld
	$(Q)$(LD) $(LDFLAGS) -T lab/host/host.ld $(filter %.o %.a,$^) $(BEARSSL) -o $@

-include $(HOST_O:.o=.d)

# All of a Xen's dom0: freestanding, on the guests' own printf and string functions.
DOM0_C := $(wildcard lab/common/*.c lab/xen/*.c) lib/printf.c lib/string.c
$(BUILD)/lab/dom0: $(DOM0_C) lab/xen/entry.S lab/xen/dom0.ld $(wildcard lab/common/*.h lab/xen/*.h lib/*.h)
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -MMD -MP,$(CFLAGS)) -U_FORTIFY_SOURCE -nostdlib -r \
		$(DOM0_C) lab/xen/entry.S -o $@.o && \
	$(LD) $(LDFLAGS) -T lab/xen/dom0.ld $@.o -o $@
