/* SPDX-License-Identifier: BSD-2-Clause */
#include "smp.h"

#include "apic.h"
#include "x86/boot/args.h"
#include "x86/cpu/cpu.h"

#include "string.h"

#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511
#define FW_CFG_SIGNATURE 0x00
#define FW_CFG_CPUS 0x05

extern const uint8_t ap_code[], ap_code_end[];
/* Read by ap.S: the stack of the CPU that starts next. */
extern volatile uint64_t ap_stack;

static unsigned present, started = 1;
static volatile unsigned starting;

void cpus_set(unsigned count)
{
	present = count < MAX_CPUS ? count : MAX_CPUS;
}

/* QEMU's fw_cfg device (docs/specs/fw_cfg). */
static unsigned fw_cfg_cpus(void)
{
	static const char signature[] = "QEMU";

	outw(FW_CFG_SELECT, FW_CFG_SIGNATURE);
	for (int i = 0; i < 4; i++)
		if (inb(FW_CFG_DATA) != signature[i])
			return 1;
	outw(FW_CFG_SELECT, FW_CFG_CPUS);
	return inb(FW_CFG_DATA);
}

unsigned cpus_present(void)
{
	if (!present)
		cpus_set(fw_cfg_cpus());
	return present;
}

static void note_apic(struct apic_state *state)
{
	*state = (struct apic_state){.tpr = apic_read(APIC_TPR),
				     .spurious = apic_read(APIC_SPURIOUS),
				     .ldr = apic_read(APIC_LDR),
				     .dfr = apic_is_x2() ? 0 : apic_read(APIC_DFR)};
	for (unsigned word = 0; word < 8; word++) {
		state->irr |= apic_read(APIC_IRR + 16 * word);
		state->isr |= apic_read(APIC_ISR + 16 * word);
	}
}

void ap_main(void);

/* INIT leaves the mode as it was. */
static bool apic_base_says_x2(void)
{
	return rdmsr(MSR_APIC_BASE) & APIC_BASE_X2;
}

void ap_main(void)
{
	struct percpu *cpu = &percpu[starting];

	percpu_init(starting);
	if (apic_base_says_x2())
		cpu->x2apic = true;
	else if (percpu[0].x2apic)
		apic_use_x2();
	note_apic(&cpu->apic_at_start);
	apic_enable(cpu->index);
	cpu->apic_id = apic_id();
	cpu->starts++;
	cpu->online = true;
	for (;;) {
		asm volatile("cli" : : : "memory");
		/* Not before the wake-up has come: it must not be pending while the work runs. */
		if (cpu->work && cpu->woken) {
			cpu->woken = false;
			cpu->work(cpu->argument);
			cpu->work = NULL;
		} else {
			asm volatile("sti; hlt; cli" : : : "memory");
		}
	}
}

/* What a table of firmware's would say (docs/contract.md): a CPU can tell only once it runs. */
static uint32_t id_before_start(unsigned index)
{
	return index * args.apic_step;
}

static void send_startup(unsigned index)
{
	apic_icr(id_before_start(index), ICR_STARTUP | ICR_ASSERT | AP_START_PAGE >> 12);
}

static bool (*start_otherwise)(unsigned index);

void cpus_start_by(bool (*start)(unsigned index))
{
	start_otherwise = start;
}

static bool start_one(unsigned index)
{
	starting = index;
	ap_stack = stack_top(index, STACK_MAIN);
	memcpy((void *)AP_START_PAGE, ap_code, ap_code_end - ap_code);
	percpu[index].online = percpu[index].woken = false;
	percpu[index].work = NULL;
	if (start_otherwise) {
		if (!start_otherwise(index))
			return false;
	} else {
		apic_icr(id_before_start(index), ICR_INIT | ICR_ASSERT);
		send_startup(index);
		/*
		 * A start-up IPI that finds the INIT still held back, as GIF does, is lost. The manual sends two (SDM
		 * 3A, MP Initialization Example: Typical BSP Initialization Sequence).
		 */
		if (stays(!percpu[index].online))
			send_startup(index);
	}
	return wait_until(percpu[index].online);
}

bool cpu_restart(unsigned index)
{
	return start_one(index);
}

unsigned cpus_started(void)
{
	return started;
}

bool cpus_start(unsigned count)
{
	if (count > 1)
		apic_enable(0);
	for (; started < count; started++)
		if (!start_one(started))
			return false;
	return true;
}

static void use_x2apic(void *argument)
{
	(void)argument;
	apic_use_x2();
}

bool cpus_use_x2apic(void)
{
	if (apic_is_x2())
		return true;
	if (!(cpuid(1, 0).c & CPUID_1_C_X2APIC))
		return false;
	for (unsigned i = 1; i < started; i++) {
		cpu_start_work(i, use_x2apic, NULL);
		if (!cpu_wait(i))
			return false;
	}
	apic_use_x2();
	return true;
}

void cpu_start_work(unsigned index, void (*work)(void *argument), void *argument)
{
	percpu[index].argument = argument;
	asm volatile("" : : : "memory");
	percpu[index].work = work;
	apic_icr(percpu[index].apic_id, ICR_FIXED | ICR_ASSERT | WAKE_VECTOR);
}

bool cpu_wait(unsigned index)
{
	return wait_until(!percpu[index].work);
}

bool cpu_wake_event(const struct trap_frame *frame)
{
	struct percpu *cpu = this_cpu();

	if (!cpu->index || (uint8_t)frame->vector != WAKE_VECTOR)
		return false;
	apic_eoi();
	cpu->woken = true;
	return true;
}
