/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU in the place of our VMM, started as the runner would start it on a host of its own, with the same descriptors:
 *
 *   exec IMAGE ROM QMP ARGC ARGV… WORDS…
 *
 * is the order. ARGV are the words of the command line, in which a number stands for what the runner would have opened: ROM
 * is the descriptor of the guest's image with WORDS in its argument block, QMP that of a socket. What is said on the
 * socket, and by QEMU on stdout and stderr, goes out as messages Q, D and S, and how it ended as V.
 */
#ifndef KVM_QEMU_H
#define KVM_QEMU_H

/*
 * Carries out the order, in a process of its own, and ends it. `socket` are both ends of QMP's: what is written into
 * socket[1] comes out at QEMU's.
 */
_Noreturn void qemu(const char *order, const int socket[2]);

#endif
