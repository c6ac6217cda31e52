/* SPDX-License-Identifier: Apache-2.0 */
#include "results/noise.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/stats_compare.h"

static double median(double *scratch, const double *values, size_t n)
{
	if (!n)
		return 0;
	memcpy(scratch, values, n * sizeof(*scratch));
	stats_sort(scratch, n);
	return stats_quantile(scratch, n, 0.5);
}

/* MAD relative to the median. */
static double relative_mad(double *scratch, const double *values, size_t n)
{
	double middle = median(scratch, values, n);

	for (size_t i = 0; i < n; i++)
		scratch[i] = fabs(values[i] - middle);
	stats_sort(scratch, n);
	return n && middle > 0 ? stats_quantile(scratch, n, 0.5) / middle : 0;
}

static void describe_row(struct noise_row *noise, double *raw, double *scratch)
{
	const struct cell_stats *stats = &noise->row->stats;
	size_t n = stats->op.n, half = n / 2;
	double range = stats->op.q3 - stats->op.q1, whole = stats->op.median + stats->control;

	/* The loop as it was measured: a cost near 0 (workload null) would make every share large. */
	for (size_t i = 0; i < n; i++)
		raw[i] = stats->values[i] + stats->control;
	noise->control = !strcmp(noise->row->cell->cell.value[CELL_WORKLOAD], "null");
	noise->spread = relative_mad(scratch, raw, n);
	noise->control_spread = relative_mad(scratch, stats->control_values, stats->control_n);
	for (size_t i = 0; i < n; i++)
		noise->outliers += stats->values[i] > stats->op.q3 + NOISE_OUTLIER_RANGES * range ||
		                   stats->values[i] < stats->op.q1 - NOISE_OUTLIER_RANGES * range;
	noise->tau = stats_trend(raw, n, &noise->p);
	noise->autocorrelation = stats_autocorrelation(raw, n);
	if (half && whole > 0)
		noise->shift = (median(scratch, raw + n - half, half) - median(scratch, raw, half)) / whole;
}

static int describe_rows(struct noise *noise)
{
	double *room = malloc((2 * CELL_SAMPLES_MAX + noise->count) * sizeof(*room)), *p;
	int err;

	if (!room)
		return -ENOMEM;
	p = room + 2 * CELL_SAMPLES_MAX;
	for (size_t i = 0; i < noise->count; i++) {
		describe_row(&noise->rows[i], room, room + CELL_SAMPLES_MAX);
		noise->samples += noise->rows[i].row->stats.op.n;
		noise->outliers += noise->rows[i].outliers;
		p[i] = noise->rows[i].p;
	}
	err = stats_holm(p, noise->count);
	for (size_t i = 0; i < noise->count && !err; i++) {
		noise->rows[i].p = p[i];
		noise->rows[i].drifts = p[i] < STATS_DRIFT_P;
	}
	free(room);
	return err;
}

struct point {
	uint64_t when;
	double value;
};

static int compare_points(const void *a, const void *b)
{
	uint64_t x = ((const struct point *)a)->when, y = ((const struct point *)b)->when;

	return (x > y) - (x < y);
}

/* The rounds of one row: their medians, relative to the row's. Returns how many points, or -errno. */
static int add_rounds(struct point *points, const struct summary_row *row, struct reader *reader,
        struct cell_result *result, struct cell_stats *stats)
{
	uint64_t rounds = row->cell->rounds;
	double *scratch = malloc(rounds * sizeof(*scratch)), middle;
	int err = scratch ? 0 : -ENOMEM;

	for (uint64_t i = 0; i < rounds && !err; i++) {
		err = reader_round_result(reader, row->index, i, result);
		if (!err)
			err = stats_cell(stats, result);
		if (!err)
			scratch[i] = points[i].value = stats->op.median + stats->control;
	}
	if (err) {
		free(scratch);
		return err == -EINVAL ? 0 : err; /* a round without samples */
	}
	stats_sort(scratch, rounds);
	middle = stats_quantile(scratch, rounds, 0.5);
	free(scratch);
	if (middle <= 0)
		return 0;
	for (uint64_t i = 0; i < rounds; i++)
		points[i].value = points[i].value / middle - 1;
	return (int)rounds;
}

/* When each round of a row began: its place in the file. */
static void place_rounds(struct point *points, const struct summary_row *row, const struct reader *reader)
{
	uint64_t found = 0;

	for (size_t i = row->index; i < reader_cell_count(reader) && found < row->cell->rounds; i++) {
		const struct reader_cell *cell = reader_cell(reader, i);

		if (cell->status == CELL_OK && cell->round == found && cell_equal(&cell->cell, &row->cell->cell))
			points[found++].when = cell->number;
	}
}

