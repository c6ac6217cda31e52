/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree backend: EPT02 as a 4-level EPT (SDM vol. 3, 29.3.2) for machines that walk one.
 *
 * Invariant between calls: every table but the root holds at least one entry, so an entry that is not 0 means that
 * something is mapped under it. The accessed and dirty bits in it are the processor's; nothing here reads them.
 */
#include <errno.h>

#include "ept02.h"
#include "ept02_internal.h"
#include "ept12.h"

#define ENTRIES 512
#define TABLE_RIGHTS EPT_RWX
#define LEAF_MEMORY_TYPE (EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT)

static uint64_t *table_at(const struct ept02_tree *tree, uint64_t referrer)
{
	return tree->page(tree->ctx, referrer & EPT_ADDRESS_MASK);
}

static bool is_leaf(uint64_t entry, unsigned level)
{
	return level == 1 || (entry & EPT_LARGE);
}

static unsigned index_at(uint64_t l2_gpa, unsigned level)
{
	return l2_gpa / ept12_reach(level) % ENTRIES;
}

static bool is_empty(const uint64_t *table)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		if (table[i] != 0)
			return false;
	}
	return true;
}

/* ---- unmap ---- */

/*
 * Clear [begin, end) in a table that translates from l2_gpa on, and give back the tables below that became empty. No
 * large page may cross begin or end, and begin < end. True: the table itself is empty now.
 */
static bool clear_range(const struct ept02_tree *tree, uint64_t *table, unsigned level, uint64_t l2_gpa, uint64_t begin,
        uint64_t end, bool *removed)
{
	const uint64_t reach = ept12_reach(level);

	for (unsigned i = begin > l2_gpa ? (begin - l2_gpa) / reach : 0; i < ENTRIES && l2_gpa + i * reach < end; i++) {
		if (table[i] == 0)
			continue;
		if (is_leaf(table[i], level)) {
			table[i] = 0;
			*removed = true;
		} else if (clear_range(tree, table_at(tree, table[i]), level - 1, l2_gpa + i * reach, begin, end,
		                   removed)) {
			tree->release(tree->ctx, table[i] & EPT_ADDRESS_MASK);
			table[i] = 0;
		}
	}
	return is_empty(table);
}

/* Replace a large page by a table of 512 pages of the next smaller size: the same translations, the same rights. */
static int split(const struct ept02_tree *tree, uint64_t *entry, unsigned level)
{
	const uint64_t hpa = tree->alloc(tree->ctx);
	uint64_t *table;

	if (hpa == 0)
		return -ENOSPC;
	table = table_at(tree, hpa);
	for (unsigned i = 0; i < ENTRIES; i++)
		table[i] = (level == 2 ? *entry & ~EPT_LARGE : *entry) + i * ept12_reach(level - 1);
	*entry = hpa | TABLE_RIGHTS;
	return 0;
}

/* Split the large pages that cross l2_gpa. */
static int split_at(const struct ept02_tree *tree, uint64_t eptp02, uint64_t l2_gpa)
{
	uint64_t *table = table_at(tree, eptp02);

	for (unsigned level = 4; l2_gpa % ept12_reach(level) != 0; level--) {
		uint64_t *entry = &table[index_at(l2_gpa, level)];
		if (*entry == 0)
			return 0;
		if (is_leaf(*entry, level)) {
			const int error = split(tree, entry, level);
			if (error)
				return error;
		}
		table = table_at(tree, *entry);
	}
	return 0;
}

static bool range_valid(uint64_t l2_gpa, uint64_t size)
{
	return (l2_gpa | size) % EPT02_PAGE == 0 && l2_gpa < EPT02_L2_LIMIT && size <= EPT02_L2_LIMIT - l2_gpa;
}

static int tree_unmap(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t size)
{
	const struct ept02_tree *tree = ctx;
	bool removed = false;
	int error;

	if (!range_valid(l2_gpa, size))
		return -EINVAL;
	if (size == 0)
		return 0;
	/* Both splits first: they change no translation, so a failure leaves all as it was. */
	error = split_at(tree, eptp02, l2_gpa);
	if (!error && l2_gpa + size < EPT02_L2_LIMIT)
		error = split_at(tree, eptp02, l2_gpa + size);
	if (error)
		return error;
	clear_range(tree, table_at(tree, eptp02), 4, 0, l2_gpa, l2_gpa + size, &removed);
	return removed;
}

/* ---- map ---- */

