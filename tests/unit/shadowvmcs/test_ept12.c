/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <string.h>

#include "ept_world.h"

/* One path of tables: PML4 -> PDPT -> PD -> PT, and the address that goes through the last entry of each. */
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD 0x3000ull
#define PT 0x4000ull
#define PAGE_GPA 0x5000ull
#define L2_GPA 0xffffffffffffull /* index 511 at each level, last byte */
#define LAST (511 * 8)
#define EPTP (PML4 | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB)
#define WB (EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT)
#define MIB2 (2ull << 20)
#define GIB1 (1ull << 30)

static struct ept_world world;
static struct ept12_walk walk;

static const uint64_t table_gpa[5] = {0, PT, PD, PDPT, PML4};

static void set_entry(unsigned level, uint64_t entry)
{
	world_write(&world, table_gpa[level] + LAST, entry);
}

static uint64_t get_entry(unsigned level)
{
	return world_read(&world, table_gpa[level] + LAST);
}

static void setup_caps(uint64_t caps)
{
	world_setup(&world, EPT02_LAZY, caps, 4096);
	set_entry(4, PDPT | EPT_RWX);
	set_entry(3, PD | EPT_RWX);
	set_entry(2, PT | EPT_RWX);
	set_entry(1, PAGE_GPA | WORLD_RWX_WB);
}

static void setup(void)
{
	setup_caps(WORLD_ALL_EPT_CAPS);
}

static void teardown(void)
{
	world_teardown(&world);
}

static enum ept12_result walk_for(uint64_t access)
{
	ept12_walk(&world.nested, EPTP, L2_GPA, access, false, &walk);
	return walk.result;
}

/* ---- leaves ---- */

START_TEST(maps_4k)
{
	ck_assert_int_eq(walk_for(EPT_READ), EPT12_MAPPED);
	ck_assert_uint_eq(walk.l1_gpa, PAGE_GPA + 0xfff);
	ck_assert_uint_eq(walk.page_size, 4096);
	ck_assert_uint_eq(walk.allowed, EPT_RWX);
	ck_assert_uint_eq(walk.levels, 4);
	ck_assert(walk.dirty);
	ck_assert_uint_eq(world.nested.counters[COUNTER_EPT12_WALKS], 1);
}
END_TEST

START_TEST(maps_2m)
{
	set_entry(2, 0x7fe00000ull | WORLD_RWX_WB | EPT_LARGE);
	ck_assert_int_eq(walk_for(EPT_READ), EPT12_MAPPED);
	ck_assert_uint_eq(walk.l1_gpa, 0x7fe00000ull + MIB2 - 1);
	ck_assert_uint_eq(walk.page_size, MIB2);
	ck_assert_uint_eq(walk.levels, 3);
}
END_TEST

START_TEST(maps_1g)
{
	set_entry(3, 0x40000000ull | WORLD_RWX_WB | EPT_LARGE);
	ck_assert_int_eq(walk_for(EPT_READ), EPT12_MAPPED);
	ck_assert_uint_eq(walk.l1_gpa, 0x40000000ull + GIB1 - 1);
	ck_assert_uint_eq(walk.page_size, GIB1);
	ck_assert_uint_eq(walk.levels, 2);
}
END_TEST

/* Ignored bits: 63:52 and 11:9 of every entry, 7 of a PTE, 8 (A) and 9 (D) without A/D. */
START_TEST(ignores_what_the_sdm_ignores)
{
	const uint64_t ignored = 0xfff0000000000f00ull;

	for (unsigned level = 4; level > 1; level--)
		set_entry(level, get_entry(level) | ignored);
	set_entry(1, get_entry(1) | ignored | EPT_LARGE | EPT_IPAT);
	ck_assert_int_eq(walk_for(EPT_RWX), EPT12_MAPPED);
	ck_assert_uint_eq(walk.l1_gpa, PAGE_GPA + 0xfff);
}
END_TEST

/* ---- not present ---- */

START_TEST(not_present_at_each_level)
{
	for (unsigned level = 1; level <= 4; level++) {
		const uint64_t entry = get_entry(level);
		/* Not present whatever else is in it: reserved bits are looked at in present entries only. */
		set_entry(level, ~7ull);
		ck_assert_int_eq(walk_for(0), EPT12_NOT_PRESENT);
		ck_assert_uint_eq(walk.page_size, ept12_reach(level));
		ck_assert_uint_eq(walk.levels, 5 - level);
		ck_assert_uint_eq(walk.allowed, 0);
		set_entry(level, entry);
	}
}
END_TEST

