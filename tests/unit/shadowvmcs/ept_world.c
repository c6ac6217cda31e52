/* SPDX-License-Identifier: Apache-2.0 */
#include "ept_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096ull

#define WORLD_REQUIRE(condition)                                                                                       \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                  \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

/* ---- L1's memory ---- */

bool world_is_ram(const struct ept_world *world, uint64_t l1_gpa)
{
	return l1_gpa < WORLD_MEMORY_BYTES && (l1_gpa < world->hole_begin || l1_gpa >= world->hole_end);
}

static void *ops_l1_page(void *ctx, uint64_t gpa)
{
	struct ept_world *world = ctx;

	world->l1_pages++;
	return world_is_ram(world, gpa) ? world->memory + (gpa & ~(PAGE - 1)) : NULL;
}

uint64_t world_read(const struct ept_world *world, uint64_t l1_gpa)
{
	uint64_t value;

	WORLD_REQUIRE(world_is_ram(world, l1_gpa));
	memcpy(&value, world->memory + l1_gpa, sizeof(value));
	return value;
}

void world_write(struct ept_world *world, uint64_t l1_gpa, uint64_t value)
{
	WORLD_REQUIRE(world_is_ram(world, l1_gpa));
	memcpy(world->memory + l1_gpa, &value, sizeof(value));
}

/* ---- the backend ---- */

static int backend_root_create(void *ctx, uint64_t *eptp02)
{
	struct ept_world *world = ctx;

	if (world->root_limit && world->roots == world->root_limit)
		return -ENOSPC;
	world->roots++;
	world->roots_created++;
	world->next_eptp02 += PAGE;
	*eptp02 = world->next_eptp02;
	return 0;
}

/* Cut [begin, end) out of all mappings of an EPT02; true when something was there. */
static bool cut(struct ept_world *world, uint64_t eptp02, uint64_t begin, uint64_t end)
{
	unsigned count = world->mapping_count;
	bool found = false;

	for (unsigned i = 0; i < count; i++) {
		struct world_mapping *m = &world->mappings[i];
		const uint64_t m_end = m->l2_gpa + m->size;
		if (m->eptp02 != eptp02 || m->l2_gpa >= end || m_end <= begin)
			continue;
		found = true;
		if (m_end > end) {
			WORLD_REQUIRE(world->mapping_count < WORLD_MAPPINGS);
			world->mappings[world->mapping_count++] = (struct world_mapping){
			        eptp02, end, m->l1_gpa + (end - m->l2_gpa), m_end - end, m->access};
		}
		world->unmapped_bytes += (m_end < end ? m_end : end) - (m->l2_gpa > begin ? m->l2_gpa : begin);
		m->size = m->l2_gpa < begin ? begin - m->l2_gpa : 0;
	}
	for (unsigned i = 0; i < world->mapping_count;) {
		if (world->mappings[i].size == 0)
			world->mappings[i] = world->mappings[--world->mapping_count];
		else
			i++;
	}
	return found;
}

static void backend_root_destroy(void *ctx, uint64_t eptp02)
{
	struct ept_world *world = ctx;

	WORLD_REQUIRE(world->roots > 0);
	cut(world, eptp02, 0, UINT64_MAX);
	world->roots--;
	world->roots_destroyed++;
}

static int backend_map(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t l1_gpa, uint64_t size, uint64_t access)
{
	struct ept_world *world = ctx;
	const int error = world->map_error;

	WORLD_REQUIRE(size != 0 && (l2_gpa | l1_gpa | size) % PAGE == 0 && access != 0 && !(access & ~EPT_RWX));
	WORLD_REQUIRE((access & EPT_READ) || access == EPT_EXECUTE);
	for (uint64_t offset = 0; offset < size; offset += PAGE)
		WORLD_REQUIRE(world_is_ram(world, l1_gpa + offset));
	for (unsigned i = 0; i < world->mapping_count; i++) {
		const struct world_mapping *m = &world->mappings[i];
		WORLD_REQUIRE(m->eptp02 != eptp02 || m->l2_gpa >= l2_gpa + size || m->l2_gpa + m->size <= l2_gpa);
	}
	world->map_error = 0;
	if (error)
		return error;
	if (world->mapping_count >= (world->mapping_limit ? world->mapping_limit : WORLD_MAPPINGS))
		return -ENOSPC;
	world->mappings[world->mapping_count++] = (struct world_mapping){eptp02, l2_gpa, l1_gpa, size, access};
	world->maps++;
	world->mapped_bytes += size;
	return 0;
}

