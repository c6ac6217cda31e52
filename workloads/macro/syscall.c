/* SPDX-License-Identifier: Apache-2.0 */
/* syscall: a system call that does nothing. */
#include "workloads/macro/macro.h"

static uint64_t run(uint64_t ops)
{
	for (; ops; ops--)
		sys_null();
	return MACRO_HASH_START;
}

const struct macro macro_syscall = {.name = "syscall", .run = run};
