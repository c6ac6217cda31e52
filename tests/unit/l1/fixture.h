/* SPDX-License-Identifier: Apache-2.0 */
/** A host stand-in for what L1's exit handlers run on: a VMCS that counts accesses, L2 memory, a platform. */
#ifndef TESTUDO_TESTS_L1_FIXTURE_H
#define TESTUDO_TESTS_L1_FIXTURE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "l1/l1.h"

#define FIXTURE_L2_SIZE (8ull << 20)
#define FIXTURE_TOUCH_BASE (4ull << 20)
#define FIXTURE_TOUCH_SIZE (2ull << 20)
#define FIXTURE_RIP 0x100000ull

struct fixture {
	uint64_t field[VMCS_FIELD_COUNT];
	unsigned reads[VMCS_FIELD_COUNT], writes[VMCS_FIELD_COUNT];
	unsigned timer_arms, timer_waits, invepts, own_exits;
	bool interrupt_pending; /**< l1_interrupts_take() finds the timer's interrupt */
	uint64_t cr2;
	const char *report; /**< what l1_report_exit() was told; NULL = not called */
	jmp_buf report_jump;
};
extern struct fixture fixture;

/** Fresh memory, boot infos, EPT12 (with `mmu_mode` BOOT_MMU_SHADOW: shadow paging), and a VMCS of zeros but for RIP.
 */
void fixture_setup(unsigned mmu_mode);
void fixture_teardown(void);

/** L1's pointer to an L2-physical address. */
void *fixture_l2(uint64_t l2_gpa);

/** Handle one exit of that reason with the copy of exits.c for this profile; false when it was reported instead. */
bool fixture_exit(unsigned profile, bool log, uint32_t reason);

/** Distinct accesses since fixture_setup() or the last call, which must not have repeated one. */
void fixture_count(unsigned *reads, unsigned *writes);

#endif
