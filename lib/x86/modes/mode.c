/* SPDX-License-Identifier: BSD-2-Clause */
#include "mode.h"

#include "v86.h"
#include "x86/cpu/cpu.h"
#include "x86/cpu/paging.h"
#include "x86/cpu/percpu.h"
#include "x86/record/notation.h"
#include "x86/record/recording.h"
#include "x86/record/setup.h"
#include "x86/sev/sev.h"

#include "panic.h"
#include "string.h"

extern uint64_t boot_pd[4][512];

/* SDM 3A, PAE Paging: what CR3 points to. Reserved where the tables of long mode have flags. */
static uint64_t pae_pointers[4] __attribute__((aligned(32)));

static uint8_t own_idt[2048] __attribute__((aligned(4096)));

#define HYPERVISOR_LEAF 0x40000000
#define XEN_FIRST_LETTERS 0x566e6558 /* "XenV" */

const char *mode_obstacle(void)
{
	if (sev_is_on())
		return "way out of long mode in Trapline (SEV)";
	/*
	 * QEMU 10 sets the accessed bit in what CR3 points to in PAE paging, where it is reserved; Xen, which reads the
	 * instructions that it carries out through the guest's tables, then finds none.
	 */
	if (cpuid(HYPERVISOR_LEAF, 0).b == XEN_FIRST_LETTERS)
		return "way out of long mode in Trapline (Xen over QEMU)";
	return NULL;
}

/* The same bytes of the table are missing, of gates that have half the size. */
static uint16_t limit_of_halves(uint16_t limit)
{
	unsigned bytes = limit + 1u;

	return bytes / sizeof(struct gate) * 8 + bytes % sizeof(struct gate) / 2 - 1;
}

static bool is_real(void)
{
	enum mode mode = environment_row(setup.environment)->mode;

	return mode == MODE_REAL || mode == MODE_BIG_REAL;
}

/* A case may have put the IDT elsewhere (mode_fill_idt), or its end. */
static void choose_idt(const struct table_pointer *of_case)
{
	outside.idtr = *of_case;
	if (of_case->base != (uint64_t)idt)
		return;
	mode_fill_idt(own_idt);
	outside.idtr.base = (uint64_t)own_idt;
	outside.idtr.limit = limit_of_halves(of_case->limit);
}

/* Each time: QEMU 10 marks them as accessed, and a hypervisor that reads them anew may refuse that bit. */
static void set_pae_pointers(void)
{
	for (unsigned i = 0; i < 4; i++)
		pae_pointers[i] = (uint64_t)boot_pd[i] | PTE_PRESENT;
}

uint32_t mode_pae_pointers(void)
{
	return in_other_mode() && !is_real() ? (uint64_t)pae_pointers : 0;
}

static void prepare(const struct table_pointer *idt_of_case)
{
	struct tss *tss = &this_cpu()->descriptors.tss;

	outside.data = 0;
	if (is_real())
		real_prepare(idt_of_case->limit);
	else
		choose_idt(idt_of_case);
	outside.gdtr = read_gdtr();
	/* Real mode itself clears PE. */
	outside.cr0 = read_cr0() & ~(is_real() ? X86_CR0_PG : 0);
	outside.cr3 = (uint64_t)pae_pointers;
	outside.cr4 = read_cr4();
	if (!(tss->rsp[0] >> 32))
		tss->rsp[0] = mode_rsp0(tss->rsp[0]);
	if (setup.environment == V86)
		v86_prepare();
}

#define RING(selector) ((selector)&3)

/* What IRET pops in 32-bit protected mode: the last two only if it goes to an outer ring. */
struct iret_frame32 {
	uint32_t eip, cs, eflags, esp, ss;
};

#define SAME_RING_BYTES 12

/* A snippet in virtual-8086 mode, or what a frame says of one. */
static bool is_v86(const struct iret_frame *iret)
{
	return iret->rflags & X86_EFLAGS_VM;
}

static uint32_t *words_at(uint64_t address)
{
	return (uint32_t *)address;
}

#define REAL_FRAME_BYTES 6

/* SP or ESP below the end of what was pushed, by the size of the stack segment. */
static uint32_t real_esp(uint64_t linear)
{
	return linear - LOW_BASE;
}

