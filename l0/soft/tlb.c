/* SPDX-License-Identifier: Apache-2.0 */
#include "tlb.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "internal.h"

struct soft_tlb *soft_tlb_create(void)
{
	struct soft_tlb *tlb;

	/* Zero pages on demand: of the sixteen contexts a cell uses two or three. */
	tlb = mmap(NULL, sizeof(*tlb), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (tlb == MAP_FAILED)
		return NULL;
	memset(tlb->empty.entry, 0xff, sizeof(tlb->empty.entry));
	tlb->empty.version = tlb->versions = 1;
	return tlb;
}

void soft_tlb_destroy(struct soft_tlb *tlb)
{
	if (tlb)
		munmap(tlb, sizeof(*tlb));
}

static void table_reset(struct soft_tlb *tlb, struct soft_tlb_table *table)
{
	memset(table->entry, 0xff, sizeof(table->entry));
	memset(table->used, 0, sizeof(table->used));
	table->version = ++tlb->versions;
}

/** A translation was withdrawn from the table. */
static void table_changed(struct soft_tlb *tlb, struct soft_tlb_table *table)
{
	const bool in_force = tlb->generation == table->version, hidden = tlb->generation == tlb->empty.version;

	table->version = ++tlb->versions;
	if (in_force)
		tlb->generation = table->version;
	else if (hidden) /* behind the empty table: see soft_tlb_context */
		tlb->generation = tlb->empty.version = ++tlb->versions;
}

static void entry_drop(struct soft_tlb_table *table, unsigned index)
{
	struct soft_tlb_entry *entry = &table->entry[index];

	entry->read = entry->write = entry->fetch = SOFT_TLB_INVALID;
	table->used[index / 64] &= ~(1ull << (index % 64));
}

/** Which entries a flush is about. */
struct flush {
	bool keep_globals;
	bool one_page;
	uint64_t linear;
};

static void table_flush(struct soft_tlb *tlb, struct soft_tlb_table *table, const struct flush *flush)
{
	table_changed(tlb, table);
	for (unsigned word = 0; word < SOFT_TLB_ENTRIES / 64; word++) {
		uint64_t bits = table->used[word];

		while (bits) {
			const unsigned index = word * 64 + (unsigned)__builtin_ctzll(bits);
			const struct soft_tlb_entry *entry = &table->entry[index];
			const unsigned shift = table->info[index].page_shift;
			uint64_t page = entry->read;

			bits &= bits - 1;
			if (page == SOFT_TLB_INVALID)
				page = entry->write != SOFT_TLB_INVALID ? entry->write : entry->fetch;
			if (flush->keep_globals && table->info[index].global)
				continue;
			/* One INVLPG inside a large page invalidates all of it (SDM vol. 3, 4.10.2.3). */
			if (flush->one_page && page >> shift != flush->linear >> shift)
				continue;
			entry_drop(table, index);
		}
	}
}

static void context_flush(struct soft_tlb *tlb, struct soft_tlb_context *context, const struct flush *flush)
{
	table_flush(tlb, &context->table[0], flush);
	table_flush(tlb, &context->table[1], flush);
}

/** INVEPT: guest-physical mappings of one EPT (0: of all). */
static void gpa_flush(struct soft_tlb *tlb, uint64_t eptp)
{
	for (unsigned i = 0; i < SOFT_GPA_CACHES; i++) {
		struct soft_gpa_cache *cache = &tlb->gpa_cache[i];

		if (cache->eptp && (!eptp || !((cache->eptp ^ eptp) & SOFT_PAGE_MASK)))
			memset(cache->entry, 0xff, sizeof(cache->entry));
	}
}

static struct soft_gpa_cache *gpa_find(struct soft_tlb *tlb, uint64_t eptp)
{
	struct soft_gpa_cache *oldest = &tlb->gpa_cache[0];

