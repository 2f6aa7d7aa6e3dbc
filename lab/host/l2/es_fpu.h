/* SPDX-License-Identifier: BSD-2-Clause */
/* The x87 and SSE registers in a VMSA. APM 2, appendix B, "VMSA Layout"; the upper halves of YMM are not moved. */
#ifndef HOST_ES_FPU_H
#define HOST_ES_FPU_H

#include "x86/arch/vmsa.h"

void es_fpu_load(const struct vmsa *s);
void es_fpu_save(struct vmsa *s);

#endif