START_TEST(address_beyond_48_bits)
{
	ept12_walk(&world.nested, EPTP, 1ull << 48, EPT_READ, false, &walk);
	ck_assert_int_eq(walk.result, EPT12_NOT_PRESENT);
	ck_assert_uint_eq(walk.levels, 0);
	ck_assert_uint_eq(walk.allowed, 0);
}
END_TEST

START_TEST(table_not_ram_at_each_level)
{
	for (unsigned level = 4; level > 1; level--) {
		const uint64_t entry = get_entry(level);
		set_entry(level, WORLD_HOLE_BEGIN | EPT_RWX);
		ck_assert_int_eq(walk_for(EPT_READ), EPT12_TABLE_NOT_RAM);
		ck_assert_uint_eq(walk.levels, 5 - level);
		set_entry(level, entry);
	}
	ept12_walk(&world.nested, WORLD_MEMORY_BYTES | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB, L2_GPA, 0, false, &walk);
	ck_assert_int_eq(walk.result, EPT12_TABLE_NOT_RAM);
}
END_TEST

/* ---- rights ---- */

/* Each level alone takes away each right. R, RW, RX, X and RWX are what an entry may hold. */
START_TEST(rights_are_anded)
{
	static const uint64_t rights[] = {EPT_READ, EPT_READ | EPT_WRITE, EPT_READ | EPT_EXECUTE, EPT_EXECUTE, EPT_RWX};

	for (unsigned a = 1; a <= 4; a++) {
		for (unsigned b = 1; b <= 4; b++) {
			for (unsigned i = 0; i < 25; i++) {
				const uint64_t entry_a = get_entry(a), entry_b = get_entry(b);
				uint64_t allowed = rights[i / 5];
				set_entry(a, (entry_a & ~EPT_RWX) | allowed);
				if (b != a) {
					set_entry(b, (entry_b & ~EPT_RWX) | rights[i % 5]);
					allowed &= rights[i % 5];
				}
				for (uint64_t access = 0; access <= EPT_RWX; access++) {
					const bool fits = (access & allowed) == access;
					ck_assert_int_eq(walk_for(access), fits ? EPT12_MAPPED : EPT12_NOT_PRESENT);
					ck_assert_uint_eq(walk.allowed, allowed);
					ck_assert_uint_eq(walk.page_size, 4096);
				}
				set_entry(b, entry_b);
				set_entry(a, entry_a);
			}
		}
	}
}
END_TEST

/* ---- misconfiguration, SDM vol. 3, 29.3.3.1 ---- */

static void expect_misconfigured(unsigned level, uint64_t entry, const char *what)
{
	const uint64_t good = get_entry(level);

	set_entry(level, entry);
	ck_assert_msg(walk_for(0) == EPT12_MISCONFIGURED, "level %u: %s (%#llx) is taken", level, what,
	        (unsigned long long)entry);
	ck_assert_uint_eq(walk.allowed, 0);
	ck_assert_uint_eq(walk.levels, 5 - level);
	set_entry(level, good);
	ck_assert_int_eq(walk_for(0), EPT12_MAPPED);
}

START_TEST(write_without_read)
{
	for (unsigned level = 1; level <= 4; level++) {
		expect_misconfigured(level, (get_entry(level) & ~EPT_RWX) | EPT_WRITE, "write-only");
		expect_misconfigured(
		        level, (get_entry(level) & ~EPT_RWX) | EPT_WRITE | EPT_EXECUTE, "write and execute");
	}
}
END_TEST

START_TEST(execute_only_not_offered)
{
	teardown();
	setup_caps(WORLD_ALL_EPT_CAPS & ~EPT_CAP_EXECUTE_ONLY);
	for (unsigned level = 1; level <= 4; level++)
		expect_misconfigured(level, (get_entry(level) & ~EPT_RWX) | EPT_EXECUTE, "execute-only");
}
END_TEST

START_TEST(address_beyond_physical_width)
{
	static const unsigned widths[] = {0, 36, 39, 51};

	for (unsigned i = 0; i < 4; i++) {
		const unsigned bits = widths[i] ? widths[i] : VMX_PHYSICAL_ADDRESS_BITS;
		world.nested.config.machine.physical_address_bits = widths[i];
		for (unsigned level = 1; level <= 4; level++) {
			for (unsigned bit = bits; bit < 52; bit++)
				expect_misconfigured(level, get_entry(level) | 1ull << bit, "address bit");
		}
		set_entry(1, get_entry(1) | 1ull << (bits - 1));
		ck_assert_int_eq(walk_for(0), EPT12_MAPPED);
		set_entry(1, PAGE_GPA | WORLD_RWX_WB);
	}
}
END_TEST

