/* SPDX-License-Identifier: Apache-2.0 */
/* Cells that were measured in several rounds (run --interleave) are one cell for all who ask for its outcome. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "results/reader_internal.h"

/* The first of the entries of equal settings; `firsts` are those of all that came before. */
static struct reader_entry *find_first(
        struct reader *reader, const size_t *firsts, size_t count, const struct cell *cell)
{
	for (size_t i = 0; i < count; i++)
		if (cell_equal(&reader->entries[firsts[i]].public.cell, cell))
			return &reader->entries[firsts[i]];
	return NULL;
}

int reader_find_rounds(struct reader *reader)
{
	size_t *firsts = malloc((reader->entry_count + 1) * sizeof(*firsts)), count = 0;

	if (!firsts)
		return -ENOMEM;
	for (size_t i = 0; i < reader->entry_count; i++) {
		struct reader_entry *entry = &reader->entries[i], *first = NULL;

		entry->first_round = i;
		entry->public.rounds = 1;
		if (entry->public.status != CELL_OK)
			continue;
		first = find_first(reader, firsts, count, &entry->public.cell);
		if (!first) {
			firsts[count++] = i;
			continue;
		}
		entry->first_round = (size_t)(first - reader->entries);
		entry->public.round = first->public.rounds++;
		first->public.records += entry->public.records;
		first->public.missing += entry->public.missing;
		first->public.dropped += entry->public.dropped;
		first->public.wall_ns += entry->public.wall_ns;
	}
	free(firsts);
	return 0;
}

int reader_round_result(struct reader *reader, size_t index, uint64_t round, struct cell_result *result)
{
	for (size_t i = index; i < reader->entry_count; i++)
		if (reader->entries[i].first_round == index && reader->entries[i].public.round == round)
			return reader_load_result(reader, &reader->entries[i], result);
	return -ENOENT;
}

/* What counts is added up, samples are put behind each other; console and exit log are those of the first round. */
static void add_round(struct cell_result *all, const struct cell_result *round)
{
	for (uint64_t i = 0; i < round->sample_count && i < CELL_SAMPLES_MAX && all->sample_count < CELL_SAMPLES_MAX;
	        i++)
		all->samples[all->sample_count++] = round->samples[i];
	for (size_t i = 0; i < CELL_COUNTERS_MAX; i++)
		all->counters[i] += round->counters[i];
	all->stamp_count += round->stamp_count;
	all->stamp_median_of += round->stamp_median_of;
	for (size_t part = 0; part < STAMP_PARTS; part++)
		all->stamp_sum[part] += round->stamp_sum[part];
	all->machine_exits += round->machine_exits;
	all->machine_l2_entries += round->machine_l2_entries;
	all->records += round->records;
	all->dropped += round->dropped;
	all->wall_ns += round->wall_ns;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Medians of the rounds' medians: one round in which the host did other things does not move them. */
static int join_medians(struct cell_result *all, uint64_t (*medians)[STAMP_PARTS], uint64_t rounds)
{
	uint64_t *values = malloc(rounds * sizeof(*values));

	if (!values)
		return -ENOMEM;
	for (size_t part = 0; part < STAMP_PARTS; part++) {
		for (uint64_t i = 0; i < rounds; i++)
			values[i] = medians[i][part];
		qsort(values, rounds, sizeof(*values), compare);
		all->stamp_median[part] = (values[(rounds - 1) / 2] + values[rounds / 2]) / 2;
	}
	free(values);
	return 0;
}

int reader_result(struct reader *reader, size_t index, struct cell_result *result)
{
	const struct reader_entry *entry = &reader->entries[index];
	uint64_t(*medians)[STAMP_PARTS];
	struct cell_result *round;
	int err = reader_load_result(reader, entry, result);

	if (err || entry->public.rounds < 2)
		return err;
	round = malloc(sizeof(*round));
	medians = malloc(entry->public.rounds * sizeof(*medians));
	err = round && medians ? 0 : -ENOMEM;
	for (uint64_t i = 0; i < entry->public.rounds && !err; i++) {
		err = reader_round_result(reader, index, i, round);
		if (err)
			break;
		memcpy(medians[i], round->stamp_median, sizeof(medians[i]));
		if (i)
			add_round(result, round);
	}
	if (!err && result->stamp_median_of)
		err = join_medians(result, medians, entry->public.rounds);
	free(medians);
	free(round);
	return err;
}
