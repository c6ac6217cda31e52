/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eager EPT02: EPT12 as a sorted list of extents, and the difference between two such lists.
 *
 *   EPT12 --walk--> new list \
 *                             compare: unmap what only the old one holds, map what only the new one holds
 *   root->extents = old list /
 */
#include <errno.h>
#include <string.h>

#include "ept02_internal.h"
#include "ept12.h"
#include "nested.h"

#define ENTRIES 512

/* One walk over [begin, end). */
struct sync {
	struct nested *nested;
	struct ept02_root *root;
	uint64_t begin, end;
	uint32_t work; /* see EPT02_WORK_MAX */
	bool accessed_dirty, dirty_up_front;
	uint64_t hole_begin, hole_end; /* the last range of L1-physical memory found to be no RAM */
	struct ept02_extent *list;     /* the new list */
	uint32_t count;
	bool unmapped;
};

/* ---- the new list ---- */

static int add_extent(struct sync *s, const struct ept02_extent *added)
{
	struct ept02_extent *last = s->count ? &s->list[s->count - 1] : NULL;

	if (last && last->l2_gpa + last->size == added->l2_gpa && last->l1_gpa + last->size == added->l1_gpa &&
	        last->access == added->access) {
		last->size += added->size;
		return 0;
	}
	if (s->count == EPT02_EXTENTS)
		return -E2BIG;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): ept02_init refuses eager mode without extents */
	s->list[s->count++] = *added;
	return 0;
}

/* The part of an extent inside [begin, end); size 0 when there is none. */
static struct ept02_extent clip(const struct ept02_extent *extent, uint64_t begin, uint64_t end)
{
	struct ept02_extent part = *extent;

	if (part.l2_gpa < begin) {
		const uint64_t cut = begin - part.l2_gpa < part.size ? begin - part.l2_gpa : part.size;
		part.l2_gpa += cut;
		part.l1_gpa += cut;
		part.size -= cut;
	}
	if (part.l2_gpa >= end)
		part.size = 0;
	else if (part.size > end - part.l2_gpa)
		part.size = end - part.l2_gpa;
	return part;
}

/* Outside the range that is walked the old list stands. */
static int keep_old(struct sync *s, uint64_t begin, uint64_t end)
{
	for (uint32_t i = 0; i < s->root->extent_count; i++) {
		const struct ept02_extent part = clip(&s->root->extents[i], begin, end);
		const int error = part.size ? add_extent(s, &part) : 0;
		if (error)
			return error;
	}
	return 0;
}

/* How much of a leaf, from its start on, is all RAM or all not. Aliases of one hole are asked for once. */
static uint64_t run_of_leaf(struct sync *s, const struct ept02_extent *leaf, bool *ram)
{
	const struct ept02 *ept02 = &s->nested->ept02;
	uint64_t run;

	if (leaf->l1_gpa >= ept02->ram_begin && leaf->l1_gpa + leaf->size <= ept02->ram_end) {
		*ram = true;
		return leaf->size;
	}
	if (leaf->l1_gpa >= s->hole_begin && leaf->l1_gpa < s->hole_end) {
		*ram = false;
		run = s->hole_end - leaf->l1_gpa;
		return run < leaf->size ? run : leaf->size;
	}
	run = ept02_ram_run(s->nested, leaf->l1_gpa, leaf->size, ram, &s->work);
	if (!*ram) {
		if (leaf->l1_gpa != s->hole_end)
			s->hole_begin = leaf->l1_gpa;
		s->hole_end = leaf->l1_gpa + run;
	}
	return run;
}

/* Devices are left out: an access there comes out and is EPT02_DEVICE. */
static int add_leaf(struct sync *s, struct ept02_extent leaf, bool *used)
{
	while (leaf.size != 0) {
		struct ept02_extent part = leaf;
		bool ram;

		part.size = run_of_leaf(s, &leaf, &ram);
		if (s->work > s->nested->ept02.work_max)
			return -E2BIG;
		if (ram) {
			const int error = add_extent(s, &part);
			if (error)
				return error;
			*used = true;
		}
		leaf.l2_gpa += part.size;
		leaf.l1_gpa += part.size;
		leaf.size -= part.size;
	}
	return 0;
}

/* `at` is where the entry stands. */
static int walk_leaf(
        struct sync *s, uint64_t entry, uint64_t *at, unsigned level, uint64_t l2_gpa, uint64_t allowed, bool *used)
{
	const uint64_t reach = ept12_reach(level);
	const bool write = allowed & EPT_WRITE;
	const struct ept02_extent whole = {.l2_gpa = l2_gpa,
	        .l1_gpa = entry & EPT_ADDRESS_MASK,
	        .size = reach,
	        /* A page that is not dirty yet: its first write is to come out, or is counted as done. */
	        .access = !s->accessed_dirty || s->dirty_up_front || (entry & EPT_DIRTY) ? allowed
	                                                                                 : allowed & ~EPT_WRITE};
	const int error = add_leaf(s, clip(&whole, s->begin, s->end), used);

	if (!error && *used && s->accessed_dirty && s->dirty_up_front && write)
		*at |= EPT_DIRTY;
	return error;
}

/*
 * The table that an entry (or the EPTP) refers to, which translates from l2_gpa on. Each entry looked at is counted, so
 * tables that refer to one another in circles end in -E2BIG. *used: something in it is mapped.
 */