START_TEST(reserved_bits_of_table_entries)
{
	for (unsigned level = 2; level <= 4; level++) {
		for (unsigned bit = 3; bit <= 6; bit++)
			expect_misconfigured(level, get_entry(level) | 1ull << bit, "bits 6:3");
	}
	expect_misconfigured(4, get_entry(4) | EPT_LARGE, "bit 7 of a PML4E");
}
END_TEST

START_TEST(memory_types)
{
	static const uint64_t large[4] = {0, 0, 0x200000, 0x40000000};

	for (unsigned level = 1; level <= 3; level++) {
		for (uint64_t type = 0; type < 8; type++) {
			const uint64_t entry = (level == 1 ? PAGE_GPA : large[level] | EPT_LARGE) | EPT_RWX |
			                       type << EPT_MEMORY_TYPE_SHIFT;
			if (type == 2 || type == 3 || type == 7) {
				expect_misconfigured(level, entry, "memory type");
			} else {
				const uint64_t good = get_entry(level);
				set_entry(level, entry);
				ck_assert_int_eq(walk_for(EPT_RWX), EPT12_MAPPED);
				set_entry(level, good);
			}
		}
	}
}
END_TEST

START_TEST(low_address_bits_of_large_pages)
{
	for (unsigned level = 2; level <= 3; level++) {
		for (unsigned bit = 12; bit < (level == 2 ? 21 : 30); bit++)
			expect_misconfigured(
			        level, WORLD_RWX_WB | EPT_LARGE | 1ull << bit, "address bit below the size");
	}
}
END_TEST

START_TEST(large_pages_not_offered)
{
	teardown();
	setup_caps(WORLD_ALL_EPT_CAPS & ~EPT_CAP_2M);
	expect_misconfigured(2, 0x200000 | WORLD_RWX_WB | EPT_LARGE, "2 MiB page");
	set_entry(3, 0x40000000 | WORLD_RWX_WB | EPT_LARGE);
	ck_assert_int_eq(walk_for(0), EPT12_MAPPED);
	teardown();
	setup_caps(WORLD_ALL_EPT_CAPS & ~EPT_CAP_1G);
	expect_misconfigured(3, 0x40000000 | WORLD_RWX_WB | EPT_LARGE, "1 GiB page");
	set_entry(2, 0x200000 | WORLD_RWX_WB | EPT_LARGE);
	ck_assert_int_eq(walk_for(0), EPT12_MAPPED);
}
END_TEST

/* A misconfigured entry deep in the path comes before a missing right of an upper one; a not-present one ends the walk
 * before it. */
START_TEST(priorities)
{
	set_entry(4, PDPT | EPT_READ);
	set_entry(1, PAGE_GPA | EPT_WRITE | WB);
	ck_assert_int_eq(walk_for(EPT_WRITE), EPT12_MISCONFIGURED);
	set_entry(2, PT);
	ck_assert_int_eq(walk_for(EPT_WRITE), EPT12_NOT_PRESENT);
}
END_TEST

/* ---- accessed and dirty flags ---- */

static void expect_flags(uint64_t upper, uint64_t leaf, unsigned leaf_level)
{
	for (unsigned level = 4; level > leaf_level; level--)
		ck_assert_uint_eq(get_entry(level) & (EPT_ACCESSED | EPT_DIRTY), upper);
	ck_assert_uint_eq(get_entry(leaf_level) & (EPT_ACCESSED | EPT_DIRTY), leaf);
}

static void walk_ad(uint64_t eptp12, uint64_t access, bool set)
{
	ept12_walk(&world.nested, eptp12, L2_GPA, access, set, &walk);
}

