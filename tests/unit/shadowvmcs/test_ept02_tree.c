/* SPDX-License-Identifier: Apache-2.0 */
/* The tree backend, alone against an array of pages, and under the engine against the reference of ept_world. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ept_world.h"

#define PAGE 4096ull
#define MIB2 (2ull << 20)
#define GIB1 (1ull << 30)
#define POOL_PAGES 4096
#define POOL_BASE 0x5500000000ull
#define RX (EPT_READ | EPT_EXECUTE)

/* EPT01 of these tests: linear, but the memory from SHIFTED on is one page further on in the host. */
#define HOST_BASE 0x4000000000ull
#define SHIFTED (3 * GIB1 + 2 * MIB2 + 0x1000)

static uint8_t *pool;
static bool pool_used[POOL_PAGES];
static unsigned used, pool_limit, flushes;
static struct ept02_tree tree;
static struct ept02_backend backend;
static uint64_t root;

static uint64_t *pool_page(void *ctx, uint64_t hpa)
{
	const uint64_t index = (hpa - POOL_BASE) / PAGE;

	/* Check notes each assertion in a file, so here and below only a failed one is made. */
	if (hpa < POOL_BASE || index >= POOL_PAGES || !pool_used[index])
		ck_abort_msg("%#llx is not a page of the pool", (unsigned long long)hpa);
	return (uint64_t *)(pool + index * PAGE);
}

static uint64_t pool_alloc(void *ctx)
{
	if (used == pool_limit)
		return 0;
	for (unsigned i = 0;; i++) {
		if (!pool_used[i]) {
			pool_used[i] = true;
			used++;
			memset(pool + i * PAGE, 0, PAGE);
			return POOL_BASE + i * PAGE;
		}
	}
}

static void pool_release(void *ctx, uint64_t hpa)
{
	pool_page(ctx, hpa)[0] = ~0ull; /* whoever uses it on falls over it */
	pool_used[(hpa - POOL_BASE) / PAGE] = false;
	used--;
}

static uint64_t l1_to_host(void *ctx, uint64_t l1_gpa)
{
	return HOST_BASE + l1_gpa + (l1_gpa >= SHIFTED ? PAGE : 0);
}

static void count_flush(void *ctx, uint64_t eptp02)
{
	flushes++;
}

static void setup(void)
{
	pool = aligned_alloc(PAGE, POOL_PAGES * PAGE);
	ck_assert_ptr_nonnull(pool);
	memset(pool_used, 0, sizeof(pool_used));
	used = flushes = 0;
	pool_limit = POOL_PAGES;
	tree = (struct ept02_tree){.page = pool_page,
	        .alloc = pool_alloc,
	        .release = pool_release,
	        .l1_to_host = l1_to_host,
	        .flush = count_flush};
	ept02_tree_backend(&tree, &backend);
	ck_assert_int_eq(backend.root_create(backend.ctx, &root), 0);
}

static void teardown(void)
{
	backend.root_destroy(backend.ctx, root);
	ck_assert_uint_eq(used, 0);
	free(pool);
}

static int map(uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size, uint64_t access)
{
	return backend.map(backend.ctx, root, l2_gpa, l1_gpa, size, access);
}

static int unmap(uint64_t l2_gpa, uint64_t size)
{
	return backend.unmap(backend.ctx, root, l2_gpa, size);
}

/* The processor's walk: the leaf (0: none), its level, and whether all above it is a plain table. */
static uint64_t leaf_of(uint64_t eptp02, uint64_t l2_gpa, unsigned *level)
{
	uint64_t entry = eptp02;

	for (*level = 4;; --*level) {
		entry = pool_page(NULL, entry & EPT_ADDRESS_MASK)[l2_gpa >> (9 * *level + 3) & 511];
		if (entry == 0 || *level == 1 || (entry & EPT_LARGE))
			return entry;
		if ((entry & ~EPT_ADDRESS_MASK) != EPT_RWX)
			ck_abort_msg("%#llx is not the entry of a table", (unsigned long long)entry);
	}
}

static void expect_leaf(uint64_t l2_gpa, uint64_t l1_gpa, unsigned expected_level, uint64_t access)
{
	unsigned level;
	const uint64_t leaf = leaf_of(root, l2_gpa, &level);

	ck_assert_uint_eq(leaf, l1_to_host(NULL, l1_gpa) | access | EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT |
	                                (expected_level > 1 ? EPT_LARGE : 0));
	ck_assert_uint_eq(level, expected_level);
}