/* One entry; missing tables are made on the way. After -ENOSPC tables without any entry may be left. */
static int set_leaf(const struct ept02_tree *tree, uint64_t eptp02, uint64_t l2_gpa, unsigned leaf_level, uint64_t leaf)
{
	uint64_t *table = table_at(tree, eptp02);

	for (unsigned level = 4; level > leaf_level; level--) {
		uint64_t *entry = &table[index_at(l2_gpa, level)];
		if (*entry == 0) {
			const uint64_t hpa = tree->alloc(tree->ctx);
			if (hpa == 0)
				return -ENOSPC;
			*entry = hpa | TABLE_RIGHTS;
		} else if (is_leaf(*entry, level)) {
			return -EEXIST;
		}
		table = table_at(tree, *entry);
	}
	if (table[index_at(l2_gpa, leaf_level)] != 0)
		return -EEXIST;
	table[index_at(l2_gpa, leaf_level)] = leaf;
	return 0;
}

/* Is [l1_gpa, +size) one aligned piece of host-physical memory? EPT01 need not be linear, and a large page over a gap
 * in it would hand L2 memory that is not L1's: each page is asked for. */
static bool host_is_large_page(const struct ept02_tree *tree, uint64_t l1_gpa, uint64_t size)
{
	const uint64_t host = tree->l1_to_host(tree->ctx, l1_gpa);

	if (host % size != 0)
		return false;
	for (uint64_t offset = EPT02_PAGE; offset < size; offset += EPT02_PAGE) {
		if (tree->l1_to_host(tree->ctx, l1_gpa + offset) != host + offset)
			return false;
	}
	return true;
}

static uint64_t page_size_max(const struct ept02_tree *tree)
{
	return tree->page_size_max ? tree->page_size_max : ept12_reach(3);
}

static unsigned leaf_level_for(const struct ept02_tree *tree, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size)
{
	unsigned level = 3;

	while (level > 1) {
		const uint64_t reach = ept12_reach(level);
		if (l2_gpa % reach == 0 && size >= reach && reach <= page_size_max(tree) &&
		        host_is_large_page(tree, l1_gpa, reach))
			break;
		level--;
	}
	return level;
}

static int tree_map(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size, uint64_t access)
{
	const struct ept02_tree *tree = ctx;
	uint64_t done = 0, end;
	bool removed;
	int error = 0;

	if (!range_valid(l2_gpa, size) || l1_gpa % EPT02_PAGE != 0 || !(access & EPT_RWX))
		return -EINVAL;
	while (done < size && !error) {
		const unsigned level = leaf_level_for(tree, l2_gpa + done, l1_gpa + done, size - done);
		const uint64_t leaf = tree->l1_to_host(tree->ctx, l1_gpa + done) | (access & EPT_RWX) |
		                      LEAF_MEMORY_TYPE | (level > 1 ? EPT_LARGE : 0);
		error = set_leaf(tree, eptp02, l2_gpa + done, level, leaf);
		if (!error)
			done += ept12_reach(level);
	}
	if (!error)
		return 0;
	/* Undo. After -ENOSPC nothing is mapped at the page that did not come to be, but tables were made for it. */
	end = l2_gpa + done + (error == -ENOSPC ? EPT02_PAGE : 0);
	if (end != l2_gpa)
		clear_range(tree, table_at(tree, eptp02), 4, 0, l2_gpa, end, &removed);
	return error;
}

/* ---- roots ---- */

static int tree_root_create(void *ctx, uint64_t *eptp02)
{
	const struct ept02_tree *tree = ctx;
	const uint64_t hpa = tree->alloc(tree->ctx);

	if (hpa == 0)
		return -ENOSPC;
	*eptp02 = hpa | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB;
	return 0;
}

static void tree_root_destroy(void *ctx, uint64_t eptp02)
{
	const struct ept02_tree *tree = ctx;
	bool removed;

	clear_range(tree, table_at(tree, eptp02), 4, 0, 0, EPT02_L2_LIMIT, &removed);
	tree->release(tree->ctx, eptp02 & EPT_ADDRESS_MASK);
	/* The processor may hold translations tagged with this root, and the page may become a root again. */
	tree->flush(tree->ctx, eptp02);
}

static void tree_flush(void *ctx, uint64_t eptp02)
{
	const struct ept02_tree *tree = ctx;

	tree->flush(tree->ctx, eptp02);
}

void ept02_tree_backend(struct ept02_tree *tree, struct ept02_backend *backend)
{
	*backend = (struct ept02_backend){.ctx = tree,
	        .root_create = tree_root_create,
	        .root_destroy = tree_root_destroy,
	        .map = tree_map,
	        .unmap = tree_unmap,
	        .flush = tree_flush,
	        .page_size_max = page_size_max(tree)};
}
