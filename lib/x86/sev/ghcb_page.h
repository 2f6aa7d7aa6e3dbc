/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The GHCB page: layout, and fields with their valid bits.
 *
 * The page is shared with the hypervisor, which may change it at any moment.
 * Hence the volatile pointers, and hence ghcb_answer.h: an answer is copied out
 * of the page once, and what was checked is what is used.
 *
 * Source: GHCB specification rev. 2.04, section 2.6 with Table 3, and section 4.1.
 */
#ifndef LIB_X86_GHCB_PAGE_H
#define LIB_X86_GHCB_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GHCB_SHARED_BUFFER 0x800 /* offset in the page */
#define GHCB_SHARED_BUFFER_SIZE 0x7f0
#define GHCB_USAGE_STANDARD 0
#define GHCB_USAGE_HYPERVISOR 0x80000000 /* and above: its own meaning */

struct ghcb_page {
	uint8_t reserved_000[0x0cb];
	uint8_t cpl;
	uint8_t reserved_0cc[0x140 - 0x0cc];
	uint64_t xss; /* since version 2 */
	uint8_t reserved_148[0x160 - 0x148];
	uint64_t dr7;
	uint8_t reserved_168[0x1f8 - 0x168];
	uint64_t rax;
	uint8_t reserved_200[0x308 - 0x200];
	uint64_t rcx;
	uint64_t rdx;
	uint64_t rbx;
	uint8_t reserved_320[0x328 - 0x320];
	uint64_t rbp;
	uint64_t rsi;
	uint64_t rdi;
	uint64_t r8_r15[8];
	uint8_t reserved_380[0x390 - 0x380];
	uint64_t exit_code;   /* SW_EXITCODE */
	uint64_t exit_info_1; /* SW_EXITINFO1 */
	uint64_t exit_info_2; /* SW_EXITINFO2 */
	uint64_t scratch;     /* SW_SCRATCH */
	uint8_t reserved_3b0[0x3e8 - 0x3b0];
	uint64_t xcr0;
	uint8_t valid_bitmap[16];
	uint64_t x87_state_gpa;
	uint8_t reserved_408[GHCB_SHARED_BUFFER - 0x408];
	uint8_t shared_buffer[GHCB_SHARED_BUFFER_SIZE];
	uint8_t reserved_ff0[0xffa - 0xff0];
	uint16_t version; /* that the guest uses in this call */
	uint32_t usage;
} __attribute__((aligned(8)));

_Static_assert(sizeof(struct ghcb_page) == 4096, "GHCB size");
_Static_assert(offsetof(struct ghcb_page, cpl) == 0x0cb, "CPL");
_Static_assert(offsetof(struct ghcb_page, xss) == 0x140, "XSS");
_Static_assert(offsetof(struct ghcb_page, dr7) == 0x160, "DR7");
_Static_assert(offsetof(struct ghcb_page, rax) == 0x1f8, "RAX");
_Static_assert(offsetof(struct ghcb_page, rcx) == 0x308, "RCX");
_Static_assert(offsetof(struct ghcb_page, rdx) == 0x310, "RDX");
_Static_assert(offsetof(struct ghcb_page, rbx) == 0x318, "RBX");
_Static_assert(offsetof(struct ghcb_page, rbp) == 0x328, "RBP");
_Static_assert(offsetof(struct ghcb_page, rsi) == 0x330, "RSI");
_Static_assert(offsetof(struct ghcb_page, rdi) == 0x338, "RDI");
_Static_assert(offsetof(struct ghcb_page, r8_r15) == 0x340, "R8");
_Static_assert(offsetof(struct ghcb_page, r8_r15[7]) == 0x378, "R15");
_Static_assert(offsetof(struct ghcb_page, exit_code) == 0x390, "SW_EXITCODE");
_Static_assert(offsetof(struct ghcb_page, exit_info_1) == 0x398, "SW_EXITINFO1");
_Static_assert(offsetof(struct ghcb_page, exit_info_2) == 0x3a0, "SW_EXITINFO2");
_Static_assert(offsetof(struct ghcb_page, scratch) == 0x3a8, "SW_SCRATCH");
_Static_assert(offsetof(struct ghcb_page, xcr0) == 0x3e8, "XCR0");
_Static_assert(offsetof(struct ghcb_page, valid_bitmap) == 0x3f0, "VALID_BITMAP");
_Static_assert(offsetof(struct ghcb_page, x87_state_gpa) == 0x400, "X87_STATE_GPA");
_Static_assert(offsetof(struct ghcb_page, shared_buffer) == 0x800, "shared buffer");
_Static_assert(offsetof(struct ghcb_page, version) == 0xffa, "version");
_Static_assert(offsetof(struct ghcb_page, usage) == 0xffc, "usage");

