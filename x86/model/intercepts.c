/* SPDX-License-Identifier: BSD-2-Clause */
#include "intercepts.h"

#include "bug.h"
#include "devices/sensors.h"
#include "devices/serial.h"
#include "events/fault.h"
#include "events/step.h"
#include "exits.h"
#include "reach.h"
#include "sev/sev.h"
#include "time.h"

#include "string.h"
#include "x86/arch/exceptions.h"
#include "x86/cpu/cpu.h"

#define COM1_DATA 0x3f8

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

static void intercept_port(unsigned port)
{
	io_map[port / 8] |= 1u << port % 8;
}

static void pass_port(unsigned port)
{
	io_map[port / 8] &= ~(1u << port % 8);
}

/* APM 2, "MSR Intercepts": three ranges of 8192 MSRs, two bits for each. */
static unsigned msr_bit(uint32_t msr)
{
	unsigned range = msr >> 16 == 0xc000 ? 1 : msr >> 16 == 0xc001 ? 2 : 0;

	return 8 * 0x800 * range + 2 * (msr & 0x1fff);
}

void intercept_msr(uint32_t msr)
{
	msr_map[msr_bit(msr) / 8] |= 3u << msr_bit(msr) % 8;
}

void pass_msr(uint32_t msr)
{
	msr_map[msr_bit(msr) / 8] &= ~(3u << msr_bit(msr) % 8);
}

void intercept_all_msrs(void)
{
	memset(msr_map, 0xff, sizeof(msr_map));
}

void intercept_all_ports(void)
{
	memset(io_map, 0xff, sizeof(io_map));
}

/* COM1 but for its scratch register, by which a guest can tell that port I/O exits and works. */
bool port_is_passed(unsigned port)
{
	if (port == COM1_DATA && reach_is_on())
		return false;
	return (port >= 0x3f8 && port < 0x3ff) || port == 0x8900;
}

void intercepts_init_maps(void)
{
	memset(io_map, 0xff, sizeof(io_map));
	for (unsigned port = 0; port < 0x10000; port++)
		if (port_is_passed(port))
			pass_port(port);
	/* A SEV guest's console speaks before its #VC handler is there. */
	for (unsigned port = 0x3f8; port < 0x3ff && !l2_is_sev(); port++)
		if (serial_has_port(port))
			intercept_port(port);
	memset(msr_map, 0, sizeof(msr_map));
	intercept_msr(MSR_APIC_BASE);
	intercept_msr(MSR_EFER);
	if (!l2_is_sev())
		intercept_msr(MSR_DEBUGCTL);
	for (uint32_t msr = 0x800; msr < 0x900; msr++)
		intercept_msr(msr);
	if (!l2_is_sev())
		sensors_init();
}

void intercepts_init(struct vmcb *b)
{
	static const uint8_t wanted[] = {
		SVM_INTERCEPT_INTR,   SVM_INTERCEPT_NMI,     SVM_INTERCEPT_INIT,
		SVM_INTERCEPT_VINTR,  SVM_INTERCEPT_CPUID,   SVM_INTERCEPT_INTN,
		SVM_INTERCEPT_HLT,    SVM_INTERCEPT_IOIO,    SVM_INTERCEPT_MSR,
		SVM_INTERCEPT_VMRUN,  SVM_INTERCEPT_VMMCALL, SVM_INTERCEPT_VMLOAD,
		SVM_INTERCEPT_VMSAVE, SVM_INTERCEPT_STGI,    SVM_INTERCEPT_CLGI,
		SVM_INTERCEPT_SKINIT, SVM_INTERCEPT_INVLPGA, SVM_INTERCEPT_SHUTDOWN,
		SVM_INTERCEPT_ICEBP,
	};

	for (unsigned i = 0; i < sizeof(wanted); i++)
		intercept(b, wanted[i], true);
	intercept(b, SVM_INTERCEPT_PAUSE, time_hurries());
	intercept_exception(b, VECTOR_BP, true);
	intercept_exception(b, VECTOR_OF, true);
	for (unsigned vector = VECTOR_BR; vector <= VECTOR_PF; vector++)
		intercept_exception(b, vector, fault_is_intercepted(vector));
	/* TPR is the emulated APIC's. QEMU 7.2 aborts when L2 writes CR8 while V_IRQ is set. */
	b->intercept_cr_read = b->intercept_cr_write = 1u << 8;
	intercept(b, SVM_INTERCEPT_RDTSC, bug_is_set(TSC_STANDS));
	b->intercept_dr_write = bug_is_set(DATA_BREAKPOINT_PAGE) ? 1u << 7 : 0;
	b->iopm = (uint64_t)io_map;
	b->msrpm = (uint64_t)msr_map;
}
