# SPDX-License-Identifier: BSD-2-Clause
#
# NAME.efi: the guest as a UEFI application (lib/x86/boot/efi.S).

all: $(GUESTS:%=$(BUILD)/%.efi)

$(BUILD)/%.efi.o: lib/x86/boot/efi.S $(BUILD)/%.bin
	$(Q)$(CC) $(ASFLAGS) -DIMAGE_FILE='"$(BUILD)/$*.bin"' -c $< -o $@

$(BUILD)/%.efi: $(BUILD)/%.efi.o
	$(Q)$(OBJCOPY) -O binary -j .efi $< $@

-include $(GUESTS:%=$(BUILD)/%.efi.d)