static void expect_nothing(uint64_t l2_gpa)
{
	unsigned level;

	ck_assert_uint_eq(leaf_of(root, l2_gpa, &level), 0);
}

/* ---- roots ---- */

START_TEST(root_is_an_eptp)
{
	ck_assert_uint_eq(root & ~EPT_ADDRESS_MASK, EPTP_WALK_4 | EPT_MEMORY_TYPE_WB);
	ck_assert_uint_eq(used, 1);
	ck_assert_uint_eq(backend.page_size_max, GIB1);
}
END_TEST

START_TEST(destroy_gives_all_back)
{
	uint64_t other;

	ck_assert_int_eq(backend.root_create(backend.ctx, &other), 0);
	ck_assert_int_eq(backend.map(backend.ctx, other, 0x7000, 0x1000, 40 * MIB2, EPT_RWX), 0);
	ck_assert_int_eq(map(511 * GIB1, 0x1000, PAGE, EPT_RWX), 0);
	ck_assert_uint_gt(used, 5);
	backend.root_destroy(backend.ctx, other);
	ck_assert_uint_eq(used, 4);
	ck_assert_uint_eq(flushes, 1); /* its translations may be cached */
	expect_leaf(511 * GIB1, 0x1000, 1, EPT_RWX);
}
END_TEST

START_TEST(flush_is_passed_on)
{
	backend.flush(backend.ctx, root);
	ck_assert_uint_eq(flushes, 1);
}
END_TEST

START_TEST(accessed_dirty_flag_in_eptp02)
{
	ck_assert_int_eq(backend.map(backend.ctx, root | EPTP_AD, 0x1000, 0x2000, PAGE, EPT_READ), 0);
	expect_leaf(0x1000, 0x2000, 1, EPT_READ);
	ck_assert_int_eq(backend.unmap(backend.ctx, root | EPTP_AD, 0x1000, PAGE), 1);
	expect_nothing(0x1000);
}
END_TEST

/* ---- sizes of pages ---- */

START_TEST(largest_pages_that_fit)
{
	/* 4 KiB up to the next 2 MiB, 2 MiB up to the next GiB, 1 GiB, and back down. */
	const uint64_t begin = GIB1 - MIB2 - PAGE, size = PAGE + MIB2 + GIB1 + MIB2 + 2 * PAGE;

	ck_assert_int_eq(map(begin, begin, size, EPT_RWX), 0);
	expect_nothing(begin - PAGE);
	expect_leaf(begin, begin, 1, EPT_RWX);
	expect_leaf(begin + PAGE, GIB1 - MIB2, 2, EPT_RWX);
	expect_leaf(GIB1, GIB1, 3, EPT_RWX);
	expect_leaf(2 * GIB1, 2 * GIB1, 2, EPT_RWX);
	expect_leaf(2 * GIB1 + MIB2, 2 * GIB1 + MIB2, 1, EPT_RWX);
	expect_leaf(2 * GIB1 + MIB2 + PAGE, 2 * GIB1 + MIB2 + PAGE, 1, EPT_RWX);
	expect_nothing(2 * GIB1 + MIB2 + 2 * PAGE);
	/* PML4, PDPT; PD and PT below 1 GiB; PD and PT above 2 GiB. */
	ck_assert_uint_eq(used, 6);
}
END_TEST

START_TEST(no_large_page_where_addresses_do_not_agree)
{
	ck_assert_int_eq(map(0, PAGE, 2 * MIB2, EPT_READ), 0);
	expect_leaf(0, PAGE, 1, EPT_READ);
	expect_leaf(MIB2, PAGE + MIB2, 1, EPT_READ);
	ck_assert_int_eq(map(GIB1, MIB2, GIB1, EPT_READ), 0);
	expect_leaf(GIB1, MIB2, 2, EPT_READ);
}
END_TEST

START_TEST(no_large_page_over_a_break_in_ept01)
{
	ck_assert_int_eq(map(3 * GIB1, 3 * GIB1, GIB1, RX), 0);
	expect_leaf(3 * GIB1, 3 * GIB1, 2, RX);
	expect_leaf(3 * GIB1 + MIB2, 3 * GIB1 + MIB2, 2, RX);
	expect_leaf(SHIFTED - PAGE, SHIFTED - PAGE, 1, RX); /* the first page of the broken 2 MiB */
	expect_leaf(SHIFTED, SHIFTED, 1, RX);
	expect_leaf(3 * GIB1 + 3 * MIB2, 3 * GIB1 + 3 * MIB2, 1, RX); /* not aligned any more */
}
END_TEST

