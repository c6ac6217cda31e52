/* SPDX-License-Identifier: Apache-2.0 */
/* Getting out of KVM_RUN: kicks from elsewhere, and a host timer for the deadline L0 asked for. */
#include "l0/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

/* Below this the wake-up latency of a sleep is larger than the wait: spin. */
#define SPIN_NS 60000

#define KICK_SIGNAL (SIGRTMIN + 2)

uint64_t kvm_clock(struct machine *machine)
{
	(void)machine;
	return __rdtsc();
}

static uint64_t ns_until(const struct kvm_machine *m, uint64_t deadline)
{
	const uint64_t now = __rdtsc();

	return deadline <= now ? 0 : (uint64_t)((unsigned __int128)(deadline - now) * 1000000 / m->base.tsc_khz);
}

static void kick(struct kvm_machine *m)
{
	struct kvm_vm *vm;

	m->kicked = 1;
	vm = m->running;
	if (vm)
		vm->run->immediate_exit = 1;
}

/* The signal alone ends a KVM_RUN under way; immediate_exit ends one that is about to begin. */
static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	if (info->si_code == SI_TIMER && info->si_value.sival_ptr)
		kick(info->si_value.sival_ptr);
}

void kvm_kick(struct machine *machine)
{
	struct kvm_machine *m = kvm_of(machine);

	kick(m);
	if (m->thread)
		syscall(SYS_tgkill, getpid(), m->thread, KICK_SIGNAL);
}

void kvm_set_deadline(struct machine *machine, uint64_t deadline)
{
	kvm_of(machine)->deadline = deadline;
}

void kvm_arm(struct kvm_machine *m)
{
	struct itimerspec when = {0};
	uint64_t ns;

	m->armed = m->deadline;
	if (m->deadline != ~0ull) {
		ns = ns_until(m, m->deadline);
		ns = ns ? ns : 1; /* zero would disarm */
		when.it_value.tv_sec = (time_t)(ns / 1000000000);
		when.it_value.tv_nsec = (long)(ns % 1000000000);
	}
	timer_settime(m->timer, 0, &when, NULL);
}

int kvm_idle(struct machine *machine, uint64_t deadline)
{
	struct kvm_machine *m = kvm_of(machine);

	for (;;) {
		const uint64_t ns = deadline == ~0ull ? ~0ull : ns_until(m, deadline);
		const uint64_t sleep_ns = ns < SPIN_NS ? 0 : ns - SPIN_NS;
		struct timespec when = {.tv_sec = 3600};
		if (ns == 0)
			return 0;
		if (m->kicked) {
			m->kicked = 0;
			return -EINTR;
		}
		if (sleep_ns < 3600ull * 1000000000)
			when = (struct timespec){
			        .tv_sec = (time_t)(sleep_ns / 1000000000), .tv_nsec = (long)(sleep_ns % 1000000000)};
		if (sleep_ns)
			nanosleep(&when, NULL);
		else
			_mm_pause();
	}
}

int kvm_timer_init(struct kvm_machine *m, struct refusal *why)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct sigevent event = {
	        .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = KICK_SIGNAL, .sigev_value.sival_ptr = m};

	m->thread = (pid_t)syscall(SYS_gettid);
	event._sigev_un._tid = m->thread;
	m->deadline = m->armed = ~0ull;
	sigemptyset(&action.sa_mask);
	if (sigaction(KICK_SIGNAL, &action, NULL) < 0 || timer_create(CLOCK_MONOTONIC, &event, &m->timer) < 0)
		return refuse(why, -errno, "no host timer for the guest's timer: %s", strerror(errno));
	m->timer_made = true;
	return 0;
}

void kvm_timer_fini(struct kvm_machine *m)
{
	if (m->timer_made)
		timer_delete(m->timer);
	m->timer_made = false;
}
