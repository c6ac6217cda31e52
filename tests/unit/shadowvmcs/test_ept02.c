/* SPDX-License-Identifier: Apache-2.0 */
/* EPT02: roots, lazy mode, INVEPT, room. Eager mode is in test_ept02_eager.c, the tree in test_ept02_tree.c. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "ept_world.h"

#define MIB2 (2ull << 20)
#define GIB1 (1ull << 30)
#define WB (EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT)
#define EPTP (WORLD_ROOT | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB)
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull
/* L2-physical 0x600000 + n * 4096 goes through PT[n]. */
#define L2_PAGE(n) (0x600000ull + (n)*4096ull)
#define L1_PAGE 0x100000ull

static struct ept_world world;
static struct nested *nested = &world.nested;
static uint64_t allowed, l1_gpa, eptp02;

static void setup_with(uint64_t page_size_max)
{
	world_setup(&world, EPT02_LAZY, WORLD_ALL_EPT_CAPS, page_size_max);
	world_write(&world, WORLD_ROOT, PDPT | EPT_RWX);
	world_write(&world, PDPT, PD | EPT_RWX);
	world_write(&world, PD + 3 * 8, PT | EPT_RWX);
	ck_assert_int_eq(ept02_enter(nested, EPTP, &eptp02), 0);
}

static void setup(void)
{
	setup_with(GIB1);
}

static void teardown(void)
{
	world_teardown(&world);
}

static void set_pte(unsigned index, uint64_t entry)
{
	world_write(&world, PT + index * 8, entry);
}

static uint64_t get_pte(unsigned index)
{
	return world_read(&world, PT + index * 8);
}

static enum ept02_verdict violate(uint64_t eptp12, uint64_t l2_gpa, uint64_t access)
{
	const enum ept02_verdict verdict = ept02_violation(nested, eptp12, l2_gpa, access, &allowed, &l1_gpa);

	ck_assert_msg(!world.unflushed, "L2 would run on with translations that are gone");
	return verdict;
}

static void expect_mapped(uint64_t root, uint64_t l2_gpa, uint64_t to, uint64_t size, uint64_t access)
{
	const struct world_mapping *m = world_find(&world, root, l2_gpa);

	ck_assert_ptr_nonnull(m);
	ck_assert_uint_eq(m->l2_gpa, l2_gpa);
	ck_assert_uint_eq(m->l1_gpa, to);
	ck_assert_uint_eq(m->size, size);
	ck_assert_uint_eq(m->access, access);
}

/* ---- pages ---- */

START_TEST(maps_one_page)
{
	set_pte(5, L1_PAGE | WORLD_RWX_WB);
	ck_assert_uint_eq(world.mapping_count, 0);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(5) + 0x123, EPT_READ), EPT02_REPAIRED);
	expect_mapped(eptp02, L2_PAGE(5), L1_PAGE, 4096, EPT_RWX);
	ck_assert_uint_eq(world.mapping_count, 1);
	ck_assert_uint_eq(l1_gpa, L1_PAGE + 0x123);
	ck_assert_uint_eq(allowed, EPT_RWX);
	ck_assert_uint_eq(world.flushes, 0);
	ck_assert_uint_eq(nested->counters[COUNTER_EPT02_FAULTS], 1);
	ck_assert_uint_eq(nested->counters[COUNTER_EPT02_MAPPINGS], 1);
	ck_assert_uint_eq(nested->counters[COUNTER_EPT02_UNMAPPINGS], 0);
	ck_assert_uint_eq(nested->counters[COUNTER_EPT02_ROOTS], 1);
}
END_TEST

