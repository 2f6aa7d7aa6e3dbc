/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of GUIDs at the end of a ROM (lib/x86/boot/rom.S), as QEMU reads it: backwards from its
 * footer. QEMU, hw/i386/pc_sysfw_ovmf.c.
 */
#ifndef MODEL_ROM_TABLE_H
#define MODEL_ROM_TABLE_H

#include <stdint.h>

/* Data of 32 bits that the entry with this name has; 0 where there is none. */
uint32_t rom_table_word(const uint8_t *rom, uint64_t bytes, const uint8_t guid[16]);

#endif
