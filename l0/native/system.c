/* SPDX-License-Identifier: Apache-2.0 */
/* The system under the macro workloads (macro.h) as Linux gives it. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "l0/native/native.h"
#include "workloads/macro/macro.h"

#define PROCESSES 16
#define LARGE (2ull << 20)

jmp_buf native_failed;
const char *native_sentence;

static uint8_t *small, *large, *large_mapping;
static int file = -1;
static timer_t timer;
static bool timer_made;
static volatile sig_atomic_t timer_count;

/* What children return, by number. */
struct child {
	pid_t pid;
	volatile uint64_t value;
	const char *sentence; /* a constant of the program: the same address in parent and child */
	bool done;
};
static struct child *children;
static bool in_child;
static struct child *own;

static void on_timer(int signal)
{
	(void)signal;
	timer_count++;
}

static int make_timer(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};

	if (sigaction(SIGALRM, &action, NULL) || timer_create(CLOCK_MONOTONIC, &event, &timer))
		return -errno;
	timer_made = true;
	return 0;
}

static int make_file(void)
{
	uint8_t content[SYS_FILE_BYTES];

	for (uint64_t i = 0; i < SYS_FILE_BYTES; i++)
		content[i] = sys_file_byte(i);
	file = memfd_create("testudo", MFD_CLOEXEC);
	return file < 0 || write(file, content, sizeof(content)) != (ssize_t)sizeof(content) ? -EIO : 0;
}

static void *map(size_t bytes, int kind)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | kind, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int native_system_begin(void)
{
	int error = make_file();

	small = map(SYS_REGION_BYTES, MAP_PRIVATE);
	large_mapping = map(SYS_REGION_BYTES + LARGE, MAP_PRIVATE);
	children = map(PROCESSES * sizeof(*children), MAP_SHARED);
	if (!small || !large_mapping || !children)
		return -ENOMEM;
	large = (uint8_t *)(((uintptr_t)large_mapping + LARGE - 1) & ~(uintptr_t)(LARGE - 1));
	/* 4 KiB pages here and 2 MiB there, whatever the host's policy; where it refuses, the large ones are small. */
	madvise(small, SYS_REGION_BYTES, MADV_NOHUGEPAGE);
	madvise(large, SYS_REGION_BYTES, MADV_HUGEPAGE);
	return error ? error : make_timer();
}

void native_system_end(void)
{
	if (timer_made)
		timer_delete(timer);
	if (file >= 0)
		close(file);
	if (small)
		munmap(small, SYS_REGION_BYTES);
	if (large_mapping)
		munmap(large_mapping, SYS_REGION_BYTES + LARGE);
	if (children)
		munmap(children, PROCESSES * sizeof(*children));
	small = large_mapping = NULL;
	children = NULL;
	file = -1;
	timer_made = false;
}

uint8_t *sys_region(void)
{
	return small;
}

uint8_t *sys_region_large(void)
{
	return large;
}

void sys_release(void *base, uint64_t bytes)
{
	if (madvise(base, bytes, MADV_DONTNEED))
		sys_fail("native: the host does not take memory back (madvise).");
}

void sys_null(void)
{
	syscall(SYS_getppid);
}

static void __attribute__((noreturn))
run_child(struct child *child, uint64_t (*entry)(uint64_t argument), uint64_t argument)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	in_child = true;
	own = child;
	/* Regions of its own: fresh ones. */
	madvise(small, SYS_REGION_BYTES, MADV_DONTNEED);
	child->value = entry(argument);
	child->done = true;
	_exit(0);
}

uint64_t sys_spawn(uint64_t (*entry)(uint64_t argument), uint64_t argument)
{
	for (uint64_t i = 0; i < PROCESSES; i++) {
		struct child *child = &children[i];
		pid_t pid;

		if (child->pid)
			continue;
		*child = (struct child){0};
		pid = fork();
		if (pid < 0)
			break;
		if (!pid)
			run_child(child, entry, argument);
		child->pid = pid;
		return i;
	}
	sys_fail("native: the host makes no more processes (fork).");
}

uint64_t sys_wait(uint64_t process)
{
	struct child *child = &children[process];
	int status;

	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	child->pid = 0;
	if (!child->done)
		sys_fail(child->sentence ? child->sentence : "native: a process of the workload ended by itself.");
	return child->value;
}

void sys_yield(void)
{
	sched_yield();
}

void sys_read(void *to, uint64_t offset, uint64_t bytes)
{
	if (pread(file, to, bytes, (off_t)offset) != (ssize_t)bytes)
		sys_fail("native: the workload's file cannot be read.");
}

void sys_timer_arm(uint64_t microseconds)
{
	struct itimerspec when = {.it_value.tv_nsec = (long)(microseconds * 1000)};

	timer_settime(timer, 0, &when, NULL);
}

uint64_t sys_timer_count(void)
{
	return (uint64_t)timer_count;
}

void sys_fail(const char *sentence)
{
	if (in_child) {
		own->sentence = sentence;
		_exit(1);
	}
	native_sentence = sentence;
	longjmp(native_failed, 1);
}