START_TEST(size_is_the_smaller_of_both)
{
	static const uint64_t sizes[] = {4096, MIB2, GIB1};

	for (unsigned backend = 0; backend < 3; backend++) {
		for (unsigned leaf = 0; leaf < 2; leaf++) {
			const uint64_t size = leaf < backend ? sizes[leaf] : sizes[backend];
			const uint64_t address = leaf == 0 ? L2_PAGE(7) : MIB2 + 0x7123;
			const uint64_t to = leaf == 0 ? L1_PAGE : 0x7123;
			teardown();
			setup_with(sizes[backend]);
			set_pte(7, L1_PAGE | WORLD_RWX_WB);
			world_write(&world, PD + 8, WORLD_RWX_WB | EPT_LARGE);
			ck_assert_int_eq(violate(EPTP, address, EPT_WRITE), EPT02_REPAIRED);
			expect_mapped(eptp02, address & -size, to & -size, size, EPT_RWX);
			ck_assert_uint_eq(l1_gpa, to);
		}
	}
}
END_TEST

/* A 1 GiB page of which L1 has memory for the first 4 MiB only, with a hole: 2 MiB where all of it is RAM, else 4 KiB.
 */
START_TEST(large_page_over_partial_ram)
{
	world_write(&world, PDPT + 8, WORLD_RWX_WB | EPT_LARGE);
	ck_assert_int_eq(violate(EPTP, GIB1 + 0x5000, EPT_READ), EPT02_REPAIRED);
	expect_mapped(eptp02, GIB1, 0, MIB2, EPT_RWX);
	ck_assert_int_eq(violate(EPTP, GIB1 + 0x205678, EPT_READ), EPT02_REPAIRED);
	expect_mapped(eptp02, GIB1 + 0x205000, 0x205000, 4096, EPT_RWX);
	ck_assert_uint_eq(world.mapping_count, 2);
	ck_assert_int_eq(violate(EPTP, GIB1 + WORLD_HOLE_BEGIN + 0x44, EPT_WRITE), EPT02_DEVICE);
	ck_assert_uint_eq(l1_gpa, WORLD_HOLE_BEGIN + 0x44);
	ck_assert_int_eq(violate(EPTP, GIB1 + WORLD_MEMORY_BYTES, EPT_READ), EPT02_DEVICE);
	ck_assert_uint_eq(l1_gpa, WORLD_MEMORY_BYTES);
	ck_assert_uint_eq(world.mapping_count, 2);
}
END_TEST

/* L1 replaced a table by a large page (INVEPT or not): what was mapped inside goes first. */
START_TEST(large_page_over_small_ones)
{
	set_pte(0, L1_PAGE | WORLD_RWX_WB);
	set_pte(9, L1_PAGE | WORLD_RWX_WB);
	violate(EPTP, L2_PAGE(0), EPT_READ);
	violate(EPTP, L2_PAGE(9), EPT_READ);
	world_write(&world, PD + 3 * 8, WORLD_RWX_WB | EPT_LARGE);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_READ), EPT02_REPAIRED);
	ck_assert_uint_eq(world.mapping_count, 1);
	expect_mapped(eptp02, L2_PAGE(0), 0, MIB2, EPT_RWX);
}
END_TEST

/* ---- verdicts ---- */

START_TEST(rights)
{
	set_pte(1, L1_PAGE | EPT_READ | WB);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_WRITE), EPT02_REFLECT_VIOLATION);
	ck_assert_uint_eq(allowed, EPT_READ);
	ck_assert_uint_eq(world.mapping_count, 0);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_READ), EPT02_REPAIRED);
	expect_mapped(eptp02, L2_PAGE(1), L1_PAGE, 4096, EPT_READ);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_READ | EPT_WRITE), EPT02_REFLECT_VIOLATION);

	/* L1 adds a right, for which the SDM asks no INVEPT after a violation (29.4.3.4). */
	set_pte(1, L1_PAGE | EPT_READ | EPT_WRITE | WB);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_WRITE), EPT02_REPAIRED);
	expect_mapped(eptp02, L2_PAGE(1), L1_PAGE, 4096, EPT_READ | EPT_WRITE);
	ck_assert_uint_eq(world.mapping_count, 1);
	ck_assert_uint_eq(nested->counters[COUNTER_EPT02_UNMAPPINGS], 1);
	ck_assert_uint_eq(world.flushes, 1);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_EXECUTE), EPT02_REFLECT_VIOLATION);
}
END_TEST