static int walk_table(struct sync *s, uint64_t referrer, unsigned level, uint64_t l2_gpa, uint64_t allowed, bool *used)
{
	const uint64_t reach = ept12_reach(level);
	uint64_t *table = ept12_table(s->nested, referrer);
	int error = 0;

	if (!table)
		return 0;
	for (unsigned i = s->begin > l2_gpa ? (s->begin - l2_gpa) / reach : 0; i < ENTRIES && !error; i++) {
		const uint64_t at = l2_gpa + i * reach;
		const uint64_t entry = *(volatile uint64_t *)&table[i]; /* L1's memory: read once */
		const uint64_t rights = allowed & entry;
		bool entry_used = false;

		if (at >= s->end)
			break;
		if (++s->work > s->nested->ept02.work_max)
			return -E2BIG;
		if (rights == 0)
			continue;
		switch (ept12_classify(s->nested, entry, level)) {
		case EPT12_ENTRY_TABLE:
			error = walk_table(s, entry, level - 1, at, rights, &entry_used);
			break;
		case EPT12_ENTRY_LEAF:
			error = walk_leaf(s, entry, &table[i], level, at, rights, &entry_used);
			break;
		case EPT12_ENTRY_NOT_PRESENT:
		case EPT12_ENTRY_MISCONFIGURED: /* left out: the access comes out and is reflected as such */
			break;
		}
		if (entry_used && s->accessed_dirty && !(entry & EPT_ACCESSED))
			table[i] |= EPT_ACCESSED;
		*used = *used || entry_used;
	}
	return error;
}

/* ---- the difference ---- */

typedef int (*extent_op)(struct sync *s, const struct ept02_extent *part);

static bool same_translation(const struct ept02_extent *a, const struct ept02_extent *b)
{
	return a->l1_gpa - a->l2_gpa == b->l1_gpa - b->l2_gpa && a->access == b->access;
}

/* Call op for each part of `extent` that list b, from b[*at] on, does not hold with the same translation and rights. */
static int for_each_part(struct sync *s, const struct ept02_extent *extent, const struct ept02_extent *b,
        uint32_t b_count, uint32_t *at, extent_op op)
{
	const uint64_t end = extent->l2_gpa + extent->size;
	uint64_t begin = extent->l2_gpa; /* of the part not given to op yet */

	while (*at < b_count && b[*at].l2_gpa + b[*at].size <= begin)
		++*at;
	for (uint32_t j = *at; begin < end; j++) {
		const bool over = j == b_count || b[j].l2_gpa >= end;
		if (!over && !same_translation(extent, &b[j]))
			continue;
		const uint64_t stop = over ? end : b[j].l2_gpa;
		if (stop > begin) {
			const struct ept02_extent part = clip(extent, begin, stop);
			const int error = op(s, &part);
			if (error)
				return error;
		}
		begin = over ? end : b[j].l2_gpa + b[j].size;
	}
	return 0;
}

/* Both lists are sorted and free of overlaps, so one pass over both finds what only a holds. */
static int for_each_difference(struct sync *s, const struct ept02_extent *a, uint32_t a_count,
        const struct ept02_extent *b, uint32_t b_count, extent_op op)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < a_count; i++) {
		const int error = for_each_part(s, &a[i], b, b_count, &at, op);
		if (error)
			return error;
	}
	return 0;
}

static int unmap_part(struct sync *s, const struct ept02_extent *part)
{
	const int removed = ept02_unmap(s->nested, s->root, part->l2_gpa, part->size);

	s->unmapped = true;
	return removed < 0 ? removed : 0;
}

static int map_part(struct sync *s, const struct ept02_extent *part)
{
	return ept02_map(s->nested, s->root, part->l2_gpa, part->l1_gpa, part->size, part->access);
}

static int apply(struct sync *s)
{
	struct nested *nested = s->nested;
	struct ept02_root *root = s->root;
	int error = for_each_difference(s, root->extents, root->extent_count, s->list, s->count, unmap_part);

	if (s->unmapped)
		ept02_flush(nested, root);
	if (!error)
		error = for_each_difference(s, s->list, s->count, root->extents, root->extent_count, map_part);
	if (error == -ENOSPC) {
		/* Built afresh it may fit: what was split for the sake of the difference is whole again. */
		error = ept02_empty(nested, root);
		if (error)
			return error;
		error = for_each_difference(s, s->list, s->count, NULL, 0, map_part);
	}
	if (error) {
		ept02_destroy(nested, root);
		return error;
	}
	nested->ept02.scratch = root->extents;
	root->extents = s->list;
	root->extent_count = s->count;
	return 0;
}

int ept02_eager_sync(struct nested *nested, struct ept02_root *root, uint64_t begin, uint64_t end)
{
	struct sync s = {.nested = nested,
	        .root = root,
	        .begin = begin,
	        .end = end,
	        .accessed_dirty = root->eptp12 & EPTP_AD,
	        .dirty_up_front = !nested->config.machine.ept02_lazy,
	        .list = nested->ept02.scratch};
	bool used = false;
	int error = keep_old(&s, 0, begin);

	nested->counters[COUNTER_EPT12_WALKS]++;
	if (!error)
		error = walk_table(&s, root->eptp12, 4, 0, EPT_RWX, &used);
	if (!error)
		error = keep_old(&s, end, EPT02_L2_LIMIT);
	return error ? error : apply(&s);
}
