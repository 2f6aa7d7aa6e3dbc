/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "qemu.h"

#include "../common/image.h"
#include "../common/message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_WORDS 128
/* Ours are above all that the runner may name. */
#define OUR_FIRST_FD 512

static _Noreturn void end(const char *what)
{
	messagef('R', "%s: %s", what, strerror(errno));
	_exit(1);
}

static int must(const char *what, int result)
{
	if (result < 0)
		end(what);
	return result;
}

/* The same file under a number that nobody names. */
static int out_of_the_way(int fd)
{
	int other = must("F_DUPFD", fcntl(fd, F_DUPFD_CLOEXEC, OUR_FIRST_FD));

	close(fd);
	return other;
}

/* A file in memory: the image, with `words` in its argument block. */
static int rom_of(const char *path, const char *words)
{
	int from = must(path, open(path, O_RDONLY | O_CLOEXEC));
	int to = must("memfd_create", memfd_create("trapline-rom", MFD_CLOEXEC));
	struct stat status;
	uint8_t *image;

	must(path, fstat(from, &status));
	must("ftruncate", ftruncate(to, status.st_size));
	image = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, to, 0);
	if (image == MAP_FAILED)
		end("mmap of the image");
	if (read(from, image, status.st_size) != status.st_size)
		end(path);
	image_set_words(image, status.st_size, words);
	munmap(image, status.st_size);
	close(from);
	return out_of_the_way(to);
}

static _Noreturn void child(char **argv, const int from[5], const int to[5])
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (unsigned i = 0; i < 5; i++)
		dup2(from[i], to[i]);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* What can be read, as a message; false at its end. */
static bool pass_on(int fd, char type)
{
	char text[MESSAGE_MAX];
	ssize_t count = read(fd, text, sizeof(text));

	if (count > 0)
		message(type, text, count);
	return count > 0;
}

static void report_end(int status)
{
	if (WIFSIGNALED(status))
		messagef('V', "-%d", WTERMSIG(status));
	else
		messagef('V', "%d", WEXITSTATUS(status));
}

/* Until QEMU is gone, and all that it has said. */
static void relay(pid_t child, int out, int errors, int qmp, int signals)
{
	static const char types[] = "DSQ";
	struct pollfd wait[] = {{out, POLLIN, 0},
				{errors, POLLIN, 0},
				{qmp, POLLIN, 0},
				{signals, POLLIN, 0}};
	bool gone = false;
	int status = 0;

	while (!gone || wait[0].fd >= 0 || wait[1].fd >= 0) {
		poll(wait, 4, -1);
		for (unsigned i = 0; i < 3; i++)
			if (wait[i].fd >= 0 && wait[i].revents && !pass_on(wait[i].fd, types[i]))
				wait[i].fd = -1;
		if (wait[3].revents) {
			struct signalfd_siginfo info;

			if (read(signals, &info, sizeof(info)) > 0 && info.ssi_signo == SIGTERM)
				kill(child, SIGKILL);
			gone = gone || waitpid(child, &status, WNOHANG) == child;
		}
	}
	report_end(status);
}

/* The next word of *text, which moves behind it. */
static char *next(char **text)
{
	char *word = strsep(text, " ");

	if (!word) {
		errno = EINVAL;
		end("order");
	}
	return word;
}

_Noreturn void qemu(const char *order, const int socket[2])
{
	char *text = strdup(order), path[300], *argv[MOST_WORDS + 1] = {NULL};
	int ends[4], from[5], to[5], signals, words;
	sigset_t both;
	pid_t process;

	next(&text);
	snprintf(path, sizeof(path), "/images/%s", next(&text));
	to[3] = atoi(next(&text));
	to[4] = atoi(next(&text));
	words = atoi(next(&text));
	for (int i = 0; i < words && i < MOST_WORDS; i++)
		argv[i] = next(&text);
	from[0] = out_of_the_way(must("/dev/null", open("/dev/null", O_RDONLY | O_CLOEXEC)));
	must("pipe", pipe2(ends, O_CLOEXEC));
	must("pipe", pipe2(ends + 2, O_CLOEXEC));
	for (unsigned i = 0; i < 4; i++)
		ends[i] = out_of_the_way(ends[i]);
	from[1] = ends[1];
	from[2] = ends[3];
	from[3] = rom_of(path, text ? text : "");
	from[4] = out_of_the_way(socket[0]);
	for (unsigned i = 0; i < 3; i++)
		to[i] = i;
	sigemptyset(&both);
	sigaddset(&both, SIGCHLD);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, NULL);
	signals = must("signalfd", signalfd(-1, &both, SFD_CLOEXEC));
	process = must("fork", fork());
	if (!process)
		child(argv, from, to);
	for (unsigned i = 1; i < 5; i++)
		close(from[i]);
	/* The guest's output waits for a pause rather than interrupt it for each byte. */
	setpriority(PRIO_PROCESS, 0, 19);
	relay(process, ends[0], ends[2], socket[1], signals);
	_exit(0);
}
