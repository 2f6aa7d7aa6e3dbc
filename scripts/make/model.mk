# SPDX-License-Identifier: BSD-2-Clause
#
# The model hypervisor: an image like a guest, of several files. The payload is put in front of its
# ROM when it runs. It is linked away from where payloads run: QEMU's TCG keeps a payload's breakpoints
# armed in the model, whatever DR7 says.

MODEL_BASE := 0x800000
MODEL_O := $(patsubst %.c,$(BUILD)/%.o,$(wildcard x86/model/*.c x86/model/*/*.c))

all: $(BUILD)/model.elf $(BUILD)/model.rom

$(MODEL_O): $(BUILD)/tools

$(BUILD)/x86/model/%.o: x86/model/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -iquote x86/model -c $< -o $@

$(BUILD)/model.elf: $(BUILD)/lib/x86/boot/start.o $(MODEL_O) $(BUILD)/lib.a lib/x86/boot/guest.ld
	$(Q)$(LD) $(LDFLAGS) --defsym image_base=$(MODEL_BASE) -T lib/x86/boot/guest.ld $(filter %.o %.a,$^) -o $@

$(BUILD)/model.rom.o: ASFLAGS += -DIMAGE_BASE=$(MODEL_BASE)

-include $(MODEL_O:.o=.d)
