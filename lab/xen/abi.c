/* SPDX-License-Identifier: BSD-2-Clause */
#include "abi.h"

/*
 * XEN_DOMCTL_INTERFACE_VERSION is raised when a layout changes, once in a release at most. 4.15 and 4.16 were never
 * in a release of Debian's and never tried.
 */
static const struct xen_version versions[] = {
	{14, 0x12, 0x13, false, false, false, false}, {17, 0x15, 0x15, true, false, true, true},
	{18, 0x16, 0x15, true, false, true, true},    {19, 0x17, 0x15, true, true, true, true},
	{20, 0x17, 0x15, true, true, true, true},     {21, 0x17, 0x15, true, true, true, true},
};

const struct xen_version *xen_version_of(unsigned major, unsigned minor)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (major == 4 && versions[i].minor == minor)
			return &versions[i];
	return NULL;
}

const char *xen_versions_known(void)
{
	return "4.14 and 4.17 to 4.21";
}

void abi_finish_create(struct domctl *op, const struct xen_version *version)
{
	uint32_t *at = op->create.rest;

	if (version->has_grant_options)
		*at++ = 1; /* grant tables of version 1 */
	if (version->has_altp2m)
		*at++ = 0;
	if (version->has_grant_options) {
		*at++ = 0; /* no buffer of vmtrace's */
		*at++ = 0; /* the first pool of CPUs */
	}
	*at = EMULATE_PC;
}
