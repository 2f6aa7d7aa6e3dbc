/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sources: GHCB specification rev. 2.04, sections 2.3.1 and 4.1; Linux 6.12, arch/x86/kvm/svm/sev.c, for
 * what is left open.
 *
 * L2's registers are its secret. Nothing here looks at struct vcpu's copy of them: `struct known` is
 * all that the hypervisor knows.
 */
#include "ghcb.h"

#include "bug.h"
#include "calls.h"
#include "exits.h"
#include "ghcb_snp.h"
#include "insn.h"
#include "intercepts.h"
#include "memory.h"
#include "ports.h"
#include "sev.h"
#include "smp.h"
#include "vc.h"

#include "x86/apic.h"
#include "x86/cpu.h"
#include "x86/panic.h"
#include "x86/sev/ghcb_answer.h"
#include "x86/sev/ghcb_msr.h"
#include "x86/sev/ioio.h"

#define LEAST_VERSION 1
#define MOST_VERSION 2
#define FEATURES 3 /* what KVM says in every mode */
#define NO_SUCH_CALL -1000l
#define NOT_PERMITTED -1l
#define MSR_TSC 0x10
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_TSC_AUX 0xc0000103
#define VECTOR_GP 13
#define MOST_MMIO_BYTES 8

unsigned ghcb_tsc_intercepts;

/* One call: what was offered, and the answer. */
struct known {
	struct vcpu *v;
	uint64_t gpa;
	volatile struct ghcb_page *page;
	struct ghcb_answer in;
	uint64_t rax, rbx, rcx, rdx; /* 0 where not offered */
	uint64_t code, info1, info2;
	uint64_t result1, result2;
};

static uint64_t jump_table;
/* Of the call before; nothing but a bug looks at it. */
static volatile struct ghcb_page *last_page;
static struct {
	unsigned how, countdown;
	uint64_t value;
} spoil;
static struct {
	bool armed, behind;
	unsigned error;
} forged;

static uint64_t sev_information(void)
{
	struct ghcb_msr m = {.code = GHCB_MSR_SEV_INFO,
			     .max_version = MOST_VERSION,
			     .min_version = LEAST_VERSION,
			     .c_bit = sev_c_bit_position()};

	return ghcb_msr_encode(&m);
}

void ghcb_reset(struct vcpu *v)
{
	v->ghcb_msr = sev_information();
}

/* -- The MSR protocol. ------------------------------------------------------------------------------ */

static uint32_t cpuid_register(const struct ghcb_msr *m)
{
	struct cpuid r = exits_cpuid(m->function, 0);

	switch (m->reg) {
	case GHCB_CPUID_EAX:
		return r.a;
	case GHCB_CPUID_EBX:
		return r.b;
	case GHCB_CPUID_ECX:
		return r.c;
	default:
		return r.d;
	}
}

static void terminated(unsigned set, unsigned reason)
{
	panic("model: the guest terminated itself, reason set %#x, reason %#x", set, reason);
}

static void msr_protocol(struct vcpu *v)
{
	struct ghcb_msr m, answer = {0};

	ghcb_msr_decode(v->ghcb_msr, &m);
	switch (m.code) {
	case GHCB_MSR_SEV_INFO_REQUEST:
		if (bug(GHCB_INFO_ONCE) && last_page)
			return;
		v->ghcb_msr = sev_information();
		return;
	case GHCB_MSR_CPUID_REQUEST:
		answer.code = GHCB_MSR_CPUID_RESPONSE;
		answer.reg = m.reg;
		if (bug(GHCB_MSR_CPUID_MIXED) && m.function != 0x8000001f && m.reg & 1)
			m.reg ^= 2;
		answer.value = cpuid_register(&m);
		break;
	case GHCB_MSR_AP_RESET_HOLD_REQUEST:
		ap_hold(v, NULL);
		return;
	case GHCB_MSR_FEATURES_REQUEST:
		if (bug(GHCB_NO_FEATURES))
			return;
		answer.code = GHCB_MSR_FEATURES_RESPONSE;
		answer.features = FEATURES;
		break;
	case GHCB_MSR_PREFERRED_GPA_REQUEST:
	case GHCB_MSR_REGISTER_GPA_REQUEST:
	case GHCB_MSR_PAGE_STATE_REQUEST:
		if (!l2_is_snp() || !ghcb_snp_msr(v, &m, &answer))
			panic("model: a request of SNP's (%#lx) from a SEV-ES guest", v->ghcb_msr);
		break;
	case GHCB_MSR_TERMINATE:
		terminated(m.reason_set, m.reason);
		return;
	default:
		if (!bug(GHCB_MSR_UNKNOWN))
			return; /* left as it is */
		answer.code = m.code | 1;
	}
	v->ghcb_msr = ghcb_msr_encode(&answer);
}

