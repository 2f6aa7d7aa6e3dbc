# SPDX-License-Identifier: BSD-2-Clause
#
# Pages of docs/ that are made from what the guests say.

.PHONY: docs
docs: ## make docs/vectors.md anew, from runs on tcg, bochs-svm, bochs-vmx and model
	@scripts/vectors-table