START_TEST(not_present_and_misconfigured)
{
	ck_assert_int_eq(violate(EPTP, L2_PAGE(2), EPT_READ), EPT02_REFLECT_VIOLATION);
	ck_assert_uint_eq(allowed, 0);
	ck_assert_int_eq(violate(EPTP, 1ull << 48, EPT_READ), EPT02_REFLECT_VIOLATION);
	set_pte(2, L1_PAGE | EPT_WRITE | WB);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(2), EPT_READ), EPT02_REFLECT_MISCONFIGURATION);
	world_write(&world, PD + 8, WORLD_HOLE_BEGIN | EPT_RWX);
	ck_assert_int_eq(violate(EPTP, MIB2, EPT_READ), EPT02_REFLECT_MISCONFIGURATION);
	ck_assert_uint_eq(world.mapping_count, 0);
	ck_assert_uint_eq(nested->counters[COUNTER_EPT02_FAULTS], 0);
}
END_TEST

/* Entries that agree on no right at all: a translation, but nothing to map. */
START_TEST(no_right_left)
{
	world_write(&world, PD + 3 * 8, PT | EPT_READ);
	set_pte(1, L1_PAGE | EPT_EXECUTE | WB);
	for (uint64_t access = 0; access <= EPT_RWX; access++)
		ck_assert_int_eq(violate(EPTP, L2_PAGE(1), access), EPT02_REFLECT_VIOLATION);
	ck_assert_uint_eq(allowed, 0);
	ck_assert_uint_eq(world.mapping_count, 0);
}
END_TEST

START_TEST(device)
{
	set_pte(3, WORLD_HOLE_BEGIN | EPT_READ | WB);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(3) + 0xff8, EPT_READ), EPT02_DEVICE);
	ck_assert_uint_eq(l1_gpa, WORLD_HOLE_BEGIN + 0xff8);
	/* EPT12 comes first: L0's device is not for an access L1 does not allow. */
	ck_assert_int_eq(violate(EPTP, L2_PAGE(3), EPT_WRITE), EPT02_REFLECT_VIOLATION);
}
END_TEST

START_TEST(backend_failure)
{
	set_pte(1, L1_PAGE | WORLD_RWX_WB);
	world.map_error = -EIO;
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_READ), EPT02_FAILED);
	ck_assert_int_eq(nested->ept02.error, -EIO);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_READ), EPT02_REPAIRED);
}
END_TEST

START_TEST(no_root)
{
	ck_assert_int_eq(violate(EPTP + 0x1000, L2_PAGE(1), EPT_READ), EPT02_FAILED);
	ck_assert_int_eq(violate(0, L2_PAGE(1), EPT_READ), EPT02_FAILED);
	ck_assert_int_eq(nested->ept02.error, -EINVAL);
}
END_TEST

/* ---- A/D ---- */

START_TEST(clean_page_is_read_only_until_written)
{
	const uint64_t eptp12 = EPTP | EPTP_AD;
	uint64_t root;

	set_pte(4, L1_PAGE | WORLD_RWX_WB);
	ck_assert_int_eq(ept02_enter(nested, eptp12, &root), 0);
	ck_assert_uint_eq(get_pte(4) & (EPT_ACCESSED | EPT_DIRTY), 0);
	ck_assert_int_eq(violate(eptp12, L2_PAGE(4), EPT_READ), EPT02_REPAIRED);
	expect_mapped(root, L2_PAGE(4), L1_PAGE, 4096, EPT_READ | EPT_EXECUTE);
	ck_assert_uint_eq(allowed, EPT_RWX); /* what EPT12 allows, not what is mapped */
	ck_assert_uint_eq(get_pte(4) & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED);
	ck_assert_int_eq(violate(eptp12, L2_PAGE(4), EPT_WRITE), EPT02_REPAIRED);
	expect_mapped(root, L2_PAGE(4), L1_PAGE, 4096, EPT_RWX);
	ck_assert_uint_eq(get_pte(4) & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED | EPT_DIRTY);
	/* L1 starts over: clears the flags and invalidates. */
	set_pte(4, L1_PAGE | WORLD_RWX_WB);
	ept02_invalidate(nested, eptp12);
	ck_assert_ptr_null(world_find(&world, root, L2_PAGE(4)));
}
END_TEST