START_TEST(accessed_and_dirty)
{
	const unsigned leaf_level = _i;

	if (leaf_level == 2)
		set_entry(2, 0x200000 | WORLD_RWX_WB | EPT_LARGE);
	if (leaf_level == 3)
		set_entry(3, 0x40000000 | WORLD_RWX_WB | EPT_LARGE);
	walk_ad(EPTP, EPT_WRITE, true); /* not enabled */
	expect_flags(0, 0, leaf_level);
	ck_assert(walk.dirty);
	walk_ad(EPTP | EPTP_AD, EPT_WRITE, false); /* not asked for */
	expect_flags(0, 0, leaf_level);
	ck_assert(!walk.dirty);
	walk_ad(EPTP | EPTP_AD, EPT_READ, true);
	expect_flags(EPT_ACCESSED, EPT_ACCESSED, leaf_level);
	ck_assert(!walk.dirty);
	walk_ad(EPTP | EPTP_AD, EPT_EXECUTE, true);
	expect_flags(EPT_ACCESSED, EPT_ACCESSED, leaf_level);
	walk_ad(EPTP | EPTP_AD, EPT_READ | EPT_WRITE, true);
	expect_flags(EPT_ACCESSED, EPT_ACCESSED | EPT_DIRTY, leaf_level);
	ck_assert(walk.dirty);
	walk_ad(EPTP | EPTP_AD, EPT_READ, false);
	ck_assert(walk.dirty);
}
END_TEST

START_TEST(no_flags_for_an_access_that_faults)
{
	set_entry(3, PD | EPT_READ);
	walk_ad(EPTP | EPTP_AD, EPT_WRITE, true);
	ck_assert_int_eq(walk.result, EPT12_NOT_PRESENT);
	expect_flags(0, 0, 1);
	set_entry(3, PD | EPT_RWX);
	set_entry(1, 0);
	walk_ad(EPTP | EPTP_AD, EPT_READ, true);
	expect_flags(0, 0, 1);
}
END_TEST

/* A PML4 whose entry refers to itself: four levels of the same entry, the last as a page. */
START_TEST(self_reference)
{
	set_entry(4, PML4 | WORLD_RWX_WB);
	ck_assert_int_eq(walk_for(0), EPT12_MISCONFIGURED); /* bits 6:3 are reserved above the leaf */
	set_entry(4, PML4 | EPT_RWX);                       /* memory type UC as a leaf */
	walk_ad(EPTP | EPTP_AD, EPT_WRITE, true);
	ck_assert_int_eq(walk.result, EPT12_MAPPED);
	ck_assert_uint_eq(walk.l1_gpa, PML4 + 0xfff);
	ck_assert_uint_eq(get_entry(4), PML4 | EPT_RWX | EPT_ACCESSED | EPT_DIRTY);
}
END_TEST

/* ---- EPTP, SDM vol. 3, 27.2.1.1 ---- */

static bool valid(uint64_t eptp)
{
	return ept12_eptp_valid(&world.nested, eptp);
}

START_TEST(eptp_bits)
{
	ck_assert(valid(EPTP));
	ck_assert(valid(EPTP | EPTP_AD));
	ck_assert(valid(PML4 | EPTP_WALK_4)); /* UC */
	ck_assert(valid(EPTP | 1ull << (VMX_PHYSICAL_ADDRESS_BITS - 1)));
	for (uint64_t type = 1; type < 8; type++)
		ck_assert(valid(PML4 | EPTP_WALK_4 | type) == (type == 6));
	for (uint64_t length = 0; length < 8; length++)
		ck_assert(valid(PML4 | length << 3 | EPT_MEMORY_TYPE_WB) == (length == 3));
	for (unsigned bit = 7; bit < 12; bit++)
		ck_assert(!valid(EPTP | 1ull << bit));
	for (unsigned bit = VMX_PHYSICAL_ADDRESS_BITS; bit < 64; bit++)
		ck_assert(!valid(EPTP | 1ull << bit));
	world.nested.config.machine.physical_address_bits = 36;
	ck_assert(valid(EPTP | 1ull << 35));
	ck_assert(!valid(EPTP | 1ull << 36));
}
END_TEST

START_TEST(eptp_needs_what_is_offered)
{
	static const struct {
		uint64_t cap, eptp;
	} needs[] = {
	        {EPT_CAP_WALK_4, EPTP},
	        {EPT_CAP_WB, EPTP},
	        {EPT_CAP_UC, PML4 | EPTP_WALK_4},
	        {EPT_CAP_AD, EPTP | EPTP_AD},
	};

	for (unsigned i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		ck_assert(valid(needs[i].eptp));
		world.nested.caps.msr[MSR_IA32_VMX_EPT_VPID_CAP - VMX_MSR_FIRST] &= ~needs[i].cap;
		ck_assert(!valid(needs[i].eptp));
		world.nested.caps.msr[MSR_IA32_VMX_EPT_VPID_CAP - VMX_MSR_FIRST] |= needs[i].cap;
	}
}
END_TEST