void ghcb_end_hold(struct vcpu *v, volatile struct ghcb_page *page)
{
	struct ghcb_msr m = {.code = GHCB_MSR_AP_RESET_HOLD_RESPONSE, .sipi = 1};

	if (page)
		page->exit_info_2 = 1;
	else
		v->ghcb_msr = ghcb_msr_encode(&m);
}

/* -- Answers. ------------------------------------------------------------------------------------------- */

static void malformed(struct known *k, enum ghcb_reason reason)
{
	k->result1 = GHCB_RESULT_MALFORMED;
	k->result2 = reason;
}

static void raise_gp(struct known *k)
{
	k->result1 = GHCB_RESULT_EXCEPTION;
	k->result2 = GHCB_INJECT_VALID | GHCB_INJECT_TYPE_EXCEPTION | VECTOR_GP;
}

/* A scratch area as version 2 wants it; NULL with the answer that says so. */
static volatile uint8_t *scratch(struct known *k, uint64_t bytes)
{
	uint64_t at = k->in.value[GHCB_SCRATCH];

	if (ghcb_scratch_fits(k->gpa, at, bytes))
		return (volatile uint8_t *)k->page + (at - k->gpa);
	if (bug(GHCB_SCRATCH_IGNORED) && sev_shared(at, bytes))
		return sev_shared(at, bytes);
	malformed(k, GHCB_REASON_BAD_SCRATCH);
	return NULL;
}

/* -- Events. ---------------------------------------------------------------------------------------------- */

static uint32_t port_in(unsigned port, unsigned bytes)
{
	uint32_t value;

	if (!port_is_passed(port))
		return port_read(port, bytes);
	if (bytes == 1)
		return inb(port);
	if (bytes == 4)
		return inl(port);
	asm volatile("inw %w1, %w0" : "=a"(value) : "Nd"(port), "0"(0));
	return value & 0xffff;
}

static void port_out(struct vcpu *v, unsigned port, unsigned bytes, uint32_t value)
{
	if (!port_is_passed(port)) {
		port_write(v, port, bytes == 4 && bug(GHCB_OUT_NARROW) ? 2 : bytes, value);
	} else if (bytes == 1) {
		outb(port, value);
	} else if (bytes == 2) {
		outw(port, value);
	} else {
		outl(port, value);
	}
}

static void string_io(struct known *k, unsigned port, unsigned bytes)
{
	uint64_t count = k->info2;
	volatile uint8_t *buffer;

	if (!count)
		return;
	buffer = scratch(k, count > GHCB_SHARED_BUFFER_SIZE ? ~0ul : count * bytes);
	if (!buffer)
		return;
	if (bug(GHCB_STRING_SHORT))
		count--;
	for (; count; count--, buffer += bytes) {
		uint32_t value = 0;

		if (k->info1 & IOIO_IN)
			value = port_in(port, bytes);
		for (unsigned i = 0; i < bytes; i++) {
			if (k->info1 & IOIO_IN)
				buffer[i] = value >> 8 * i;
			else
				value |= (uint32_t)buffer[i] << 8 * i;
		}
		if (!(k->info1 & IOIO_IN))
			port_out(k->v, port, bytes, value);
	}
}

static void event_ioio(struct known *k)
{
	unsigned port = ioio_port(k->info1), bytes = ioio_size(k->info1);
	uint64_t mask = bytes == 4 ? 0xffffffff : (1ul << 8 * bytes) - 1;

	if (!ioio_well_formed(k->info1))
		return malformed(k, GHCB_REASON_BAD_INPUT);
	if (k->info1 & IOIO_STRING)
		return string_io(k, port, bytes);
	if (!(k->info1 & IOIO_IN) && port == 0x80 && bug(GHCB_PLAIN_GP))
		return raise_gp(k);
	if (!(k->info1 & IOIO_IN))
		return port_out(k->v, port, bytes, k->rax & mask);
	/* What RAX held above the value is kept, as far as the guest has offered it. */
	k->rax = (bytes == 4 ? 0 : k->rax & ~mask) | (port_in(port, bytes) & mask);
}

