/* SPDX-License-Identifier: Apache-2.0 */
/* mov-cr3: a reload of CR3 with its own value. */
#include "workloads/runtime/workload.h"

static uint64_t cr3;

static inline void operation(void)
{
	__asm__ volatile(SITE(SITE_MOV_TO_CR3, 0, "mov %%rax, %%cr3") : : "a"(cr3) : "memory");
}

static inline void nothing(void)
{
	__asm__ volatile("" : : "a"(cr3) : "memory");
}

static void control(uint64_t ops)
{
	workload_loop(ops, nothing);
}

static void measured(uint64_t ops)
{
	workload_loop(ops, operation);
}

static uint64_t read_cr3(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

static void setup(void)
{
	cr3 = read_cr3();
	if (cr3 != workload_boot->cr3)
		print_and_end(TESTDEV_END_FAILED, "CR3 is %x at start; boot info says %x.", cr3, workload_boot->cr3);
}

static void after(uint64_t ops)
{
	if (read_cr3() != cr3)
		print_and_end(TESTDEV_END_FAILED, "CR3 is %x after %u loads of %x.", read_cr3(), ops, cr3);
}

WORKLOAD_DEFINE(mov_cr3) = {
        .name = "mov-cr3", .setup = setup, .control = control, .measured = measured, .after = after};
