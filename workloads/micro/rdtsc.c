/* SPDX-License-Identifier: Apache-2.0 */
/* rdtsc: a read of the time-stamp counter that its host intercepts ("RDTSC exiting"). */
#include "workloads/runtime/workload.h"

static uint64_t first, last;

static inline uint64_t intercepted_rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile(SITE(SITE_RDTSC, 0, "rdtsc") : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void operation(void)
{
	uint32_t low, high;

	__asm__ volatile(SITE(SITE_RDTSC, 0, "rdtsc") : "=a"(low), "=d"(high));
}

static inline void nothing(void)
{
	uint32_t low, high;

	__asm__ volatile("" : "=a"(low), "=d"(high));
}

static void control(uint64_t ops)
{
	workload_loop(ops, nothing);
}

static void measured(uint64_t ops)
{
	workload_loop(ops, operation);
}

/* Where the site is replaced, the harness's own RDTSC is native. Elsewhere "RDTSC exiting" catches every RDTSC, and the
 * harness takes its clock from the MSR, which that control leaves alone (SDM vol. 3, 26.3: RDMSR). */
static void setup(void)
{
	workload_clock_by_msr = !(workload_boot->flags & BOOT_FLAG_SITES);
	if (workload_clock_by_msr && (workload_boot->flags & BOOT_FLAG_STAMPS))
		print_and_end(TESTDEV_END_REFUSED,
		        "Time stamps would be operations of the rdtsc workload here: run it without stamps.");
}

static void before(void)
{
	first = intercepted_rdtsc();
}

static void after(uint64_t ops)
{
	last = intercepted_rdtsc();
	if (last <= first)
		print_and_end(TESTDEV_END_FAILED, "The time-stamp counter went from %x to %x over %u reads.", first,
		        last, ops);
}

WORKLOAD_DEFINE(rdtsc) = {
        .name = "rdtsc", .setup = setup, .before = before, .control = control, .measured = measured, .after = after};
