/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first and only process of a lab kernel. Loads KVM as /lab/modules says, then obeys the orders of
 * ../common/order.h on COM1, forking a small VMM (vmm.c) for each guest, and four more:
 *
 *   exec …                          the same by QEMU (qemu.h)
 *   say TEXT                        a line for that QEMU's QMP
 *   log TEXT                        write into the kernel's log, as a warning of the kernel's would be
 *   sysrq C                         what the magic SysRq key does with C
 */
#define _GNU_SOURCE
#include "../common/message.h"
#include "../common/order.h"
#include "ask.h"
#include "qemu.h"
#include "vmm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t count = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[count < 0 ? 0 : count] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return count >= 0;
}

static _Noreturn void off(void)
{
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* Lines of /lab/modules: FILE PARAMETERS… A failure is told and leaves a host without KVM. */
static void load_modules(char *report, size_t size)
{
	char line[1024];
	FILE *list = fopen("/lab/modules", "re");

	while (list && fgets(line, sizeof(line), list)) {
		char *parameters;
		int fd;

		line[strcspn(line, "\n")] = '\0';
		parameters = line + strcspn(line, " ");
		if (*parameters)
			*parameters++ = '\0';
		fd = open(line, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0) < 0)
			snprintf(report + strlen(report), size - strlen(report), "error=%s: %s\n",
				 line, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	if (list)
		fclose(list);
}

static void report_parameters(const char *module, char *report, size_t size)
{
	char folder[128], path[512], value[128];
	struct dirent *entry;
	DIR *directory;

	snprintf(folder, sizeof(folder), "/sys/module/%s/parameters", module);
	directory = opendir(folder);
	while (directory && (entry = readdir(directory))) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.' && read_text(path, value, sizeof(value)))
			snprintf(report + strlen(report), size - strlen(report), "param=%s.%s=%s\n",
				 module, entry->d_name, value);
	}
	if (directory)
		closedir(directory);
}

static void report_cpu(char *report, size_t size)
{
	char line[512];
	FILE *file = fopen("/proc/cpuinfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
			snprintf(report + strlen(report), size - strlen(report), "cpu=%s",
				 strchr(line, ':') + 2);
			break;
		}
	if (file)
		fclose(file);
}

static void hello(char *report, size_t size)
{
	struct utsname name;
	char taint[32];

	uname(&name);
	read_text("/proc/sys/kernel/tainted", taint, sizeof(taint));
	snprintf(report + strlen(report), size - strlen(report), "tainted=%s\n", taint);
	snprintf(report + strlen(report), size - strlen(report), "kernel=%s %s\n", name.release,
		 name.version);
	report_cpu(report, size);
	if (access("/dev/kvm", R_OK | W_OK))
		snprintf(report + strlen(report), size - strlen(report), "error=/dev/kvm: %s\n",
			 strerror(errno));
	report_parameters("kvm", report, size);
	report_parameters("kvm_amd", report, size);
	report_parameters("kvm_intel", report, size);
	message('H', report, strlen(report));
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		messagef('R', "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * A WARN_ON_ONCE that one guest has used up must not be missing for the next: which guests share a host is chance. The file
 * needs CONFIG_DEBUG_FS, which Debian's kernels have.
 */
static void warn_once_more(void)
{
	if (!access("/sys/kernel/debug/clear_warn_once", W_OK))
		write_text("/sys/kernel/debug/clear_warn_once", "1");
}

static pid_t start(const char *line)
{
	struct run_order order;
	char path[300];
	pid_t child;

	if (!order_to_run(line, &order)) {
		messagef('R', "order not understood: '%.100s'", line);
		return 0;
	}
	warn_once_more();
	snprintf(path, sizeof(path), "/images/%s", order.image);
	child = fork();
	if (child < 0) {
		messagef('R', "fork: %s", strerror(errno));
		return 0;
	}
	if (!child) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		vmm(path, order.cpus, order.options, order.words);
	}
	return child;
}

/* QEMU's QMP, of which the other end is QEMU's; -1 where none runs. */
static int qmp = -1;

static pid_t start_qemu(const char *line)
{
	int ends[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
		messagef('R', "socketpair: %s", strerror(errno));
		return 0;
	}
	warn_once_more();
	child = fork();
	if (!child)
		qemu(line, ends);
	close(ends[0]);
	qmp = ends[1];
	if (child < 0)
		messagef('R', "fork: %s", strerror(errno));
	return child < 0 ? 0 : child;
}

static void say(char *line)
{
	line[strlen(line)] = '\n';
	if (qmp >= 0 && write(qmp, line, strlen(line)) < 0)
		messagef('R', "QMP: %s", strerror(errno));
}

static void ended(int status)
{
	char taint[32];

	read_text("/proc/sys/kernel/tainted", taint, sizeof(taint));
	if (qmp >= 0)
		close(qmp);
	qmp = -1;
	if (WIFSIGNALED(status))
		messagef('R', "the VMM was killed by signal %d", WTERMSIG(status));
	messagef('E', "tainted=%s\n", taint);
}

static int console(void)
{
	struct termios mode;
	int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &mode))
		return -1;
	cfmakeraw(&mode);
	cfsetspeed(&mode, B115200);
	mode.c_cflag |= CLOCAL | CREAD;
	tcsetattr(fd, TCSANOW, &mode);
	return fd;
}

