/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EPT12 walks and EPT02 over tables a hostile L1 could make. The input is a program: write table entries, enter, let L2
 * access something, INVEPT, take away the backend's room. Each verdict and each translation is held against the
 * reference of tests/unit/shadowvmcs/ept_world.h, which also aborts when L2 would get memory that is not L1's.
 *
 * Two backends: the list of ept_world, and the tree in a pool of pages.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tests/unit/shadowvmcs/ept_world.h"

#define PAGE 4096ull
/* L1's pages that hold tables; all others stay zero. */
#define TABLE_PAGES 16u
#define TABLES_BEGIN 0x1000ull
#define POOL_PAGES 96u
#define POOL_BASE 0x5500000000ull
#define HOST_BASE 0x4000000000ull
enum { OPERATIONS_MAX = 600, MAPPING_LIMIT = 400 };

static struct ept_world world;
static struct nested *nested = &world.nested;
static struct fuzz_input input;
static bool use_tree;
static bool may_fail; /* the backend has been given limits, or tables may be too big */
static uint64_t eptp12, eptp02;
static bool entered;

static struct {
	unsigned long entries, refused_entries, verdicts[EPT02_FAILED + 1], hits;
} statistics;

/* ---- the tree's pool ---- */

static uint64_t pool[POOL_PAGES][512];
static bool pool_used[POOL_PAGES];
static unsigned used, pool_limit;
static struct ept02_tree tree;

static uint64_t *pool_page(void *ctx, uint64_t hpa)
{
	const uint64_t index = (hpa - POOL_BASE) / PAGE;

	FUZZ_REQUIRE(hpa >= POOL_BASE && index < POOL_PAGES && pool_used[index]);
	return pool[index];
}

static uint64_t pool_alloc(void *ctx)
{
	if (used >= pool_limit)
		return 0;
	for (unsigned i = 0;; i++) {
		if (!pool_used[i]) {
			pool_used[i] = true;
			used++;
			memset(pool[i], 0, sizeof(pool[i]));
			return POOL_BASE + i * PAGE;
		}
	}
}

static void pool_release(void *ctx, uint64_t hpa)
{
	pool_page(ctx, hpa)[0] = ~0ull;
	pool_used[(hpa - POOL_BASE) / PAGE] = false;
	used--;
}

static uint64_t pool_l1_to_host(void *ctx, uint64_t l1_gpa)
{
	FUZZ_REQUIRE(world_is_ram(&world, l1_gpa));
	return HOST_BASE + l1_gpa;
}

static void pool_flush(void *ctx, uint64_t root) {}

/* ---- what EPT02 holds ---- */

/* The rights of L2 at a page of the EPT02 that was entered, 0 = none; *l1_gpa is the translation. */
static uint64_t lookup(uint64_t l2_gpa, uint64_t *l1_gpa)
{
	uint64_t entry = eptp02;

	if (!use_tree) {
		const struct world_mapping *m = world_find(&world, eptp02, l2_gpa);
		*l1_gpa = m ? m->l1_gpa + (l2_gpa - m->l2_gpa) : 0;
		return m ? m->access : 0;
	}
	for (unsigned shift = 39;; shift -= 9) {
		entry = pool_page(NULL, entry & EPT_ADDRESS_MASK)[l2_gpa >> shift & 511];
		if (entry == 0)
			return 0;
		if (shift == 12 || (entry & EPT_LARGE)) {
			*l1_gpa = (entry & EPT_ADDRESS_MASK) + (l2_gpa & ((1ull << shift) - 1)) - HOST_BASE;
			return entry & EPT_RWX;
		}
	}
}

/* ---- the program ---- */

static uint64_t table_address(uint8_t byte)
{
	return TABLES_BEGIN + byte % TABLE_PAGES * PAGE;
}

static unsigned table_index(uint8_t byte)
{
	return byte < 0x80 ? 0 : byte < 0xc0 ? byte % 8u : 504u + byte % 8u;
}

