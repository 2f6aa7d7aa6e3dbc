/* SPDX-License-Identifier: BSD-2-Clause */
/* Device registers as operands in memory. GHCB specification rev. 2.04, "MMIO Access". */
#include "serve.h"
#include "x86/cpu/cpu.h"

#include "string.h"

static enum vc_result mmio(struct vc *vc, uint64_t gpa, unsigned bytes, bool write, uint64_t *value)
{
	struct ghcb_call call = {
		.request = {.exit_code = write ? GHCB_EVENT_MMIO_WRITE : GHCB_EVENT_MMIO_READ,
			    .exit_info_1 = gpa},
		.exit_info_2 = bytes,
	};
	volatile struct ghcb_page *page;
	struct ghcb_use use;
	bool sensible;

	page = ghcb_open(&use);
	for (unsigned i = 0; i < bytes; i++)
		page->shared_buffer[i] = write ? *value >> 8 * i : 0;
	ghcb_offer(&call, GHCB_SCRATCH, ghcb_gpa() + GHCB_SHARED_BUFFER);
	sensible = ghcb_exit(&call);
	if (!write) {
		*value = 0;
		for (unsigned i = 0; i < bytes; i++)
			*value |= (uint64_t)page->shared_buffer[i] << 8 * i;
	}
	ghcb_close(&use);
	return vc_judge(vc, &call, sensible);
}

/* One operand in memory: a device where the page is shared, else RAM (MOVS has two operands). */
static enum vc_result access(struct vc *vc, const struct insn_operand *o, bool write,
			     uint64_t *value)
{
	uint64_t linear = insn_linear(&vc->insn, o, &vc->regs, vc_segment_base, vc->frame);
	struct vc_page page;

	if (!vc_bytes_there(linear, o->size, write, vc_from_user(vc), &vc->raise) ||
	    !vc_page(linear, write, vc_from_user(vc), &page, &vc->raise))
		return VC_RAISED;
	if (page.is_private || page.gpa / 4096 == ghcb_gpa() / 4096) {
		if (vc->insn.op != INSN_OP_MOVS)
			return VC_FOREIGN;
		if (write)
			memcpy((void *)linear, value, o->size);
		else
			memcpy(value, (const void *)linear, o->size);
		return VC_NEXT;
	}
	/* Two pages may be two devices; no driver does that. */
	if ((page.gpa & 4095) + o->size > 4096)
		return VC_FOREIGN;
	return mmio(vc, page.gpa, o->size, write, value);
}

enum vc_result vc_serve_mmio(struct vc *vc)
{
	return vc_execute(vc, access);
}
