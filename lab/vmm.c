/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMM for guests of this suite, on /dev/kvm: memory, the image at the top of 4 GiB, KVM's own interrupt
 * controllers, COM1, the exit port, and a host bridge with PAM registers. It emulates no more than
 * the guests' library touches, so that a run costs milliseconds on a machine that is itself emulated.
 */
#define _GNU_SOURCE
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM_BYTES (64ul << 20)
#define FOUR_GIB (1ul << 32)
/* Three pages and one that Intel's KVM wants for itself. */
#define IDENTITY_PAGE 0xfeffc000ul
#define TSS_PAGES 0xfeffd000ul
#define MAX_CPUS 16

/* What the PAM registers of the host bridge are about lies in a slot of its own. */
#define PAM_BASE 0xc0000ul
#define PAM_END 0x100000ul
enum slot { SLOT_LOW, SLOT_PAM, SLOT_HIGH, SLOT_ROM };

#define ARGUMENTS_MAGIC "TRAPLINE-ARGS-1\n"
#define ARGUMENTS_BYTES 4096

#define COM1 0x3f8
#define COM1_IRQ 4
enum { UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR };
#define IER_NOTHING_TO_SEND 0x02
#define IIR_NOTHING_TO_SEND 0x02
#define IIR_NONE 0x01
#define LCR_DIVISOR 0x80
#define MCR_LINE_OUT 0x08
#define LSR_EMPTY_AND_IDLE 0x60
#define MSR_SOMEBODY_THERE 0xb0
#define EXIT_PORT 0xf4
#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PAM_FIRST 0x59
#define PAM_LAST 0x5f

/* The lock is held by whoever writes messages or changes devices; it is never released at the end. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int kvm, vm, vcpus[MAX_CPUS];
static size_t run_bytes;
static uint8_t *ram;
static struct kvm_cpuid2 *cpuid;

static char output[1024];
static size_t output_used;
static uint8_t uart[8];
static volatile bool cancelled;
static bool sent, line; /* "nothing to send" waits to be read; IRQ 4 as KVM knows it */

static uint32_t pci_address;
/* Intel 440FX: vendor, device, and class "host bridge". */
static uint8_t pci_config[256] = {0x86, 0x80, 0x37, 0x12, [0x0b] = 0x06};

static void flush(void)
{
	if (output_used)
		message('D', output, output_used);
	output_used = 0;
}

/* The end of the guest and of this process. The lock is held. */
__attribute__((format(printf, 1, 2))) static _Noreturn void end(const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	flush();
	message('R', text, strlen(text));
	_exit(0);
}

static long must(const char *what, long result)
{
	if (result < 0) {
		int error = errno;

		pthread_mutex_lock(&lock);
		end("%s: %s", what, strerror(error));
	}
	return result;
}

#define MUST(call) must(#call, call)

static void set_slot(enum slot slot, uint64_t guest, void *host, uint64_t bytes, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = guest,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)host,
	};

	must("KVM_SET_USER_MEMORY_REGION", ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
}

static void set_pam_slot(bool there)
{
	set_slot(SLOT_PAM, PAM_BASE, ram + PAM_BASE, there ? PAM_END - PAM_BASE : 0, 0);
}

/* -- Devices. ------------------------------------------------------------------------------------ */

static void uart_line(void)
{
	bool raised =
		sent && (uart[UART_IER] & IER_NOTHING_TO_SEND) && (uart[UART_MCR] & MCR_LINE_OUT);
	struct kvm_irq_level level = {.irq = COM1_IRQ, .level = raised};

	if (raised != line)
		must("KVM_IRQ_LINE", ioctl(vm, KVM_IRQ_LINE, &level));
	line = raised;
}

static void uart_write(unsigned reg, uint8_t value)
{
	if (reg <= UART_IER && uart[UART_LCR] & LCR_DIVISOR)
		return;
	if (reg == UART_DATA) {
		output[output_used++] = value;
		if (value == '\n' || output_used == sizeof(output))
			flush();
		sent = true;
	} else {
		/* Whoever begins to ask for it is told at once: there is never anything to send. */
		if (reg == UART_IER && value & ~uart[UART_IER] & IER_NOTHING_TO_SEND)
			sent = true;
		uart[reg] = value;
	}
	uart_line();
}

static uint8_t uart_read(unsigned reg)
{
	switch (reg) {
	case UART_DATA:
		return 0;
	case UART_IIR:
		if (!line)
			return IIR_NONE;
		sent = false;
		uart_line();
		return IIR_NOTHING_TO_SEND;
	case UART_LSR:
		return LSR_EMPTY_AND_IDLE;
	case UART_MSR:
		return MSR_SOMEBODY_THERE;
	default:
		return uart[reg];
	}
}

static uint8_t *pci_byte(unsigned port)
{
	unsigned reg = (pci_address & 0xfc) + (port - PCI_DATA);

	/* Bus 0, device 0, function 0 is all that there is. */
	return (pci_address & 0x80ffff00) == 0x80000000 ? &pci_config[reg] : NULL;
}