static uint64_t l2_address(void)
{
	uint64_t address = 0;

	for (unsigned shift = 39; shift >= 12; shift -= 9)
		address |= (uint64_t)table_index(fuzz_u8(&input)) << shift;
	return address | (fuzz_u8(&input) << 4 & 0xfff);
}

/* Entries of a hostile or busy L1: tables, pages, large pages, holes, rarely any 64 bits. */
static uint64_t table_entry(void)
{
	const uint8_t kind = fuzz_u8(&input), low = fuzz_u8(&input);
	uint64_t entry = low & 1 ? (uint64_t)EPT_RWX : low >> 1 & 7;

	entry |= low & 0x80 ? (uint64_t)(low >> 4 & 7) << EPT_MEMORY_TYPE_SHIFT : 0;
	switch (kind % 8) {
	case 0:
		return fuzz_u64(&input);
	case 1:
		return entry | (uint64_t)fuzz_u16(&input) % 1100 * PAGE | EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT;
	case 2:
		return entry | EPT_LARGE | (uint64_t)(fuzz_u8(&input) % 4) << 21;
	case 3:
		return entry | EPT_LARGE | (uint64_t)(fuzz_u8(&input) % 2) << 30;
	case 4:
		return 0;
	default:
		return entry | table_address(fuzz_u8(&input));
	}
}

static void write_entries(unsigned count, uint64_t step)
{
	const uint64_t table = table_address(fuzz_u8(&input));
	unsigned index = table_index(fuzz_u8(&input));
	uint64_t entry = table_entry();

	while (count-- > 0) {
		world_write(&world, table + index * 8, entry);
		entry += step;
		index = (index + 1) % 512;
	}
}

static void enter(void)
{
	const uint64_t flags = EPTP_WALK_4 | EPT_MEMORY_TYPE_WB;
	const uint8_t byte = fuzz_u8(&input);
	const uint64_t root = byte >= 0xf0 ? fuzz_u64(&input) : table_address(byte < 0x80 ? 0 : byte) | flags;
	const uint64_t ad = byte & 1 ? EPTP_AD : 0;
	const int error = ept02_enter(nested, root | ad, &eptp02);

	FUZZ_REQUIRE(error == 0 || error == -E2BIG || may_fail || !ept12_eptp_valid(nested, root | ad));
	FUZZ_REQUIRE(error != 0 || ept12_eptp_valid(nested, root | ad));
	FUZZ_REQUIRE(error == 0 || error == -E2BIG || error == -ENOSPC || error == -EINVAL || error == -EIO);
	FUZZ_REQUIRE(!world.unflushed);
	entered = error == 0;
	eptp12 = root | ad;
	statistics.entries += entered;
	statistics.refused_entries += !entered;
}