static bool read_msr(struct known *k, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_TSC:
		*value = rdtsc();
		return true;
	case MSR_SYSENTER_ESP:
		*value = k->v->vmcb.sysenter_esp;
		return true;
	case MSR_SYSENTER_EIP:
		*value = k->v->vmcb.sysenter_eip;
		return true;
	case MSR_TSC_AUX:
		*value = rdmsr(MSR_TSC_AUX);
		return true;
	}
	return exits_read_msr(k->v, msr, value);
}

static bool write_msr(struct known *k, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_SYSENTER_ESP:
		k->v->vmcb.sysenter_esp = value;
		return true;
	case MSR_SYSENTER_EIP:
		k->v->vmcb.sysenter_eip = value;
		return true;
	case MSR_TSC_AUX:
		wrmsr(MSR_TSC_AUX, value);
		return true;
	}
	return exits_write_msr(k->v, msr, value);
}

static void event_msr(struct known *k)
{
	uint64_t value = k->rdx << 32 | (uint32_t)k->rax;

	if (k->info1 > 1)
		return malformed(k, GHCB_REASON_BAD_INPUT);
	if (k->info1 == 1) {
		if (!write_msr(k, k->rcx, value) && !bug(GHCB_GP_LOST))
			raise_gp(k);
		return;
	}
	if (!read_msr(k, k->rcx, &value)) {
		if (!bug(GHCB_GP_LOST))
			raise_gp(k);
		value = 0;
	}
	k->rax = (uint32_t)value;
	k->rdx = value >> 32;
	if (bug(GHCB_MSR_HALVES)) {
		k->rax = value >> 32;
		k->rdx = (uint32_t)value;
	}
}

static void event_cpuid(struct known *k)
{
	struct cpuid r = exits_cpuid(k->rax, bug(GHCB_CPUID_SUBLEAF) ? 0 : k->rcx);

	k->rax = r.a;
	k->rbx = r.b;
	k->rcx = r.c;
	k->rdx = r.d;
}

static void event_tsc(struct known *k)
{
	uint64_t now = rdtsc();

	k->rax = (uint32_t)now;
	k->rdx = now >> 32;
	if (k->code == SVM_EXIT_RDTSCP)
		k->rcx = (uint32_t)rdmsr(MSR_TSC_AUX);
}

static void model_call(struct known *k)
{
	struct vmcb *b = &k->v->vmcb;

	switch (k->rax & 0xffffffff) {
	case MODEL_CALL_INTERCEPT:
		/* QEMU takes RDTSCP for RDTSC: sev.c tells them apart. */
		ghcb_tsc_intercepts = k->rbx;
		intercept(b, SVM_INTERCEPT_RDTSC, k->rbx);
		intercept(b, SVM_INTERCEPT_RDTSCP, k->rbx & MODEL_INTERCEPT_RDTSCP);
		break;
	case MODEL_CALL_SPOIL:
		spoil.how = k->rbx;
		spoil.countdown = k->rcx + 1;
		spoil.value = k->rdx;
		break;
	case MODEL_CALL_FORGE:
		forged.armed = true;
		forged.error = k->rbx;
		forged.behind = k->rcx;
		intercept(b, SVM_INTERCEPT_PAUSE, true);
		break;
	case MODEL_CALL_BEHAVE:
		spoil.how = 0;
		forged.armed = false;
		intercept(b, SVM_INTERCEPT_PAUSE, false);
		break;
	default:
		k->rax = NO_SUCH_CALL;
		return;
	}
	k->rax = MODEL_CALL_DONE;
}

static void event_vmmcall(struct known *k)
{
	if (k->in.value[GHCB_CPL])
		k->rax = NOT_PERMITTED;
	else if (k->rax >> 32 == MODEL_CALL >> 32)
		model_call(k);
	else
		k->rax = NO_SUCH_CALL;
}

static void event_mmio(struct known *k)
{
	uint64_t bytes = k->info2, value = 0;
	volatile uint8_t *buffer;

	if (!bytes)
		return;
	if (bytes > MOST_MMIO_BYTES)
		return malformed(k, GHCB_REASON_BAD_INPUT);
	buffer = scratch(k, bytes);
	if (!buffer)
		return;
	if (k->code == GHCB_EVENT_MMIO_READ) {
		value = insn_device_read(k->v, k->info1);
		if (bug(GHCB_MMIO_SHORT) && bytes > 1)
			bytes--;
		for (unsigned i = 0; i < bytes; i++)
			buffer[i] = value >> 8 * i;
		return;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)buffer[i] << 8 * i;
	insn_device_write(k->v, k->info1, value);
}

