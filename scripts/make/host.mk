# SPDX-License-Identifier: BSD-2-Clause
#
# Parts of lib/ that need no guest, built for the host: tests and fuzzers. Part of the Makefile, and
# complete by itself: make -f scripts/make/host.mk host. tests/test_decode.py runs what this builds.

CC ?= gcc
PYTHON ?= python3
BUILD ?= build
Q ?= $(if $(V),,@)
# Seconds per fuzz target
TIME ?= 600
WARNINGS ?= -Wall -Wextra $(if $(WERROR),-Werror)

HOST := $(BUILD)/host
HOST_LIB := $(addprefix lib/x86/insn/,decode.c exit_code.c insn_regs.c ioio.c) \
	    $(addprefix lib/x86/sev/,ghcb_page.c ghcb_event.c ghcb_answer.c ghcb_msr.c psc.c snp_cpuid.c)
HOST_H := $(wildcard lib/x86/insn/*.h lib/x86/insn/*.def lib/x86/sev/*.h tests/host/*.h)
HOST_CFLAGS := -std=gnu11 -g $(WARNINGS) -iquote lib -Ilib/x86/insn -Ilib/x86/sev -Itests/host
HOST_CLANG ?= clang

# Distributions pack the sanitizers' libraries apart from the compiler.
host_links = $(shell mkdir -p $(HOST) && echo 'int main(void) { return 0; }' > $(HOST)/probe.c && \
	     $(CC) $(1) $(HOST)/probe.c -o $(HOST)/probe 2>/dev/null && echo $(1))
HOST_SANITIZE = $(eval HOST_SANITIZE := $(call host_links,-fsanitize=address$(comma)undefined \
		-fno-sanitize-recover=all))$(HOST_SANITIZE)
comma := ,

HOST_TESTS := decode_table insn_use ghcb_proto snp_cpuid
FUZZERS := decode answer

.PHONY: host host-zydis
host: $(HOST_TESTS:%=$(HOST)/%) $(FUZZERS:%=$(HOST)/replay_%) ## build the tests that run on the host
host-zydis: $(HOST)/decode_zydis

$(HOST_TESTS:%=$(HOST)/%): $(HOST)/%: tests/host/%.c $(HOST_LIB) $(HOST_H)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -O1 $(HOST_SANITIZE) $< $(HOST_LIB) -o $@

$(FUZZERS:%=$(HOST)/replay_%): $(HOST)/replay_%: tests/host/replay.c tests/host/fuzz_%.c $(HOST_LIB) $(HOST_H)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -O1 $(HOST_SANITIZE) $(filter %.c,$^) -o $@

# The optimizer, not the sanitizers: this one is about millions of comparisons.
$(HOST)/decode_zydis: $(addprefix tests/host/,decode_zydis.c zydis_words.c code_source.c) \
		lib/x86/insn/decode.c $(HOST_H)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) -O2 $(filter %.c,$^) -lZydis -o $@

# As the guest compiles them, in both sizes of code: $(HOST)/freestanding-64/decode.o and so on.
FREESTANDING := -std=gnu11 -O2 -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
		-fno-stack-protector -fno-asynchronous-unwind-tables $(WARNINGS)
.PHONY: host-freestanding
host-freestanding: $(foreach m,32 64,$(HOST_LIB:lib/x86/%.c=$(HOST)/freestanding-$(m)/%.o))

$(HOST)/freestanding-32/%.o: lib/x86/%.c $(HOST_H)
	@mkdir -p $(@D)
	$(Q)$(CC) -m32 $(FREESTANDING) -iquote lib -c $< -o $@

$(HOST)/freestanding-64/%.o: lib/x86/%.c $(HOST_H)
	@mkdir -p $(@D)
	$(Q)$(CC) -m64 $(FREESTANDING) -iquote lib -c $< -o $@

.PHONY: fuzz corpus
fuzz: $(FUZZERS:%=fuzz-%) ## fuzz #VC decoder and GHCB checker, TIME=600 seconds each; needs clang

$(FUZZERS:%=$(HOST)/fuzz_%): $(HOST)/fuzz_%: tests/host/fuzz_%.c $(HOST_LIB) $(HOST_H)
	@mkdir -p $(@D)
	$(Q)$(HOST_CLANG) $(HOST_CFLAGS) -O1 -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all $(filter %.c,$^) -o $@

.PHONY: $(FUZZERS:%=fuzz-%)
$(FUZZERS:%=fuzz-%): fuzz-%: $(HOST)/fuzz_%
	$(Q)$(PYTHON) tests/host/corpus-tool unpack tests/host/corpus/$*.hex $(HOST)/corpus-$*
	cd $(HOST) && nice ./fuzz_$* -max_len=112 -max_total_time=$(TIME) -use_value_profile=1 \
		-print_final_stats=1 corpus-$*

# The monitor of the SEV host (lab/host): what of it is no matter of a CPU.
MONITOR_H := $(wildcard lab/host/*/*.h lab/host/*/*.def) $(wildcard tests/host/*_ground.h)
MONITOR_CFLAGS := -std=gnu11 -g -Wall -Wextra -Werror -O1 -Ilab/host -Ilib -Itests/host
HOST_BEARSSL := $(if $(wildcard /usr/include/bearssl/bearssl_hash.h),-lbearssl)
MONITOR_TESTS := sev_firmware snp_firmware host_memory host_rmp

.PHONY: host-monitor host-opcode
host-monitor: $(MONITOR_TESTS:%=$(HOST)/%)
host-opcode: $(HOST)/opcode_zydis

FIRMWARE_C := $(addprefix lab/host/psp/,firmware.c asid.c snp.c measure.c digest_$(if $(HOST_BEARSSL),bearssl,none).c)
$(HOST)/sev_firmware: $(FIRMWARE_C) lab/host/memory/rmp.c
$(HOST)/snp_firmware: $(FIRMWARE_C) lab/host/memory/rmp.c
$(HOST)/host_memory: $(addprefix lab/host/memory/,views.c shadow.c memory.c rmp.c)
$(HOST)/host_rmp: $(addprefix lab/host/memory/,views.c shadow.c memory.c rmp.c)
$(HOST)/opcode_zydis: lab/host/base/opcode.c

$(MONITOR_TESTS:%=$(HOST)/%): $(HOST)/%: tests/host/%.c $(MONITOR_H) tests/host/demand.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(MONITOR_CFLAGS) $(HOST_SANITIZE) $(filter %.c,$^) $(HOST_BEARSSL) -o $@

$(HOST)/opcode_zydis: tests/host/opcode_zydis.c $(MONITOR_H)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MONITOR_CFLAGS) -O2 $(filter %.c,$^) -lZydis -o $@

# After fuzzing: keep the inputs that are needed for the coverage found.
corpus: $(FUZZERS:%=$(HOST)/fuzz_%) ## put what fuzzing found into tests/host/corpus
	for f in $(FUZZERS); do \
		rm -rf $(HOST)/merged-$$f && mkdir $(HOST)/merged-$$f && \
		$(HOST)/fuzz_$$f -merge=1 $(HOST)/merged-$$f $(HOST)/corpus-$$f 2>/dev/null && \
		$(PYTHON) tests/host/corpus-tool pack $(HOST)/merged-$$f tests/host/corpus/$$f.hex; \
	done