/* A processor that walks EPT02 itself has to count L2's page walks as writes when L1 enabled A/D. */
START_TEST(accessed_dirty_flag_of_eptp02)
{
	uint64_t plain, flagged, again;

	ck_assert_int_eq(ept02_enter(nested, EPTP | EPTP_AD, &plain), 0);
	ck_assert_uint_eq(plain & EPTP_AD, 0);
	nested->config.machine.ept02_tree = true;
	ept02_invalidate(nested, ~0ull);
	ck_assert_int_eq(ept02_enter(nested, EPTP | EPTP_AD, &flagged), 0);
	ck_assert_uint_eq(flagged, plain | EPTP_AD);
	ck_assert_int_eq(ept02_enter(nested, EPTP | EPTP_AD, &again), 0);
	ck_assert_uint_eq(again, flagged);
	ck_assert_int_eq(ept02_enter(nested, EPTP, &plain), 0);
	ck_assert_uint_eq(plain & EPTP_AD, 0);
}
END_TEST

/* ---- roots ---- */

static uint64_t eptp_number(unsigned i)
{
	return EPTP + 0x10000 + i * 0x1000ull;
}

static uint64_t enter(uint64_t eptp12)
{
	uint64_t root;

	ck_assert_int_eq(ept02_enter(nested, eptp12, &root), 0);
	return root;
}

START_TEST(steady_state_does_nothing)
{
	uint64_t counters[COUNTER_COUNT];

	memcpy(counters, nested->counters, sizeof(counters));
	world_clear_statistics(&world);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(enter(EPTP), eptp02);
	ck_assert_mem_eq(counters, nested->counters, sizeof(counters));
	ck_assert_uint_eq(world.l1_pages + world.maps + world.unmaps + world.flushes, 0);
}
END_TEST

START_TEST(key_of_a_root)
{
	ck_assert_uint_eq(enter(WORLD_ROOT | EPTP_WALK_4), eptp02); /* memory type of the tables: the same EPT02 */
	ck_assert_uint_ne(enter(EPTP | EPTP_AD), eptp02);
	ck_assert_uint_ne(enter(EPTP + 0x1000), eptp02);
	ck_assert_uint_ne(enter(EPTP_WALK_4 | EPT_MEMORY_TYPE_WB), eptp02); /* tables at address 0 */
	ck_assert_uint_eq(world.roots, 4);
}
END_TEST

START_TEST(eptp_that_is_not_valid)
{
	uint64_t root;

	ck_assert_int_eq(ept02_enter(nested, 0, &root), -EINVAL);
	ept02_invalidate(nested, ~0ull);
	ck_assert_int_eq(ept02_enter(nested, 0, &root), -EINVAL);
	ck_assert_int_eq(ept02_enter(nested, ~0ull, &root), -EINVAL);
}
END_TEST

START_TEST(eviction_takes_the_least_recently_used)
{
	uint64_t roots[EPT02_ROOTS];

	for (unsigned i = 1; i < EPT02_ROOTS; i++)
		roots[i] = enter(eptp_number(i));
	ck_assert_uint_eq(world.roots, EPT02_ROOTS);
	enter(EPTP); /* the first, used again: number 1 is now the oldest */
	enter(eptp_number(100));
	ck_assert_uint_eq(world.roots, EPT02_ROOTS);
	ck_assert_uint_eq(world.roots_destroyed, 1);
	ck_assert_uint_eq(enter(EPTP), eptp02);
	for (unsigned i = 2; i < EPT02_ROOTS; i++)
		ck_assert_uint_eq(enter(eptp_number(i)), roots[i]);
	ck_assert_uint_eq(world.roots_destroyed, 1);
	ck_assert_uint_ne(enter(eptp_number(1)), roots[1]);
	ck_assert_uint_eq(world.roots_destroyed, 2);
}
END_TEST