/* The fields that have a valid bit. */
enum ghcb_field {
	GHCB_CPL,
	GHCB_XSS,
	GHCB_DR7,
	GHCB_RAX,
	GHCB_RCX,
	GHCB_RDX,
	GHCB_RBX,
	GHCB_RBP,
	GHCB_RSI,
	GHCB_RDI,
	GHCB_R8, /* .. R15 = GHCB_R8 + 7 */
	GHCB_EXIT_CODE = GHCB_R8 + 8,
	GHCB_EXIT_INFO_1,
	GHCB_EXIT_INFO_2,
	GHCB_SCRATCH,
	GHCB_XCR0,
	GHCB_FIELDS
};

/* A set of fields is a mask of these. */
#define GHCB_BIT(field) (1u << (field))

/**
 * ghcb_field_offset - where a field lies in the page, in bytes
 * @field: enum ghcb_field; 0 for anything else
 */
unsigned int ghcb_field_offset(unsigned int field);

/**
 * ghcb_field_name - a field's name as in the specification, for messages
 * @field: enum ghcb_field; "?" for anything else
 */
const char *ghcb_field_name(unsigned int field);

/**
 * ghcb_clear - forget all fields: zero the save area and its valid bits
 * @page: the GHCB; shared buffer, version and usage stay
 */
void ghcb_clear(volatile struct ghcb_page *page);

/**
 * ghcb_set - give a field a value and mark it valid
 * @page:  the GHCB
 * @field: enum ghcb_field
 * @value: of GHCB_CPL only the low byte counts
 */
void ghcb_set(volatile struct ghcb_page *page, unsigned int field, uint64_t value);

/**
 * ghcb_get - value of a field, valid or not
 * @page:  the GHCB
 * @field: enum ghcb_field
 */
uint64_t ghcb_get(const volatile struct ghcb_page *page, unsigned int field);

/**
 * ghcb_set_valid - mark a field valid or not, without touching its value
 * @page:  the GHCB
 * @field: enum ghcb_field
 * @valid: what the bit becomes
 */
void ghcb_set_valid(volatile struct ghcb_page *page, unsigned int field, bool valid);

/**
 * ghcb_valid_fields - which fields are marked valid
 * @page: the GHCB
 *
 * Returns a mask of GHCB_BIT(); bits of no field are not shown.
 */
uint32_t ghcb_valid_fields(const volatile struct ghcb_page *page);

/**
 * ghcb_scratch_fits - whether a scratch area obeys protocol version 2
 * @page_gpa: guest-physical address of the GHCB, page-aligned
 * @scratch:  SW_SCRATCH, a guest-physical address
 * @bytes:    length of the area
 *
 * It has to lie in the shared buffer of this GHCB as a whole. Version 1 allows
 * any shared memory; a guest that keeps to this rule is right in both.
 */
bool ghcb_scratch_fits(uint64_t page_gpa, uint64_t scratch, uint64_t bytes);

/**
 * ghcb_string_chunk - elements of a string I/O instruction that one call moves
 * @count: elements wanted
 * @size:  bytes per element: 1, 2 or 4
 *
 * Returns the smaller of @count and what the shared buffer holds; 0 for a bad
 * @size.
 */
uint64_t ghcb_string_chunk(uint64_t count, unsigned int size);

#endif
