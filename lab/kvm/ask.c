/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE
#include "ask.h"

#include "../common/message.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_BYTES 1024
#define MOST_WORDS 32
#define SECONDS 60 /* for a program, in an emulator */

/* One part of the answer to `question`. */
static void answer(const char *question, const char *text, size_t length)
{
	char part[MESSAGE_MAX];
	int head = snprintf(part, sizeof(part), "%s\n", question);

	if (length > sizeof(part) - head)
		length = sizeof(part) - head;
	memcpy(part + head, text, length);
	message('P', part, head + length);
}

static void answer_errno(const char *question)
{
	const char *why = strerror(errno);

	answer(question, why, strlen(why));
}

/* All that can be read from fd, which is closed. */
static void answer_with(const char *question, int fd)
{
	char text[MESSAGE_MAX - LINE_BYTES];
	ssize_t count;

	while ((count = read(fd, text, sizeof(text))) > 0)
		answer(question, text, count);
	close(fd);
}

static _Noreturn void program(char **argv, const char *input, int out)
{
	sigset_t none;
	int in = open(input, O_RDONLY);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	alarm(SECONDS);
	execvp(argv[0], argv);
	printf("%s: %s\n", argv[0], strerror(errno));
	fflush(stdout);
	_exit(127);
}

static void run(const char *question, char *words)
{
	char *argv[MOST_WORDS + 1] = {NULL}, *input = strtok(words, " ");
	int count = 0, status, ends[2];
	pid_t child;

	while (count < MOST_WORDS && (argv[count] = strtok(NULL, " ")))
		count++;
	if (!count || pipe2(ends, O_CLOEXEC) || (child = fork()) < 0) {
		answer_errno(question);
		return;
	}
	if (!child)
		program(argv, input, ends[1]);
	close(ends[1]);
	answer_with(question, ends[0]);
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status)) {
		char text[64];

		answer(question, text,
		       snprintf(text, sizeof(text), "killed by signal %d\n", WTERMSIG(status)));
	}
}

static void obey(const char *question)
{
	char words[LINE_BYTES], *rest;
	int fd;

	snprintf(words, sizeof(words), "%s", question);
	rest = strchr(words, ' ');
	if (!rest)
		return;
	*rest++ = '\0';
	answer(question, "", 0);
	if (!strcmp(words, "run")) {
		run(question, rest);
		return;
	}
	fd = open(rest, (!strcmp(words, "open") ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0 && !strcmp(words, "open"))
		answer_errno(question);
	else if (fd >= 0 && !strcmp(words, "file"))
		answer_with(question, fd);
	else if (fd >= 0)
		close(fd);
}

void answer_all(void)
{
	char line[LINE_BYTES];
	FILE *list = fopen("/lab/ask", "re");

	while (list && fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
	}
	if (list)
		fclose(list);
}