/* ---- INVEPT ---- */

START_TEST(invept_single)
{
	uint64_t other, flagged;

	set_pte(1, L1_PAGE | WORLD_RWX_WB);
	violate(EPTP, L2_PAGE(1), EPT_READ);
	world_write(&world, WORLD_ROOT + 0x40000, PDPT | EPT_RWX);
	other = enter(EPTP + 0x40000);
	violate(EPTP + 0x40000, L2_PAGE(1), EPT_READ);
	flagged = enter(EPTP | EPTP_AD);
	violate(EPTP | EPTP_AD, L2_PAGE(1), EPT_READ);
	ck_assert_uint_eq(world.mapping_count, 3);

	ept02_invalidate(nested, EPTP);
	ck_assert(!world.unflushed);
	ck_assert_ptr_null(world_find(&world, eptp02, L2_PAGE(1)));
	ck_assert_ptr_null(world_find(&world, flagged, L2_PAGE(1))); /* the same tables */
	ck_assert_ptr_nonnull(world_find(&world, other, L2_PAGE(1)));
	ck_assert_uint_eq(enter(EPTP), eptp02); /* the root itself stays */
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_READ), EPT02_REPAIRED);

	ept02_invalidate(nested, ~0ull);
	ck_assert_uint_eq(world.mapping_count, 0);
	ck_assert_uint_eq(world.roots, 3);
}
END_TEST

START_TEST(invept_shows_the_change)
{
	set_pte(1, L1_PAGE | WORLD_RWX_WB);
	violate(EPTP, L2_PAGE(1), EPT_READ);
	set_pte(1, (L1_PAGE + 0x1000) | EPT_READ | WB);
	ept02_invalidate(nested, EPTP);
	enter(EPTP);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_READ), EPT02_REPAIRED);
	expect_mapped(eptp02, L2_PAGE(1), L1_PAGE + 0x1000, 4096, EPT_READ);
}
END_TEST

/* ---- room ---- */

START_TEST(no_room_for_a_mapping)
{
	for (unsigned i = 0; i < 8; i++)
		set_pte(i, (L1_PAGE + i * 0x2000) | WORLD_RWX_WB);
	world_write(&world, WORLD_ROOT + 0x40000, PDPT | EPT_RWX);
	world_write(&world, WORLD_ROOT + 0x50000, PDPT | EPT_RWX);
	enter(EPTP + 0x40000);
	violate(EPTP + 0x40000, L2_PAGE(1), EPT_READ);
	enter(EPTP + 0x50000);
	violate(EPTP + 0x50000, L2_PAGE(1), EPT_READ);
	enter(EPTP);
	violate(EPTP, L2_PAGE(0), EPT_READ);
	world.mapping_limit = 3;

	/* The oldest other root goes first, then the next; */
	ck_assert_int_eq(violate(EPTP, L2_PAGE(1), EPT_READ), EPT02_REPAIRED);
	ck_assert_uint_eq(world.roots, 2);
	ck_assert_uint_eq(nested->ept02.roots[2].eptp12 & EPT_ADDRESS_MASK, WORLD_ROOT + 0x50000);
	ck_assert_int_eq(violate(EPTP, L2_PAGE(2), EPT_READ), EPT02_REPAIRED);
	ck_assert_uint_eq(world.roots, 1);
	ck_assert_uint_eq(world.mapping_count, 3);
	/* then this one is emptied, */
	ck_assert_int_eq(violate(EPTP, L2_PAGE(3), EPT_READ), EPT02_REPAIRED);
	ck_assert_uint_eq(world.mapping_count, 1);
	expect_mapped(eptp02, L2_PAGE(3), L1_PAGE + 0x6000, 4096, EPT_RWX);
	ck_assert_uint_eq(enter(EPTP), eptp02);
}
END_TEST

