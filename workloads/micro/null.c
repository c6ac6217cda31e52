/* SPDX-License-Identifier: Apache-2.0 */
/* null: an empty loop. Control and measured loop are the same, so the result is the harness's own noise. */
#include "workloads/runtime/workload.h"

static inline void nothing(void)
{
	__asm__ volatile("");
}

static void loop(uint64_t ops)
{
	workload_loop(ops, nothing);
}

WORKLOAD_DEFINE(null) = {.name = "null", .control = loop, .measured = loop};
