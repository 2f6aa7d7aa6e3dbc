/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "vmm.h"

#include "../common/image.h"
#include "../common/order.h"
#include "board.h"
#include "churn.h"
#include "debugger.h"
#include "machine.h"
#include "memory.h"
#include "sev.h"
#include "snp.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile bool cancelled;

/* -- CPUs. ------------------------------------------------------------------------------------- */

static void code_at(int vcpu, uint64_t rip, char *text, size_t size)
{
	struct kvm_translation at = {.linear_address = rip};

	*text = '\0';
	if (ioctl(vcpu, KVM_TRANSLATE, &at) || !at.valid)
		return;
	for (unsigned i = 0; i < 8 && at.physical_address + i < RAM_BYTES; i++)
		snprintf(text + strlen(text), size - strlen(text), "%s%02x", i ? " " : ", code ",
			 machine.ram[at.physical_address + i]);
}

/* ", at RIP, code …" of a CPU, as far as KVM knows; "" of one whose registers are sealed. */
static void place_of(unsigned index, char *text, size_t size)
{
	int length;
	struct kvm_regs regs;

	*text = '\0';
	if (sev_registers() || ioctl(machine.vcpus[index], KVM_GET_REGS, &regs))
		return;
	length = snprintf(text, size, ", at %#llx", regs.rip);
	if (!sev_memory())
		code_at(machine.vcpus[index], regs.rip, text + length, size - length);
}

/* A SEV-ES guest has asked for its end, by the GHCB's MSR (GHCB specification, "Termination Request"). */
static _Noreturn void guest_terminated(const struct kvm_run *run)
{
	uint64_t msr = run->system_event.ndata ? run->system_event.data[0] : 0;

	end("the guest asked for its end: reason set %#x, reason %#x", (unsigned)(msr >> 12 & 0xf),
	    (unsigned)(msr >> 16 & 0xff));
}

/* The guest is over: KVM could not, or would not, go on. */
static _Noreturn void stopped(unsigned index, const struct kvm_run *run)
{
	char place[96];

	pthread_mutex_lock(&machine.lock);
	place_of(index, place, sizeof(place));
	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		end("the machine was reset or switched off: a triple fault, most likely");
	case KVM_EXIT_INTERNAL_ERROR:
		end("KVM internal error (%s, suberror %u)%s",
		    run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ? "emulation failure"
									   : "not emulation",
		    run->internal.suberror, place);
	case KVM_EXIT_FAIL_ENTRY:
		end("VM entry failed, hardware's reason %#llx%s",
		    run->fail_entry.hardware_entry_failure_reason, place);
	case KVM_EXIT_SYSTEM_EVENT:
		if (run->system_event.type == KVM_SYSTEM_EVENT_SEV_TERM)
			guest_terminated(run);
		end("KVM system event %u%s", run->system_event.type, place);
	default:
		end("unexpected KVM exit %u%s", run->exit_reason, place);
	}
}

/* Its arrival is what counts: KVM_RUN comes back. */
static void kicked(int number)
{
	(void)number;
}

/* The CPU is a new one, in a new VM. */
static struct kvm_run *go_on_with_another(unsigned index, struct kvm_run *run)
{
	struct kvm_run *other = vm_map_run(index);

	board_moved(other);
	vm_unmap(run);
	return other;
}

static void *run_cpu(void *argument)
{
	unsigned index = (uintptr_t)argument;
	struct kvm_run *run = vm_map_run(index);

	if (!index)
		board_start(run);
	for (;;) {
		/* A CPU that waits for its SIPI comes back with EAGAIN once that has come. */
		if (ioctl(machine.vcpus[index], KVM_RUN, 0) < 0) {
			int error = errno;
			char place[96];

			if (error == EFAULT && snp_exit(run))
				continue;
			if (error == EAGAIN || (error == EINTR && !cancelled)) {
				if (error == EINTR && churn(index))
					run = go_on_with_another(index, run);
				continue;
			}
			pthread_mutex_lock(&machine.lock);
			place_of(index, place, sizeof(place));
			if (error == EINTR)
				end("cancelled, CPU %u%s", index, place);
			end("KVM_RUN: %s%s", strerror(error), place);
		}
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			board_access(run);
			break;
		case KVM_EXIT_MMIO:
			/* Nobody is there: all bits are set. */
			if (!run->mmio.is_write)
				memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
			break;
		case KVM_EXIT_DEBUG:
			debugger_exit(run);
			break;
		default:
			if (!snp_exit(run))
				stopped(index, run);
		}
	}
}

/* -- The machine. ------------------------------------------------------------------------------ */

/* The image, with `words` in its argument block. */
static uint8_t *load_image(const char *path, const char *words, size_t *bytes)
{
	int fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
	struct stat status;
	uint8_t *image;

	MUST(fstat(fd, &status));
	*bytes = status.st_size;
	image = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	must("mmap of the image", image == MAP_FAILED ? -1 : 0);
	close(fd);
	image_set_words(image, *bytes, words);
	return image;
}

static void obey_options(const char *options)
{
	const char *places = strstr(options, "step=");

	churn_start(options);
	if (places)
		debugger_start(places + strlen("step="));
}

/* Until SIGTERM comes. */
static void kick_all(const sigset_t *term, const pthread_t *threads)
{
	const struct timespec millisecond = {.tv_nsec = 1000000};

	while (sigtimedwait(term, NULL, &millisecond) < 0)
		for (unsigned i = 0; i < machine.cpus; i++)
			pthread_kill(threads[i], SIGUSR1);
}

/*
 * A CPU that yields goes behind all others, and each runs until it waits or its slice is over (init.c has made
 * that short). The fair scheduler would let those that wait take turns with each other instead, since they have
 * used so little. This thread's children inherit it, or the first CPU would not let the next be created.
 */
static void take_turns(void)
{
	const struct sched_param parameter = {.sched_priority = 1};

	MUST(sched_setscheduler(0, SCHED_RR, &parameter));
}

_Noreturn void vmm(const char *path, unsigned cpus, const char *options, const char *words)
{
	size_t rom_bytes;
	uint8_t *rom = load_image(path, words, &rom_bytes);
	struct sigaction kick = {.sa_handler = kicked};
	pthread_t threads[MAX_CPUS];
	sigset_t signals;
	int number;

	machine.kvm = MUST(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	sev_choose(options);
	vm_create();
	create_memory(rom, rom_bytes);
	if (cpus < 1 || cpus > MAX_CPUS) {
		pthread_mutex_lock(&machine.lock);
		end("%u CPUs: this VMM has 1 to %u", cpus, MAX_CPUS);
	}
	machine.cpus = cpus;
	vm_create_cpus(cpus);
	if (sev_integrity())
		snp_launch(rom, rom_bytes, vm_cpuid_of_first());
	else if (sev_memory())
		sev_launch(rom, rom_bytes);
	obey_options(options);
	sigaction(SIGUSR1, &kick, NULL);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (cpus > 1 && has_option(options, "turns"))
		take_turns();
	for (unsigned i = 0; i < cpus; i++) {
		errno = pthread_create(&threads[i], NULL, run_cpu, (void *)(uintptr_t)i);
		must("pthread_create", errno ? -1 : 0);
	}
	if (churn_wanted())
		kick_all(&signals, threads);
	else
		sigwait(&signals, &number);
	/* The first CPU says where it was, and ends the process; again, as it may just not have been in KVM. */
	cancelled = true;
	for (;;) {
		pthread_kill(threads[0], SIGUSR1);
		usleep(10000);
	}
}
