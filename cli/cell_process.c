/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cell_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "l0/l0.h"

#define TICK_MS 100

struct cell_result *cell_result_share(void)
{
	void *memory =
	        mmap(NULL, sizeof(struct cell_result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void cell_result_unshare(struct cell_result *result)
{
	if (result)
		munmap(result, sizeof(*result));
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void child_main(const struct cell *cell, struct ledger_shared *ring, struct cell_result *result)
{
	const struct machine_ops *machine = machine_find(cell->value[CELL_MACHINE]);
	bool record = ring && !strcmp(cell->value[CELL_RECORD], "on");
	struct rlimit no_core = {0, 0};
	struct ledger ledger;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGINT, SIG_IGN); /* Ctrl-C goes to the scheduler, which decides */
	signal(SIGTERM, SIG_DFL);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	ledger_attach(&ledger, record ? ring : NULL, machine && machine->virtual_time ? LEDGER_WAIT : LEDGER_DROP);
	l0_run_cell(cell, &ledger, result);
	_exit(0);
}

__attribute__((format(printf, 2, 3))) static void fail(struct cell_result *result, const char *format, ...)
{
	va_list arguments;

	result->status = CELL_FAILED;
	va_start(arguments, format);
	vsnprintf(result->reason, sizeof(result->reason), format, arguments);
	va_end(arguments);
}

/* What the child's end means, when it did not say so itself. */
static void judge_end(struct cell_result *result, int status)
{
	if (WIFSIGNALED(status))
		fail(result, "the cell's process was ended by signal %d (%s)", WTERMSIG(status),
		        strsignal(WTERMSIG(status)));
	else if (result->status == CELL_RUNNING)
		fail(result, "the cell's process ended with status %d before it had a result", WEXITSTATUS(status));
	else if (WEXITSTATUS(status) && result->status == CELL_OK)
		fail(result, "the cell's process reported success but ended with status %d", WEXITSTATUS(status));
	result->reason[sizeof(result->reason) - 1] = '\0';
}

static int child_wait(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int cell_process_run(const struct cell *cell, struct recorder *recorder, struct cell_result *result,
        volatile sig_atomic_t *stop, cell_tick_fn *tick, void *ctx)
{
	uint64_t timeout_seconds = cell_int(cell, CELL_TIMEOUT, 60);
	uint64_t started = now_ns();
	struct pollfd watch = {.events = POLLIN};
	const char *ended_by = NULL;
	char reason[CELL_REASON_BYTES];
	pid_t pid;
	int status;

	memset(result, 0, sizeof(*result));
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		child_main(cell, recorder ? recorder->ring : NULL, result);
	watch.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (watch.fd < 0) {
		status = -errno;
		kill(pid, SIGKILL);
		child_wait(pid);
		return status;
	}
	for (;;) {
		int ready = poll(&watch, 1, TICK_MS);

		if (ready > 0)
			break;
		if (tick)
			tick(ctx);
		if (stop && *stop)
			ended_by = "interrupted by a signal to testudo";
		else if (recorder && recorder_check(recorder)) {
			snprintf(reason, sizeof(reason), "the recorder failed: %s", recorder_error(recorder));
			ended_by = reason;
		} else if (now_ns() - started > timeout_seconds * 1000000000u) {
			snprintf(reason, sizeof(reason), "hung: no end after %llu s (timeout = %llu)",
			        (unsigned long long)timeout_seconds, (unsigned long long)timeout_seconds);
			ended_by = reason;
		}
		if (ended_by) {
			kill(pid, SIGKILL);
			break;
		}
	}
	close(watch.fd);
	status = child_wait(pid);
	if (ended_by)
		fail(result, "%s", ended_by);
	else
		judge_end(result, status);
	if (!result->wall_ns)
		result->wall_ns = now_ns() - started;
	return 0;
}
