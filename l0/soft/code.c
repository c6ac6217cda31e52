/* SPDX-License-Identifier: Apache-2.0 */
#include "code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"

#define BUCKETS 16384u
#define PAGE_BUCKETS 1024u
#define ARENA_BYTES (24u << 20)
#define CROSSINGS 64u
#define PAGE_BYTES 4096u
/** A store to a page with code drops runs only when it touches one of its lines with code. */
#define LINE_SHIFT 6

/** A page with runs in it. */
struct code_page {
	uint64_t number; /**< host-physical page number */
	uint64_t lines;  /**< bit n: code was decoded from bytes [64 n, 64 n + 64) */
	struct soft_run *runs;
	struct code_page *next;
	unsigned drops; /**< how often its runs were dropped */
};

/** Code that keeps changing is decoded a few instructions at a time: the rest would be decoded for nothing. */
#define DROPS_OFTEN 16
#define RUN_MAX_CHANGING 3

/** An instruction that crosses a page, with the bytes it was decoded from. */
struct crossing {
	uint8_t bytes[SOFT_INSN_MAX_BYTES];
	struct soft_run run;
	struct soft_insn insn;
};
_Static_assert(offsetof(struct crossing, insn) == offsetof(struct crossing, run) + offsetof(struct soft_run, insn),
        "the instruction of a crossing is its run's first");

struct soft_code_cache {
	uint64_t epoch; /**< counts up when runs are dropped or jumps forgotten */
	struct soft_jump jump[SOFT_JUMP_ENTRIES];
	struct soft_run *bucket[BUCKETS];
	struct code_page *page_bucket[PAGE_BUCKETS];
	struct crossing crossing[CROSSINGS];
	size_t used; /**< of the arena; given back only as a whole, so a run being executed stays readable */
	uint8_t arena[] __attribute__((aligned(16)));
};

/** Shown as the current instruction while none is known yet. */
static const struct soft_insn no_insn;

struct soft_code_cache *soft_code_create(void)
{
	/* calloc of this size maps untouched zero pages: what is never used costs nothing. */
	struct soft_code_cache *code = calloc(1, sizeof(*code) + ARENA_BYTES);

	if (code)
		code->epoch = 1;
	return code;
}

void soft_code_destroy(struct soft_code_cache *code)
{
	free(code);
}

void soft_code_forget_jumps(struct soft_cpu *cpu)
{
	cpu->code->epoch++;
}

static unsigned bucket_of(uint64_t hpa, unsigned mode)
{
	return (unsigned)((hpa ^ hpa >> 13 ^ mode * 0x9e5u) % BUCKETS);
}

static struct code_page *find_page(const struct soft_code_cache *code, uint64_t number)
{
	struct code_page *page = code->page_bucket[number % PAGE_BUCKETS];

	while (page && page->number != number)
		page = page->next;
	return page;
}

static void *arena_take(struct soft_code_cache *code, size_t bytes)
{
	void *at = code->arena + code->used;

	code->used += (bytes + 15) & ~(size_t)15;
	return at;
}

/** Drop everything; only between runs. */
static void reset(struct soft_cpu *cpu)
{
	struct soft_code_cache *code = cpu->code;

	for (unsigned i = 0; i < PAGE_BUCKETS; i++)
		for (struct code_page *page = code->page_bucket[i]; page; page = page->next)
			cpu->memory->code_pages[page->number] = 0;
	memset(code->bucket, 0, sizeof(code->bucket));
	memset(code->page_bucket, 0, sizeof(code->page_bucket));
	code->used = 0;
	code->epoch++;
}

static void drop_run(struct soft_code_cache *code, struct soft_run *run)
{
	struct soft_run **link = &code->bucket[bucket_of(run->hpa, run->mode)];

	while (*link != run)
		link = &(*link)->next_in_bucket;
	*link = run->next_in_bucket;
}

