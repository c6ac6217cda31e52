/* SPDX-License-Identifier: Apache-2.0 */
#include "mmu_shadow.h"

#include <string.h>

#include "abi/testdev.h"
#include "mmio.h"
#include "shadowvmcs/regs.h"

/* Page-table entry, SDM vol. 3, table 4-20:  51:12 address | 7 PS | 6 D | 5 A | 2 U/S | 1 R/W | 0 P */
#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE (1ull << 1)
#define PTE_USER (1ull << 2)
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY (1ull << 6)
#define PTE_LARGE (1ull << 7)
#define PTE_ADDRESS 0x000ffffffffff000ull

/* #PF error code, SDM vol. 3, 4.7. */
#define FAULT_WRITE (1u << 1)
#define FAULT_USER (1u << 2)
#define FAULT_RESERVED (1u << 3)

#define TABLE_ENTRIES 512
#define LEVELS 4
#define ROOTS 8
#define POOL_PAGES 256
#define L2_PAGES_MAX (1ull << 18) /* 1 GiB */

static uint64_t roots[ROOTS][TABLE_ENTRIES] __attribute__((aligned(4096)));
static struct {
	uint64_t guest_cr3[ROOTS]; /* ~0 = free */
	unsigned next;             /* root to take when none is free */
	unsigned current;
	uint64_t pool, pool_used; /* tables below the roots, in a row; never given back one by one */
	uint64_t is_table[L2_PAGES_MAX / 64];
	unsigned emulated_length;
	const char *error;
} mmu;

/** What L2's own tables say of a linear address. */
struct guest_walk {
	uint64_t table[LEVELS]; /* L2-physical addresses of the tables walked */
	uint64_t *entry[LEVELS];
	unsigned levels;
	uint64_t rights; /* PTE_WRITE and PTE_USER, ANDed over the walk */
	uint64_t l2_gpa;
	uint64_t page_bytes;
};

static uint64_t *l1_table(uint64_t l1_gpa)
{
	return (uint64_t *)l1_gpa;
}

static unsigned table_index(uint64_t linear, unsigned level)
{
	return linear >> (12 + 9 * (level - 1)) & (TABLE_ENTRIES - 1);
}

static bool is_table(uint64_t l2_gpa)
{
	const uint64_t page = l2_gpa / PAGE_BYTES;

	return mmu.is_table[page / 64] >> page % 64 & 1;
}

const char *l1_mmu_setup(void)
{
	if (l1.l2_size / PAGE_BYTES > L2_PAGES_MAX)
		return "L1's shadow paging serves at most 1 GiB of L2 memory: give a smaller l2_size.";
	memset(&mmu, 0, sizeof(mmu));
	mmu.pool = l1_pages_take(&l1.pages, POOL_PAGES);
	if (!mmu.pool)
		return "L1's heap is too small for shadow page tables (1 MiB): give a larger l1_heap_size.";
	memset(mmu.guest_cr3, 0xff, sizeof(mmu.guest_cr3));
	return NULL;
}

const char *l1_mmu_error(void)
{
	return mmu.error;
}

unsigned l1_mmu_emulated_length(void)
{
	return mmu.emulated_length;
}

uint64_t l1_mmu_guest_cr3(void)
{
	return mmu.guest_cr3[mmu.current];
}

uint64_t l1_mmu_load_cr3(uint64_t guest_cr3)
{
	const uint64_t cr3 = guest_cr3 & PTE_ADDRESS;
	unsigned root = 0;

	while (root < ROOTS && mmu.guest_cr3[root] != cr3)
		root++;
	if (root == ROOTS) {
		root = mmu.next++ % ROOTS;
		memset(roots[root], 0, sizeof(roots[root]));
		mmu.guest_cr3[root] = cr3;
	}
	mmu.current = root;
	return (uint64_t)roots[root];
}

