/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A small world for tests of EPT12 and EPT02, without the rest of the engine: L1's memory with a hole in it, an EPT02
 * backend that keeps what it is told as a plain list (and aborts when told nonsense), and a reference that walks EPT12
 * a second time, one 4 KiB page at a time, in other words than the engine's. Used by unit tests and by fuzzing.
 *
 *   L1-physical:  0 ........ hole_begin   hole_end ........ memory_bytes ........
 *                 RAM                 none         RAM                   none
 */
#ifndef TESTUDO_TESTS_SHADOWVMCS_EPT_WORLD_H
#define TESTUDO_TESTS_SHADOWVMCS_EPT_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shadowvmcs/ept12.h"
#include "shadowvmcs/nested.h"

#define WORLD_MEMORY_BYTES (4ull << 20)
#define WORLD_HOLE_BEGIN 0x2c0000ull
#define WORLD_HOLE_END 0x300000ull
#define WORLD_MAPPINGS 8192
#define WORLD_ROOT 0x1000ull
#define WORLD_TABLES 48
#define WORLD_RWX_WB (EPT_RWX | EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT)
#define WORLD_ALL_EPT_CAPS                                                                                             \
	(EPT_CAP_EXECUTE_ONLY | EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_AD)

/** What the backend was told to map, and not to unmap since. */
struct world_mapping {
	uint64_t eptp02, l2_gpa, l1_gpa, size, access;
};

struct ept_world {
	uint8_t *memory;
	uint64_t hole_begin, hole_end;
	struct nested nested;
	struct ept02_extent *extents;
	struct world_mapping mappings[WORLD_MAPPINGS];
	unsigned mapping_count;
	unsigned mapping_limit; /**< more mappings than this: -ENOSPC; 0 = no limit */
	unsigned root_limit;    /**< more roots than this: -ENOSPC; 0 = no limit */
	int map_error;          /**< given back by the next map, once, when not 0 */
	uint64_t next_eptp02;
	/* What happened since the test last cleared it. */
	unsigned maps, unmaps, flushes, roots_created, roots_destroyed;
	unsigned roots;    /**< alive */
	unsigned l1_pages; /**< calls of l1_page */
	uint64_t mapped_bytes, unmapped_bytes;
	bool unflushed;          /**< something was unmapped after the last flush */
	unsigned tables_used[5]; /**< world_random_tables: tables by level, at tables_gpa */
	uint64_t tables_gpa[5][WORLD_TABLES];
};

/** An engine with only EPT02 set up. Aborts when that fails. */
void world_setup(struct ept_world *world, enum ept02_mode mode, uint64_t ept_caps, uint64_t page_size_max);
/** Start over with another engine but the same memory (world_setup once before). */
void world_configure(struct ept_world *world, enum ept02_mode mode, uint64_t ept_caps, uint64_t page_size_max);
void world_teardown(struct ept_world *world);
void world_clear_statistics(struct ept_world *world);

uint64_t world_read(const struct ept_world *world, uint64_t l1_gpa);
void world_write(struct ept_world *world, uint64_t l1_gpa, uint64_t value);
bool world_is_ram(const struct ept_world *world, uint64_t l1_gpa);

/** The mapping of an EPT02 that holds l2_gpa, or NULL. */
const struct world_mapping *world_find(const struct ept_world *world, uint64_t eptp02, uint64_t l2_gpa);

/** The reference's answer for one address. */
struct world_translation {
	enum { WORLD_ABSENT, WORLD_MISCONFIGURED, WORLD_MAPPED } kind;
	uint64_t l1_gpa, access, leaf_bytes;
	bool dirty;
	uint64_t entries[4]; /**< L1-physical addresses of the table entries read */
	unsigned levels;
};
struct world_translation world_translate(const struct ept_world *world, uint64_t eptp12, uint64_t l2_gpa);

/** What EPT02 may hold for the page of l2_gpa: 0 when nothing, else EPT_RWX bits; *l1_gpa is its translation. With
 * `clean_pages_read_only` a page whose dirty flag is to be kept and clear has no write access. */
uint64_t world_composed(
        const struct ept_world *world, uint64_t eptp12, uint64_t l2_gpa, bool clean_pages_read_only, uint64_t *l1_gpa);

/**
 * Random tables for tests: a root at WORLD_ROOT, its tables on the pages after it, some used twice. They translate only
 * addresses of a sample: WORLD_L2_PAGES pages in index order, world_l2_page(i) being the i-th. Runs of pages, single
 * pages, large pages (also over holes and beyond memory), all rights, some misconfigured entries.
 */
#define WORLD_L2_PAGES (3u * 4 * 8 * 512)
uint64_t world_l2_page(unsigned index);
void world_random_tables(struct ept_world *world, uint64_t *seed);
/** Change `count` random entries. */
void world_mutate_tables(struct ept_world *world, uint64_t *seed, unsigned count);

/** Does an EPT02 hold exactly the composition (see world_composed) of tables made by world_random_tables? Prints the
 * first difference. */
bool world_is_composition(const struct ept_world *world, uint64_t eptp12, uint64_t eptp02, bool clean_pages_read_only);

/** A deterministic generator (xorshift64*). */
uint64_t world_random(uint64_t *state);

#endif
