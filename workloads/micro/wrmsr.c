/* SPDX-License-Identifier: Apache-2.0 */
/* wrmsr: a write of the test device's MSR. */
#include "workloads/runtime/workload.h"

#define MSR_LOW 0x55667788u
#define MSR_HIGH 0x11223344u

static inline void operation(void)
{
	__asm__ volatile("wrmsr" : : "a"(MSR_LOW), "d"(MSR_HIGH), "c"(TESTDEV_MSR));
}

static inline void nothing(void)
{
	__asm__ volatile("" : : "a"(MSR_LOW), "d"(MSR_HIGH), "c"(TESTDEV_MSR));
}

static void control(uint64_t ops)
{
	workload_loop(ops, nothing);
}

static void measured(uint64_t ops)
{
	workload_loop(ops, operation);
}

static void before(void)
{
	cpu_wrmsr(TESTDEV_MSR, 0);
}

static void after(uint64_t ops)
{
	uint64_t value = cpu_rdmsr(TESTDEV_MSR);

	if (value != ((uint64_t)MSR_HIGH << 32 | MSR_LOW))
		print_and_end(TESTDEV_END_FAILED, "MSR %x reads %x after %u writes of %x%x.",
		        (unsigned long)TESTDEV_MSR, value, ops, (unsigned long)MSR_HIGH, (unsigned long)MSR_LOW);
}

WORKLOAD_DEFINE(wrmsr) = {.name = "wrmsr", .before = before, .control = control, .measured = measured, .after = after};