/* False: an entry is not present. */
static bool guest_walk(uint64_t linear, struct guest_walk *walk)
{
	uint64_t table = mmu.guest_cr3[mmu.current];

	*walk = (struct guest_walk){.rights = PTE_WRITE | PTE_USER};
	for (unsigned level = LEVELS; level; level--) {
		const uint64_t reach = 1ull << (12 + 9 * (level - 1));
		if (table >= l1.l2_size)
			return false;
		uint64_t *entry = l1_table(l1.l2_base + table) + table_index(linear, level);
		walk->table[walk->levels] = table;
		walk->entry[walk->levels++] = entry;
		if (!(*entry & PTE_PRESENT))
			return false;
		walk->rights &= *entry;
		if (level == 1 || (*entry & PTE_LARGE)) {
			walk->page_bytes = reach;
			walk->l2_gpa = (*entry & PTE_ADDRESS & ~(reach - 1)) | (linear & (reach - 1));
			return level != LEVELS;
		}
		table = *entry & PTE_ADDRESS;
	}
	return false;
}

/* Calls `drop` for every leaf of every shadow and clears those it wants gone. Needed only when a page becomes a table
 * or the first-touch region is unmapped. VM entry flushes the TLB, since L2 has no VPID then. */
static void drop_leaves(bool (*drop)(uint64_t l1_gpa, uint64_t bytes, uint64_t key), uint64_t key)
{
	/* Levels are not recorded per table: a pool entry is a leaf where it is marked so (PTE_DIRTY, set in leaves
	 * only). */
	for (uint64_t page = 0; page < mmu.pool_used; page++) {
		uint64_t *table = l1_table(mmu.pool + page * PAGE_BYTES);
		for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
			const uint64_t bytes = table[i] & PTE_LARGE ? LARGE_PAGE_BYTES : PAGE_BYTES;
			if ((table[i] & PTE_DIRTY) && drop(table[i] & PTE_ADDRESS, bytes, key))
				table[i] = 0;
		}
	}
}

static bool holds_page(uint64_t l1_gpa, uint64_t bytes, uint64_t page)
{
	return page - l1_gpa < bytes;
}

static bool in_touch_region(uint64_t l1_gpa, uint64_t bytes, uint64_t region)
{
	(void)bytes;
	return l1_gpa - region < l1.boot2->touch_size;
}

void l1_mmu_touch_reset(void)
{
	drop_leaves(in_touch_region, l1.l2_base + l1.boot2->touch_base);
}

/* Write-protect the tables a shadow entry is about to be derived from. */
static void protect_tables(const struct guest_walk *walk)
{
	for (unsigned i = 0; i < walk->levels; i++) {
		const uint64_t page = walk->table[i] / PAGE_BYTES;
		if (is_table(walk->table[i]))
			continue;
		mmu.is_table[page / 64] |= 1ull << page % 64;
		drop_leaves(holds_page, l1.l2_base + walk->table[i]);
	}
}

static bool large_page_has_table(uint64_t l2_gpa)
{
	const uint64_t first = l2_gpa / LARGE_PAGE_BYTES * (TABLE_ENTRIES / 64);

	for (unsigned i = 0; i < TABLE_ENTRIES / 64; i++)
		if (mmu.is_table[first + i])
			return true;
	return false;
}

/* The largest leaf that is right for this address in L2's table, in L1's memory, and for the first-touch workload. */
static uint64_t leaf_bytes(const struct guest_walk *walk)
{
	const struct boot_info *boot2 = l1.boot2;

	if (walk->page_bytes < LARGE_PAGE_BYTES || large_page_has_table(walk->l2_gpa))
		return PAGE_BYTES;
	if (walk->l2_gpa - boot2->touch_base < boot2->touch_size)
		return boot2->touch_page_size;
	return l1.boot->ept12_page_size;
}

static void set_accessed_dirty(const struct guest_walk *walk, bool write)
{
	for (unsigned i = 0; i < walk->levels; i++)
		*walk->entry[i] |= PTE_ACCESSED;
	if (write)
		*walk->entry[walk->levels - 1] |= PTE_DIRTY;
}

/* All shadows start anew when the pool is used up: they are derived, nothing is lost. */
static void empty_pool(void)
{
	memset(roots, 0, sizeof(roots));
	memset((void *)mmu.pool, 0, mmu.pool_used * PAGE_BYTES);
	mmu.pool_used = 0;
}

