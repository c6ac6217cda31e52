/* SPDX-License-Identifier: Apache-2.0 */
/**
 * EPT12 as L1 builds it: [0, l2_size) of L2 stands at l2_base of L1, except for the first-touch region, whose pages get
 * their entries one by one.
 *
 *   PML4 -> PDPT -> page directories in a row -> page tables in a row
 *
 * Tables of a kind lie next to each other, so the entry of an address is found by indexing, not by walking.
 */
#ifndef TESTUDO_L1_EPT_H
#define TESTUDO_L1_EPT_H

#include <stdint.h>

#include "mem.h"
#include "shadowvmcs/ept12.h"

struct l1_ept_layout {
	uint64_t l2_base;          /**< 2 MiB aligned */
	uint64_t l2_size;          /**< a multiple of 2 MiB, at most 512 GiB */
	uint64_t touch_base;       /**< L2-physical, 2 MiB aligned, inside [0, l2_size) */
	uint64_t touch_size;       /**< a multiple of 2 MiB */
	uint64_t page_bytes;       /**< leaves outside the first-touch region: 4096 or 2 MiB */
	uint64_t touch_page_bytes; /**< leaves inside it */
};

struct l1_ept {
	struct l1_ept_layout layout;
	uint64_t eptp;
	volatile uint64_t *touch_entries; /**< leaf entries of the first-touch region, one per page of it */
	uint64_t touch_shift;             /**< log2 of touch_page_bytes */
	uint64_t touch_leaf;              /**< a leaf's low bits there */
};

/** A leaf's bits: all rights, write-back. */
#define L1_EPT_LEAF (EPT_RWX | EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT)

/** NULL, or the sentence that says why it cannot be built. */
const char *l1_ept_build(struct l1_ept *ept, const struct l1_ept_layout *layout, struct l1_pages *pages);

/** Map the page of the first-touch region that holds l2_gpa. An entry that was not present needs no INVEPT (SDM vol. 3,
 *  29.4.3.4). */
static inline void l1_ept_touch(const struct l1_ept *ept, uint64_t l2_gpa)
{
	const uint64_t page = (l2_gpa - ept->layout.touch_base) >> ept->touch_shift;

	ept->touch_entries[page] =
	        (ept->layout.l2_base + ept->layout.touch_base + (page << ept->touch_shift)) | ept->touch_leaf;
}

/** Unmap the whole region. The caller executes INVEPT. */
void l1_ept_touch_reset(struct l1_ept *ept);

#endif
