/* SPDX-License-Identifier: Apache-2.0 */
/* hlt: arm the timer, HLT, take its interrupt. */
#include "workloads/runtime/workload.h"

#include "workloads/runtime/idt.h"

/*
 * The timer is armed with 0 ticks while interrupts are off. Its interrupt is then pending at once, cannot be taken
 * before the HLT (STI holds it off for one instruction, SDM vol. 2, STI), and wakes the HLT: the exits of an operation
 * are always the same and the time is that of the path, not of the timer.
 */
#define TIMER_TICKS 0

__asm__(".text\n"
        "timer_entry:\n"
        "	incq timer_count(%rip)\n"
        "	iretq\n");
void timer_entry(void);
extern uint64_t timer_count;
uint64_t timer_count;
static uint64_t count_before;

static inline void operation(void)
{
	__asm__ volatile("cli\n\toutl %%eax, %%dx\n\tsti\n\thlt"
	                 :
	                 : "a"(TIMER_TICKS), "d"((uint16_t)TESTDEV_PORT_TIMER)
	                 : "memory");
}

static inline void nothing(void)
{
	__asm__ volatile("cli\n\tsti\n\tnop" : : "a"(TIMER_TICKS), "d"((uint16_t)TESTDEV_PORT_TIMER) : "memory");
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
	idt_set(TESTDEV_TIMER_VECTOR, timer_entry);
}

static void before(void)
{
	count_before = timer_count;
}

static void after(uint64_t ops)
{
	if (timer_count - count_before != ops)
		print_and_end(TESTDEV_END_FAILED, "%u timer interrupts arrived for %u wake-ups.",
		        timer_count - count_before, ops);
}

WORKLOAD_DEFINE(hlt) = {
        .name = "hlt", .setup = setup, .before = before, .control = control, .measured = measured, .after = after};