START_TEST(largest_page_of_the_machine)
{
	tree.page_size_max = MIB2;
	ept02_tree_backend(&tree, &backend);
	ck_assert_uint_eq(backend.page_size_max, MIB2);
	ck_assert_int_eq(map(0, 0, GIB1, EPT_RWX), 0);
	expect_leaf(0, 0, 2, EPT_RWX);
	tree.page_size_max = PAGE;
	ck_assert_int_eq(map(GIB1, 0, MIB2, EPT_RWX), 0);
	expect_leaf(GIB1, 0, 1, EPT_RWX);
}
END_TEST

START_TEST(every_right)
{
	static const uint64_t rights[] = {EPT_READ, EPT_READ | EPT_WRITE, RX, EPT_EXECUTE, EPT_RWX};

	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(map(i * PAGE, 0x5000, PAGE, rights[i]), 0);
		expect_leaf(i * PAGE, 0x5000, 1, rights[i]);
	}
}
END_TEST

/* ---- unmap ---- */

START_TEST(unmap_gives_back_empty_tables)
{
	ck_assert_int_eq(map(0, 0, PAGE, EPT_RWX), 0);
	ck_assert_int_eq(map(MIB2, 0, PAGE, EPT_RWX), 0);
	ck_assert_uint_eq(used, 5);
	ck_assert_int_eq(unmap(0, PAGE), 1);
	ck_assert_uint_eq(used, 4);
	ck_assert_int_eq(unmap(0, PAGE), 0);
	ck_assert_int_eq(unmap(0, 1ull << 48), 1);
	ck_assert_uint_eq(used, 1);
	ck_assert_int_eq(unmap(0, 1ull << 48), 0);
}
END_TEST

START_TEST(empty_ranges)
{
	ck_assert_int_eq(map(0, 0, MIB2, EPT_RWX), 0);
	ck_assert_int_eq(unmap(5 * PAGE, 0), 0);
	ck_assert_int_eq(map(5 * PAGE, 0, 0, EPT_RWX), 0);
	expect_leaf(0, 0, 2, EPT_RWX);
}
END_TEST

START_TEST(unmap_splits_2m)
{
	ck_assert_int_eq(map(MIB2, MIB2, MIB2, RX), 0);
	ck_assert_int_eq(unmap(MIB2 + 7 * PAGE, 2 * PAGE), 1);
	expect_leaf(MIB2, MIB2, 1, RX);
	expect_leaf(MIB2 + 6 * PAGE, MIB2 + 6 * PAGE, 1, RX);
	expect_nothing(MIB2 + 7 * PAGE);
	expect_nothing(MIB2 + 8 * PAGE);
	expect_leaf(MIB2 + 9 * PAGE, MIB2 + 9 * PAGE, 1, RX);
	expect_leaf(2 * MIB2 - PAGE, 2 * MIB2 - PAGE, 1, RX);
	expect_nothing(2 * MIB2);
}
END_TEST

START_TEST(unmap_splits_1g_at_both_ends)
{
	ck_assert_int_eq(map(0, 0, 2 * GIB1, EPT_RWX), 0);
	ck_assert_uint_eq(used, 2);
	ck_assert_int_eq(unmap(MIB2 + PAGE, GIB1), 1);
	expect_leaf(0, 0, 2, EPT_RWX);
	expect_leaf(MIB2, MIB2, 1, EPT_RWX);
	expect_nothing(MIB2 + PAGE);
	expect_nothing(GIB1);
	expect_nothing(GIB1 + MIB2);
	expect_leaf(GIB1 + MIB2 + PAGE, GIB1 + MIB2 + PAGE, 1, EPT_RWX);
	expect_leaf(GIB1 + 2 * MIB2, GIB1 + 2 * MIB2, 2, EPT_RWX);
	/* PML4, PDPT, two PDs, two PTs. */
	ck_assert_uint_eq(used, 6);
}
END_TEST

