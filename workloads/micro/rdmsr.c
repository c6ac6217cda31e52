/* SPDX-License-Identifier: Apache-2.0 */
/* rdmsr: a read of the test device's MSR. */
#include "workloads/runtime/workload.h"

#define MSR_VALUE 0x1122334455667788ull

static uint64_t last_value;

static inline void operation(void)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(TESTDEV_MSR));
	last_value = low;
}

static inline void nothing(void)
{
	uint32_t low, high;

	__asm__ volatile("" : "=a"(low), "=d"(high) : "c"(TESTDEV_MSR));
	last_value = low;
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
	cpu_wrmsr(TESTDEV_MSR, MSR_VALUE);
	last_value = 0;
}

static void after(uint64_t ops)
{
	uint64_t value = cpu_rdmsr(TESTDEV_MSR);

	if (value != MSR_VALUE || last_value != (uint32_t)MSR_VALUE)
		print_and_end(TESTDEV_END_FAILED,
		        "MSR %x reads %x, and %x in the loop of %u operations; %x was written.",
		        (unsigned long)TESTDEV_MSR, value, last_value, ops, (unsigned long)MSR_VALUE);
}

WORKLOAD_DEFINE(rdmsr) = {.name = "rdmsr", .before = before, .control = control, .measured = measured, .after = after};
