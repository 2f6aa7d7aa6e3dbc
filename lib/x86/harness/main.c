/* SPDX-License-Identifier: BSD-2-Clause */
/* Where boot/start.S hands over. */
#include "cold.h"
#include "points.h"
#include "state.h"
#include "x86/boot/args.h"
#include "x86/cpu/percpu.h"
#include "x86/devices/console.h"
#include "x86/devices/smp.h"
#include "x86/record/recorder.h"
#include "x86/sev/sev.h"
#include "x86/sev/vc/vc.h"

#include "report.h"

static const struct report_machine machine = {console_write, machine_end};

void guest_main(unsigned long start_info) __attribute__((noreturn));

void guest_main(unsigned long start_info)
{
	/* First: under SEV-ES nothing can be printed without it. */
	sev_begin();
	vc_begin();
	recorder_begin();
	snippet_around(cold_before_run, cold_after_run);
	percpu_init(0);
	console_init();
	report_open(&machine);
	args_parse(start_info);
	console_set_way(args.console);
	if (args.cpus)
		cpus_set(args.cpus);
	state_learn();
	points_run();
}
