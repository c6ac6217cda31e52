/* SPDX-License-Identifier: Apache-2.0 */
#include "ept12.h"

#include "nested.h"

#define ENTRIES 512
/** Bits 6:3 of an entry that refers to a table, reserved (SDM vol. 3, tables 29-1, 29-3, 29-5). */
#define TABLE_RESERVED 0x78ull
/** 4-level EPT translates 48 bits of guest-physical address. */
#define L2_GPA_LIMIT (1ull << 48)

static uint64_t ept_caps(const struct nested *nested)
{
	return nested->caps.msr[MSR_IA32_VMX_EPT_VPID_CAP - VMX_MSR_FIRST];
}

/* Address bits beyond L1's physical width, reserved in every present entry and in the EPTP. */
static uint64_t width_reserved(const struct nested *nested)
{
	return EPT_ADDRESS_MASK & ~caps_physical_mask(&nested->config.machine);
}

static bool memory_type_defined(uint64_t entry)
{
	const unsigned type = entry >> EPT_MEMORY_TYPE_SHIFT & 7;

	return type == 0 || type == 1 || type == 4 || type == 5 || type == 6; /* UC, WC, WT, WP, WB */
}

static bool large_page_offered(const struct nested *nested, unsigned level)
{
	if (level == 2)
		return ept_caps(nested) & EPT_CAP_2M;
	return level == 3 && (ept_caps(nested) & EPT_CAP_1G);
}

enum ept12_entry ept12_classify(const struct nested *nested, uint64_t entry, unsigned level)
{
	const uint64_t rights = entry & EPT_RWX;
	const bool large = entry & EPT_LARGE;

	if (rights == 0)
		return EPT12_ENTRY_NOT_PRESENT;
	/* SDM vol. 3, 29.3.3.1. Without read access only "execute-only" has a meaning, and that only where offered. */
	if (!(entry & EPT_READ) && (rights != EPT_EXECUTE || !(ept_caps(nested) & EPT_CAP_EXECUTE_ONLY)))
		return EPT12_ENTRY_MISCONFIGURED;
	if (entry & width_reserved(nested))
		return EPT12_ENTRY_MISCONFIGURED;
	if (level == 1 || (large && large_page_offered(nested, level))) {
		/* The address bits below a large page's size are reserved. */
		if (!memory_type_defined(entry) || (entry & EPT_ADDRESS_MASK & (ept12_reach(level) - 1)))
			return EPT12_ENTRY_MISCONFIGURED;
		return EPT12_ENTRY_LEAF;
	}
	/* Bit 7 is reserved in a PML4E, and in a PDPTE or PDE where that page size is not offered. */
	if (large || (entry & TABLE_RESERVED))
		return EPT12_ENTRY_MISCONFIGURED;
	return EPT12_ENTRY_TABLE;
}

uint64_t *ept12_table(const struct nested *nested, uint64_t entry)
{
	return nested->config.ops.l1_page(nested->config.ops.ctx, entry & EPT_ADDRESS_MASK);
}

/* SDM vol. 3, 29.3.5: the accessed flag of every entry used, the dirty flag of the leaf on a write. Only a translation
 * that is completed counts as use; the processor may, but need not, set accessed flags for one that faults. */
static void set_accessed_dirty(uint64_t *const *path, unsigned used, bool write)
{
	for (unsigned i = 0; i < used; i++) {
		const uint64_t flags = EPT_ACCESSED | (write && i == used - 1 ? EPT_DIRTY : 0);
		/* An unconditional store would make the line, and a machine's cached copy of the page, look changed. */
		if ((*path[i] & flags) != flags)
			*path[i] |= flags;
	}
}

void ept12_walk(struct nested *nested, uint64_t eptp12, uint64_t l2_gpa, uint64_t access, bool set_flags,
        struct ept12_walk *walk)
{
	const bool accessed_dirty = eptp12 & EPTP_AD;
	uint64_t *path[4], allowed = EPT_RWX, entry = eptp12;
	enum ept12_entry kind;

	nested->counters[COUNTER_EPT12_WALKS]++;
	*walk = (struct ept12_walk){.result = EPT12_NOT_PRESENT, .page_size = ept12_reach(1)};
	/* SDM vol. 3, 29.3.2: with 4-level EPT an address that uses bits 51:48 has no translation. */
	if (l2_gpa >= L2_GPA_LIMIT)
		return;

	for (unsigned level = 4;; level--) {
		uint64_t *table = ept12_table(nested, entry);
		walk->page_size = ept12_reach(level);
		if (!table) {
			walk->result = EPT12_TABLE_NOT_RAM;
			return;
		}
		path[walk->levels] = &table[l2_gpa / ept12_reach(level) % ENTRIES];
		entry = *(volatile uint64_t *)path[walk->levels++]; /* L1's memory: read once */
		kind = ept12_classify(nested, entry, level);
		if (kind == EPT12_ENTRY_NOT_PRESENT)
			return;
		if (kind == EPT12_ENTRY_MISCONFIGURED) {
			walk->result = EPT12_MISCONFIGURED;
			return;
		}
		allowed &= entry;
		if (kind == EPT12_ENTRY_LEAF)
			break;
	}

	/* SDM vol. 3, 29.3.3.3: rights are looked at only when the whole path is present and well formed. */
	walk->allowed = allowed;
	if (access & ~allowed & EPT_RWX)
		return;
	walk->result = EPT12_MAPPED;
	walk->l1_gpa = (entry & EPT_ADDRESS_MASK) + (l2_gpa & (walk->page_size - 1));
	if (accessed_dirty && set_flags)
		set_accessed_dirty(path, walk->levels, access & EPT_WRITE);
	walk->dirty = !accessed_dirty || (*path[walk->levels - 1] & EPT_DIRTY);
}

bool ept12_eptp_valid(const struct nested *nested, uint64_t eptp12)
{
	const uint64_t caps = ept_caps(nested);
	const uint64_t memory_type = eptp12 & EPTP_MEMORY_TYPE_MASK;
	uint64_t known = EPTP_MEMORY_TYPE_MASK | EPTP_WALK_MASK | (EPT_ADDRESS_MASK & ~width_reserved(nested));

	if (memory_type != 0 && memory_type != EPT_MEMORY_TYPE_WB)
		return false;
	if (!(caps & (memory_type == EPT_MEMORY_TYPE_WB ? EPT_CAP_WB : EPT_CAP_UC)))
		return false;
	if ((eptp12 & EPTP_WALK_MASK) != EPTP_WALK_4 || !(caps & EPT_CAP_WALK_4))
		return false;
	if (caps & EPT_CAP_AD)
		known |= EPTP_AD;
	return !(eptp12 & ~known);
}