static int describe_run(struct noise *noise, struct reader *reader)
{
	struct cell_result *result = malloc(sizeof(*result));
	struct cell_stats *stats = malloc(sizeof(*stats));
	size_t cells = reader_cell_count(reader), n = 0, half;
	struct point *points = calloc(cells + 1, sizeof(*points));
	double *values = malloc((2 * cells + 1) * sizeof(*values));
	int err = result && stats && points && values ? 0 : -ENOMEM;

	for (size_t i = 0; i < noise->count && err >= 0; i++) {
		const struct summary_row *row = noise->rows[i].row;

		if (row->cell->rounds < 2)
			continue;
		err = add_rounds(points + n, row, reader, result, stats);
		if (err <= 0)
			continue;
		place_rounds(points + n, row, reader);
		n += (size_t)err;
	}
	if (err >= 0 && n) {
		qsort(points, n, sizeof(*points), compare_points);
		for (size_t i = 0; i < n; i++)
			values[i] = points[i].value;
		half = n / 2;
		noise->run_points = n;
		noise->run_tau = stats_trend(values, n, &noise->run_p);
		noise->run_shift =
		        median(values + cells, values + n - half, half) - median(values + cells, values, half);
	}
	free(values);
	free(points);
	free(stats);
	free(result);
	return err < 0 ? err : 0;
}

static double first_number(const struct run_info *info, const char *key)
{
	const char *text = run_info_get(info, key);

	return text ? strtod(text, NULL) : -1;
}

/* Shares of CPU time between start and end of a session. */
static void compare_cpu_times(struct noise *noise, const struct run_info *start)
{
	uint64_t ticks[2][8], all = 0, busy;
	const char *texts[] = {run_info_get(start, "cpu_time"), run_info_get(&noise->end, "cpu_time")};
	double own = first_number(&noise->end, "own_time"), cpus = first_number(start, "cpus");

	noise->steal = noise->busy = noise->others = -1;
	for (size_t i = 0; i < 2; i++)
		if (!texts[i] || sscanf(texts[i],
		                         "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		                         " %" SCNu64 " %" SCNu64,
		                         &ticks[i][0], &ticks[i][1], &ticks[i][2], &ticks[i][3], &ticks[i][4],
		                         &ticks[i][5], &ticks[i][6], &ticks[i][7]) != 8)
			return;
	for (size_t i = 0; i < 8; i++) {
		if (ticks[1][i] < ticks[0][i])
			return; /* another boot */
		ticks[1][i] -= ticks[0][i];
		all += ticks[1][i];
	}
	if (!all)
		return;
	/* All but idle, iowait and steal. */
	busy = all - ticks[1][3] - ticks[1][4] - ticks[1][7];
	noise->steal = (double)ticks[1][7] / (double)all;
	noise->busy = (double)busy / (double)all;
	if (own >= 0 && cpus > 0)
		noise->others = fmax(0, (double)busy - own) / (double)all * cpus;
}

int noise_compute(struct noise *noise, const struct summary *summary, struct reader *reader)
{
	uint64_t sessions = reader_overview(reader)->sessions;
	struct run_info *last;
	size_t count = 0;
	int err;

	memset(noise, 0, sizeof(*noise));
	noise->rows = calloc(summary->count + 1, sizeof(*noise->rows));
	if (!noise->rows)
		return -ENOMEM;
	for (size_t i = 0; i < summary->count; i++) {
		const struct summary_row *row = &summary->rows[i];

		if (row->cell->status != CELL_OK || !row->have_cost)
			continue;
		if (row->cell->virtual_time)
			noise->exact++;
		else
			noise->rows[count++].row = row;
	}
	noise->count = count;
	err = describe_rows(noise);
	if (!err)
		err = describe_run(noise, reader);
	if (err) {
		noise_free(noise);
		return err;
	}
	reader_run_info(reader, 0, &noise->start);
	noise->have_end = sessions && !reader_host_at_end(reader, sessions - 1, &noise->end);
	noise->load_start = first_number(&noise->start, "load");
	noise->load_end = first_number(&noise->end, "load");
	last = malloc(sizeof(*last));
	if (!last) {
		noise_free(noise);
		return -ENOMEM;
	}
	reader_run_info(reader, sessions ? sessions - 1 : 0, last);
	compare_cpu_times(noise, last);
	free(last);
	return 0;
}

void noise_free(struct noise *noise)
{
	free(noise->rows);
	noise->rows = NULL;
	noise->count = 0;
}
