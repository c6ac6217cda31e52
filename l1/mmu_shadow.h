/* SPDX-License-Identifier: Apache-2.0 */
/**
 * mmu=shadow: L2's memory without EPT. L1 composes L2's page tables with L2's place in L1's memory into *shadow* page
 * tables, which VMX non-root operation then walks.
 *
 *   L2-linear --L2's own tables--> L2-physical --+ l2_base--> L1-physical
 *        \______________ shadow tables __________________________/
 *
 * Invariant: a page that holds a table a shadow was made from is mapped read-only, so no shadow entry is ever out of
 * date: a store to a table comes here as #PF, is done by L1, and drops what was derived from it. CR3 and INVLPG exits
 * therefore have nothing to drop. Shadows are built on demand, one leaf per #PF.
 */
#ifndef TESTUDO_L1_MMU_SHADOW_H
#define TESTUDO_L1_MMU_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

#include "l1.h"

static inline bool l1_mmu_active(void)
{
	return l1.boot->mmu_mode == BOOT_MMU_SHADOW;
}

/** Take memory for shadow tables from l1.pages. NULL, or why it cannot be. */
const char *l1_mmu_setup(void);

/** L2 loads CR3: the value for GUEST_CR3, the shadow's root. */
uint64_t l1_mmu_load_cr3(uint64_t guest_cr3);
/** CR3 as L2 loaded it. */
uint64_t l1_mmu_guest_cr3(void);

enum l1_mmu_verdict {
	L1_MMU_REPAIRED,    /**< the shadow has an entry now: run the instruction again */
	L1_MMU_GUEST_FAULT, /**< L2's own tables say so: give it the #PF */
	L1_MMU_DEVICE,      /**< the test device's page, at *l2_gpa */
	L1_MMU_EMULATED, /**< a store to a page table, done: skip the instruction of l1_mmu_emulated_length() bytes */
	L1_MMU_FAILED,   /**< l1_mmu_error() says why */
};
/** L2 met #PF at `linear` with `error` (SDM vol. 3, 4.7), at RIP `rip`. */
enum l1_mmu_verdict l1_mmu_page_fault(uint64_t linear, uint32_t error, uint64_t rip, uint64_t *l2_gpa);
unsigned l1_mmu_emulated_length(void);
const char *l1_mmu_error(void);

/** Unmap the first-touch region. */
void l1_mmu_touch_reset(void);

#endif
