/* SPDX-License-Identifier: Apache-2.0 */
/* The MSR and I/O bitmaps of vmcs02: L0's own pages, in which a bit is 1 where L0 or L1 wants the exit. */
#include "nested.h"

#include <string.h>

#include "transition.h"

enum { BITMAP_WORDS = 4096 / sizeof(uint64_t) };

static const uint8_t *l1_bitmap(struct nested *nested, bool used, uint64_t gpa)
{
	return used ? nested->config.ops.l1_page(nested->config.ops.ctx, gpa) : NULL;
}

static void learn_open_words(uint64_t open[8], void *page02, const uint8_t *bitmap01)
{
	memset(open, 0, 8 * sizeof(open[0]));
	if (!page02)
		return;
	memset(page02, 0xff, 4096);
	for (unsigned i = 0; bitmap01 && i < BITMAP_WORDS; i++) {
		uint64_t word;
		memcpy(&word, bitmap01 + i * sizeof(word), sizeof(word));
		if (word != ~0ull)
			open[i / 64] |= 1ull << (i % 64);
	}
}

/* L0's bitmaps do not change; L1's pages are looked up when vmcs12's address or use of them changed. */
void merge_find_bitmaps(struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;
	const struct nested_config *config = &nested->config;
	struct merge_state *state = &nested->merge;

	if (!state->bitmaps_known) {
		learn_open_words(state->msr_open, config->msr_bitmap02.hva, config->msr_bitmap01);
		for (unsigned i = 0; i < 2; i++)
			learn_open_words(state->io_open[i], config->io_bitmap02[i].hva, config->io_bitmap01[i]);
		state->bitmaps_known = true;
	}
	state->msr_bitmap12 = l1_bitmap(nested, PROC(USE_MSR_BITMAPS), FIELD(MSR_BITMAP));
	state->io_bitmap12[0] = l1_bitmap(nested, PROC(USE_IO_BITMAPS), FIELD(IO_BITMAP_A));
	state->io_bitmap12[1] = l1_bitmap(nested, PROC(USE_IO_BITMAPS), FIELD(IO_BITMAP_B));
}

/*
 * L1 may write its bitmaps in memory between any exit and the next entry (25.11.4 forbids it only while L2 runs), so
 * each entry merges again; but only the 64-bit words in which L0 lets something through: a handful for MSRs, none at
 * all where L0 wants everything.
 */
static void merge_bitmap(
        const uint64_t open[8], void *page02, const uint8_t *bitmap01, const uint8_t *bitmap12, uint64_t without)
{
	if (!page02 || !bitmap01)
		return;
	for (unsigned i = 0; i < 8; i++) {
		for (uint64_t bits = open[i]; bits != 0; bits &= bits - 1) {
			const unsigned at = (i * 64 + (unsigned)__builtin_ctzll(bits)) * sizeof(uint64_t);
			uint64_t word01, word12 = without;

			memcpy(&word01, bitmap01 + at, sizeof(word01));
			if (bitmap12)
				memcpy(&word12, bitmap12 + at, sizeof(word12));
			word12 |= word01;
			memcpy((uint8_t *)page02 + at, &word12, sizeof(word12));
		}
	}
}

void nested_merge_bitmaps(struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;
	const struct nested_config *config = &nested->config;
	const struct merge_state *state = &nested->merge;
	/* Without a bitmap, or with one that is nowhere, every access exits, or with neither I/O control none. */
	const uint64_t io_without = PROC(USE_IO_BITMAPS) || PROC(UNCONDITIONAL_IO_EXITING) ? ~0ull : 0;

	merge_bitmap(state->msr_open, config->msr_bitmap02.hva, config->msr_bitmap01, state->msr_bitmap12, ~0ull);
	for (unsigned i = 0; i < 2; i++) {
		merge_bitmap(state->io_open[i], config->io_bitmap02[i].hva, config->io_bitmap01[i],
		        state->io_bitmap12[i], io_without);
	}
}
