/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's ports: COM1 with its interrupt, one that takes four bytes of COM1's at once, the exit port, those that say
 * "cold" and "yield", and a 440FX host
 * bridge of which only the PAM registers do something. No more than the guests' library touches. What it takes
 * a hypervisor for is in struct board.
 */
#ifndef COMMON_PORTS_H
#define COMMON_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COM1_PORT 0x3f8
#define COM1_PORTS 8
#define YIELD_PORT 0x80
#define COLD_PORT 0x84
#define WORDS_PORT 0x88
#define EXIT_PORT 0xf4
#define PCI_ADDRESS_PORT 0xcf8
#define PCI_DATA_PORT 0xcfc

/* What the VMM around the ports does for them. */
struct board {
	/* An ISA interrupt line goes up or down. */
	void (*set_line)(unsigned irq, bool raised);
	/* The hypervisor shall forget what it has mapped: of one page, or of all. */
	void (*forget_page)(uint64_t number);
	void (*forget_all)(void);
	/* Whether the guest waits for COM1 to send (NULL: it does not matter). */
	void (*com1_is_watched)(bool watched);
	/* The guest is over, as it says. Does not come back. */
	void (*over)(uint8_t value);
};

/* The ports as after reset. `board` is kept. */
void ports_start(const struct board *board);

/* One access of `size` bytes (1, 2 or 4). */
void port_write(unsigned port, const uint8_t *data, unsigned size);
void port_read(unsigned port, uint8_t *data, unsigned size);

/* A byte for COM1's data register. */
void com1_send(uint8_t byte);
/* What the guest wrote to COM1 and did not end with a newline. */
void com1_flush(void);

/* The host bridge's registers (bus 0, device 0, function 0), where the hypervisor decodes 0xcf8 itself. */
void bridge_write(unsigned reg, uint8_t value);
uint8_t bridge_read(unsigned reg);

#endif