	if (!eptp)
		return NULL;
	for (unsigned i = 0; i < SOFT_GPA_CACHES; i++) {
		struct soft_gpa_cache *cache = &tlb->gpa_cache[i];

		if (cache->eptp == eptp) {
			cache->last_used = tlb->clock;
			return cache;
		}
		if (cache->last_used < oldest->last_used)
			oldest = cache;
	}
	oldest->eptp = eptp;
	oldest->last_used = tlb->clock;
	memset(oldest->entry, 0xff, sizeof(oldest->entry));
	return oldest;
}

void soft_tlb_flush_all(struct soft_cpu *cpu)
{
	const struct flush flush = {0};

	gpa_flush(cpu->tlb, 0);
	for (unsigned i = 0; i < SOFT_TLB_CONTEXTS; i++)
		if (cpu->tlb->context[i].valid)
			context_flush(cpu->tlb, &cpu->tlb->context[i], &flush);
}

void soft_tlb_flush_vpid(struct soft_cpu *cpu, uint16_t vpid)
{
	const struct flush flush = {0};

	for (unsigned i = 0; i < SOFT_TLB_CONTEXTS; i++)
		if (cpu->tlb->context[i].valid && cpu->tlb->context[i].key.vpid == vpid)
			context_flush(cpu->tlb, &cpu->tlb->context[i], &flush);
}

void soft_tlb_flush_eptp(struct soft_cpu *cpu, uint64_t eptp)
{
	const struct flush flush = {0};

	gpa_flush(cpu->tlb, eptp);
	for (unsigned i = 0; i < SOFT_TLB_CONTEXTS; i++)
		if (cpu->tlb->context[i].valid && !((cpu->tlb->context[i].key.eptp ^ eptp) & SOFT_PAGE_MASK))
			context_flush(cpu->tlb, &cpu->tlb->context[i], &flush);
}

void soft_tlb_invalidate(struct soft_cpu *cpu, enum soft_invalidate what, uint16_t pcid, uint64_t linear)
{
	const struct flush flush = {
	        .keep_globals = what == SOFT_INVALIDATE_PCID || what == SOFT_INVALIDATE_KEEP_GLOBALS,
	        .one_page = what == SOFT_INVALIDATE_PAGE || what == SOFT_INVALIDATE_PAGE_GLOBAL,
	        .linear = linear,
	};

	for (unsigned i = 0; i < SOFT_TLB_CONTEXTS; i++) {
		struct soft_tlb_context *context = &cpu->tlb->context[i];

		if (!context->valid || context->key.vpid != cpu->vpid)
			continue;
		if (context->key.pcid != pcid && (what == SOFT_INVALIDATE_PCID || what == SOFT_INVALIDATE_PAGE))
			continue;
		context_flush(cpu->tlb, context, &flush);
	}
}

void soft_tlb_flush_page(struct soft_cpu *cpu, uint64_t linear)
{
	/* Global translations under other PCIDs go too; that the others of that page go with them is allowed. */
	soft_tlb_invalidate(cpu, SOFT_INVALIDATE_PAGE_GLOBAL, 0, linear);
}

void soft_tlb_flush_cr3(struct soft_cpu *cpu, bool globals)
{
	soft_tlb_invalidate(
	        cpu, globals ? SOFT_INVALIDATE_ALL : SOFT_INVALIDATE_PCID, cpu->tlb->current ? soft_pcid(cpu) : 0, 0);
}

/** The control bits on which a cached right depends. */
static uint32_t context_mode(const struct soft_cpu *cpu)
{
	uint32_t mode = 0;

	if (cpu->cr0 & CR0_PG)
		mode |= 1u | (uint32_t)(cpu->cr4 & (CR4_PSE | CR4_PAE | CR4_SMEP | CR4_SMAP)) |
		        (uint32_t)(cpu->efer & (EFER_NXE | EFER_LMA));
	if (cpu->cr0 & CR0_WP)
		mode |= 2;
	return mode;
}

static bool key_equal(const struct soft_tlb_key *a, const struct soft_tlb_key *b)
{
	return a->eptp == b->eptp && a->mode == b->mode && a->vpid == b->vpid && a->pcid == b->pcid;
}

static struct soft_tlb_context *context_find(struct soft_tlb *tlb, const struct soft_tlb_key *key)
{
	struct soft_tlb_context *oldest = &tlb->context[0];

	for (unsigned i = 0; i < SOFT_TLB_CONTEXTS; i++) {
		struct soft_tlb_context *context = &tlb->context[i];

		if (context->valid && key_equal(&context->key, key))
			return context;
		if (!context->valid || context->last_used < oldest->last_used)
			oldest = context;
		if (!context->valid)
			break;
	}
	oldest->valid = true;
	oldest->key = *key;
	table_reset(tlb, &oldest->table[0]);
	table_reset(tlb, &oldest->table[1]);
	return oldest;
}

void soft_tlb_context(struct soft_cpu *cpu)
{
	struct soft_tlb *tlb = cpu->tlb;
	const struct soft_tlb_key key = {
	        .eptp = cpu->eptp,
	        .mode = context_mode(cpu),
	        .vpid = cpu->vpid,
	        .pcid = soft_pcid(cpu),
	};
	struct soft_tlb_table *table;

	if (!tlb->current || !key_equal(&tlb->current->key, &key)) {
		tlb->current = context_find(tlb, &key);
		tlb->current->last_used = ++tlb->clock;
		tlb->gpa = gpa_find(tlb, key.eptp);
	}
	/* MMIO completion, data breakpoints and alignment checks look at each access: none may take the fast path. The
	 * empty table cannot tell which translations lie behind it, so it never has the same version twice. */
	if (cpu->mmio_bus || soft_data_breakpoints(cpu) || soft_alignment_checked(cpu)) {
		table = &tlb->empty;
		table->version = ++tlb->versions;
	} else {
		table = &tlb->current->table[cpu->cpl == 3];
	}
	cpu->tlb_fast = table->entry;
	tlb->generation = table->version;
}

struct soft_tlb_table *soft_tlb_table(struct soft_cpu *cpu, bool user)
{
	return &cpu->tlb->current->table[user];
}

void soft_tlb_fill(struct soft_cpu *cpu, uint64_t linear, uint8_t *host_page, unsigned access, bool user,
        unsigned page_shift, bool global)
{
	struct soft_tlb_table *table = soft_tlb_table(cpu, user);
	const unsigned index = (linear >> 12) % SOFT_TLB_ENTRIES;
	struct soft_tlb_entry *entry = &table->entry[index];
	const uint64_t page = linear & SOFT_PAGE_MASK;
	const uintptr_t addend = (uintptr_t)host_page - (uintptr_t)page;

	/* Whoever remembers the generation may go on using a translation that is only evicted: nothing has invalidated
	 * it. One that is seen to lead elsewhere now must not be mixed with the old. */
	if (entry->fetch == page && entry->addend != addend)
		table_changed(cpu->tlb, table);
	entry->read = access & SOFT_READ ? page : SOFT_TLB_INVALID;
	entry->write = access & SOFT_WRITE ? page : SOFT_TLB_INVALID;
	entry->fetch = access & SOFT_FETCH ? page : SOFT_TLB_INVALID;
	entry->addend = addend;
	table->info[index].page_shift = (uint8_t)page_shift;
	table->info[index].global = global;
	table->used[index / 64] |= 1ull << (index % 64);
}
