/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's memory: RAM in 4 KiB pages, so that a page is cold on its own, and the image below 4 GiB. */
#ifndef KVM_MEMORY_H
#define KVM_MEMORY_H

#include <stdint.h>

void create_memory(void *rom, uint64_t rom_bytes);
/* Makes KVM forget one page. */
void forget_page(uint64_t number);
/* Makes KVM forget what it has mapped of 0xc0000 to 0xfffff, and with that of all memory. */
void renew_pam_slot(void);
/* The same for each slot, one after the other. No CPU may run. */
void renew_all_slots(void);

/* Gives machine.vm all slots, where it is another VM than they were made for. */
void apply_all_slots(void);

#endif