/* The processor's accessed and dirty bits stay with the translation. */
START_TEST(split_keeps_the_processors_bits)
{
	unsigned level;

	ck_assert_int_eq(map(0, 0, MIB2, EPT_RWX), 0);
	const uint64_t pd = pool_page(NULL, pool_page(NULL, root & EPT_ADDRESS_MASK)[0] & EPT_ADDRESS_MASK)[0];
	pool_page(NULL, pd & EPT_ADDRESS_MASK)[0] |= EPT_ACCESSED | EPT_DIRTY;
	ck_assert_int_eq(unmap(0, PAGE), 1);
	ck_assert_uint_eq(leaf_of(root, PAGE, &level) & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED | EPT_DIRTY);
}
END_TEST

/* ---- refusals and room ---- */

START_TEST(refusals)
{
	ck_assert_int_eq(map(1, 0, PAGE, EPT_RWX), -EINVAL);
	ck_assert_int_eq(map(0, 8, PAGE, EPT_RWX), -EINVAL);
	ck_assert_int_eq(map(0, 0, 100, EPT_RWX), -EINVAL);
	ck_assert_int_eq(map(0, 0, PAGE, 0), -EINVAL);
	ck_assert_int_eq(map((1ull << 48) - PAGE, 0, 2 * PAGE, EPT_RWX), -EINVAL);
	ck_assert_int_eq(map(1ull << 48, 0, PAGE, EPT_RWX), -EINVAL);
	ck_assert_int_eq(map(PAGE, 0, 0 - PAGE, EPT_RWX), -EINVAL);
	ck_assert_int_eq(unmap(1, PAGE), -EINVAL);
	ck_assert_int_eq(unmap(0, (1ull << 48) + PAGE), -EINVAL);
	ck_assert_int_eq(map((1ull << 48) - PAGE, 0, PAGE, EPT_RWX), 0);
	expect_leaf((1ull << 48) - PAGE, 0, 1, EPT_RWX);
}
END_TEST

START_TEST(what_is_there_is_not_replaced)
{
	ck_assert_int_eq(map(9 * PAGE, 0x1000, PAGE, EPT_READ), 0);
	ck_assert_int_eq(map(0, PAGE, 20 * PAGE, EPT_RWX), -EEXIST);
	expect_leaf(9 * PAGE, 0x1000, 1, EPT_READ);
	for (unsigned i = 0; i < 20; i++) {
		if (i != 9)
			expect_nothing(i * PAGE);
	}
	ck_assert_int_eq(map(0, 0, MIB2, EPT_RWX), -EEXIST);
	ck_assert_int_eq(map(GIB1, 0, GIB1, EPT_RWX), 0);
	ck_assert_int_eq(map(GIB1 + 5 * PAGE, 0, PAGE, EPT_RWX), -EEXIST);
	expect_leaf(GIB1, 0, 3, EPT_RWX);
	ck_assert_uint_eq(used, 4);
}
END_TEST

START_TEST(no_room_to_map_leaves_nothing)
{
	const uint64_t begin = GIB1 - PAGE, size = 4 * MIB2;
	int error = -ENOSPC;

	for (pool_limit = 1; error; pool_limit++) {
		error = map(begin, PAGE, size, EPT_RWX);
		if (error) {
			ck_assert_int_eq(error, -ENOSPC);
			ck_assert_uint_eq(used, 1);
		}
	}
	/* PML4, PDPT, two PDs, one PT below 1 GiB and four above. */
	ck_assert_uint_eq(used, 9);
	ck_assert_uint_eq(pool_limit, 10);
}
END_TEST

START_TEST(no_room_for_a_root)
{
	uint64_t other;

	pool_limit = 1;
	ck_assert_int_eq(backend.root_create(backend.ctx, &other), -ENOSPC);
}
END_TEST

START_TEST(no_room_to_split_removes_nothing)
{
	int removed = -ENOSPC;

	ck_assert_int_eq(map(0, 0, 2 * GIB1, EPT_RWX), 0);
	for (pool_limit = used; removed < 0; pool_limit++) {
		removed = unmap(MIB2 + PAGE, GIB1);
		if (removed < 0) {
			unsigned level;
			ck_assert_int_eq(removed, -ENOSPC);
			for (uint64_t at = 0; at < 2 * GIB1; at += MIB2 / 2) {
				const uint64_t leaf = leaf_of(root, at, &level);
				const uint64_t reach = ept12_reach(level);
				ck_assert_uint_eq((leaf & EPT_ADDRESS_MASK) + at % reach, HOST_BASE + at);
			}
		}
	}
	ck_assert_int_eq(removed, 1);
	ck_assert_uint_eq(used, 6);
}
END_TEST

