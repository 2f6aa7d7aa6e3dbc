/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest writes to COM1's data register, or four bytes at a time, waits in KVM's ring until something else comes out: an exit
 * for each byte of a report would be most of a run. Not while the guest wants to hear of what was sent.
 */
#ifndef KVM_RING_H
#define KVM_RING_H

#include <stdbool.h>

/* `cpu_pages`: what KVM shares of the first CPU. Where KVM has no such ring, nothing happens, here or later. */
void ring_start(int kvm, int vm, void *cpu_pages);
/* Whether the ring is used. False, with errno, if KVM refuses. */
bool ring_use(bool on);
/* Empties it, and goes on with that of another VM. As ring_use(). machine.lock is held. */
bool ring_move(int kvm, int vm, void *cpu_pages);
/* Takes what is in it to COM1. machine.lock is held. */
void ring_drain(void);

#endif