/*
 * Where a CPU looks that takes SP for ESP: a frame that leads to the handler of END_VECTOR, with none of ours above, so
 * that the run ends soon and its event is `nowhere`.
 */
static void lay_decoy(uint32_t esp)
{
	uint16_t *decoy = (uint16_t *)(LOW_BASE + (uint64_t)(esp & 0xffff)) - 6;

	if (esp < 0x10000)
		return;
	for (unsigned i = 0; i < 6; i += 3) {
		decoy[i] = LOW_CODE + END_VECTOR * VECTOR_STUB_BYTES;
		decoy[i + 1] = LOW_SELECTOR;
		decoy[i + 2] = X86_EFLAGS_FIXED;
	}
}

/* The flags of IRET with 16-bit operands have no RF. */
static void write_frame_16(const struct iret_frame *iret)
{
	uint16_t ip = iret->rip - ((iret->cs & 0xffff) << 4);

	if (iret->rflags & X86_EFLAGS_RF) {
		uint32_t *frame = words_at(iret->rsp) - 3;

		frame[0] = ip;
		frame[1] = iret->cs;
		frame[2] = iret->rflags;
		outside.method = ENTER_JUMP;
		outside.esp = real_esp((uint64_t)frame);
	} else {
		uint16_t *frame = (uint16_t *)(iret->rsp - REAL_FRAME_BYTES);

		frame[0] = ip;
		frame[1] = iret->cs;
		frame[2] = iret->rflags;
		outside.method = ENTER_IRET;
		outside.esp = real_esp((uint64_t)frame);
	}
	outside.ss = LOW_SELECTOR;
	lay_decoy(iret->rsp - LOW_BASE);
}

/* Handlers run in ring 0; what IRET pops ends at `at`, unless it stays in the ring. */
static void write_frame(const struct iret_frame *iret, uint64_t at)
{
	struct iret_frame32 frame = {iret->rip, iret->cs, iret->rflags, iret->rsp, iret->ss};
	bool outer = RING(iret->cs) != 0;

	outside.ss = KERNEL_DS;
	if (is_v86(iret)) {
		outside.esp = v86_write_frame(iret, at);
		outside.ds = KERNEL_DS;
		return;
	}
	at -= sizeof(frame);
	if (!outer)
		at = (uint32_t)iret->rsp - SAME_RING_BYTES;
	memcpy(words_at(at), &frame, outer ? sizeof(frame) : SAME_RING_BYTES);
	outside.esp = at;
}

static void put_regs(const struct regs *regs)
{
	outside.eax = regs->rax;
	outside.ebx = regs->rbx;
	outside.ecx = regs->rcx;
	outside.edx = regs->rdx;
	outside.esi = regs->rsi;
	outside.edi = regs->rdi;
	outside.ebp = regs->rbp;
}

static struct regs get_regs(void)
{
	return (struct regs){
		.rax = outside.eax,
		.rbx = outside.ebx,
		.rcx = outside.ecx,
		.rdx = outside.edx,
		.rsi = outside.esi,
		.rdi = outside.edi,
		.rbp = outside.ebp,
	};
}

static bool is_code(uint32_t selector)
{
	return selector == BOOT_CS32 || selector == REAL_CS || (selector ^ USER_CS32) <= 3;
}

/*
 * With an error code CS is the third doubleword, without one the second. What stands there else, EIP or EFLAGS, is no
 * selector of ours: EFLAGS has bit 1 set and bit 5 clear.
 */
static struct trap_frame read_frame(void)
{
	const uint32_t *words = words_at(outside.esp);
	bool has_error = !is_code(words[1]) && is_code(words[2]);
	const struct iret_frame32 *raw = (const struct iret_frame32 *)(words + has_error);
	bool outer = RING(raw->cs) != 0;

	return (struct trap_frame){
		.regs = get_regs(),
		.rflags = outside.eflags,
		.vector = outside.vector | (has_error ? FRAME_HAS_ERROR : 0),
		.error = has_error ? words[0] : 0,
		.iret =
			{
				.rip = raw->eip,
				.cs = raw->cs,
				.rflags = raw->eflags,
				.rsp = outer ? raw->esp : (uint64_t)raw + SAME_RING_BYTES,
				.ss = outer ? raw->ss : outside.ss,
			},
	};
}

