/* SPDX-License-Identifier: Apache-2.0 */
/* EPT12 as L1 builds it, against a walker written from the SDM's tables (vol. 3, 29.3.2). */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "l1/ept.h"

#define MIB (1ull << 20)
#define HEAP_BYTES (1 * MIB)

static void *heap;
static struct l1_pages pages;

static void setup(void)
{
	heap = aligned_alloc(PAGE_BYTES, HEAP_BYTES);
	ck_assert_ptr_nonnull(heap);
	memset(heap, 0xff, HEAP_BYTES);
	pages = (struct l1_pages){(uint64_t)heap, (uint64_t)heap + HEAP_BYTES};
}

static void teardown(void)
{
	free(heap);
}

struct walk {
	bool mapped;
	uint64_t l1_gpa, page_bytes;
};

/* Bits that must be zero in an entry of each kind: 7:3 of a table's, below the page size of a leaf's. */
static struct walk walk(uint64_t eptp, uint64_t l2_gpa)
{
	struct walk result = {0};
	uint64_t table = eptp & 0x000ffffffffff000ull;

	ck_assert_uint_eq(eptp & 0xfff, 3 << 3 | 6); /* 4 levels, write-back, no A/D */
	for (unsigned level = 4; level; level--) {
		const unsigned shift = 12 + 9 * (level - 1);
		const uint64_t entry = ((const uint64_t *)table)[l2_gpa >> shift & 511];

		ck_assert_msg(table >= (uint64_t)heap && table < pages.next, "a table outside the pages taken");
		if (!(entry & 7))
			return result;
		ck_assert_uint_eq(entry & 7, 7);
		if (level == 1 || (entry & 1 << 7)) {
			ck_assert_msg(level <= 2, "a leaf above 2 MiB");
			ck_assert_uint_eq(entry >> 3 & 7, 6);
			ck_assert_uint_eq(entry & 0x000ffffffffff000ull & ((1ull << shift) - 1), 0);
			result.mapped = true;
			result.page_bytes = 1ull << shift;
			result.l1_gpa = (entry & 0x000ffffffffff000ull) | (l2_gpa & ((1ull << shift) - 1));
			return result;
		}
		ck_assert_uint_eq(entry & 0xff8, 0);
		table = entry & 0x000ffffffffff000ull;
	}
	return result;
}

static const struct l1_ept_layout layouts[] = {
        {32 * MIB, 64 * MIB, 16 * MIB, 4 * MIB, LARGE_PAGE_BYTES, PAGE_BYTES},
        {32 * MIB, 64 * MIB, 16 * MIB, 4 * MIB, PAGE_BYTES, LARGE_PAGE_BYTES},
        {32 * MIB, 64 * MIB, 16 * MIB, 48 * MIB, PAGE_BYTES, PAGE_BYTES},
        {16 * MIB, 2 * MIB, 2 * MIB, 0, LARGE_PAGE_BYTES, LARGE_PAGE_BYTES},
        {16 * MIB, 2048 * MIB, 1022 * MIB, 4 * MIB, LARGE_PAGE_BYTES, LARGE_PAGE_BYTES}, /* across two directories */
};
#define LAYOUTS ((int)(sizeof(layouts) / sizeof(layouts[0])))

START_TEST(maps_everything_but_the_touch_region)
{
	const struct l1_ept_layout *layout = &layouts[_i];
	struct l1_ept ept;

	ck_assert_ptr_null(l1_ept_build(&ept, layout, &pages));
	for (uint64_t gpa = 0; gpa < layout->l2_size + 4 * MIB; gpa += 0x7f000 /* all kinds of offsets */) {
		const struct walk found = walk(ept.eptp, gpa);
		const bool touch = gpa - layout->touch_base < layout->touch_size;

		ck_assert_msg(found.mapped == (gpa < layout->l2_size && !touch), "at %llx", (unsigned long long)gpa);
		if (found.mapped) {
			ck_assert_uint_eq(found.l1_gpa, layout->l2_base + gpa);
			ck_assert_uint_eq(found.page_bytes, layout->page_bytes);
		}
	}
}
END_TEST

START_TEST(touch_maps_one_page_and_reset_unmaps_all)
{
	const struct l1_ept_layout *layout = &layouts[_i];
	const uint64_t page = layout->touch_page_bytes;
	struct l1_ept ept;

	ck_assert_ptr_null(l1_ept_build(&ept, layout, &pages));
	for (uint64_t gpa = layout->touch_base; gpa < layout->touch_base + layout->touch_size; gpa += page) {
		l1_ept_touch(&ept, gpa + page - 8);
		const struct walk found = walk(ept.eptp, gpa + 8);
		ck_assert(found.mapped);
		ck_assert_uint_eq(found.l1_gpa, layout->l2_base + gpa + 8);
		ck_assert_uint_eq(found.page_bytes, page);
		if (gpa + page < layout->touch_base + layout->touch_size)
			ck_assert(!walk(ept.eptp, gpa + page).mapped);
	}
	l1_ept_touch_reset(&ept);
	for (uint64_t gpa = layout->touch_base; gpa < layout->touch_base + layout->touch_size; gpa += page)
		ck_assert(!walk(ept.eptp, gpa).mapped);
	if (layout->touch_base)
		ck_assert(walk(ept.eptp, layout->touch_base - 1).mapped);
	if (layout->touch_base + layout->touch_size < layout->l2_size)
		ck_assert(walk(ept.eptp, layout->touch_base + layout->touch_size).mapped);
}
END_TEST

START_TEST(wrong_layouts_are_refused)
{
	static const struct l1_ept_layout wrong[] = {
	        {32 * MIB, 64 * MIB, 16 * MIB, 4 * MIB, 8192, PAGE_BYTES},
	        {32 * MIB, 64 * MIB, 16 * MIB, 4 * MIB, PAGE_BYTES, 0},
	        {32 * MIB + 4096, 64 * MIB, 16 * MIB, 4 * MIB, PAGE_BYTES, PAGE_BYTES},
	        {32 * MIB, 63 * MIB, 16 * MIB, 4 * MIB, PAGE_BYTES, PAGE_BYTES},
	        {32 * MIB, 0, 0, 0, PAGE_BYTES, PAGE_BYTES},
	        {32 * MIB, 64 * MIB, 62 * MIB, 4 * MIB, PAGE_BYTES, PAGE_BYTES},
	        {32 * MIB, 64 * MIB, 66 * MIB, 0, PAGE_BYTES, PAGE_BYTES},
	};
	struct l1_ept ept;

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(l1_ept_build(&ept, &wrong[i], &pages), "layout %u was taken", i);
}
END_TEST

START_TEST(small_heap_is_refused)
{
	struct l1_ept ept;

	pages.end = pages.next + 4 * PAGE_BYTES;
	ck_assert_ptr_nonnull(l1_ept_build(&ept, &layouts[2], &pages));
	ck_assert_uint_eq(l1_pages_take(&pages, 5), 0);
	ck_assert_uint_eq(l1_pages_take(&pages, ~0ull), 0);
	ck_assert_uint_eq(l1_pages_take(&pages, 4), (uint64_t)heap);
	ck_assert_uint_eq(l1_pages_take(&pages, 1), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("l1: EPT12");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 30);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, maps_everything_but_the_touch_region, 0, LAYOUTS);
	tcase_add_loop_test(tcase, touch_maps_one_page_and_reset_unmaps_all, 0, LAYOUTS);
	tcase_add_test(tcase, wrong_layouts_are_refused);
	tcase_add_test(tcase, small_heap_is_refused);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
