/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pagefault: one operation is a store to a page, cold (not there before) or warm, of 4 KiB or 2 MiB. Cold pages are
 * given back by as many as the region has, so that an operation's cost holds its share of a release.
 */
#include "workloads/macro/macro.h"

#define SMALL 4096ull
#define LARGE (2ull << 20)
/* At most so many pages are there at a time. */
#define SMALL_PAGES 512
#define LARGE_PAGES (SYS_REGION_BYTES / LARGE)

/* Fresh memory is zero, and keeps what is stored. */
static void touch(uint8_t *base, uint64_t page_bytes, uint64_t pages, uint64_t before)
{
	for (uint64_t i = 0; i < pages; i++) {
		volatile uint64_t *word = (volatile uint64_t *)(base + i * page_bytes);

		if (*word != (before ? before + i : 0))
			sys_fail("pagefault: a page does not hold what it must (fresh memory is zero).");
		*word = 7 + i;
	}
}

static uint64_t cold(uint8_t *base, uint64_t page_bytes, uint64_t most, uint64_t ops)
{
	while (ops) {
		const uint64_t pages = ops < most ? ops : most;

		touch(base, page_bytes, pages, 0);
		sys_release(base, pages * page_bytes);
		ops -= pages;
	}
	return macro_hash(MACRO_HASH_START, page_bytes);
}

static uint64_t warm(uint8_t *base, uint64_t page_bytes, uint64_t most, uint64_t ops)
{
	while (ops) {
		const uint64_t pages = ops < most ? ops : most;

		touch(base, page_bytes, pages, 7);
		ops -= pages;
	}
	return macro_hash(MACRO_HASH_START, ~page_bytes);
}

static void prepare_warm(void)
{
	touch(sys_region(), SMALL, SMALL_PAGES, 0);
}

static void prepare_warm_large(void)
{
	touch(sys_region_large(), LARGE, LARGE_PAGES, 0);
}

static uint64_t run_cold(uint64_t ops)
{
	return cold(sys_region(), SMALL, SMALL_PAGES, ops);
}

static uint64_t run_warm(uint64_t ops)
{
	return warm(sys_region(), SMALL, SMALL_PAGES, ops);
}

static uint64_t run_cold_large(uint64_t ops)
{
	return cold(sys_region_large(), LARGE, LARGE_PAGES, ops);
}

static uint64_t run_warm_large(uint64_t ops)
{
	return warm(sys_region_large(), LARGE, LARGE_PAGES, ops);
}

const struct macro macro_pagefault = {.name = "pagefault", .run = run_cold};
const struct macro macro_pagefault_warm = {.name = "pagefault-warm", .prepare = prepare_warm, .run = run_warm};
const struct macro macro_pagefault_2m = {.name = "pagefault-2m", .run = run_cold_large};
const struct macro macro_pagefault_2m_warm = {
        .name = "pagefault-2m-warm", .prepare = prepare_warm_large, .run = run_warm_large};