/* Where nothing that we know was pushed; the run cannot go on from there. */
#define NOWHERE 1

static struct trap_frame no_frame(void)
{
	notation_name("nowhere", NOWHERE, 1);
	return (struct trap_frame){
		.regs = get_regs(),
		.rflags = outside.eflags,
		.vector = outside.vector & 0xff,
		.iret = {.rip = NOWHERE, .rflags = outside.eflags},
	};
}

/* As if the snippet had come to its end. */
static void give_up(struct trap_frame *frame, const struct entry *entry)
{
	frame->vector = END_VECTOR;
	frame->iret = entry->iret;
	frame->iret.rip = this_recording()->run.end;
	event_record(frame);
}

static struct trap_frame read_frame_16(void)
{
	uint32_t sp = outside.data == REAL_DS ? outside.esp & 0xffff : outside.esp;
	const uint16_t *words = (const uint16_t *)((uint64_t)(outside.ss << 4) + sp);
	bool has_error = words[1] != LOW_SELECTOR && words[2] == LOW_SELECTOR;
	const uint16_t *raw = words + has_error;

	if (raw[1] != LOW_SELECTOR)
		return no_frame();
	return (struct trap_frame){
		.regs = get_regs(),
		.rflags = outside.eflags,
		.vector = (outside.vector & 0xff) | (has_error ? FRAME_HAS_ERROR : 0),
		.error = has_error ? words[0] : 0,
		.iret =
			{
				.rip = ((uint32_t)raw[1] << 4) + raw[0],
				.cs = raw[1],
				.rflags = raw[2],
				.rsp = (uint64_t)raw + REAL_FRAME_BYTES,
				.ss = outside.ss & 0xffff,
			},
	};
}

/* The recorder has ended the run: it sends whoever handled the event to snippet_leave. */
static bool has_left(const struct trap_frame *frame)
{
	return frame->iret.rip == (uint64_t)snippet_leave;
}

/* ENTER_JUMP pops EFLAGS and returns. */
static void write_jump(const struct iret_frame *iret)
{
	uint32_t *words = words_at(iret->rsp) - 2;

	words[0] = iret->rflags;
	words[1] = iret->rip;
	outside.esp = (uint32_t)(uint64_t)words;
}

static void begin(const struct entry *entry)
{
	outside.method = entry->method;
	outside.ds = is_real() ? 0 : entry->iret.ss; /* virtual-8086 mode's IRET loads its own */
	put_regs(&entry->regs);
	if (is_real())
		write_frame_16(&entry->iret);
	else if (entry->method == ENTER_JUMP)
		write_jump(&entry->iret);
	else
		write_frame(&entry->iret, stack_top(0, STACK_LAYER));
}

static struct trap_frame run_to_event(void)
{
	struct before *before = &this_recording()->run.before;

	if (is_real()) {
		real_put_outside();
		mode_switch();
		real_get_outside();
		return read_frame_16();
	}
	set_pae_pointers();
	mode_switch();
	before->found = NULL;
	before->is_of_program = false;
	if (setup.environment == V86 && v86_is_frame(words_at(outside.esp))) {
		struct trap_frame frame = v86_read_frame(words_at(outside.esp));

		frame.regs = get_regs();
		return frame;
	}
	return read_frame();
}

static void go_on(const struct trap_frame *frame)
{
	put_regs(&frame->regs);
	if (is_real()) {
		write_frame_16(&frame->iret);
		return;
	}
	outside.method = ENTER_IRET;
	write_frame(&frame->iret, outside.esp + 12);
}

void mode_enter(struct entry *entry)
{
	struct table_pointer idt_of_case = read_idtr();

	if (this_cpu()->index)
		panic("only the first CPU leaves long mode");
	prepare(&idt_of_case);
	load_idt(idt, sizeof(idt) - 1); /* long mode's own, whatever comes between two events */
	begin(entry);
	for (;;) {
		struct trap_frame frame = run_to_event();

		bool lost = frame.iret.rip == NOWHERE;

		event_record(&frame);
		if (lost && !has_left(&frame))
			give_up(&frame, entry);
		if (has_left(&frame))
			break;
		go_on(&frame);
	}
	load_idt((const void *)idt_of_case.base, idt_of_case.limit);
}
