# SPDX-License-Identifier: BSD-2-Clause
#
# make bench: what a guest's boot costs over the bare start and end of the same machine.

BENCH ?=
comma := ,

# Not through the guests' rules: it has no C, no ELF and no case.
$(BUILD)/floor.rom: x86/floor.S
	@mkdir -p $(@D)
	$(CC) -c -o $(@:.rom=.o) $<
	$(OBJCOPY) -O binary -j .text $(@:.rom=.o) $@

# The guests that say what events cost, of those that this make builds.
LATENCY := $(filter latency%,$(GUESTS))

.PHONY: bench
bench: $(BUILD)/floor.rom $(BUILD)/dummy.rom $(LATENCY:%=$(BUILD)/%.rom) ## time boot to verdict against the floor; BENCH="--pairs 50 int3"
	$(PYTHON) scripts/bench --build $(BUILD) $(BENCH)
ifneq ($(LATENCY),)
	@echo; echo "What events cost (x86/latency/), here, under SEV-ES in the model, and with VMX if there is Bochs:"
	@./run_tests.sh --build $(BUILD) -q -g latency --machine auto,model-sev-es$(if $(BOCHS),$(comma)bochs-vmx) --json $(BUILD)/latency.json >$(BUILD)/latency.log || \
		cat $(BUILD)/latency.log
	@./trapline values $(BUILD)/latency.json
endif