static int backend_unmap(void *ctx, uint64_t eptp02, uint64_t l2_gpa, uint64_t size)
{
	struct ept_world *world = ctx;

	WORLD_REQUIRE((l2_gpa | size) % PAGE == 0 && l2_gpa + size <= 1ull << 48);
	if (world->mapping_count == WORLD_MAPPINGS) /* no room for the rest of one that is cut in two */
		return -ENOSPC;
	if (!cut(world, eptp02, l2_gpa, l2_gpa + size))
		return 0;
	world->unmaps++;
	world->unflushed = true;
	return 1;
}

static void backend_flush(void *ctx, uint64_t eptp02)
{
	struct ept_world *world = ctx;

	(void)eptp02;
	world->flushes++;
	world->unflushed = false;
}

const struct world_mapping *world_find(const struct ept_world *world, uint64_t eptp02, uint64_t l2_gpa)
{
	for (unsigned i = 0; i < world->mapping_count; i++) {
		const struct world_mapping *m = &world->mappings[i];
		if (m->eptp02 == eptp02 && l2_gpa >= m->l2_gpa && l2_gpa - m->l2_gpa < m->size)
			return m;
	}
	return NULL;
}

/* ---- set-up ---- */

void world_configure(struct ept_world *world, enum ept02_mode mode, uint64_t ept_caps, uint64_t page_size_max)
{
	uint8_t *memory = world->memory;
	struct ept02_extent *extents = world->extents;

	WORLD_REQUIRE(world->roots == 0);
	memset(world, 0, sizeof(*world));
	world->memory = memory;
	world->extents = extents;
	world->hole_begin = WORLD_HOLE_BEGIN;
	world->hole_end = WORLD_HOLE_END;
	world->next_eptp02 = 0x7700000000;
	world->nested.config = (struct nested_config){
	        .ops = {.ctx = world, .l1_page = ops_l1_page},
	        .machine = {.name = "world", .ept_vpid = ept_caps, .ept02_lazy = true},
	        .ept02_mode = mode,
	        .ept02_backend = {.ctx = world,
	                .root_create = backend_root_create,
	                .root_destroy = backend_root_destroy,
	                .map = backend_map,
	                .unmap = backend_unmap,
	                .flush = backend_flush,
	                .page_size_max = page_size_max},
	        .extents = mode == EPT02_EAGER ? world->extents : NULL,
	};
	world->nested.caps.msr[MSR_IA32_VMX_EPT_VPID_CAP - VMX_MSR_FIRST] = ept_caps;
	WORLD_REQUIRE(ept02_init(&world->nested) == 0);
}

void world_setup(struct ept_world *world, enum ept02_mode mode, uint64_t ept_caps, uint64_t page_size_max)
{
	memset(world, 0, sizeof(*world));
	world->memory = aligned_alloc(PAGE, WORLD_MEMORY_BYTES);
	world->extents = calloc((size_t)EPT02_ROOTS * EPT02_EXTENTS, sizeof(*world->extents));
	WORLD_REQUIRE(world->memory && world->extents);
	memset(world->memory, 0, WORLD_MEMORY_BYTES);
	world_configure(world, mode, ept_caps, page_size_max);
}

void world_teardown(struct ept_world *world)
{
	ept02_fini(&world->nested);
	WORLD_REQUIRE(world->roots == 0 && world->mapping_count == 0);
	free(world->extents);
	free(world->memory);
}

void world_clear_statistics(struct ept_world *world)
{
	world->maps = world->unmaps = world->flushes = world->roots_created = world->roots_destroyed = 0;
	world->l1_pages = 0;
	world->mapped_bytes = world->unmapped_bytes = 0;
}

/* ---- the reference ---- */

