# SPDX-License-Identifier: BSD-2-Clause

.PHONY: bundle
bundle: ## one tar file that needs only QEMU and python3: build/trapline.tar.gz
bundle: all
	$(Q)$(PYTHON) scripts/bundle $(BUILD) $(BUILD)/trapline.tar.gz
	@ls -l $(BUILD)/trapline.tar.gz

.PHONY: standalone
standalone: ## a self-extracting script per guest: build/standalone/NAME
standalone: all
	$(Q)$(PYTHON) scripts/standalone $(BUILD) $(BUILD)/standalone
	@echo "$$(ls $(BUILD)/standalone | wc -l) scripts in $(BUILD)/standalone"
