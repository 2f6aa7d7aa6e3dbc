/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The least that a guest can do: end the machine with the first two instructions after reset. make
 * bench measures the other images against it. One flat 64 KiB image with the reset vector in its
 * last 16 bytes; the ways to end are those of docs/contract.md, section 5.
 */
	.code16
start:
	.org	0xff00
message:
	.ascii	"Shutdown"
message_end:
bochs:	/* the machine has no isa-debug-exit */
	movw	$0x8900, %dx
	movw	$(message - start), %si
	movw	$(message_end - message), %cx
	cld
	rep outsb %cs:(%si), %dx
stop:	cli
	hlt
	jmp	stop

	.org	0xfff0
reset:
	movb	$0x10, %al
	outb	%al, $0xf4
	jmp	bochs
	.org	0x10000
