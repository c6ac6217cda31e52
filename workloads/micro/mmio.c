/* SPDX-License-Identifier: Apache-2.0 */
/* mmio: a 4-byte store to register 0 of the test device's page. */
#include "workloads/runtime/workload.h"

#define MMIO_VALUE 0x4f494d4du

static volatile uint32_t *const mmio_register = (volatile uint32_t *)TESTDEV_MMIO_GPA;

static inline void operation(void)
{
	__asm__ volatile(SITE(SITE_MMIO, 0, "movl %%eax, (%%rdi)") : : "a"(MMIO_VALUE), "D"(mmio_register) : "memory");
}

static inline void nothing(void)
{
	__asm__ volatile("" : : "a"(MMIO_VALUE), "D"(mmio_register) : "memory");
}

static void control(uint64_t ops)
{
	workload_loop(ops, nothing);
}

static void measured(uint64_t ops)
{
	workload_loop(ops, operation);
}

static uint32_t mmio_read(void)
{
	uint32_t value;

	__asm__ volatile(SITE(SITE_MMIO, 0, "movl (%%rdi), %%eax") : "=a"(value) : "D"(mmio_register) : "memory");
	return value;
}

static void mmio_check(uint64_t ops, uint32_t expected)
{
	uint32_t value = mmio_read();

	if (value != expected)
		print_and_end(TESTDEV_END_FAILED,
		        "The test device's register reads %x after %u stores of %x: the device below lost a store.",
		        (unsigned long)value, ops, (unsigned long)expected);
}

static void before(void)
{
	__asm__ volatile(SITE(SITE_MMIO, 0, "movl %%eax, (%%rdi)") : : "a"(~MMIO_VALUE), "D"(mmio_register) : "memory");
	mmio_check(1, ~MMIO_VALUE);
}

static void after(uint64_t ops)
{
	mmio_check(ops, MMIO_VALUE);
}

WORKLOAD_DEFINE(mmio) = {.name = "mmio", .before = before, .control = control, .measured = measured, .after = after};