/* ---- against the reference ---- */

static uint64_t random_entry(uint64_t *seed)
{
	const uint64_t address = (world_random(seed) % 0x300) << 12;
	uint64_t entry = address | (world_random(seed) % 4 ? EPT_RWX : world_random(seed) % 8);

	if (world_random(seed) % 4 == 0)
		entry |= world_random(seed) % 2 ? EPT_LARGE | WB : EPT_LARGE;
	if (world_random(seed) % 8 == 0)
		entry &= ~0x1ff000ull;
	if (world_random(seed) % 16 == 0)
		entry |= 1ull << world_random(seed) % 64;
	return entry;
}

/* Does `walk` say what the reference says? */
static bool equal(const struct world_translation *t, uint64_t access)
{
	if (walk.levels != t->levels || walk.allowed != t->access)
		return false;
	if (t->kind == WORLD_MISCONFIGURED)
		return walk.result == EPT12_MISCONFIGURED || walk.result == EPT12_TABLE_NOT_RAM;
	if (t->kind == WORLD_ABSENT || (access & ~t->access))
		return walk.result == EPT12_NOT_PRESENT;
	return walk.result == EPT12_MAPPED && walk.l1_gpa == t->l1_gpa && walk.page_size == t->leaf_bytes &&
	       walk.dirty == t->dirty;
}

START_TEST(random_tables_equal_the_reference)
{
	static const uint64_t caps_off[] = {0, EPT_CAP_2M, EPT_CAP_1G, EPT_CAP_EXECUTE_ONLY, EPT_CAP_AD};
	uint64_t seed = 0x7e57 + (uint64_t)_i;
	unsigned seen[3] = {0};

	teardown();
	setup_caps(WORLD_ALL_EPT_CAPS & ~caps_off[_i]);
	for (uint64_t gpa = 0; gpa < 0x300000; gpa += 8) {
		if (world_is_ram(&world, gpa))
			world_write(&world, gpa, random_entry(&seed));
	}
	for (unsigned i = 0; i < 200000; i++) {
		const uint64_t l2_gpa = world_random(&seed) >> 16;
		const uint64_t root = (world_random(&seed) % 0x400) << 12;
		const uint64_t eptp = root | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB | (world_random(&seed) & EPTP_AD);
		const uint64_t access = world_random(&seed) % 8;
		const struct world_translation t = world_translate(&world, eptp, l2_gpa);
		ept12_walk(&world.nested, eptp, l2_gpa, access, false, &walk);
		seen[t.kind]++;
		/* Check notes each assertion in a file, so only a failed one is made. */
		if (!equal(&t, access))
			ck_abort_msg("walk %u: eptp %#llx, address %#llx, access %llu", i, (unsigned long long)eptp,
			        (unsigned long long)l2_gpa, (unsigned long long)access);
	}
	for (unsigned kind = 0; kind < 3; kind++)
		ck_assert_uint_gt(seen[kind], 1000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ept12");
	TCase *tc = tcase_create("walks");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, maps_4k);
	tcase_add_test(tc, maps_2m);
	tcase_add_test(tc, maps_1g);
	tcase_add_test(tc, ignores_what_the_sdm_ignores);
	tcase_add_test(tc, not_present_at_each_level);
	tcase_add_test(tc, address_beyond_48_bits);
	tcase_add_test(tc, table_not_ram_at_each_level);
	tcase_add_test(tc, rights_are_anded);
	tcase_add_test(tc, write_without_read);
	tcase_add_test(tc, execute_only_not_offered);
	tcase_add_test(tc, address_beyond_physical_width);
	tcase_add_test(tc, reserved_bits_of_table_entries);
	tcase_add_test(tc, memory_types);
	tcase_add_test(tc, low_address_bits_of_large_pages);
	tcase_add_test(tc, large_pages_not_offered);
	tcase_add_test(tc, priorities);
	tcase_add_loop_test(tc, accessed_and_dirty, 1, 4);
	tcase_add_test(tc, no_flags_for_an_access_that_faults);
	tcase_add_test(tc, self_reference);
	tcase_add_test(tc, eptp_bits);
	tcase_add_test(tc, eptp_needs_what_is_offered);
	tcase_add_loop_test(tc, random_tables_equal_the_reference, 0, 5);
	suite_add_tcase(suite, tc);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