static bool reference_misconfigured(const struct ept_world *world, uint64_t entry, bool leaf, unsigned page_shift)
{
	static const bool bad_type[8] = {[2] = true, [3] = true, [7] = true};
	const uint64_t caps = world->nested.config.machine.ept_vpid;
	const unsigned width = world->nested.config.machine.physical_address_bits
	                               ? world->nested.config.machine.physical_address_bits
	                               : VMX_PHYSICAL_ADDRESS_BITS;
	const unsigned rwx = entry & 7;

	if (rwx == 2 || rwx == 6 || (rwx == 4 && !(caps & EPT_CAP_EXECUTE_ONLY)))
		return true;
	for (unsigned bit = width; bit < 52; bit++) {
		if (entry >> bit & 1)
			return true;
	}
	if (!leaf)
		return (entry >> 3 & 0x1f) != 0; /* bits 7:3 */
	for (unsigned bit = 12; bit < page_shift; bit++) {
		if (entry >> bit & 1)
			return true;
	}
	return bad_type[entry >> 3 & 7];
}

struct world_translation world_translate(const struct ept_world *world, uint64_t eptp12, uint64_t l2_gpa)
{
	const uint64_t caps = world->nested.config.machine.ept_vpid;
	struct world_translation t = {.kind = WORLD_ABSENT, .access = 7, .dirty = true};
	uint64_t table = eptp12 & 0xffffffffff000;

	if (l2_gpa >> 48) {
		t.access = 0;
		return t;
	}
	for (unsigned shift = 39;; shift -= 9) {
		const uint64_t at = table + (l2_gpa >> shift & 0x1ff) * 8;
		const bool offered = (shift == 21 && (caps & EPT_CAP_2M)) || (shift == 30 && (caps & EPT_CAP_1G));
		if (!world_is_ram(world, at)) {
			t.kind = WORLD_MISCONFIGURED;
			break;
		}
		const uint64_t entry = world_read(world, at);
		const bool leaf = shift == 12 || (offered && (entry >> 7 & 1));
		t.entries[t.levels++] = at;
		if ((entry & 7) == 0)
			break;
		if (reference_misconfigured(world, entry, leaf, shift)) {
			t.kind = WORLD_MISCONFIGURED;
			break;
		}
		t.access &= entry;
		table = entry & 0xffffffffff000;
		if (leaf) {
			t.kind = WORLD_MAPPED;
			t.leaf_bytes = 1ull << shift;
			t.l1_gpa = table | (l2_gpa & (t.leaf_bytes - 1));
			t.dirty = !(eptp12 >> 6 & 1) || (entry >> 9 & 1);
			return t;
		}
	}
	t.access = 0;
	return t;
}

uint64_t world_composed(
        const struct ept_world *world, uint64_t eptp12, uint64_t l2_gpa, bool clean_pages_read_only, uint64_t *l1_gpa)
{
	const struct world_translation t = world_translate(world, eptp12, l2_gpa & ~(PAGE - 1));

	*l1_gpa = t.l1_gpa;
	if (t.kind != WORLD_MAPPED || !world_is_ram(world, t.l1_gpa))
		return 0;
	return t.dirty || !clean_pages_read_only ? t.access : t.access & ~EPT_WRITE;
}

uint64_t world_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* ---- random tables ---- */

/* The entries of a table of each level that are used, by number: PML4E 0, 1, 511; PDPTE 0-3; PDE 0-7; all PTEs. */
static unsigned entry_index(unsigned level, unsigned number)
{
	return level == 4 && number == 2 ? 511 : number;
}

static unsigned entry_count(unsigned level)
{
	static const unsigned count[5] = {0, 512, 8, 4, 3};

	return count[level];
}

uint64_t world_l2_page(unsigned index)
{
	return (uint64_t)entry_index(4, index / (4 * 8 * 512)) << 39 | (uint64_t)(index / (8 * 512) % 4) << 30 |
	       (uint64_t)(index / 512 % 8) << 21 | (uint64_t)(index % 512) << 12;
}

static uint64_t random_rights(uint64_t *seed)
{
	static const uint64_t rights[8] = {7, 7, 7, 3, 1, 5, 4, 0};

	return rights[world_random(seed) % 8];
}

static uint64_t random_leaf(uint64_t *seed, unsigned level)
{
	static const uint64_t large[4] = {0, 0x200000, 0x400000, 0x40000000};
	uint64_t entry = random_rights(seed) | EPT_MEMORY_TYPE_WB << EPT_MEMORY_TYPE_SHIFT;

	if (level == 1)
		entry |= world_random(seed) % (WORLD_MEMORY_BYTES / PAGE + 16) * PAGE;
	else
		entry |= EPT_LARGE | (level == 2 ? large[world_random(seed) % 4] : large[world_random(seed) % 2 * 3]);
	if (world_random(seed) % 4 == 0)
		entry |= EPT_DIRTY;
	if (world_random(seed) % 64 == 0)
		entry |= 1ull << (3 + world_random(seed) % 49);
	return entry;
}