static void drop_page(struct soft_cpu *cpu, uint64_t number)
{
	struct code_page *page = find_page(cpu->code, number);

	for (struct soft_run *run = page->runs; run; run = run->next_in_page)
		drop_run(cpu->code, run);
	page->runs = NULL;
	page->lines = 0;
	page->drops++;
	cpu->memory->code_pages[number] = 0;
	cpu->code->epoch++;
	/* The run being executed may be one of them: what follows in it is decoded anew. */
	cpu->insn_end = NULL;
}

void soft_code_invalidate(struct soft_cpu *cpu, uint64_t hpa, unsigned size)
{
	const uint64_t last = hpa + size - 1;

	if (!size)
		return;
	for (uint64_t number = hpa >> 12; number <= last >> 12; number++) {
		const unsigned from = number == hpa >> 12 ? (unsigned)(hpa & 0xfff) >> LINE_SHIFT : 0;
		const unsigned to = number == last >> 12 ? (unsigned)(last & 0xfff) >> LINE_SHIFT : 63;

		if (!cpu->memory->code_pages[number])
			continue;
		if (find_page(cpu->code, number)->lines & (~0ull >> (63 - to)) & (~0ull << from))
			drop_page(cpu, number);
	}
}

static void mark_page(struct soft_cpu *cpu, struct soft_run *run, unsigned bytes)
{
	struct soft_code_cache *code = cpu->code;
	const uint64_t number = run->hpa >> 12;
	struct code_page *page = find_page(code, number);
	const unsigned from = (unsigned)(run->hpa & 0xfff) >> LINE_SHIFT;
	const unsigned to = (unsigned)((run->hpa & 0xfff) + bytes - 1) >> LINE_SHIFT;

	if (!page) {
		page = arena_take(code, sizeof(*page));
		*page = (struct code_page){.number = number, .next = code->page_bucket[number % PAGE_BUCKETS]};
		code->page_bucket[number % PAGE_BUCKETS] = page;
	}
	page->lines |= (~0ull >> (63 - to)) & (~0ull << from);
	run->next_in_page = page->runs;
	page->runs = run;
	cpu->memory->code_pages[number] = 1;
}

/** Decode from `hpa` to the end of the run; NULL when already the first instruction goes on in the next page. */
static struct soft_run *decode_run(struct soft_cpu *cpu, uint64_t hpa)
{
	struct soft_code_cache *code = cpu->code;
	const uint8_t *bytes = cpu->memory->base + hpa;
	const unsigned available = PAGE_BYTES - (unsigned)(hpa & 0xfff);
	const struct code_page *page = find_page(code, hpa >> 12);
	const unsigned most = page && page->drops > DROPS_OFTEN ? RUN_MAX_CHANGING : SOFT_RUN_MAX;
	struct soft_run *run;
	unsigned offset = 0, count = 0;

	if (code->used + sizeof(*run) + SOFT_RUN_MAX * sizeof(struct soft_insn) + sizeof(struct code_page) + 64 >
	        ARENA_BYTES)
		reset(cpu);
	run = (struct soft_run *)(code->arena + code->used);
	while (count < most && offset < available) {
		struct soft_insn *insn = &run->insn[count];

		if (soft_decode(bytes + offset, available - offset, cpu->mode, insn))
			break;
		offset += insn->length;
		count++;
		if (insn->flags & SOFT_INSN_ENDS)
			break;
	}
	if (!count)
		return NULL;
	arena_take(code, sizeof(*run) + count * sizeof(struct soft_insn));
	run->hpa = hpa;
	run->mode = (uint8_t)cpu->mode;
	run->count = (uint16_t)count;
	run->next_in_bucket = code->bucket[bucket_of(hpa, run->mode)];
	code->bucket[bucket_of(hpa, run->mode)] = run;
	mark_page(cpu, run, offset);
	return run;
}