static void obey(char *order, pid_t *child)
{
	if (!strcmp(order, "off")) {
		off();
	} else if (!strcmp(order, "cancel")) {
		if (*child)
			kill(*child, SIGTERM);
	} else if (!strncmp(order, "say ", 4)) {
		say(order + 4);
	} else if (!strncmp(order, "log ", 4)) {
		/* Without a line's end, the console would wait for more of it. */
		order[strlen(order)] = '\n';
		write_text("/dev/kmsg", order + 4);
	} else if (!strncmp(order, "sysrq ", 6)) {
		write_text("/proc/sysrq-trigger", order + 6);
	} else if (!*child) {
		*child = strncmp(order, "exec ", 5) ? start(order) : start_qemu(order);
		if (!*child)
			ended(0);
	}
}

int main(void)
{
	static char report[MESSAGE_MAX], order[ORDER_MAX];
	size_t length = 0;
	pid_t child = 0;
	sigset_t signals;
	int tty, children;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	setenv("PATH", "/usr/bin", 1);
	setenv("LD_LIBRARY_PATH", "/lib64", 1); /* scripts/trapline/lab/takealong.py */
	if (ioperm(MESSAGE_PORT, 1, 1))
		off();
	/* Of a guest's CPUs, which spin for each other: vmm.c. */
	write_text("/proc/sys/kernel/sched_rr_timeslice_ms", "4");
	load_modules(report, sizeof(report));
	tty = console();
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	children = signalfd(-1, &signals, SFD_CLOEXEC);
	if (tty < 0 || children < 0)
		snprintf(report, sizeof(report), "error=this kernel has no %s\n",
			 tty < 0 ? "ttyS0" : "signalfd (CONFIG_SIGNALFD)");
	answer_all();
	hello(report, sizeof(report));
	for (;;) {
		struct pollfd wait[] = {{tty, POLLIN, 0}, {children, POLLIN, 0}};

		poll(wait, 2, -1);
		if (wait[1].revents & POLLIN) {
			struct signalfd_siginfo info;
			int status;

			if (read(children, &info, sizeof(info)) > 0 && child &&
			    waitpid(child, &status, WNOHANG) == child) {
				child = 0;
				ended(status);
			}
		}
		if (wait[0].revents & POLLIN) {
			char c;

			while (length < sizeof(order) - 2 && read(tty, &c, 1) == 1 && c != '\n')
				order[length++] = c;
			memset(order + length, 0, sizeof(order) - length);
			length = 0;
			if (order_is_whole(order))
				obey(order, &child);
			else
				message('A', "", 0);
		}
	}
}
