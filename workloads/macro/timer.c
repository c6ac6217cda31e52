/* SPDX-License-Identifier: Apache-2.0 */
/* timer: ring 3 computes until the timer's interrupt comes, and arms it again. */
#include "workloads/macro/macro.h"

#define PERIOD_US 20

static volatile uint64_t sink;

static uint64_t run(uint64_t ops)
{
	uint64_t state = 1;

	for (; ops; ops--) {
		const uint64_t before = sys_timer_count();

		sys_timer_arm(PERIOD_US);
		while (sys_timer_count() == before)
			sink = macro_random(&state);
		if (sys_timer_count() != before + 1)
			sys_fail("timer: more interrupts came than were armed.");
	}
	return macro_hash(MACRO_HASH_START, PERIOD_US);
}

const struct macro macro_timer = {.name = "timer", .run = run};
