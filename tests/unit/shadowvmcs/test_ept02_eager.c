/* SPDX-License-Identifier: Apache-2.0 */
/* EPT02 in eager mode: extents, what INVEPT changes, what the next entry adds, bounds. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "ept_world.h"

#define PAGE 4096ull
#define MIB2 (2ull << 20)
#define GIB1 (1ull << 30)
#define WB (EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT)
#define EPTP (WORLD_ROOT | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB)
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull
#define L2_PAGE(n) (0x600000ull + (n)*PAGE) /* through PT[n] */
#define L1_PAGE(n) (0x100000ull + (n)*PAGE)

static struct ept_world world;
static struct nested *nested = &world.nested;
static uint64_t allowed, l1_gpa, eptp02;

/* Pages 0 to 15 of PT, contiguous in L1. */
static void setup(void)
{
	world_setup(&world, EPT02_EAGER, WORLD_ALL_EPT_CAPS, 4096);
	world_write(&world, WORLD_ROOT, PDPT | EPT_RWX);
	world_write(&world, PDPT, PD | EPT_RWX);
	world_write(&world, PD + 3 * 8, PT | EPT_RWX);
	for (unsigned i = 0; i < 16; i++)
		world_write(&world, PT + i * 8, L1_PAGE(i) | WORLD_RWX_WB);
	ck_assert_int_eq(ept02_enter(nested, EPTP, &eptp02), 0);
	world_clear_statistics(&world);
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

static void enter(uint64_t eptp12)
{
	ck_assert_int_eq(ept02_enter(nested, eptp12, &eptp02), 0);
	ck_assert_msg(!world.unflushed, "L2 would run on with translations that are gone");
	ck_assert(world_is_composition(&world, eptp12, eptp02, eptp12 & EPTP_AD));
}

static void invept_and_enter(void)
{
	ept02_invalidate(nested, EPTP);
	world_clear_statistics(&world);
	enter(EPTP);
}

static enum ept02_verdict violate(uint64_t l2_gpa, uint64_t access)
{
	return ept02_violation(nested, EPTP, l2_gpa, access, &allowed, &l1_gpa);
}

static void expect_work(uint64_t mapped_bytes, unsigned maps, uint64_t unmapped_bytes, unsigned unmaps)
{
	ck_assert_uint_eq(world.mapped_bytes, mapped_bytes);
	ck_assert_uint_eq(world.maps, maps);
	ck_assert_uint_eq(world.unmapped_bytes, unmapped_bytes);
	ck_assert_uint_eq(world.unmaps, unmaps);
}

static void expect_mapped(uint64_t l2_gpa, uint64_t to, uint64_t size, uint64_t access)
{
	const struct world_mapping *m = world_find(&world, eptp02, l2_gpa);

	ck_assert_ptr_nonnull(m);
	ck_assert_uint_eq(m->l2_gpa, l2_gpa);
	ck_assert_uint_eq(m->l1_gpa, to);
	ck_assert_uint_eq(m->size, size);
	ck_assert_uint_eq(m->access, access);
}

/* ---- building ---- */

START_TEST(run_of_pages_is_one_extent)
{
	expect_mapped(L2_PAGE(0), L1_PAGE(0), 16 * PAGE, EPT_RWX);
	ck_assert_uint_eq(world.mapping_count, 1);
}
END_TEST

START_TEST(pages_of_all_sizes_merge)
{
	/* 2 MiB page, then a PT that goes on where it ends, then the rest of a PT in another part of L1. */
	world_write(&world, PD + 2 * 8, WORLD_RWX_WB | EPT_LARGE);
	for (unsigned i = 0; i < 4; i++)
		set_pte(i, (MIB2 + i * PAGE) | WORLD_RWX_WB);
	invept_and_enter();
	expect_mapped(2 * MIB2, 0, MIB2 + 4 * PAGE, EPT_RWX);
	expect_mapped(L2_PAGE(4), L1_PAGE(4), 12 * PAGE, EPT_RWX);
	ck_assert_uint_eq(world.mapping_count, 2);
}
END_TEST

START_TEST(rights_and_gaps_end_an_extent)
{
	set_pte(3, L1_PAGE(3) | EPT_READ | WB);
	set_pte(7, 0);
	set_pte(9, L1_PAGE(9) | EPT_WRITE | WB); /* misconfigured */
	invept_and_enter();
	expect_mapped(L2_PAGE(0), L1_PAGE(0), 3 * PAGE, EPT_RWX);
	expect_mapped(L2_PAGE(3), L1_PAGE(3), PAGE, EPT_READ);
	expect_mapped(L2_PAGE(4), L1_PAGE(4), 3 * PAGE, EPT_RWX);
	expect_mapped(L2_PAGE(8), L1_PAGE(8), PAGE, EPT_RWX);
	expect_mapped(L2_PAGE(10), L1_PAGE(10), 6 * PAGE, EPT_RWX);
	ck_assert_uint_eq(world.mapping_count, 5);
}
END_TEST

START_TEST(devices_are_left_out)
{
	world_write(&world, PDPT + 8, WORLD_RWX_WB | EPT_LARGE);
	invept_and_enter();
	expect_mapped(GIB1, 0, WORLD_HOLE_BEGIN, EPT_RWX);
	expect_mapped(GIB1 + WORLD_HOLE_END, WORLD_HOLE_END, WORLD_MEMORY_BYTES - WORLD_HOLE_END, EPT_RWX);
	ck_assert_int_eq(violate(GIB1 + WORLD_HOLE_BEGIN + 8, EPT_READ), EPT02_DEVICE);
	ck_assert_uint_eq(l1_gpa, WORLD_HOLE_BEGIN + 8);
}
END_TEST

START_TEST(steady_state_does_nothing)
{
	uint64_t counters[COUNTER_COUNT], root;

	memcpy(counters, nested->counters, sizeof(counters));
	ck_assert_int_eq(ept02_enter(nested, EPTP, &root), 0);
	ck_assert_uint_eq(root, eptp02);
	ck_assert_mem_eq(counters, nested->counters, sizeof(counters));
	ck_assert_uint_eq(world.l1_pages, 0);
}
END_TEST

/* ---- INVEPT ---- */

START_TEST(invept_without_a_change)
{
	invept_and_enter();
	expect_work(0, 0, 0, 0);
	ck_assert_uint_eq(world.flushes, 0);
	ck_assert_uint_eq(world.roots, 1);
}
END_TEST

START_TEST(invept_takes_one_page_out_of_an_extent)
{
	set_pte(5, 0);
	invept_and_enter();
	expect_work(0, 0, PAGE, 1);
	ck_assert_uint_eq(world.flushes, 1);
	set_pte(5, L1_PAGE(5) | WORLD_RWX_WB);
	invept_and_enter();
	expect_work(PAGE, 1, 0, 0);
	ck_assert_uint_eq(world.flushes, 0);
}
END_TEST

START_TEST(invept_replaces_what_moved)
{
	set_pte(5, L1_PAGE(50) | WORLD_RWX_WB);
	set_pte(6, L1_PAGE(51) | WORLD_RWX_WB);
	set_pte(9, L1_PAGE(9) | EPT_READ | WB);
	set_pte(16, L1_PAGE(16) | WORLD_RWX_WB);
	invept_and_enter();
	expect_work(4 * PAGE, 3, 3 * PAGE, 2);
}
END_TEST

/* ---- what L1 does after a violation, without INVEPT ---- */

START_TEST(page_added_after_a_violation)
{
	ck_assert_int_eq(violate(L2_PAGE(16) + 0x88, EPT_WRITE), EPT02_REFLECT_VIOLATION);
	set_pte(16, L1_PAGE(16) | WORLD_RWX_WB);
	enter(EPTP);
	expect_work(PAGE, 1, 0, 0);
	ck_assert_uint_eq(nested->ept02.roots[0].extent_count, 1); /* the neighbour's extent grew */
	/* and the grown extent is known as one: nothing to do at the next INVEPT. */
	invept_and_enter();
	expect_work(0, 0, 0, 0);
}
END_TEST

/* The whole reach of the entry that was missing is looked at again, since L1 may have put a table there. */
START_TEST(table_added_after_a_violation)
{
	ck_assert_int_eq(violate(4 * MIB2 + 5 * PAGE, EPT_READ), EPT02_REFLECT_VIOLATION);
	world_write(&world, PD + 4 * 8, 0x5000 | EPT_RWX);
	world_write(&world, 0x5000 + 5 * 8, L1_PAGE(5) | WORLD_RWX_WB);
	world_write(&world, 0x5000 + 6 * 8, L1_PAGE(6) | WORLD_RWX_WB);
	world_write(&world, 0x5000 + 500 * 8, L1_PAGE(50) | WORLD_RWX_WB);
	enter(EPTP);
	expect_work(3 * PAGE, 2, 0, 0);
}
END_TEST

START_TEST(right_added_after_a_violation)
{
	set_pte(3, L1_PAGE(3) | EPT_READ | WB);
	invept_and_enter();
	ck_assert_int_eq(violate(L2_PAGE(3), EPT_WRITE), EPT02_REFLECT_VIOLATION);
	ck_assert_uint_eq(allowed, EPT_READ);
	set_pte(3, L1_PAGE(3) | WORLD_RWX_WB);
	world_clear_statistics(&world);
	enter(EPTP);
	expect_work(PAGE, 1, PAGE, 1);
	ck_assert_uint_eq(nested->ept02.roots[0].extent_count, 1);
}
END_TEST

START_TEST(misconfiguration_put_right)
{
	set_pte(20, L1_PAGE(20) | EPT_WRITE | WB);
	ck_assert_int_eq(violate(L2_PAGE(20), EPT_READ), EPT02_REFLECT_MISCONFIGURATION);
	set_pte(20, L1_PAGE(20) | WORLD_RWX_WB);
	enter(EPTP);
	expect_work(PAGE, 1, 0, 0);
}
END_TEST

/* L1 emulates a device of its own there: EPT12 stays as it is, and so must EPT02, at the price of one walk. */
START_TEST(violation_l1_leaves_as_it_is)
{
	const uint64_t before = world.l1_pages;

	ck_assert_int_eq(violate(GIB1, EPT_READ), EPT02_REFLECT_VIOLATION);
	enter(EPTP);
	expect_work(0, 0, 0, 0);
	ck_assert_uint_le(world.l1_pages - before, 4);
	enter(EPTP);
	ck_assert_uint_eq(nested->ept02.roots[0].recheck_size, 0);
}
END_TEST

/* Another root may run in between; the recheck belongs to the one that had the violation. */
START_TEST(recheck_waits_for_its_root)
{
	ck_assert_int_eq(violate(L2_PAGE(16), EPT_READ), EPT02_REFLECT_VIOLATION);
	set_pte(16, L1_PAGE(16) | WORLD_RWX_WB);
	ck_assert_int_eq(ept02_enter(nested, 0x40000 | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB, &eptp02), 0);
	expect_work(0, 0, 0, 0);
	enter(EPTP);
	expect_work(PAGE, 1, 0, 0);
}
END_TEST

/* L1 made a page present that never faulted: the access comes out although EPT12 allows it. */
START_TEST(page_added_unseen)
{
	set_pte(30, L1_PAGE(30) | WORLD_RWX_WB);
	ck_assert_int_eq(violate(L2_PAGE(30) + 0x10, EPT_WRITE), EPT02_REPAIRED);
	ck_assert_uint_eq(l1_gpa, L1_PAGE(30) + 0x10);
	ck_assert(world_is_composition(&world, EPTP, eptp02, false));
	expect_work(PAGE, 1, 0, 0);
	ck_assert_uint_eq(nested->counters[COUNTER_EPT02_FAULTS], 1);
}
END_TEST

/* ---- A/D ---- */

START_TEST(dirty_flags_of_a_precise_machine)
{
	const uint64_t eptp12 = EPTP | EPTP_AD;

	enter(eptp12);
	ck_assert_uint_eq(get_pte(3) & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED);
	ck_assert_uint_eq(get_pte(16) & EPT_ACCESSED, 0);
	expect_mapped(L2_PAGE(0), L1_PAGE(0), 16 * PAGE, EPT_READ | EPT_EXECUTE);
	ck_assert_int_eq(ept02_violation(nested, eptp12, L2_PAGE(3), EPT_WRITE, &allowed, &l1_gpa), EPT02_REPAIRED);
	ck_assert_uint_eq(get_pte(3) & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED | EPT_DIRTY);
	ck_assert_uint_eq(get_pte(2) & EPT_DIRTY, 0);
	expect_mapped(L2_PAGE(3), L1_PAGE(3), PAGE, EPT_RWX);
	ck_assert(world_is_composition(&world, eptp12, eptp02, true));
}
END_TEST

START_TEST(dirty_flags_up_front)
{
	nested->config.machine.ept02_lazy = false;
	set_pte(4, L1_PAGE(4) | EPT_READ | WB);
	set_pte(5, WORLD_HOLE_BEGIN | WORLD_RWX_WB);
	enter(EPTP | EPTP_AD);
	ck_assert_uint_eq(get_pte(3) & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED | EPT_DIRTY);
	ck_assert_uint_eq(get_pte(4) & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED); /* cannot be written */
	ck_assert_uint_eq(get_pte(5) & (EPT_ACCESSED | EPT_DIRTY), 0);            /* not mapped */
	ck_assert_uint_eq(world_read(&world, PD + 3 * 8) & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED);
	ck_assert_uint_eq(world_read(&world, WORLD_ROOT) & (EPT_ACCESSED | EPT_DIRTY), EPT_ACCESSED);
	expect_mapped(L2_PAGE(0), L1_PAGE(0), 4 * PAGE, EPT_RWX);
}
END_TEST

/* ---- bounds ---- */

static void fill(uint64_t table, uint64_t entry, uint64_t step)
{
	for (unsigned i = 0; i < 512; i++)
		world_write(&world, table + i * 8, entry + i * step);
}

static void expect_too_big(void)
{
	uint64_t root;

	ept02_invalidate(nested, EPTP);
	world_clear_statistics(&world);
	ck_assert_int_eq(ept02_enter(nested, EPTP, &root), -E2BIG);
	expect_work(0, 0, 0, 0); /* nothing has changed */
}

START_TEST(table_that_refers_to_itself)
{
	fill(WORLD_ROOT, WORLD_ROOT | EPT_RWX, 0);
	expect_too_big();
	ck_assert_uint_lt(world.l1_pages, 3 * EPT02_EXTENTS);
	/* L1 may do better at the next try. */
	fill(WORLD_ROOT, 0, 0);
	world_write(&world, WORLD_ROOT, PDPT | EPT_RWX);
	invept_and_enter();
	expect_work(0, 0, 0, 0);
}
END_TEST

/* 2^36 paths that end outside memory: no extent ever comes of them, the work alone has to end it. */
START_TEST(paths_to_nowhere)
{
	fill(WORLD_ROOT, PDPT | EPT_RWX, 0);
	fill(PDPT, PD | EPT_RWX, 0);
	fill(PD, PT | EPT_RWX, 0);
	fill(PT, (1ull << 40) | WORLD_RWX_WB, 0);
	expect_too_big();
	ck_assert_uint_lt(world.l1_pages, EPT02_WORK_MAX / 256);
}
END_TEST

/* Each 1 GiB page asks for 2^18 pages of no RAM, at addresses that do not join up. */
START_TEST(large_pages_to_nowhere)
{
	world.nested.config.machine.physical_address_bits = 52;
	fill(WORLD_ROOT, PDPT | EPT_RWX, 0);
	fill(PDPT, (1ull << 41) | WORLD_RWX_WB | EPT_LARGE, 2 * GIB1);
	expect_too_big();
	ck_assert_uint_lt(world.l1_pages, 2 * EPT02_WORK_MAX);
}
END_TEST

START_TEST(aliases_of_one_hole_are_cheap)
{
	fill(PDPT, (1ull << 41) | WORLD_RWX_WB | EPT_LARGE, 0);
	ept02_invalidate(nested, EPTP);
	world_clear_statistics(&world);
	ck_assert_int_eq(ept02_enter(nested, EPTP, &eptp02), 0);
	ck_assert_uint_lt(world.l1_pages, (GIB1 / PAGE) + 16);
	ck_assert_uint_eq(world.mapping_count, 0);
}
END_TEST

START_TEST(as_many_extents_as_there_is_room_for)
{
	/* Every second page of 16 PTs: 16 * 256 = EPT02_EXTENTS extents; then one more. */
	world_write(&world, PDPT + 8, 0x5000 | EPT_RWX);
	for (unsigned t = 0; t < 16; t++) {
		world_write(&world, (t < 8 ? PD : 0x5000) + t % 8 * 8, (0x10000 + t * PAGE) | EPT_RWX);
		for (unsigned i = 0; i < 512; i += 2)
			world_write(&world, 0x10000 + t * PAGE + i * 8, L1_PAGE(0) | WORLD_RWX_WB);
	}
	invept_and_enter();
	ck_assert_uint_eq(nested->ept02.roots[0].extent_count, EPT02_EXTENTS);
	world_write(&world, 0x10000 + 3 * 8, L1_PAGE(9) | WORLD_RWX_WB);
	expect_too_big();
	ck_assert_int_eq(violate(3 * PAGE, EPT_READ), EPT02_FAILED);
	ck_assert_int_eq(nested->ept02.error, -E2BIG);
}
END_TEST

START_TEST(roots)
{
	for (unsigned i = 0; i < EPT02_ROOTS; i++)
		ck_assert_int_eq(ept02_enter(nested, EPTP + 0x40000 + i * PAGE, &eptp02), 0);
	ck_assert_uint_eq(world.roots, EPT02_ROOTS - 1);
	enter(EPTP);
}
END_TEST

START_TEST(no_room)
{
	uint64_t other, root;

	world_write(&world, 0x40000, PDPT | EPT_RWX);
	ck_assert_int_eq(ept02_enter(nested, EPTP + 0x40000 - WORLD_ROOT, &other), 0);
	enter(EPTP);
	world.mapping_limit = 3;
	set_pte(3, L1_PAGE(30) | WORLD_RWX_WB);
	invept_and_enter(); /* needs 3 mappings: the other root goes */
	ck_assert_uint_eq(world.roots, 1);
	ck_assert_uint_eq(world.mapping_count, 3);

	/* Page 3 back is a mapping of its own; only built afresh does it join its neighbours and leave room for page 9.
	 */
	set_pte(3, L1_PAGE(3) | WORLD_RWX_WB);
	invept_and_enter();
	ck_assert_uint_eq(world.mapping_count, 3);
	set_pte(9, L1_PAGE(90) | WORLD_RWX_WB);
	invept_and_enter();
	ck_assert_uint_eq(world.mapping_count, 3);
	expect_mapped(L2_PAGE(0), L1_PAGE(0), 9 * PAGE, EPT_RWX);

	set_pte(3, L1_PAGE(30) | WORLD_RWX_WB);
	ept02_invalidate(nested, EPTP);
	ck_assert_int_eq(ept02_enter(nested, EPTP, &root), -ENOSPC);
	ck_assert_uint_eq(world.roots, 0);
	world.mapping_limit = 5;
	enter(EPTP);
	ck_assert_uint_eq(world.mapping_count, 5);
}
END_TEST

START_TEST(backend_failure)
{
	uint64_t root;

	set_pte(16, L1_PAGE(20) | WORLD_RWX_WB);
	ept02_invalidate(nested, EPTP);
	world.map_error = -EIO;
	ck_assert_int_eq(ept02_enter(nested, EPTP, &root), -EIO);
	ck_assert_uint_eq(world.roots, 0); /* nobody knows what is mapped: nothing is kept */
	enter(EPTP);
}
END_TEST

/* ---- against the reference ---- */

static uint64_t composed[2][WORLD_L2_PAGES]; /* translation and rights of each page, before and after */

static void compose(unsigned which, uint64_t eptp12)
{
	for (unsigned i = 0; i < WORLD_L2_PAGES; i++) {
		uint64_t to;
		const uint64_t access = world_composed(&world, eptp12, world_l2_page(i), eptp12 & EPTP_AD, &to);
		composed[which][i] = access ? to | access : 0;
	}
}

/* Only pages that changed were touched. */
static bool least_work(void)
{
	uint64_t removed = 0, added = 0;

	for (unsigned i = 0; i < WORLD_L2_PAGES; i++) {
		if (composed[0][i] == composed[1][i])
			continue;
		removed += composed[0][i] ? PAGE : 0;
		added += composed[1][i] ? PAGE : 0;
	}
	return world.mapped_bytes == added && world.unmapped_bytes == removed;
}

/* _i: A/D. */
START_TEST(random_tables_equal_the_reference)
{
	const uint64_t eptp12 = EPTP | (_i ? EPTP_AD : 0);
	uint64_t seed = 0xea6e4 + (uint64_t)_i;
	unsigned built = 0;

	for (unsigned tables = 0; tables < 10; tables++) {
		world_random_tables(&world, &seed);
		ept02_invalidate(nested, ~0ull);
		for (unsigned change = 0; change < 6; change++) {
			compose(0, eptp12);
			if (change > 0)
				world_mutate_tables(&world, &seed, 1 + world_random(&seed) % 40);
			compose(1, eptp12);
			ept02_invalidate(nested, eptp12);
			world_clear_statistics(&world);
			const int error = ept02_enter(nested, eptp12, &eptp02);
			if (error == -E2BIG)
				break; /* on to other tables */
			ck_assert_int_eq(error, 0);
			ck_assert(!world.unflushed);
			ck_assert(world_is_composition(&world, eptp12, eptp02, _i));
			ck_assert(change == 0 || least_work());
			built++;
		}
	}
	ck_assert_uint_gt(built, 20);
}
END_TEST

/* L2 runs, faults, L1 changes what faulted without INVEPT: after the next entry that page is as EPT12 says. */
START_TEST(random_rechecks)
{
	uint64_t seed = 0x4ec4ec;
	unsigned reflected = 0;

	for (unsigned round = 0; round < 5; round++) {
		int error;
		do {
			world_random_tables(&world, &seed);
			ept02_invalidate(nested, EPTP);
			error = ept02_enter(nested, EPTP, &eptp02);
		} while (error == -E2BIG);
		for (unsigned i = 0; i < 300 && !error; i++) {
			const uint64_t l2_gpa = world_l2_page(world_random(&seed) % WORLD_L2_PAGES);
			const struct world_translation t = world_translate(&world, EPTP, l2_gpa);
			if (t.levels != 4 || t.kind != WORLD_ABSENT)
				continue;
			ck_assert_int_eq(violate(l2_gpa, EPT_WRITE), EPT02_REFLECT_VIOLATION);
			world_write(
			        &world, t.entries[3], L1_PAGE(world_random(&seed) % 256) | EPT_READ | EPT_WRITE | WB);
			reflected++;
			error = ept02_enter(nested, EPTP, &eptp02);
			const struct world_mapping *m = world_find(&world, eptp02, l2_gpa);
			const struct world_translation now = world_translate(&world, EPTP, l2_gpa);
			if (error == 0 && now.access != 0)
				ck_assert(
				        m && m->access == now.access && m->l1_gpa + (l2_gpa - m->l2_gpa) == now.l1_gpa);
		}
		ck_assert(error == 0 || error == -E2BIG);
		/* Aliased tables changed at other addresses as well; INVEPT brings those in. */
		ept02_invalidate(nested, EPTP);
		error = ept02_enter(nested, EPTP, &eptp02);
		ck_assert(error == -E2BIG || world_is_composition(&world, EPTP, eptp02, false));
	}
	ck_assert_uint_gt(reflected, 50);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ept02_eager");
	TCase *tc = tcase_create("eager");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, run_of_pages_is_one_extent);
	tcase_add_test(tc, pages_of_all_sizes_merge);
	tcase_add_test(tc, rights_and_gaps_end_an_extent);
	tcase_add_test(tc, devices_are_left_out);
	tcase_add_test(tc, steady_state_does_nothing);
	tcase_add_test(tc, invept_without_a_change);
	tcase_add_test(tc, invept_takes_one_page_out_of_an_extent);
	tcase_add_test(tc, invept_replaces_what_moved);
	tcase_add_test(tc, page_added_after_a_violation);
	tcase_add_test(tc, table_added_after_a_violation);
	tcase_add_test(tc, right_added_after_a_violation);
	tcase_add_test(tc, misconfiguration_put_right);
	tcase_add_test(tc, violation_l1_leaves_as_it_is);
	tcase_add_test(tc, recheck_waits_for_its_root);
	tcase_add_test(tc, page_added_unseen);
	tcase_add_test(tc, dirty_flags_of_a_precise_machine);
	tcase_add_test(tc, dirty_flags_up_front);
	tcase_add_test(tc, table_that_refers_to_itself);
	tcase_add_test(tc, paths_to_nowhere);
	tcase_add_test(tc, large_pages_to_nowhere);
	tcase_add_test(tc, aliases_of_one_hole_are_cheap);
	tcase_add_test(tc, as_many_extents_as_there_is_room_for);
	tcase_add_test(tc, roots);
	tcase_add_test(tc, no_room);
	tcase_add_test(tc, backend_failure);
	tcase_add_loop_test(tc, random_tables_equal_the_reference, 0, 2);
	tcase_add_test(tc, random_rechecks);
	suite_add_tcase(suite, tc);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
