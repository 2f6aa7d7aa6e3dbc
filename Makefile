# SPDX-License-Identifier: BSD-2-Clause
# `make help` lists the targets. ./configure writes config.mak; what it does not set has a default here.

-include config.mak

CC ?= gcc
LD ?= ld
OBJCOPY ?= objcopy
PYTHON ?= /usr/bin/python3
BUILD ?= build
# make V=1 shows the commands.
Q := $(if $(V),,@)

GUESTS := $(patsubst x86/%.c,%,$(wildcard x86/*.c))
LIB_C := $(wildcard lib/*.c lib/x86/*.c)
LIB_S := lib/x86/entry.S lib/x86/boot/ap.S
LIB_O := $(LIB_C:%.c=$(BUILD)/%.o) $(LIB_S:%.S=$(BUILD)/%.o)

WARNINGS := -Wall -Wextra -Werror
COMMON := -m64 -march=x86-64 -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only
CFLAGS := -std=gnu11 -O2 $(COMMON) -fno-stack-protector -fno-asynchronous-unwind-tables \
	  -fno-strict-aliasing -fcf-protection=none -fno-toplevel-reorder $(WARNINGS) -MMD -MP \
	  $(if $(filter yes,$(DEBUG)),-g)
ASFLAGS := $(COMMON) -MMD -MP
LDFLAGS := -nostdlib -static -no-pie -z noexecstack -z max-page-size=4096 --build-id=none --no-warn-rwx-segments

.PHONY: all
all: $(foreach g,$(GUESTS),$(BUILD)/$(g).elf $(BUILD)/$(g).rom)

.SECONDARY:
.DELETE_ON_ERROR:

$(BUILD)/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/lib/%.o: lib/%.S
	@mkdir -p $(@D)
	$(Q)$(CC) $(ASFLAGS) -c $< -o $@

$(BUILD)/x86/%.o: x86/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -Ilib -DGUEST='"$*"' -c $< -o $@

$(BUILD)/lib.a: $(LIB_O)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/%.elf: $(BUILD)/lib/x86/boot/start.o $(BUILD)/x86/%.o $(BUILD)/lib.a lib/x86/boot/guest.ld
	$(Q)$(LD) $(LDFLAGS) -T lib/x86/boot/guest.ld $(filter %.o %.a,$^) -o $@

$(BUILD)/%.bin: $(BUILD)/%.elf
	$(Q)$(OBJCOPY) -O binary $< $@

$(BUILD)/%.rom.o: lib/x86/boot/rom.S $(BUILD)/%.bin
	$(Q)$(CC) $(ASFLAGS) -DIMAGE_FILE='"$(BUILD)/$*.bin"' -c $< -o $@

# The image and 4 KiB of reset code, rounded up to 64 KiB as QEMU's -bios wants it.
$(BUILD)/%.rom: $(BUILD)/%.rom.o lib/x86/boot/rom.ld
	$(Q)bytes=$$(( ($$(stat -c %s $(BUILD)/$*.bin) + 4096 + 65535) / 65536 * 65536 )) && \
	$(LD) $(LDFLAGS) --defsym ROM_BYTES=$$bytes -T lib/x86/boot/rom.ld $< -o $@.elf && \
	$(OBJCOPY) -O binary --gap-fill 0xff $@.elf $@

.PHONY: clean
clean:
	rm -rf $(BUILD)

-include $(LIB_O:.o=.d) $(GUESTS:%=$(BUILD)/x86/%.d) $(BUILD)/lib/x86/boot/start.d