START_TEST(no_room_for_a_root)
{
	uint64_t root;

	enter(eptp_number(1));
	world.root_limit = 2;
	enter(eptp_number(2)); /* evicts EPTP's */
	ck_assert_uint_eq(world.roots, 2);
	ck_assert_uint_eq(world.roots_destroyed, 1);
	ept02_fini(nested);
	world.root_limit = 1;
	world.roots = 1;
	ck_assert_int_eq(ept02_enter(nested, EPTP, &root), -ENOSPC);
	world.roots = 0;
	ck_assert_int_eq(ept02_enter(nested, EPTP, &root), 0);
}
END_TEST

START_TEST(init_refuses)
{
	const struct nested_config good = nested->config;

	teardown();
	for (unsigned i = 0; i < 6; i++) {
		struct ept02_backend *backend = &nested->config.ept02_backend;
		nested->config = good;
		backend->root_create = i == 0 ? NULL : backend->root_create;
		backend->root_destroy = i == 1 ? NULL : backend->root_destroy;
		backend->map = i == 2 ? NULL : backend->map;
		backend->unmap = i == 3 ? NULL : backend->unmap;
		backend->page_size_max = i == 4 ? 8192 : MIB2;
		nested->config.ept02_mode = i == 5 ? EPT02_EAGER : EPT02_LAZY;
		ck_assert_int_eq(ept02_init(nested), -EINVAL);
	}
	setup();
}
END_TEST

/* ---- against the reference ---- */

/* As the processor would: find the translation in EPT02 or exit, and set A/D in a second copy of EPT12 by the SDM. */
static void reference_flags(const struct world_translation *t, uint64_t access)
{
	for (unsigned i = 0; i < t->levels; i++) {
		const uint64_t dirty = i == t->levels - 1 && (access & EPT_WRITE) ? EPT_DIRTY : 0;
		world_write(&world, t->entries[i], world_read(&world, t->entries[i]) | EPT_ACCESSED | dirty);
	}
}

static bool access_as_expected(uint64_t eptp12, uint64_t root, uint64_t l2_gpa, uint64_t access)
{
	const struct world_translation t = world_translate(&world, eptp12, l2_gpa);
	const struct world_mapping *m = world_find(&world, root, l2_gpa);
	enum ept02_verdict verdict;

	if (m && (access & ~m->access) == 0) /* no exit: the flags must be there already */
		return t.kind == WORLD_MAPPED && m->l1_gpa + (l2_gpa - m->l2_gpa) == t.l1_gpa &&
		       (access & ~t.access) == 0 && (t.dirty || !(access & EPT_WRITE));
	verdict = ept02_violation(nested, eptp12, l2_gpa, access, &allowed, &l1_gpa);
	if (allowed != t.access || world.unflushed)
		return false;
	if (t.kind == WORLD_MISCONFIGURED)
		return verdict == EPT02_REFLECT_MISCONFIGURATION;
	if (t.kind == WORLD_ABSENT || (access & ~t.access))
		return verdict == EPT02_REFLECT_VIOLATION;
	if (l1_gpa != t.l1_gpa)
		return false;
	if (!world_is_ram(&world, t.l1_gpa))
		return verdict == EPT02_DEVICE;
	m = world_find(&world, root, l2_gpa);
	return verdict == EPT02_REPAIRED && m && (access & ~m->access) == 0 &&
	       m->l1_gpa + (l2_gpa - m->l2_gpa) == t.l1_gpa && (m->access & ~t.access) == 0;
}

/* Each mapping is what EPT12 says, page by page; with A/D no clean page can be written. */
static bool nothing_else_is_mapped(uint64_t eptp12)
{
	for (unsigned i = 0; i < world.mapping_count; i++) {
		const struct world_mapping *m = &world.mappings[i];
		for (uint64_t offset = 0; offset < m->size; offset += 4096) {
			uint64_t to;
			const uint64_t access = world_composed(&world, eptp12, m->l2_gpa + offset, true, &to);
			if (to != m->l1_gpa + offset || (m->access & ~access))
				return false;
		}
	}
	return true;
}

