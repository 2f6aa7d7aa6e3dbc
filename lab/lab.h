/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What runs on a lab kernel: init.c takes orders from the runner on COM1 and forks a small VMM (vmm.c)
 * for each guest. Both talk to the runner through port 0xe9, which QEMU and Bochs hand to it as it is:
 * no driver, no interrupt and no tty lies between, so it works as long as this program runs, and the
 * host kernel's own messages have COM1 for themselves.
 *
 * A message is a byte that begins it, a type, a length (two bytes, little endian) and the text:
 *
 *   H  once, when the host is ready: lines key=value about kernel and modules
 *   D  what the guest wrote to its COM1
 *   R  why the guest ended
 *   E  once per order, when the VMM is gone: lines key=value
 *   A  the order has lost something on its way: once more, please
 */
#ifndef LAB_H
#define LAB_H

#include <stddef.h>

#define MESSAGE_PORT 0xe9
#define MESSAGE_MAX 4096
/*
 * Emulators write among the messages: BIOSes their greetings, Bochs's debugger an instruction at which a guest
 * has shut down. All that is text.
 */
#define MESSAGE_START 2

void message(char type, const char *text, size_t length);
void messagef(char type, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Runs the image until the guest ends, says why (R) and ends the process. `options` as in init.c. */
_Noreturn void vmm(const char *image, unsigned cpus, const char *options, const char *words);

#endif