static void event_jump_table(struct known *k)
{
	switch (k->info1) {
	case 0:
		jump_table = bug(GHCB_JUMP_TABLE_LOST) ? 0 : k->info2;
		return;
	case 1:
		k->result2 = jump_table;
		return;
	}
	malformed(k, GHCB_REASON_BAD_INPUT);
}

static void event_page_states(struct known *k)
{
	volatile uint8_t *buffer = scratch(k, GHCB_SHARED_BUFFER_SIZE);

	if (buffer)
		k->result2 = ghcb_snp_page_states(k->v, buffer);
}

static void event_guest_request(struct known *k)
{
	uint64_t info2;

	if (ghcb_snp_guest_request(k->info1, k->info2, &info2))
		k->result2 = info2;
	else
		malformed(k, GHCB_REASON_BAD_INPUT);
}

static void event_ap_creation(struct known *k)
{
	if (!ghcb_snp_ap_creation(k->info1, k->info2, k->rax))
		malformed(k, GHCB_REASON_BAD_INPUT);
}

static void event(struct known *k)
{
	switch (k->code) {
	case SVM_EXIT_READ_DR7:
	case SVM_EXIT_WRITE_DR7:
	case SVM_EXIT_INVD:
	case SVM_EXIT_WBINVD:
	case SVM_EXIT_MONITOR:
	case SVM_EXIT_MWAIT:
		if (bug(GHCB_PLAIN_GP))
			raise_gp(k);
		return;
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDTSCP:
		return event_tsc(k);
	case SVM_EXIT_RDPMC:
		return raise_gp(k); /* no PMU here */
	case SVM_EXIT_CPUID:
		return event_cpuid(k);
	case SVM_EXIT_IOIO:
		return event_ioio(k);
	case SVM_EXIT_MSR:
		return event_msr(k);
	case SVM_EXIT_VMMCALL:
		return event_vmmcall(k);
	case GHCB_EVENT_MMIO_READ:
	case GHCB_EVENT_MMIO_WRITE:
		return event_mmio(k);
	case GHCB_EVENT_NMI_COMPLETE:
		k->v->nmi_blocked = bug(GHCB_NMI_COMPLETE_IGNORED);
		return;
	case GHCB_EVENT_AP_RESET_HOLD:
		ap_hold(k->v, k->page);
		return;
	case GHCB_EVENT_AP_JUMP_TABLE:
		return event_jump_table(k);
	case GHCB_EVENT_HV_FEATURES:
		if (bug(GHCB_NO_FEATURES))
			break;
		k->result2 = FEATURES;
		return;
	case GHCB_EVENT_PAGE_STATE_CHANGE:
		if (l2_is_snp())
			return event_page_states(k);
		break;
	case GHCB_EVENT_AP_CREATION:
		if (l2_is_snp())
			return event_ap_creation(k);
		break;
	case GHCB_EVENT_GUEST_REQUEST:
		if (l2_is_snp())
			return event_guest_request(k);
		break;
	case GHCB_EVENT_TERMINATE:
		terminated(k->info1 & 15, k->info1 >> 4 & 0xff);
		return;
	case GHCB_EVENT_UNSUPPORTED:
		panic("model: the guest does not know #VC(%#lx)", k->info1);
	}
	malformed(k, GHCB_REASON_BAD_EVENT);
}

static bool is_known(uint64_t code)
{
	return ghcb_event_name(code)[0] != '?';
}

/* KVM's order: usage, then the fields, then the event. */
static void judge(struct known *k)
{
	struct ghcb_request request = {k->code, k->info1, k->rax};
	uint32_t general =
		GHCB_BIT(GHCB_EXIT_CODE) | GHCB_BIT(GHCB_EXIT_INFO_1) | GHCB_BIT(GHCB_EXIT_INFO_2);

	if (l2_is_snp() && !ghcb_snp_is_registered(k->v, k->gpa))
		return malformed(k, GHCB_REASON_NOT_REGISTERED);
	if (k->page->usage != GHCB_USAGE_STANDARD && !bug(GHCB_USAGE_IGNORED))
		return malformed(k, GHCB_REASON_BAD_USAGE);
	if (general & ~k->in.valid && !bug(GHCB_VALID_IGNORED))
		return malformed(k, GHCB_REASON_MISSING_INPUT);
	if (!is_known(k->code))
		return malformed(k, bug(GHCB_WRONG_REASON) ? GHCB_REASON_BAD_INPUT
							   : GHCB_REASON_BAD_EVENT);
	if (ghcb_event_inputs(&request) & ~k->in.valid && !bug(GHCB_VALID_IGNORED))
		return malformed(k, GHCB_REASON_MISSING_INPUT);
	event(k);
}

