/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitor (L0) that lies between QEMU's TCG and a stock Linux (L1), whose KVM runs guests (L2). It makes of the
 * CPU that QEMU emulates one that has next_rip, decode assists, SEV and SEV-ES, and beside it a Secure Processor, so
 * that those paths of KVM can be tried on any machine.
 *
 * The way through it: QEMU loads the image and a bundle (boot.c). L1 is started in a VMCB, on nested tables of
 * identity (l1.c, identity.c). It runs as if it were alone, until it executes VMRUN. Then the monitor runs L2 from
 * L1's own VMCB (l2.c), on tables of its own (shadow.c); corrects at each exit what the emulator does otherwise than
 * the manual says (correct.def) and adds what it does not have (assist.c, soft.c, es.c); and gives L1 its #VMEXIT.
 *
 * docs/sev-host.md says what is there and what is not.
 */
#include "base/log.h"
#include "base/options.h"
#include "l1/l1.h"
#include "memory/boot.h"
#include "memory/shadow.h"
#include "memory/views.h"

#include "x86/cpu/desc.h"

#include "string.h"

static struct gate own_idt[32];
extern const uint8_t fault_stubs[];

void host_fault(const uint64_t *frame);
_Noreturn void host_main(const struct start_info *info);

void host_fault(const uint64_t *frame)
{
	stop("the monitor itself raised exception %lu, error %#lx, at %#lx, CR2 %#lx", frame[0],
	     frame[1], frame[2], read_cr2());
}

static void load_idt_of_faults(void)
{
	struct table_pointer p = {sizeof(own_idt) - 1, (uint64_t)own_idt};

	for (unsigned i = 0; i < 32; i++) {
		uint64_t at = (uint64_t)fault_stubs + VECTOR_STUB_BYTES * i;

		own_idt[i] = (struct gate){
			.offset_low = at,
			.selector = KERNEL_CS,
			.attributes = 0x8e,
			.offset_middle = at >> 16,
			.offset_high = at >> 32,
		};
	}
	asm volatile("lidt %0" : : "m"(p));
}

static void say_counts(const char *who, const uint64_t *count)
{
	for (unsigned i = 0; i < COUNTED; i++)
		if (count[i])
			say("l0:   %s exit %#x: %lu\n", who, i, count[i]);
}

void say_state(void)
{
	const struct cpu *c = &cpu0;
	const struct vmcb *b = &c->l1;

	say("l0: L1 rip %#lx rsp %#lx cr3 %#lx rflags %#lx, exit %#lx %#lx %#lx\n", b->rip, b->rsp,
	    b->cr3, b->rflags, b->exit_code, b->exit_info1, b->exit_info2);
	say("l0: VMRUNs %lu, again %lu, #VC %lu, VMGEXIT %lu\n", c->count.entries, c->count.again,
	    c->count.vc, c->count.vmgexit);
	say("l0: frames flipped %lu, taken back by L1 %lu; mapped %lu, synced %lu, thrown away %lu\n",
	    c->count.flips, c->count.taken_back, c->count.mapped, c->count.synced,
	    c->count.flushed);
	say_counts("L1", c->count.l1);
	say_counts("L2", c->count.l2);
}

_Noreturn void host_main(const struct start_info *info)
{
	struct cpu *c = &cpu0;

	load_idt_of_faults();
	cpu_enable_svm();
	boot_read(info);
	l1_init(c);
	views_init();
	shadow_init();
	boot_linux(c);
	for (;;) {
		cpu_run(c, &c->l1, false);
		l1_exit(c);
	}
}