static void access_memory(void)
{
	const uint64_t l2_gpa = l2_address(), access = fuzz_u8(&input) % 8;
	const struct world_translation t = world_translate(&world, eptp12, l2_gpa);
	const bool completes = t.kind == WORLD_MAPPED && t.access != 0 && !(access & ~t.access);
	uint64_t mapped, l1_gpa, allowed, to;
	enum ept02_verdict verdict;

	if (!entered)
		return;
	mapped = lookup(l2_gpa, &l1_gpa);
	if (mapped && !(access & ~mapped)) {
		FUZZ_REQUIRE(world_is_ram(&world, l1_gpa)); /* perhaps not what EPT12 says now, without INVEPT */
		statistics.hits++;
		return;
	}
	verdict = ept02_violation(nested, eptp12, l2_gpa, access, &allowed, &to);
	statistics.verdicts[verdict]++;
	FUZZ_REQUIRE(!world.unflushed);
	FUZZ_REQUIRE(allowed == t.access);
	if (verdict == EPT02_FAILED) {
		FUZZ_REQUIRE(may_fail || nested->ept02.error == -E2BIG);
		entered = false; /* L2 is stopped */
		return;
	}
	FUZZ_REQUIRE((verdict == EPT02_REFLECT_MISCONFIGURATION) == (t.kind == WORLD_MISCONFIGURED));
	FUZZ_REQUIRE((verdict == EPT02_REFLECT_VIOLATION) == (t.kind != WORLD_MISCONFIGURED && !completes));
	if (!completes) {
		/* L1 runs now; the next entry may be to other tables. */
		entered = ept02_enter(nested, eptp12, &eptp02) == 0;
		return;
	}
	FUZZ_REQUIRE(to == t.l1_gpa);
	FUZZ_REQUIRE((verdict == EPT02_DEVICE) == !world_is_ram(&world, t.l1_gpa));
	if (verdict == EPT02_REPAIRED) {
		mapped = lookup(l2_gpa, &l1_gpa);
		FUZZ_REQUIRE(l1_gpa == t.l1_gpa && !(access & ~mapped) && !(mapped & ~t.access));
		if ((eptp12 & EPTP_AD) && (mapped & EPT_WRITE)) /* nothing can be written that is not dirty */
			FUZZ_REQUIRE(world_translate(&world, eptp12, l2_gpa).dirty);
	}
}

/* INVEPT of everything and entry: from here on EPT02 is, or becomes, what EPT12 says. */
static void compare_afresh(void)
{
	const bool clean_pages_read_only = nested->config.machine.ept02_lazy;

	ept02_invalidate(nested, ~0ull);
	entered = ept02_enter(nested, eptp12, &eptp02) == 0;
	for (unsigned i = 0; entered && i < 24; i++) {
		uint64_t l1_gpa, expected_l1;
		const uint64_t l2_gpa = l2_address() & ~(PAGE - 1);
		const uint64_t mapped = lookup(l2_gpa, &l1_gpa);
		const uint64_t expected = world_composed(&world, eptp12, l2_gpa, clean_pages_read_only, &expected_l1);
		if (nested->ept02.mode == EPT02_LAZY)
			FUZZ_REQUIRE(mapped == 0);
		else
			FUZZ_REQUIRE(mapped == expected && (!mapped || l1_gpa == expected_l1));
	}
}

static void set_limits(void)
{
	const uint8_t byte = fuzz_u8(&input);

	may_fail = true;
	world.mapping_limit = byte & 0x80 ? byte % 8u + 1 : MAPPING_LIMIT;
	world.root_limit = byte & 0x40 ? byte % 4u + 1 : 0;
	world.map_error = byte & 0x20 ? -EIO : 0;
	pool_limit = byte & 0x10 ? 1 + byte % 16u : POOL_PAGES;
}

/* A path of sound tables, pages of each size behind it: something for the program to damage. */
static void make_tables(void)
{
	const uint64_t pdpt = TABLES_BEGIN + PAGE, pd = pdpt + PAGE, pt = pd + PAGE;

	world_write(&world, TABLES_BEGIN, pdpt | EPT_RWX);
	world_write(&world, pdpt, pd | EPT_RWX);
	world_write(&world, pdpt + 8, WORLD_RWX_WB | EPT_LARGE);
	world_write(&world, pd, pt | EPT_RWX);
	world_write(&world, pd + 8, 0x200000 | WORLD_RWX_WB | EPT_LARGE);
	for (unsigned i = 0; i < 512; i++)
		world_write(
		        &world, pt + i * 8, (0x100000 + i * PAGE) | (i % 8 < 6 ? WORLD_RWX_WB : WORLD_RWX_WB & ~6u));
}