/* ---- at random, against an array with an entry for each page ---- */

#define ARRAY_PAGES (6 * 512u)
#define ARRAY_BASE (GIB1 - 3 * MIB2)

static uint64_t array[ARRAY_PAGES]; /* host address and rights, 0 = nothing */

static bool equals_array(void)
{
	for (unsigned i = 0; i < ARRAY_PAGES; i++) {
		const uint64_t at = ARRAY_BASE + i * PAGE;
		unsigned level;
		const uint64_t leaf = leaf_of(root, at, &level);
		const uint64_t page = leaf ? (leaf & EPT_ADDRESS_MASK) + (at % ept12_reach(level) & -PAGE) : 0;
		if ((page | (leaf & EPT_RWX)) != array[i])
			return false;
	}
	return true;
}

static bool is_free(unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		if (array[i] != 0)
			return false;
	}
	return true;
}

START_TEST(random_maps_and_unmaps)
{
	static const uint64_t rights[] = {EPT_READ, EPT_READ | EPT_WRITE, RX, EPT_RWX};
	uint64_t seed = 0x74ee;
	unsigned mapped = 0, no_room = 0;

	pool_limit = 8;
	for (unsigned round = 0; round < 4000; round++) {
		const unsigned granule = world_random(&seed) % 2 ? 512 : 1;
		unsigned first = world_random(&seed) % ARRAY_PAGES, count = 1 + world_random(&seed) % 700;
		int result;

		first -= first % granule;
		count = first + count > ARRAY_PAGES ? ARRAY_PAGES - first : count;
		count = granule > 1 && count > granule ? count - count % granule : count;
		if (is_free(first, count) && world_random(&seed) % 4 != 0) {
			const uint64_t l1_gpa = (world_random(&seed) % 64) * MIB2 + (granule > 1 ? 0 : first * PAGE);
			const uint64_t access = rights[world_random(&seed) % 4];
			result = map(ARRAY_BASE + first * PAGE, l1_gpa, count * PAGE, access);
			for (unsigned i = 0; i < count && !result; i++)
				array[first + i] = l1_to_host(NULL, l1_gpa + i * PAGE) | access;
			mapped += !result;
		} else {
			const bool was_free = is_free(first, count);
			result = unmap(ARRAY_BASE + first * PAGE, count * PAGE);
			if (result >= 0)
				memset(&array[first], 0, count * sizeof(array[0]));
			if (result >= 0 && result != !was_free)
				ck_abort_msg("round %u: unmap says %d", round, result);
		}
		no_room += result == -ENOSPC;
		if (result < 0 && result != -ENOSPC)
			ck_abort_msg("round %u: %d", round, result);
		if (!equals_array())
			ck_abort_msg("round %u: the tree is not what was asked for", round);
	}
	ck_assert_uint_gt(mapped, 100);
	ck_assert_uint_gt(no_room, 10);
	ck_assert_int_ge(unmap(0, 1ull << 48), 0);
	ck_assert_uint_eq(used, 1);
}
END_TEST

/* ---- under the engine ---- */

static struct ept_world world;

static uint64_t world_host(void *ctx, uint64_t l1_gpa)
{
	if (!world_is_ram(&world, l1_gpa))
		ck_abort_msg("EPT02 would reach %#llx", (unsigned long long)l1_gpa);
	return HOST_BASE + l1_gpa;
}

/* What the tree holds for a page is EPT12 composed with EPT01; `complete`: and nothing of it is missing. */
static bool tree_is_composition(uint64_t eptp12, uint64_t eptp02, bool complete)
{
	for (unsigned i = 0; i < WORLD_L2_PAGES; i++) {
		const uint64_t at = world_l2_page(i);
		uint64_t l1_gpa;
		unsigned level;
		const uint64_t access = world_composed(&world, eptp12, at, eptp12 & EPTP_AD, &l1_gpa);
		const uint64_t leaf = leaf_of(eptp02, at, &level);
		const uint64_t page = (leaf & EPT_ADDRESS_MASK) + (at % ept12_reach(level) & -PAGE);
		if (leaf == 0 && (access == 0 || !complete))
			continue;
		if (page != HOST_BASE + l1_gpa || (leaf & EPT_RWX & ~access) ||
		        (complete && (leaf & EPT_RWX) != access))
			return false;
	}
	return true;
}

