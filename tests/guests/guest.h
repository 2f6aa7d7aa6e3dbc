/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the runner's own test guests stand on: COM1, the three ways to end, and the `points=`
 * argument.  They share nothing with lib/: a defect there must not hide one in the runner.
 */
#ifndef TEST_GUEST_H
#define TEST_GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define QUOTE_(x) #x
#define QUOTE(x) QUOTE_(x)

/* One case, true in CPL0 and CPL3: two points.  The loaded table has one byte per case. */
#define CASE(name)                                            \
	asm(".pushsection .cases, \"aw\"\n"                   \
	    "case_" #name ": .byte 0\n"                       \
	    ".popsection\n"                                   \
	    ".pushsection .trapline.cases, \"\", @progbits\n" \
	    ".long case_" #name ", 0\n"                       \
	    ".asciz \"" #name "\"\n"                          \
	    ".asciz \"CPL3 | CPL0\"\n"                        \
	    ".asciz \"Test rule of " #name "\"\n"             \
	    ".asciz \"\"\n.asciz \"\"\n"                      \
	    ".asciz \"" __FILE__ ":" QUOTE(__LINE__) "\"\n"   \
						     ".popsection")

extern char args_block[4096];

static inline void outb(u16 port, u8 value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void put(u8 c)
{
	while (!(inb(0x3fd) & 0x20))
		;
	outb(0x3f8, c);
}

static inline void puts(const char *s)
{
	while (*s)
		put(*s++);
}

static inline void putd(u32 n)
{
	if (n >= 10)
		putd(n / 10);
	put('0' + n % 10);
}

/* The three ways of docs/contract.md, section 5. */
static inline void finish(u8 status)
{
	while (!(inb(0x3fd) & 0x40)) /* the last byte is on the wire */
		;
	outb(0xf4, status);
	for (const char *s = "Shutdown"; *s; s++)
		outb(0x8900, *s);
	for (;;)
		asm volatile("cli; hlt");
}

/* An empty IDT and a divide error: no handler can be reached. */
static inline void triple_fault(void)
{
	static const struct {
		u16 limit;
		u32 base;
	} __attribute__((packed)) none = {0, 0};

	asm volatile("lidtl %0; ud2" : : "m"(none));
}

/* 115200 baud, 8N1: after reset a real UART sends five bits, and so does Bochs's. */
static inline void serial_init(void)
{
	outb(0x3fb, 0x80);
	outb(0x3f8, 1);
	outb(0x3f9, 0);
	outb(0x3fb, 3);
}

#define MAX_POINTS 64
static u8 selected[MAX_POINTS]; /* points to run, in order */
static u32 count;		/* how many there are */

/* Prepares COM1 and understands "points=0-3,7"; without it, all `total` points. */
static inline void begin(u32 total)
{
	const char *s = args_block + 16;

	serial_init();

	for (; *s; s++)
		if (s[0] == 'p' && s[1] == 'o' && s[6] == '=')
			break;
	count = 0;
	if (!*s) {
		while (count < total) {
			selected[count] = count;
			count++;
		}
		return;
	}
	s += 7;
	while (*s >= '0' && *s <= '9') {
		u32 first = 0, last;

		while (*s >= '0' && *s <= '9')
			first = first * 10 + *s++ - '0';
		last = first;
		if (*s == '-') {
			s++;
			last = 0;
			while (*s >= '0' && *s <= '9')
				last = last * 10 + *s++ - '0';
		}
		while (first <= last)
			selected[count++] = first++;
		if (*s == ',')
			s++;
	}
}

/* Bochs drops what its UART has not sent when the machine ends: send it before going on. */
static inline void flush(void)
{
	while (!(inb(0x3fd) & 0x40))
		;
}

static inline void plan(void)
{
	puts("KTAP version 1\n1..");
	putd(count);
	put('\n');
	flush();
}

static inline void result(int ok, u32 number, const char *id)
{
	puts(ok ? "ok " : "not ok ");
	putd(number);
	put(' ');
	puts(id);
	put('\n');
	flush();
}

#endif
