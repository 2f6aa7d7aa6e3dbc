/* SPDX-License-Identifier: BSD-2-Clause */
#include "intercepts.h"

#include "bug.h"

#include "string.h"
#include "x86/cpu.h"

static uint8_t io_map[3 * 4096] __attribute__((aligned(4096)));
static uint8_t msr_map[2 * 4096] __attribute__((aligned(4096)));

void intercept(struct vmcb *b, unsigned which, bool on)
{
	b->intercept[which / 32] &= ~(1u << which % 32);
	b->intercept[which / 32] |= (uint32_t)on << which % 32;
}

void intercept_exception(struct vmcb *b, unsigned vector, bool on)
{
	b->intercept_exceptions &= ~(1u << vector);
	b->intercept_exceptions |= (uint32_t)on << vector;
}

static void pass_port(unsigned port)
{
	io_map[port / 8] &= ~(1u << port % 8);
}

static void intercept_msr(uint32_t msr)
{
	unsigned bit = 2 * (msr & 0x1fff) + (msr >= 0xc0000000 ? 8 * 0x800 : 0);

	msr_map[bit / 8] |= 3u << bit % 8;
}

void intercepts_init(struct vmcb *b)
{
	static const uint8_t wanted[] = {
		SVM_INTERCEPT_INTR,   SVM_INTERCEPT_NMI,      SVM_INTERCEPT_INIT,
		SVM_INTERCEPT_VINTR,  SVM_INTERCEPT_CPUID,    SVM_INTERCEPT_INTN,
		SVM_INTERCEPT_HLT,    SVM_INTERCEPT_IOIO,     SVM_INTERCEPT_MSR,
		SVM_INTERCEPT_VMRUN,  SVM_INTERCEPT_VMMCALL,  SVM_INTERCEPT_VMLOAD,
		SVM_INTERCEPT_VMSAVE, SVM_INTERCEPT_STGI,     SVM_INTERCEPT_CLGI,
		SVM_INTERCEPT_SKINIT, SVM_INTERCEPT_SHUTDOWN,
	};

	for (unsigned i = 0; i < sizeof(wanted); i++)
		intercept(b, wanted[i], true);
	intercept_exception(b, 3, true);
	if (bug(FAULT_AS_TRAP) || bug(DPL_FOR_EXCEPTIONS)) {
		intercept_exception(b, 5, true);
		intercept_exception(b, 6, true);
	}
	/* TPR is the emulated APIC's. QEMU 7.2 aborts when L2 writes CR8 while V_IRQ is set. */
	b->intercept_cr_read = b->intercept_cr_write = 1u << 8;
	memset(io_map, 0xff, sizeof(io_map));
	for (unsigned port = 0x3f8; port < 0x400; port++)
		pass_port(port);
	for (unsigned port = 0xf4; port < 0xf8; port++)
		pass_port(port);
	pass_port(0x8900);
	memset(msr_map, 0, sizeof(msr_map));
	intercept_msr(MSR_APIC_BASE);
	intercept_msr(MSR_EFER);
	for (uint32_t msr = 0x800; msr < 0x900; msr++)
		intercept_msr(msr);
	b->iopm = (uint64_t)io_map;
	b->msrpm = (uint64_t)msr_map;
}
