/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid: CPUID of the leaf that the hypervisor right below answers in its own way. */
#include "workloads/runtime/workload.h"

static inline void operation(void)
{
	uint32_t a = TESTDEV_CPUID_LEAF, b, c = 0, d;

	__asm__ volatile(SITE(SITE_CPUID, 0, "cpuid") : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

static inline void nothing(void)
{
	uint32_t a = TESTDEV_CPUID_LEAF, b, c = 0, d;

	__asm__ volatile("" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

static void control(uint64_t ops)
{
	workload_loop(ops, nothing);
}

static void measured(uint64_t ops)
{
	workload_loop(ops, operation);
}

static void setup(void)
{
	uint32_t a = TESTDEV_CPUID_LEAF, b, c = 0, d;

	__asm__ volatile(SITE(SITE_CPUID, 0, "cpuid") : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (a != TESTDEV_CPUID_MAGIC)
		print_and_end(TESTDEV_END_FAILED,
		        "CPUID leaf %x gives EAX %x, not %x: somebody else than the hypervisor below answered.",
		        (unsigned long)TESTDEV_CPUID_LEAF, (unsigned long)a, (unsigned long)TESTDEV_CPUID_MAGIC);
}

WORKLOAD_DEFINE(cpuid) = {.name = "cpuid", .setup = setup, .control = control, .measured = measured};
