/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Four cases with a known verdict each, in two environments: pass, fail, skip and allowed.
 *
 * This page of prose is what --explain shows.
 */
#include "guest.h"

CASE(passes);
CASE(fails);
CASE(skips);
CASE(allows);

void guest_main(void)
{
	static const char *const ids[] = {
		"good/passes:cpl0", "good/passes:cpl3", "good/fails:cpl0",  "good/fails:cpl3",
		"good/skips:cpl0",  "good/skips:cpl3",	"good/allows:cpl0", "good/allows:cpl3",
	};
	u32 pass = 0, fail = 0, skip = 0;

	begin(8);
	plan();
	puts("# guest good, boot rom\n");
	for (u32 i = 0; i < count; i++) {
		switch (selected[i] / 2) {
		case 0:
			puts("# trace #BP@after\n");
			result(1, i + 1, ids[selected[i]]);
			pass++;
			break;
		case 1:
			puts("# expected #BP@after\n# observed #UD@insn\n");
			puts("# note the answer is 42\n");
			result(0, i + 1, ids[selected[i]]);
			fail++;
			break;
		case 2:
			puts("ok ");
			putd(i + 1);
			put(' ');
			puts(ids[selected[i]]);
			puts(" # SKIP needs 2 CPUs, has 1\n");
			skip++;
			break;
		case 3:
			puts("# allowed #DB[BS]@1 -- SDM 3A, Masking Exceptions\n");
			puts("# allowed #DB[BS]@2 -- APM 2, Interrupt Shadows\n");
			puts("# observed #DB[BS]@2\n");
			puts("# value latency 1234 cycles\n");
			result(1, i + 1, ids[selected[i]]);
			pass++;
			break;
		}
	}
	puts("# Totals: pass:");
	putd(pass);
	puts(" fail:");
	putd(fail);
	puts(" skip:");
	putd(skip);
	put('\n');
	finish(fail ? 0x11 : 0x10);
}
