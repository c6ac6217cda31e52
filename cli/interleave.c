/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/interleave.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "results/stats.h"

#define KEY_ROUNDS "interleave"
#define KEY_SEED "interleave.seed"

/* Digits only. */
static bool parse(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

int interleave_set_rounds(struct interleave *interleave, const char *text, char *why, size_t why_bytes)
{
	uint32_t seed = 1;
	uint64_t rounds;

	if (!parse(text, &rounds) || rounds < 2 || rounds > INTERLEAVE_ROUNDS_MAX) {
		snprintf(why, why_bytes, "--interleave wants 2 to %d rounds, not \"%.40s\"", INTERLEAVE_ROUNDS_MAX,
		        text);
		return -EINVAL;
	}
	interleave->rounds = (unsigned)rounds;
	if (!interleave->seeded) {
		/* Short enough to be typed again. */
		if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
			seed = 1;
		interleave->seed = seed;
	}
	return 0;
}

int interleave_set_seed(struct interleave *interleave, const char *text, char *why, size_t why_bytes)
{
	if (!parse(text, &interleave->seed)) {
		snprintf(why, why_bytes, "--seed wants a number, not \"%.40s\"", text);
		return -EINVAL;
	}
	interleave->seeded = true;
	return 0;
}

void interleave_describe(const struct interleave *interleave, struct run_info *info)
{
	if (!interleave->rounds)
		return;
	run_info_set(info, KEY_ROUNDS, "%u", interleave->rounds);
	run_info_set(info, KEY_SEED, "%" PRIu64, interleave->seed);
}

void interleave_restore(struct interleave *interleave, const struct run_info *info)
{
	const char *rounds = run_info_get(info, KEY_ROUNDS), *seed = run_info_get(info, KEY_SEED);
	uint64_t value;

	if (rounds && seed && parse(rounds, &value) && value <= INTERLEAVE_ROUNDS_MAX && parse(seed, &interleave->seed))
		interleave->rounds = (unsigned)value;
}

/* Fisher and Yates. */
static void shuffle(struct cell *cells, size_t count, uint64_t *state)
{
	for (size_t left = count; left > 1; left--) {
		size_t pick = (size_t)(stats_random(state) % left);
		struct cell cell = cells[left - 1];

		cells[left - 1] = cells[pick];
		cells[pick] = cell;
	}
}

int interleave_cells(const struct interleave *interleave, struct matrix *matrix, char *why, size_t why_bytes)
{
	size_t count = matrix->count;
	uint64_t state = interleave->seed;
	struct cell *cells;

	if (!count || !interleave->rounds)
		return 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t samples = cell_int(&matrix->cells[i], CELL_SAMPLES, 1);

		if (samples * interleave->rounds <= CELL_SAMPLES_MAX)
			continue;
		snprintf(why, why_bytes,
		        "%u rounds of %" PRIu64 " samples are more than the %d of a cell: take fewer rounds or samples",
		        interleave->rounds, samples, CELL_SAMPLES_MAX);
		return -E2BIG;
	}
	cells = realloc(matrix->cells, count * interleave->rounds * sizeof(*cells));
	if (!cells) {
		snprintf(why, why_bytes, "out of memory for %u rounds", interleave->rounds);
		return -ENOMEM;
	}
	matrix->cells = cells;
	/* The first round keeps the matrix' order: it is the order of the rows of all tables. */
	for (unsigned round = 1; round < interleave->rounds; round++)
		memcpy(cells + round * count, cells, count * sizeof(*cells));
	for (unsigned round = 1; round < interleave->rounds; round++)
		shuffle(cells + round * count, count, &state);
	matrix->count = count * interleave->rounds;
	return 0;
}