/*
 * A change of a PAM register makes QEMU rebuild memory slots, and a slot that goes makes KVM drop all
 * that it had mapped. That is what guests use the register for.
 */
static void pci_write(unsigned port, uint8_t value)
{
	uint8_t *byte = pci_byte(port);
	unsigned reg = byte ? byte - pci_config : 0;

	if (reg < 0x40 || *byte == value)
		return;
	*byte = value;
	if (reg >= PAM_FIRST && reg <= PAM_LAST) {
		set_pam_slot(false);
		set_pam_slot(true);
	}
}

static void write_port(unsigned port, const uint8_t *data, unsigned size)
{
	if (port == EXIT_PORT)
		end("exit %#x", *data);
	if (port == PCI_ADDRESS && size == 4)
		memcpy(&pci_address, data, 4);
	for (unsigned i = 0; i < size; i++) {
		if (port + i - COM1 < 8)
			uart_write(port + i - COM1, data[i]);
		else if (port + i - PCI_DATA < 4)
			pci_write(port + i, data[i]);
	}
}

static void read_port(unsigned port, uint8_t *data, unsigned size)
{
	memset(data, 0xff, size);
	if (port == PCI_ADDRESS && size == 4)
		memcpy(data, &pci_address, 4);
	for (unsigned i = 0; i < size; i++) {
		if (port + i - COM1 < 8)
			data[i] = uart_read(port + i - COM1);
		else if (port + i - PCI_DATA < 4 && pci_byte(port + i))
			data[i] = *pci_byte(port + i);
	}
}

static void port_access(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			write_port(run->io.port, data, run->io.size);
		else
			read_port(run->io.port, data, run->io.size);
	}
	pthread_mutex_unlock(&lock);
}

/* -- CPUs. --------------------------------------------------------------------------------------- */

static void code_at(int vcpu, uint64_t rip, char *text, size_t size)
{
	struct kvm_translation at = {.linear_address = rip};

	*text = '\0';
	if (ioctl(vcpu, KVM_TRANSLATE, &at) || !at.valid)
		return;
	for (unsigned i = 0; i < 8 && at.physical_address + i < RAM_BYTES; i++)
		snprintf(text + strlen(text), size - strlen(text), "%s%02x", i ? " " : ", code ",
			 ram[at.physical_address + i]);
}

/* The guest is over: KVM could not, or would not, go on. */
static _Noreturn void stopped(unsigned index, const struct kvm_run *run)
{
	struct kvm_regs regs = {};
	char code[64];

	pthread_mutex_lock(&lock);
	ioctl(vcpus[index], KVM_GET_REGS, &regs);
	code_at(vcpus[index], regs.rip, code, sizeof(code));
	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		end("the machine was reset or switched off: a triple fault, most likely");
	case KVM_EXIT_INTERNAL_ERROR:
		end("KVM internal error (%s, suberror %u) at %#llx%s",
		    run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ? "emulation failure"
									   : "not emulation",
		    run->internal.suberror, regs.rip, code);
	case KVM_EXIT_FAIL_ENTRY:
		end("VM entry failed, hardware's reason %#llx, at %#llx",
		    run->fail_entry.hardware_entry_failure_reason, regs.rip);
	case KVM_EXIT_SYSTEM_EVENT:
		end("KVM system event %u at %#llx", run->system_event.type, regs.rip);
	default:
		end("unexpected KVM exit %u at %#llx%s", run->exit_reason, regs.rip, code);
	}
}

/* KVM's CPUID with what tells one CPU from the other. */
static void set_cpuid(unsigned index, unsigned count)
{
	struct kvm_cpuid2 *own = malloc(sizeof(*own) + cpuid->nent * sizeof(own->entries[0]));

	memcpy(own, cpuid, sizeof(*own) + cpuid->nent * sizeof(own->entries[0]));
	for (unsigned i = 0; i < own->nent; i++) {
		struct kvm_cpuid_entry2 *leaf = &own->entries[i];

		switch (leaf->function) {
		case 1:
			leaf->ebx = (leaf->ebx & 0xffff) | count << 16 | index << 24;
			leaf->ecx |= 1u << 31; /* runs under a hypervisor */
			if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
				leaf->ecx |= 1u << 24;
			break;
		case 0xb:
		case 0x1f:
			leaf->edx = index;
			break;
		case 0x80000008:
			leaf->ecx = (leaf->ecx & ~0xffu) | (count - 1);
			break;
		case 0x8000001e:
			leaf->eax = index;
			break;
		case 0x8000001f:
			/* Memory is not encrypted, whatever the CPU could do. */
			leaf->eax = leaf->ebx = leaf->ecx = leaf->edx = 0;
		}
	}
	must("KVM_SET_CPUID2", ioctl(vcpus[index], KVM_SET_CPUID2, own));
	free(own);
}

/* Its arrival is what counts: KVM_RUN comes back. */
static void kicked(int number)
{
	(void)number;
}