/* _i: bit 0 eager, bit 1 A/D, bit 2 a small pool. */
START_TEST(engine_on_the_tree)
{
	const enum ept02_mode mode = _i & 1 ? EPT02_EAGER : EPT02_LAZY;
	const uint64_t eptp12 = WORLD_ROOT | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB | (_i & 2 ? EPTP_AD : 0);
	uint64_t seed = 0x74eeee + (uint64_t)_i, eptp02, allowed, l1_gpa;
	unsigned repaired = 0, built = 0;

	world_setup(&world, mode, WORLD_ALL_EPT_CAPS, PAGE);
	tree.l1_to_host = world_host;
	world.nested.config.ept02_backend = backend;
	world.nested.config.machine.ept02_tree = true;
	ck_assert_int_eq(ept02_init(&world.nested), 0);
	if (_i & 4)
		pool_limit = mode == EPT02_LAZY ? 8 : 48;
	for (unsigned round = 0; round < 12; round++) {
		world_random_tables(&world, &seed);
		ept02_invalidate(&world.nested, eptp12);
		const int error = ept02_enter(&world.nested, eptp12, &eptp02);
		if (mode == EPT02_EAGER && (error == -E2BIG || error == -ENOSPC))
			continue;
		ck_assert_int_eq(error, 0);
		ck_assert_uint_eq(eptp02 & EPTP_AD, eptp12 & EPTP_AD);
		built++;
		ck_assert(mode == EPT02_LAZY || tree_is_composition(eptp12, eptp02, true));
		for (unsigned i = 0; i < 300; i++) {
			const uint64_t at = world_l2_page(world_random(&seed) % WORLD_L2_PAGES);
			const uint64_t access = 1ull << world_random(&seed) % 3;
			unsigned level;
			if (leaf_of(eptp02, at, &level) & access)
				continue;
			const enum ept02_verdict verdict =
			        ept02_violation(&world.nested, eptp12, at, access, &allowed, &l1_gpa);
			if (verdict == EPT02_REPAIRED && !(leaf_of(eptp02, at, &level) & access))
				ck_abort_msg("round %u: %#llx is not repaired", round, (unsigned long long)at);
			if (verdict == EPT02_FAILED)
				ck_abort_msg("round %u: error %d", round, world.nested.ept02.error);
			repaired += verdict == EPT02_REPAIRED;
		}
		/* With A/D a write may have made a page dirty that EPT12 has elsewhere too; it is still read-only
		 * there. */
		ck_assert(tree_is_composition(eptp12, eptp02, mode == EPT02_EAGER && !(_i & 2)));
		ck_assert_uint_le(used, pool_limit);
	}
	ck_assert_uint_gt(built, 2);
	if (mode == EPT02_LAZY || (_i & 2))
		ck_assert_uint_gt(repaired, 20);
	world_teardown(&world);
	ck_assert_uint_eq(used, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ept02_tree");
	TCase *tc = tcase_create("tree");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, root_is_an_eptp);
	tcase_add_test(tc, destroy_gives_all_back);
	tcase_add_test(tc, flush_is_passed_on);
	tcase_add_test(tc, accessed_dirty_flag_in_eptp02);
	tcase_add_test(tc, largest_pages_that_fit);
	tcase_add_test(tc, no_large_page_where_addresses_do_not_agree);
	tcase_add_test(tc, no_large_page_over_a_break_in_ept01);
	tcase_add_test(tc, largest_page_of_the_machine);
	tcase_add_test(tc, every_right);
	tcase_add_test(tc, unmap_gives_back_empty_tables);
	tcase_add_test(tc, empty_ranges);
	tcase_add_test(tc, unmap_splits_2m);
	tcase_add_test(tc, unmap_splits_1g_at_both_ends);
	tcase_add_test(tc, split_keeps_the_processors_bits);
	tcase_add_test(tc, refusals);
	tcase_add_test(tc, what_is_there_is_not_replaced);
	tcase_add_test(tc, no_room_to_map_leaves_nothing);
	tcase_add_test(tc, no_room_for_a_root);
	tcase_add_test(tc, no_room_to_split_removes_nothing);
	tcase_add_test(tc, random_maps_and_unmaps);
	tcase_add_loop_test(tc, engine_on_the_tree, 0, 8);
	suite_add_tcase(suite, tc);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
