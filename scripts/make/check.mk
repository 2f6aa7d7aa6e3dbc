# SPDX-License-Identifier: BSD-2-Clause
#
# The project's own tests. scripts/check does the work and needs nothing but a shell to begin with,
# so none of these targets has a prerequisite.

.PHONY: check check-full lint format help
check: ## run the project's own tests, in some minutes; INSTALL_DEPS=1 installs what they need first
	@scripts/check $(if $(INSTALL_DEPS),--install-deps)

check-full: ## run what check leaves out, in half an hour: more defects, histories, machines, the whole proof
	@scripts/check --full $(if $(INSTALL_DEPS),--install-deps)

lint: ## check style: licence lines, clang-format, shellcheck, pyflakes
	@scripts/lint

format: ## lay out C files in the project's style
	@scripts/lint --format

help: ## print this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | \
		awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
