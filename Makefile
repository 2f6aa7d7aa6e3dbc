# SPDX-License-Identifier: BSD-2-Clause
# `make help` lists the targets. ./configure writes config.mak; without it, it runs here first.

BUILD ?= build
.PHONY: all
all:

# The targets that build nothing work without a configuration.
ifneq ($(filter-out check check-full lint format help clean docs,$(or $(MAKECMDGOALS),all)),)
config.mak:
	@./configure
# Nothing here is built by a rule of make's own, and looking for one takes longer than all the rest.
MAKEFLAGS += --no-builtin-rules

include config.mak
endif
# make V=1 shows the commands.
Q := $(if $(V),,@)

# A guest is a file of x86/ or of a folder of it, named as the file; x86/model/ is no guest.
GUEST_C := $(filter-out x86/model/%,$(wildcard x86/*.c x86/*/*.c))
GUESTS := $(basename $(notdir $(GUEST_C)))
LIB_ROOMS := $(addprefix lib/x86/,boot cpu devices insn sev sev/vc compare record modes harness nested nested/svm nested/vmx)
LIB_C := $(wildcard lib/*.c $(LIB_ROOMS:%=%/*.c))
LIB_S := $(addprefix lib/x86/,boot/ap.S boot/sev.S cpu/entry.S sev/vc/entry.S record/enter.S modes/smm_handler.S modes/switch.S modes/to_real.S nested/svm/run.S nested/vmx/run.S)
LIB_O := $(LIB_C:%.c=$(BUILD)/%.o) $(LIB_S:%.S=$(BUILD)/%.o)

# scripts/check sets WERROR, and nothing else does: a newer compiler's new warning keeps nobody from running.
WARNINGS := -Wall -Wextra $(if $(WERROR),-Werror)
COMMON := -m64 -march=x86-64 -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only -iquote lib
# gcc reorders what it emits unless told not to; clang never does and does not know the option.
IN_ORDER := $(if $(findstring clang,$(shell $(CC) --version 2>&1)),,-fno-toplevel-reorder)
CFLAGS := -std=gnu11 -O2 $(COMMON) -fno-stack-protector -fno-asynchronous-unwind-tables \
	  -fno-strict-aliasing -fcf-protection=none $(IN_ORDER) $(WARNINGS) -MMD -MP \
	  $(if $(filter yes,$(DEBUG)),-g)
ASFLAGS := $(COMMON) -MMD -MP
LDFLAGS := -nostdlib -static -no-pie -z noexecstack -z max-page-size=4096 --build-id=none \
	   $(findstring --no-warn-rwx-segments,$(shell $(LD) --help 2>&1))

all: ## build all guests (the default); V=1 shows the commands
all: $(foreach g,$(GUESTS),$(BUILD)/$(g).elf $(BUILD)/$(g).rom)

.SECONDARY:
.DELETE_ON_ERROR:

# Other tools or other flags: everything is built anew. -Werror makes no other object.
TOOLS := $(CC) $(filter-out -Werror,$(CFLAGS)) | $(CC) $(ASFLAGS) | $(AR) | $(LD) $(LDFLAGS) | $(OBJCOPY)
.PHONY: always
$(BUILD)/tools: always
	@mkdir -p $(@D)
	@echo '$(TOOLS)' | cmp -s - $@ || echo '$(TOOLS)' >$@
$(LIB_O) $(GUEST_C:%.c=$(BUILD)/%.o) $(BUILD)/lib/x86/boot/start.o: $(BUILD)/tools

$(BUILD)/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/lib/%.o: lib/%.S
	@mkdir -p $(@D)
	$(Q)$(CC) $(ASFLAGS) -c $< -o $@

$(BUILD)/x86/%.o: x86/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -DGUEST='"$(*F)"' -c $< -o $@

$(BUILD)/lib.a: $(LIB_O)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

# build/NAME.elf out of the object of x86/NAME.c or x86/FOLDER/NAME.c.
$(foreach c,$(GUEST_C),$(eval $(BUILD)/$(basename $(notdir $c)).elf: $(c:%.c=$(BUILD)/%.o)))
$(GUESTS:%=$(BUILD)/%.elf): $(BUILD)/lib/x86/boot/start.o $(BUILD)/lib.a lib/x86/boot/guest.ld
	$(Q)$(LD) $(LDFLAGS) -T lib/x86/boot/guest.ld $(filter %/start.o,$^) $(filter-out %/start.o,$(filter %.o,$^)) $(filter %.a,$^) -o $@

$(BUILD)/%.bin: $(BUILD)/%.elf
	$(Q)$(OBJCOPY) -O binary $< $@

$(BUILD)/%.rom.o: lib/x86/boot/rom.S $(BUILD)/%.bin
	$(Q)$(CC) $(ASFLAGS) -DIMAGE_FILE='"$(BUILD)/$*.bin"' -c $< -o $@

# The image and 4 KiB of reset code, rounded up to 64 KiB as QEMU's -bios wants it.
$(BUILD)/%.rom: $(BUILD)/%.rom.o lib/x86/boot/rom.ld
	$(Q)bytes=$$(( ($$(stat -c %s $(BUILD)/$*.bin) + 4096 + 65535) / 65536 * 65536 )) && \
	$(LD) $(LDFLAGS) -e 0 --just-symbols $(BUILD)/$*.elf --defsym ROM_BYTES=$$bytes -T lib/x86/boot/rom.ld $< -o $@.elf && \
	$(OBJCOPY) -O binary --gap-fill 0xff $@.elf $@

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD)

include scripts/make/model.mk
include scripts/make/efi.mk
include scripts/make/check.mk
include scripts/make/bundle.mk
include scripts/make/lab.mk
include scripts/make/bench.mk
include scripts/make/docs.mk
include scripts/make/host.mk

-include $(LIB_O:.o=.d) $(GUEST_C:%.c=$(BUILD)/%.d) $(GUESTS:%=$(BUILD)/%.rom.d) \
	 $(BUILD)/lib/x86/boot/start.d