static void *run_cpu(void *argument)
{
	unsigned index = (uintptr_t)argument;
	struct kvm_run *run =
		mmap(NULL, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpus[index], 0);

	must("mmap of a CPU", run == MAP_FAILED ? -1 : 0);
	for (;;) {
		/* A CPU that waits for its SIPI comes back with EAGAIN once that has come. */
		if (ioctl(vcpus[index], KVM_RUN, 0) < 0) {
			struct kvm_regs regs = {};
			int error = errno;

			if (error == EAGAIN || (error == EINTR && !cancelled))
				continue;
			ioctl(vcpus[index], KVM_GET_REGS, &regs);
			pthread_mutex_lock(&lock);
			if (error == EINTR)
				end("cancelled, CPU %u at %#llx", index, regs.rip);
			end("KVM_RUN: %s, at %#llx", strerror(error), regs.rip);
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			port_access(run);
			break;
		case KVM_EXIT_MMIO:
			/* Nobody is there: all bits are set. */
			if (!run->mmio.is_write)
				memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
			break;
		default:
			stopped(index, run);
		}
	}
}

/* -- The machine. -------------------------------------------------------------------------------- */

/* The image, with `words` in its argument block. */
static uint8_t *load_image(const char *path, const char *words, size_t *bytes)
{
	int fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
	struct stat status;
	uint8_t *image, *block;

	MUST(fstat(fd, &status));
	*bytes = status.st_size;
	image = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	must("mmap of the image", image == MAP_FAILED ? -1 : 0);
	close(fd);
	block = memmem(image, *bytes, ARGUMENTS_MAGIC, strlen(ARGUMENTS_MAGIC));
	if (block)
		snprintf((char *)block + strlen(ARGUMENTS_MAGIC),
			 ARGUMENTS_BYTES - strlen(ARGUMENTS_MAGIC), "%s", words);
	return image;
}

static void create_memory(void *rom, size_t rom_bytes)
{
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must("mmap of memory", ram == MAP_FAILED ? -1 : 0);
	/* So that a page is cold on its own. */
	madvise(ram, RAM_BYTES, MADV_NOHUGEPAGE);
	set_slot(SLOT_LOW, 0, ram, 0xa0000, 0);
	set_pam_slot(true);
	set_slot(SLOT_HIGH, PAM_END, ram + PAM_END, RAM_BYTES - PAM_END, 0);
	set_slot(SLOT_ROM, FOUR_GIB - rom_bytes, rom, rom_bytes, KVM_MEM_READONLY);
}

/*
 * KVM for AMD begins with a 16-bit TSS in TR, which Bochs refuses to enter long mode with, as Intel's
 * manual demands ("IA-32e Mode Operation: Initializing"). QEMU makes it a 32-bit one, and so do we.
 */
static void set_task_segment(int vcpu)
{
	struct kvm_sregs state;

	must("KVM_GET_SREGS", ioctl(vcpu, KVM_GET_SREGS, &state));
	state.tr.type = 11;
	must("KVM_SET_SREGS", ioctl(vcpu, KVM_SET_SREGS, &state));
}

static void create_cpus(unsigned count)
{
	enum { LEAVES = 256 };

	run_bytes = MUST(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	cpuid = calloc(1, sizeof(*cpuid) + LEAVES * sizeof(cpuid->entries[0]));
	cpuid->nent = LEAVES;
	must("KVM_GET_SUPPORTED_CPUID", ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid));
	for (unsigned i = 0; i < count; i++) {
		vcpus[i] = must("KVM_CREATE_VCPU", ioctl(vm, KVM_CREATE_VCPU, i));
		set_cpuid(i, count);
		set_task_segment(vcpus[i]);
	}
}

_Noreturn void vmm(const char *path, unsigned cpus, const char *words)
{
	uint64_t identity = IDENTITY_PAGE;
	size_t rom_bytes;
	uint8_t *rom = load_image(path, words, &rom_bytes);
	struct sigaction kick = {.sa_handler = kicked};
	pthread_t threads[MAX_CPUS];
	sigset_t signals;
	int number;

	kvm = MUST(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	vm = must("KVM_CREATE_VM", ioctl(kvm, KVM_CREATE_VM, 0));
	must("KVM_SET_IDENTITY_MAP_ADDR", ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity));
	must("KVM_SET_TSS_ADDR", ioctl(vm, KVM_SET_TSS_ADDR, TSS_PAGES));
	must("KVM_CREATE_IRQCHIP", ioctl(vm, KVM_CREATE_IRQCHIP, 0));
	create_memory(rom, rom_bytes);
	if (cpus < 1 || cpus > MAX_CPUS) {
		pthread_mutex_lock(&lock);
		end("%u CPUs: this VMM has 1 to %u", cpus, MAX_CPUS);
	}
	create_cpus(cpus);
	sigaction(SIGUSR1, &kick, NULL);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	for (unsigned i = 0; i < cpus; i++) {
		errno = pthread_create(&threads[i], NULL, run_cpu, (void *)(uintptr_t)i);
		must("pthread_create", errno ? -1 : 0);
	}
	sigwait(&signals, &number);
	/* The first CPU says where it was, and ends the process; again, as it may just not have been in KVM. */
	cancelled = true;
	for (;;) {
		pthread_kill(threads[0], SIGUSR1);
		usleep(10000);
	}
}