static void spoil_answer(struct known *k)
{
	if (!spoil.how || --spoil.countdown)
		return;
	switch (spoil.how) {
	case MODEL_SPOIL_RESULT:
		k->page->exit_info_1 = spoil.value;
		break;
	case MODEL_SPOIL_INJECT:
	case MODEL_SPOIL_REASON:
		k->page->exit_info_1 = spoil.how == MODEL_SPOIL_INJECT ? 1 : 2;
		k->page->exit_info_2 = spoil.value;
		break;
	case MODEL_SPOIL_NO_VALID:
		for (unsigned field = 0; field < GHCB_FIELDS; field++)
			ghcb_set_valid(k->page, field, false);
		break;
	}
	spoil.how = 0;
}

/* Only what was offered is known; four registers are always given back, as KVM does. */
static uint64_t offered(const struct known *k, unsigned field)
{
	return k->in.valid & GHCB_BIT(field) || bug(GHCB_VALID_IGNORED) ? k->in.value[field] : 0;
}

/* Not what the guest needs to come to its tests. */
static bool is_for_a_test(const struct known *k)
{
	unsigned port = ioio_port(k->info1);

	switch (k->code) {
	case SVM_EXIT_CPUID:
		return k->in.value[GHCB_RAX] == 0x80000000;
	case SVM_EXIT_IOIO:
		return port == 0x80 || port == 0xcfc;
	case SVM_EXIT_VMMCALL:
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDTSCP:
		return k->rax != MODEL_CALL_DONE;
	}
	return false;
}

static void answer(struct known *k)
{
	for (unsigned field = 0; field < GHCB_FIELDS; field++)
		ghcb_set_valid(k->page, field, false);
	if (bug(GHCB_LEAK)) {
		k->rcx = k->rcx ? k->rcx : k->v->regs.rcx;
		k->rdx = k->rdx ? k->rdx : k->v->regs.rdx;
	}
	ghcb_set(k->page, GHCB_RAX, k->rax);
	ghcb_set(k->page, GHCB_RBX, k->rbx);
	ghcb_set(k->page, GHCB_RCX, k->rcx);
	ghcb_set(k->page, GHCB_RDX, k->rdx);
	if (bug(GHCB_OUTPUT_NOT_VALID) && is_for_a_test(k))
		ghcb_set_valid(k->page, GHCB_RAX, false);
	k->page->exit_info_1 = bug(GHCB_WRONG_RESULT) && k->result1 ? 3 : k->result1;
	k->page->exit_info_2 = k->result2;
	spoil_answer(k);
}

static void page_protocol(struct vcpu *v)
{
	struct known k = {.v = v, .gpa = v->ghcb_msr};

	if (v->number && bug(GHCB_ONE_FOR_ALL))
		k.gpa = smp_vcpu(0)->ghcb_msr;
	/* KVM does not see such a call at all. */
	k.page = k.gpa ? sev_shared(k.gpa, sizeof(*k.page)) : NULL;
	if (!k.page && bug(GHCB_ANY_ADDRESS))
		k.page = last_page;
	if (!k.page)
		return;
	last_page = k.page;
	ghcb_take_answer(k.page, &k.in);
	k.code = offered(&k, GHCB_EXIT_CODE);
	k.info1 = offered(&k, GHCB_EXIT_INFO_1);
	k.info2 = offered(&k, GHCB_EXIT_INFO_2);
	k.rax = offered(&k, GHCB_RAX);
	k.rbx = offered(&k, GHCB_RBX);
	k.rcx = offered(&k, GHCB_RCX);
	k.rdx = offered(&k, GHCB_RDX);
	judge(&k);
	answer(&k);
}

void l2_vmgexit(struct vcpu *v)
{
	if (v->ghcb_msr & 0xfff)
		msr_protocol(v);
	else
		page_protocol(v);
}

bool ghcb_pause(struct vcpu *v)
{
	if (!forged.armed)
		return true;
	forged.armed = false;
	intercept(&v->vmcb, SVM_INTERCEPT_PAUSE, false);
	if (forged.behind)
		vcpu_skip(v, 2);
	l2_raise_vc(v, forged.error);
	return true;
}