static void configure(void)
{
	static const uint64_t sizes[] = {PAGE, 2 << 20, 1 << 30};
	const uint8_t flags = fuzz_u8(&input), caps_off = fuzz_u8(&input);
	const enum ept02_mode mode = flags & 1 ? EPT02_EAGER : EPT02_LAZY;
	uint64_t caps = WORLD_ALL_EPT_CAPS;

	caps &= ~(caps_off & 1 ? EPT_CAP_2M : 0) & ~(caps_off & 2 ? EPT_CAP_1G : 0);
	caps &= ~(caps_off & 4 ? EPT_CAP_EXECUTE_ONLY : 0) & ~(caps_off & 8 ? EPT_CAP_AD : 0);
	memset(world.memory + TABLES_BEGIN, 0, TABLE_PAGES * PAGE);
	world_configure(&world, mode, caps, sizes[(flags >> 1 & 3) % 3]);
	if (!(flags & 0x80))
		make_tables();
	use_tree = flags & 8;
	if (use_tree) {
		memset(pool_used, 0, sizeof(pool_used));
		used = 0;
		pool_limit = POOL_PAGES;
		tree = (struct ept02_tree){.page = pool_page,
		        .alloc = pool_alloc,
		        .release = pool_release,
		        .l1_to_host = pool_l1_to_host,
		        .flush = pool_flush,
		        .page_size_max = sizes[(flags >> 1 & 3) % 3]};
		ept02_tree_backend(&tree, &nested->config.ept02_backend);
		FUZZ_REQUIRE(ept02_init(nested) == 0);
	}
	nested->config.machine.ept02_lazy = mode == EPT02_LAZY || (flags & 0x10);
	nested->config.machine.ept02_tree = use_tree && (flags & 0x20);
	nested->config.machine.physical_address_bits = caps_off & 0x80 ? 36 + caps_off % 16u : 0;
	nested->ept02.work_max = (flags & 0x40) && (caps_off & 0x40) ? 1u << 19 : 1u << 13;
	/* Eager mode needs all of its mappings at once; lazy mode always finds room for one. */
	may_fail = mode == EPT02_EAGER;
	world.mapping_limit = MAPPING_LIMIT;
	entered = false;
	eptp12 = TABLES_BEGIN | EPTP_WALK_4 | EPT_MEMORY_TYPE_WB;
}

static void step(uint8_t operation)
{
	switch (operation % 16) {
	case 0:
	case 1:
		write_entries(1, 0);
		break;
	case 4:
		write_entries(2 + fuzz_u8(&input) % 8u, PAGE);
		break;
	case 5:
		if (operation & 0x40)
			write_entries(512, operation & 0x80 ? PAGE : 0);
		break;
	case 6:
	case 7:
		enter();
		break;
	case 8:
		ept02_invalidate(nested, operation & 0x80 ? ~0ull : eptp12);
		entered = false;
		break;
	case 9:
		compare_afresh();
		break;
	case 10:
		if (operation & 0x80)
			set_limits();
		break;
	default:
		access_memory();
	}
}

int fuzz_one(const uint8_t *data, size_t size)
{
	if (!world.memory)
		world_setup(&world, EPT02_LAZY, WORLD_ALL_EPT_CAPS, PAGE);
	ept02_fini(nested);
	input = (struct fuzz_input){data, size};
	configure();
	for (unsigned i = 0; i < OPERATIONS_MAX && input.left > 0; i++)
		step(fuzz_u8(&input));
	ept02_fini(nested);
	FUZZ_REQUIRE(world.roots == 0 && world.mapping_count == 0);
	FUZZ_REQUIRE(!use_tree || used == 0);
	return 0;
}

const char *fuzz_summary(void)
{
	static char text[256];

	snprintf(text, sizeof(text),
	        "entries %lu, refused %lu; accesses without an exit %lu, repaired %lu, violations %lu, "
	        "misconfigurations %lu, devices %lu, failed %lu\n",
	        statistics.entries, statistics.refused_entries, statistics.hits, statistics.verdicts[EPT02_REPAIRED],
	        statistics.verdicts[EPT02_REFLECT_VIOLATION], statistics.verdicts[EPT02_REFLECT_MISCONFIGURATION],
	        statistics.verdicts[EPT02_DEVICE], statistics.verdicts[EPT02_FAILED]);
	return text;
}
