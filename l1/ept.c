/* SPDX-License-Identifier: Apache-2.0 */
#include "ept.h"

#include <string.h>

#define TABLE_ENTRIES 512ull
#define PDPT_ENTRY_REACH (1ull << 30)
#define PML4_ENTRY_REACH (512ull << 30)

static uint64_t *table(uint64_t address)
{
	return (uint64_t *)address;
}

static bool size_valid(uint64_t page_bytes)
{
	return page_bytes == PAGE_BYTES || page_bytes == LARGE_PAGE_BYTES;
}

static const char *layout_error(const struct l1_ept_layout *layout)
{
	if (!size_valid(layout->page_bytes) || !size_valid(layout->touch_page_bytes))
		return "EPT12 leaves must be 4096 or 2097152 bytes: check ept12_page_size and touch_page_size of the "
		       "boot "
		       "info.";
	if ((layout->l2_base | layout->l2_size | layout->touch_base | layout->touch_size) % LARGE_PAGE_BYTES)
		return "L2's memory and its first-touch region must be aligned to 2 MiB: check the boot info.";
	if (!layout->l2_size || layout->l2_size > PML4_ENTRY_REACH)
		return "L2's memory must be between 2 MiB and 512 GiB: check l2_size of the boot info.";
	if (layout->touch_base > layout->l2_size || layout->touch_size > layout->l2_size - layout->touch_base)
		return "The first-touch region must lie inside L2's memory: check touch_base and touch_size.";
	return NULL;
}

static bool in_touch(const struct l1_ept_layout *layout, uint64_t l2_gpa)
{
	return l2_gpa - layout->touch_base < layout->touch_size;
}

/* The 2 MiB at l2_gpa: a leaf, or a page table full of leaves. */
static void map_large(const struct l1_ept_layout *layout, uint64_t l2_gpa, uint64_t *pd_entry, uint64_t pt)
{
	const uint64_t l1_gpa = layout->l2_base + l2_gpa;

	if (!pt) {
		*pd_entry = l1_gpa | L1_EPT_LEAF | EPT_LARGE;
		return;
	}
	*pd_entry = pt | EPT_RWX;
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
		table(pt)[i] = (l1_gpa + i * PAGE_BYTES) | L1_EPT_LEAF;
}

static void point_touch_entries(struct l1_ept *ept, uint64_t *pd, uint64_t touch_pt)
{
	const struct l1_ept_layout *layout = &ept->layout;

	if (layout->touch_page_bytes == PAGE_BYTES) {
		ept->touch_entries = table(touch_pt);
		ept->touch_shift = 12;
		ept->touch_leaf = L1_EPT_LEAF;
	} else {
		ept->touch_entries = pd + layout->touch_base / LARGE_PAGE_BYTES;
		ept->touch_shift = 21;
		ept->touch_leaf = L1_EPT_LEAF | EPT_LARGE;
	}
}

const char *l1_ept_build(struct l1_ept *ept, const struct l1_ept_layout *layout, struct l1_pages *pages)
{
	const uint64_t large_pages = layout->l2_size / LARGE_PAGE_BYTES;
	const uint64_t touch_large_pages = layout->touch_size / LARGE_PAGE_BYTES;
	const uint64_t directories = (layout->l2_size + PDPT_ENTRY_REACH - 1) / PDPT_ENTRY_REACH;
	const char *error = layout_error(layout);
	uint64_t tables = 0;

	if (error)
		return error;
	if (layout->page_bytes == PAGE_BYTES)
		tables += large_pages - touch_large_pages;
	if (layout->touch_page_bytes == PAGE_BYTES)
		tables += touch_large_pages;

	const uint64_t root = l1_pages_take(pages, 2 + directories + tables);
	if (!root)
		return "L1's heap is too small for EPT12: give a larger l1_heap_size.";
	const uint64_t pdpt = root + PAGE_BYTES;
	const uint64_t pd = pdpt + PAGE_BYTES;
	uint64_t touch_pt = pd + directories * PAGE_BYTES;
	uint64_t pt = touch_pt + (layout->touch_page_bytes == PAGE_BYTES ? touch_large_pages * PAGE_BYTES : 0);

	*ept = (struct l1_ept){.layout = *layout, .eptp = root | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB};
	point_touch_entries(ept, table(pd), touch_pt);
	table(root)[0] = pdpt | EPT_RWX;
	for (uint64_t i = 0; i < directories; i++)
		table(pdpt)[i] = (pd + i * PAGE_BYTES) | EPT_RWX;
	for (uint64_t i = 0; i < large_pages; i++) {
		uint64_t *pd_entry = table(pd) + i;
		if (in_touch(layout, i * LARGE_PAGE_BYTES)) {
			if (layout->touch_page_bytes != PAGE_BYTES)
				continue;
			*pd_entry = touch_pt | EPT_RWX;
			touch_pt += PAGE_BYTES;
			continue;
		}
		map_large(layout, i * LARGE_PAGE_BYTES, pd_entry, layout->page_bytes == PAGE_BYTES ? pt : 0);
		pt += PAGE_BYTES;
	}
	return NULL;
}

void l1_ept_touch_reset(struct l1_ept *ept)
{
	memset((void *)ept->touch_entries, 0, (ept->layout.touch_size >> ept->touch_shift) * sizeof(uint64_t));
}
