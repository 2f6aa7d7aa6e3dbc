/* SPDX-License-Identifier: BSD-2-Clause */
/* What a case asks of our model hypervisor (model/calls.h); of any other, nothing. */
#ifndef X86_ASK_MODEL_H
#define X86_ASK_MODEL_H

#include "trapline.h"

#include "../model/calls.h"

#define CPUID_HYPERVISOR 0x40000000
#define MODEL_NAME 0x70617254 /* "Trap" */

/* False: this is not the model, or it does not know the call. */
static inline bool ask_model(unsigned call, uint64_t rbx, uint64_t rcx, uint64_t rdx)
{
	uint64_t rax = MODEL_CALL | call;

	if (!sev_is_es() || cpuid(CPUID_HYPERVISOR, 0).b != MODEL_NAME)
		return false;
	asm volatile("vmmcall" : "+a"(rax) : "b"(rbx), "c"(rcx), "d"(rdx) : "memory");
	return rax == MODEL_CALL_DONE;
}

/* Skips the rest where `answered`, what ask_model() gave, is false: no other hypervisor does such things. */
#define need_model(answered) need_of_machine(answered, "hypercalls of model-sev-es")

#endif