static uint64_t random_table_entry(struct ept_world *world, uint64_t *seed, unsigned level);

static uint64_t new_table(struct ept_world *world, uint64_t *seed, unsigned level)
{
	unsigned total = 0;
	uint64_t gpa, entry = 0;

	for (unsigned i = 1; i <= 4; i++)
		total += world->tables_used[i];
	if (total == WORLD_TABLES || (world->tables_used[level] > 2 && world_random(seed) % 4 == 0)) {
		const unsigned used = world->tables_used[level];
		return used ? world->tables_gpa[level][world_random(seed) % used] : 0;
	}
	gpa = WORLD_ROOT + total * PAGE;
	world->tables_gpa[level][world->tables_used[level]++] = gpa;
	for (unsigned i = 0; i < entry_count(level); i++) {
		/* Pages come in runs, as a guest's memory does. */
		if (level == 1 && i > 0 && world_random(seed) % 16 != 0)
			entry = entry ? entry + PAGE : 0;
		else
			entry = random_table_entry(world, seed, level);
		world_write(world, gpa + entry_index(level, i) * 8, entry);
	}
	return gpa;
}

static uint64_t random_table_entry(struct ept_world *world, uint64_t *seed, unsigned level)
{
	const unsigned choice = world_random(seed) % 8;

	if (level == 1)
		return choice == 0 ? 0 : random_leaf(seed, 1);
	if (choice < 5) {
		const uint64_t table = new_table(world, seed, level - 1);
		return table ? table | (choice < 4 ? EPT_RWX : random_rights(seed)) : 0;
	}
	return level < 4 && choice < 7 ? random_leaf(seed, level) : 0;
}

void world_random_tables(struct ept_world *world, uint64_t *seed)
{
	memset(world->memory + WORLD_ROOT, 0, WORLD_TABLES * PAGE);
	memset(world->tables_used, 0, sizeof(world->tables_used));
	WORLD_REQUIRE(new_table(world, seed, 4) == WORLD_ROOT);
}

void world_mutate_tables(struct ept_world *world, uint64_t *seed, unsigned count)
{
	while (count-- > 0) {
		const unsigned level = world_random(seed) % 16 ? 1 : 2 + world_random(seed) % 3;
		const unsigned used = world->tables_used[level];
		if (used == 0)
			continue;
		const uint64_t table = world->tables_gpa[level][world_random(seed) % used];
		const unsigned index = entry_index(level, world_random(seed) % entry_count(level));
		world_write(world, table + index * 8, random_table_entry(world, seed, level));
	}
}

bool world_is_composition(const struct ept_world *world, uint64_t eptp12, uint64_t eptp02, bool clean_pages_read_only)
{
	uint64_t mapped = 0, expected = 0, l1_gpa;

	for (unsigned i = 0; i < world->mapping_count; i++) {
		const struct world_mapping *m = &world->mappings[i];
		if (m->eptp02 != eptp02)
			continue;
		for (uint64_t offset = 0; offset < m->size; offset += PAGE) {
			const uint64_t access =
			        world_composed(world, eptp12, m->l2_gpa + offset, clean_pages_read_only, &l1_gpa);
			if (access != m->access || l1_gpa != m->l1_gpa + offset) {
				fprintf(stderr, "%#llx is mapped to %#llx (%llu), EPT12 says %#llx (%llu)\n",
				        (unsigned long long)(m->l2_gpa + offset),
				        (unsigned long long)(m->l1_gpa + offset), (unsigned long long)m->access,
				        (unsigned long long)l1_gpa, (unsigned long long)access);
				return false;
			}
		}
		mapped += m->size / PAGE;
	}
	for (unsigned i = 0; i < WORLD_L2_PAGES; i++)
		expected += world_composed(world, eptp12, world_l2_page(i), clean_pages_read_only, &l1_gpa) != 0;
	if (mapped != expected)
		fprintf(stderr, "%llu pages are mapped, EPT12 maps %llu\n", (unsigned long long)mapped,
		        (unsigned long long)expected);
	return mapped == expected;
}