static void insert_leaf(uint64_t linear, const struct guest_walk *walk)
{
	const uint64_t bytes = leaf_bytes(walk);
	const unsigned leaf_level = bytes == PAGE_BYTES ? 1 : 2;
	uint64_t *table = roots[mmu.current];
	uint64_t rights = PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY | (walk->rights & PTE_USER);

	if (mmu.pool_used + LEVELS > POOL_PAGES)
		empty_pool();
	/* A clean page stays read-only until its first store, so that L2 sees its dirty flag set. */
	if ((walk->rights & PTE_WRITE) && (*walk->entry[walk->levels - 1] & PTE_DIRTY) && !is_table(walk->l2_gpa))
		rights |= PTE_WRITE;
	for (unsigned level = LEVELS; level > leaf_level; level--) {
		uint64_t *entry = table + table_index(linear, level);
		if (!(*entry & PTE_PRESENT) || (*entry & PTE_DIRTY)) {
			*entry = (mmu.pool + mmu.pool_used * PAGE_BYTES) | PTE_PRESENT | PTE_WRITE | PTE_USER |
			         PTE_ACCESSED;
			memset(l1_table(*entry & PTE_ADDRESS), 0, PAGE_BYTES);
			mmu.pool_used++;
		}
		table = l1_table(*entry & PTE_ADDRESS);
	}
	table[table_index(linear, leaf_level)] =
	        (l1.l2_base + (walk->l2_gpa & ~(bytes - 1))) | rights | (leaf_level == 2 ? PTE_LARGE : 0);
}

static bool drop_all(uint64_t l1_gpa, uint64_t bytes, uint64_t key)
{
	(void)l1_gpa;
	(void)bytes;
	(void)key;
	return true;
}

/* A store to one of L2's tables: do it for L2, and drop every leaf, since any may have come through that entry. */
static enum l1_mmu_verdict emulate_table_store(uint64_t l2_gpa, uint64_t rip)
{
	struct mmio_instruction instruction;
	const uint64_t *gpr;
	struct guest_walk code;

	mmu.error = "is a store to a page table of L2 by an instruction other than a plain MOV inside it";
	if (!guest_walk(rip, &code) || code.l2_gpa >= l1.l2_size - MMIO_INSTRUCTION_BYTES_MAX)
		return L1_MMU_FAILED;
	if (!mmio_decode((const uint8_t *)(l1.l2_base + code.l2_gpa), &instruction) || !instruction.store ||
	        (!instruction.immediate && instruction.gpr == GPR_RSP))
		return L1_MMU_FAILED;
	if (l2_gpa % PAGE_BYTES + instruction.bytes > PAGE_BYTES)
		return L1_MMU_FAILED;
	gpr = instruction.immediate ? &instruction.value : l2_reg(&l1_l2_regs, instruction.gpr);
	memcpy((void *)(l1.l2_base + l2_gpa), gpr, instruction.bytes);
	drop_leaves(drop_all, 0);
	mmu.emulated_length = instruction.length;
	return L1_MMU_EMULATED;
}

enum l1_mmu_verdict l1_mmu_page_fault(uint64_t linear, uint32_t error, uint64_t rip, uint64_t *l2_gpa)
{
	const bool write = error & FAULT_WRITE;
	struct guest_walk walk;

	if (error & FAULT_RESERVED) {
		mmu.error = "is a #PF for a reserved bit, which L1 never sets in a shadow page table";
		return L1_MMU_FAILED;
	}
	if (!guest_walk(linear, &walk) || (write && !(walk.rights & PTE_WRITE)) ||
	        ((error & FAULT_USER) && !(walk.rights & PTE_USER)))
		return L1_MMU_GUEST_FAULT;
	*l2_gpa = walk.l2_gpa;
	if (walk.l2_gpa - TESTDEV_MMIO_GPA < TESTDEV_MMIO_SIZE)
		return L1_MMU_DEVICE;
	if (walk.l2_gpa >= l1.l2_size) {
		mmu.error = "is an access to L2-physical memory that L2 does not have";
		return L1_MMU_FAILED;
	}
	protect_tables(&walk);
	if (write && is_table(walk.l2_gpa))
		return emulate_table_store(walk.l2_gpa, rip);
	set_accessed_dirty(&walk, write);
	insert_leaf(linear, &walk);
	return L1_MMU_REPAIRED;
}
