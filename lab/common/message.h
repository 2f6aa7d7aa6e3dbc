/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a host of the lab says to the runner: through port 0xe9, which QEMU and Bochs hand to it as it is. No
 * driver, no interrupt and no tty lies between, so it works as long as this program runs, and the console of the
 * hypervisor under test has COM1 for itself.
 *
 * A message is a byte that begins it, a type, a length (two bytes, little endian) and the text:
 *
 *   P  an answer, or a part of it, to a question that the host was given (kvm/ask.h): before H
 *   H  once, when the host is ready: lines key=value about the hypervisor
 *   D  what the guest wrote to its COM1
 *   S  what QEMU wrote to stderr, Q to its QMP socket, V its exit status, or minus the signal (kvm/qemu.h)
 *   R  why the guest ended
 *   E  once per order, when the guest's machine is gone: lines key=value
 *   A  the order has lost something on its way: once more, please
 */
#ifndef COMMON_MESSAGE_H
#define COMMON_MESSAGE_H

#include <stddef.h>

#define MESSAGE_PORT 0xe9
#define MESSAGE_MAX 4096
/*
 * Emulators write among the messages: BIOSes their greetings, Bochs's debugger an instruction at which a guest
 * has shut down. All that is text.
 */
#define MESSAGE_START 2

/* `length` is at most MESSAGE_MAX. */
void message(char type, const char *text, size_t length);
void messagef(char type, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
