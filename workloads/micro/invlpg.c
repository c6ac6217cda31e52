/* SPDX-License-Identifier: Apache-2.0 */
/* invlpg: invalidation of one page's translation: a page of this image. */
#include "workloads/runtime/workload.h"

static inline void operation(void)
{
	__asm__ volatile(SITE(SITE_INVLPG, 0, "invlpg (%%rax)") : : "a"(BOOT_GPA_IMAGE) : "memory");
}

static inline void nothing(void)
{
	__asm__ volatile("" : : "a"(BOOT_GPA_IMAGE) : "memory");
}

static void control(uint64_t ops)
{
	workload_loop(ops, nothing);
}

static void measured(uint64_t ops)
{
	workload_loop(ops, operation);
}

WORKLOAD_DEFINE(invlpg) = {.name = "invlpg", .control = control, .measured = measured};