/* _i: bits 1:0 the backend's page size, bit 2 A/D. */
START_TEST(random_accesses_equal_the_reference)
{
	static const uint64_t sizes[] = {4096, MIB2, GIB1};
	const bool ad = _i >= 3;
	const uint64_t eptp12 = EPTP | (ad ? EPTP_AD : 0);
	uint64_t seed = 0xacce55 + (uint64_t)_i, before[4], root;
	unsigned repaired = 0;

	teardown();
	setup_with(sizes[_i % 3]);
	for (unsigned round = 0; round < 20; round++) {
		world_random_tables(&world, &seed);
		ept02_invalidate(nested, eptp12);
		ck_assert_uint_eq(world.mapping_count, 0);
		root = enter(eptp12);
		for (unsigned i = 0; i < 2000; i++) {
			static const uint64_t kinds[] = {EPT_READ, EPT_WRITE, EPT_EXECUTE, EPT_READ | EPT_WRITE};
			const uint64_t l2_gpa =
			        world_l2_page(world_random(&seed) % WORLD_L2_PAGES) + world_random(&seed) % 4096;
			const uint64_t access = kinds[world_random(&seed) % 4];
			const struct world_translation t = world_translate(&world, eptp12, l2_gpa);
			const bool completes = t.kind == WORLD_MAPPED && (access & ~t.access) == 0;
			uint64_t expected[4];
			for (unsigned l = 0; l < t.levels; l++)
				before[l] = world_read(&world, t.entries[l]);
			if (ad && completes)
				reference_flags(&t, access);
			for (unsigned l = 0; l < t.levels; l++)
				expected[l] = world_read(&world, t.entries[l]);
			for (unsigned l = 0; l < t.levels; l++)
				world_write(&world, t.entries[l], before[l]);
			if (!access_as_expected(eptp12, root, l2_gpa, access))
				ck_abort_msg("round %u, access %u: %llu at %#llx", round, i, (unsigned long long)access,
				        (unsigned long long)l2_gpa);
			for (unsigned l = 0; l < t.levels; l++) {
				if (world_read(&world, t.entries[l]) != expected[l])
					ck_abort_msg("round %u, access %u: flags of level %u", round, i, 4 - l);
			}
		}
		ck_assert(nothing_else_is_mapped(eptp12));
		repaired += world.mapping_count;
	}
	ck_assert_uint_gt(repaired, 1000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ept02");
	TCase *tc = tcase_create("lazy");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, maps_one_page);
	tcase_add_test(tc, size_is_the_smaller_of_both);
	tcase_add_test(tc, large_page_over_partial_ram);
	tcase_add_test(tc, large_page_over_small_ones);
	tcase_add_test(tc, rights);
	tcase_add_test(tc, not_present_and_misconfigured);
	tcase_add_test(tc, no_right_left);
	tcase_add_test(tc, device);
	tcase_add_test(tc, backend_failure);
	tcase_add_test(tc, no_root);
	tcase_add_test(tc, clean_page_is_read_only_until_written);
	tcase_add_test(tc, accessed_dirty_flag_of_eptp02);
	tcase_add_test(tc, steady_state_does_nothing);
	tcase_add_test(tc, key_of_a_root);
	tcase_add_test(tc, eptp_that_is_not_valid);
	tcase_add_test(tc, eviction_takes_the_least_recently_used);
	tcase_add_test(tc, invept_single);
	tcase_add_test(tc, invept_shows_the_change);
	tcase_add_test(tc, no_room_for_a_mapping);
	tcase_add_test(tc, no_room_for_a_root);
	tcase_add_test(tc, init_refuses);
	tcase_add_loop_test(tc, random_accesses_equal_the_reference, 0, 6);
	suite_add_tcase(suite, tc);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
