/* SPDX-License-Identifier: Apache-2.0 */
/* vmcall: a hypercall that does nothing. RAX is the number (0) and may come back changed. */
#include "workloads/runtime/workload.h"

static inline void operation(void)
{
	uint64_t rax = 0;

	__asm__ volatile(SITE(SITE_VMCALL, 0, "vmcall") : "+a"(rax) : : "memory");
}

static inline void nothing(void)
{
	uint64_t rax = 0;

	__asm__ volatile("" : "+a"(rax) : : "memory");
}

static void control(uint64_t ops)
{
	workload_loop(ops, nothing);
}

static void measured(uint64_t ops)
{
	workload_loop(ops, operation);
}

WORKLOAD_DEFINE(vmcall) = {.name = "vmcall", .control = control, .measured = measured};
