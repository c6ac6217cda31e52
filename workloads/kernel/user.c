/* SPDX-License-Identifier: Apache-2.0 */
/* The system (macro.h) as a process in ring 3 sees it. */
#include "workloads/kernel/kernel.h"

static uint64_t call(enum kernel_call number, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t value = number;

	__asm__ volatile("int3" : "+a"(value) : "D"(a), "S"(b), "d"(c) : "memory");
	return value;
}

void kernel_user_start(uint64_t (*entry)(uint64_t argument), uint64_t argument)
{
	call(CALL_EXIT, entry(argument), 0, 0);
	for (;;)
		;
}

uint8_t *sys_region(void)
{
	return (uint8_t *)KERNEL_REGION;
}

uint8_t *sys_region_large(void)
{
	return (uint8_t *)KERNEL_REGION_LARGE;
}

void sys_release(void *base, uint64_t bytes)
{
	call(CALL_RELEASE, (uint64_t)base, bytes, 0);
}

void sys_null(void)
{
	call(CALL_NULL, 0, 0, 0);
}

uint64_t sys_spawn(uint64_t (*entry)(uint64_t argument), uint64_t argument)
{
	return call(CALL_SPAWN, (uint64_t)entry, argument, 0);
}

uint64_t sys_wait(uint64_t process)
{
	return call(CALL_WAIT, process, 0, 0);
}

void sys_yield(void)
{
	call(CALL_YIELD, 0, 0, 0);
}

void sys_read(void *to, uint64_t offset, uint64_t bytes)
{
	call(CALL_READ, (uint64_t)to, offset, bytes);
}

void sys_timer_arm(uint64_t microseconds)
{
	call(CALL_TIMER, microseconds, 0, 0);
}

uint64_t sys_timer_count(void)
{
	return *(volatile uint64_t *)&kernel_timer_count;
}

void sys_fail(const char *sentence)
{
	call(CALL_FAIL, (uint64_t)sentence, 0, 0);
	for (;;)
		;
}