static uint64_t fetch(struct soft_cpu *cpu, uint64_t linear)
{
	const uint64_t hpa = soft_tlb_lookup_fetch(cpu, linear);

	return SOFT_LIKELY(hpa != ~0ull) ? hpa : soft_translate_fetch(cpu, linear);
}

/** The instruction at `linear` whose bytes go on in the next page. */
static struct soft_run *find_crossing(struct soft_cpu *cpu, uint64_t linear, uint64_t hpa)
{
	struct crossing *crossing = &cpu->code->crossing[hpa % CROSSINGS ^ (hpa >> 12) % CROSSINGS];
	const unsigned first = PAGE_BYTES - (unsigned)(hpa & 0xfff);
	const uint64_t mask = cpu->mode == SOFT_MODE_64 ? ~0ull : 0xffffffffull;
	uint8_t bytes[SOFT_INSN_MAX_BYTES];
	uint64_t second;

	memcpy(bytes, cpu->memory->base + hpa, first);
	second = fetch(cpu, (linear + first) & mask);
	memcpy(bytes + first, cpu->memory->base + second, SOFT_INSN_MAX_BYTES - first);
	if (crossing->run.count && crossing->run.mode == cpu->mode && !memcmp(crossing->bytes, bytes, sizeof(bytes)))
		return &crossing->run;
	memcpy(crossing->bytes, bytes, sizeof(bytes));
	soft_decode(bytes, sizeof(bytes), cpu->mode, crossing->run.insn);
	crossing->run.mode = (uint8_t)cpu->mode;
	crossing->run.count = 1;
	return &crossing->run;
}

static struct soft_run *find_slow(struct soft_cpu *cpu, struct soft_jump *jump, struct soft_jump_tag tag)
{
	struct soft_code_cache *code = cpu->code;
	uint64_t linear = cpu->rip, hpa;
	struct soft_run *run;

	/* Until the fetch has succeeded there is no instruction, and a fault is at RIP. */
	cpu->insn_rip = cpu->rip;
	cpu->insn = &no_insn;
	if (cpu->mode != SOFT_MODE_64) {
		if (cpu->rip > cpu->seg[SOFT_CS].limit)
			soft_fault(cpu, VECTOR_GP, true, 0);
		linear = (uint32_t)(cpu->seg[SOFT_CS].base + cpu->rip);
	}
	hpa = fetch(cpu, linear);
	run = code->bucket[bucket_of(hpa, cpu->mode)];
	while (run && (run->hpa != hpa || run->mode != cpu->mode))
		run = run->next_in_bucket;
	if (!run)
		run = decode_run(cpu, hpa);
	if (!run)
		return find_crossing(cpu, linear, hpa);
	/* The fetch or a reset of the cache may have changed the tag; an entry with the old one is never used. */
	*jump = (struct soft_jump){.rip = cpu->rip, .tag = tag, .run = run};
	return run;
}

struct soft_run *soft_code_find(struct soft_cpu *cpu)
{
	struct soft_code_cache *code = cpu->code;
	const uint64_t rip = cpu->rip;
	/* The generation comes back to an old value when the CPU goes back to an old, unflushed table. */
	const struct soft_jump_tag tag = {.generation = cpu->tlb->generation, .epoch = code->epoch};
	struct soft_jump *jump = &code->jump[(rip ^ rip >> 12) % SOFT_JUMP_ENTRIES];

	if (SOFT_LIKELY(jump->rip == rip && jump->tag.generation == tag.generation && jump->tag.epoch == tag.epoch))
		return jump->run;
	return find_slow(cpu, jump, tag);
}

size_t soft_code_peek(struct soft_cpu *cpu, uint64_t linear, uint8_t *bytes, size_t size)
{
	size_t got = 0;

	for (; got < size; got++) {
		const uint64_t hpa = soft_tlb_lookup_fetch(cpu, linear + got);

		if (hpa == ~0ull)
			break;
		bytes[got] = cpu->memory->base[hpa];
	}
	return got;
}
