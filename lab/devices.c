/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMM's ports: COM1 with its interrupt, the exit port, and a 440FX host bridge of which only the PAM
 * registers do something. No more than the guests' library touches.
 */
#define _GNU_SOURCE
#include "lab.h"
#include "vmm.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE_BYTES 4096
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
#define YIELD_PORT 0x80
#define YIELD_US 20
#define COLD_PORT 0x84
#define PAM_FIRST 0x59
#define PAM_LAST 0x5f

static char output[1024];
static size_t output_used;
static uint8_t uart[8];
static bool sent, line; /* "nothing to send" waits to be read; IRQ 4 as KVM knows it */

/*
 * What the guest writes to COM1's data register waits in KVM's ring until something else comes out: an exit
 * for each byte of a report would be most of a run. Not while the guest wants to hear of what was sent.
 */
static struct kvm_coalesced_mmio_ring *ring;
static bool coalesced;

static uint32_t pci_address;
/* Intel 440FX: vendor, device, and class "host bridge". */
static uint8_t pci_config[256] = {0x86, 0x80, 0x37, 0x12, [0x0b] = 0x06};

void flush_com1(void)
{
	if (output_used)
		message('D', output, output_used);
	output_used = 0;
}

static void uart_line(void)
{
	bool raised =
		sent && (uart[UART_IER] & IER_NOTHING_TO_SEND) && (uart[UART_MCR] & MCR_LINE_OUT);
	struct kvm_irq_level level = {.irq = COM1_IRQ, .level = raised};

	if (raised != line)
		must("KVM_IRQ_LINE", ioctl(machine.vm, KVM_IRQ_LINE, &level));
	line = raised;
}

static void coalesce(bool on)
{
	struct kvm_coalesced_mmio_zone zone = {.addr = COM1 + UART_DATA, .size = 1, .pio = 1};

	if (!ring || on == coalesced)
		return;
	must("coalesced port",
	     ioctl(machine.vm, on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO,
		   &zone));
	coalesced = on;
}

void start_devices(void *cpu_pages)
{
	int page = ioctl(machine.kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	if (page <= 0 || ioctl(machine.kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) <= 0)
		return;
	ring = (void *)((char *)cpu_pages + page * PAGE_BYTES);
	coalesce(true);
}

static void uart_write(unsigned reg, uint8_t value)
{
	if (reg <= UART_IER && uart[UART_LCR] & LCR_DIVISOR)
		return;
	if (reg == UART_DATA) {
		output[output_used++] = value;
		if (value == '\n' || output_used == sizeof(output))
			flush_com1();
		sent = true;
	} else {
		/* Whoever begins to ask for it is told at once: there is never anything to send. */
		if (reg == UART_IER && value & ~uart[UART_IER] & IER_NOTHING_TO_SEND)
			sent = true;
		uart[reg] = value;
		if (reg == UART_IER)
			coalesce(!value);
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
		renew_pam_slot();
	}
}

static void write_port(unsigned port, const uint8_t *data, unsigned size)
{
	if (port == EXIT_PORT)
		end("exit %#x", *data);
	if (port == PCI_ADDRESS && size == 4)
		memcpy(&pci_address, data, 4);
	if (port == COLD_PORT && size == 4)
		forget_page(*(const uint32_t *)data);
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

void drain_ring(void)
{
	unsigned entries = (PAGE_BYTES - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);

	while (ring && ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
		uart_write(UART_DATA, ring->coalesced_mmio[ring->first].data[0]);
		__atomic_store_n(&ring->first, (ring->first + 1) % entries, __ATOMIC_RELEASE);
	}
}

void port_access(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	/*
	 * The guest waits for another of its CPUs, which has this one's to run on, or for the kernel's workers:
	 * sleep, or those would get their turn only when this thread has used up its real-time share.
	 */
	if (run->io.port == YIELD_PORT) {
		usleep(YIELD_US);
		return;
	}
	pthread_mutex_lock(&machine.lock);
	drain_ring();
	for (unsigned i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			write_port(run->io.port, data, run->io.size);
		else
			read_port(run->io.port, data, run->io.size);
	}
	pthread_mutex_unlock(&machine.lock);
}
