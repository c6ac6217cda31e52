/* SPDX-License-Identifier: Apache-2.0 */
/* exception: UD2: intercepted, injected back, handled here, returned from. */
#include "workloads/runtime/workload.h"

#include "workloads/runtime/idt.h"

#define VECTOR_UD 6

/* Counts and skips the two bytes of UD2. */
__asm__(".text\n"
        "exception_entry:\n"
        "	addq $2, (%rsp)\n"
        "	incq exception_count(%rip)\n"
        "	iretq\n");
void exception_entry(void);
extern uint64_t exception_count;
uint64_t exception_count;
static uint64_t count_before;

static inline void operation(void)
{
	__asm__ volatile(SITE(SITE_UD2, 0, "ud2") : : : "memory");
}

static inline void nothing(void)
{
	__asm__ volatile("" : : : "memory");
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
	idt_set(VECTOR_UD, exception_entry);
}

static void before(void)
{
	count_before = exception_count;
}

static void after(uint64_t ops)
{
	if (exception_count - count_before != ops)
		print_and_end(TESTDEV_END_FAILED, "%u of %u UD2 instructions reached the handler of #UD.",
		        exception_count - count_before, ops);
}

WORKLOAD_DEFINE(exception) = {.name = "exception",
        .setup = setup,
        .before = before,
        .control = control,
        .measured = measured,
        .after = after};
