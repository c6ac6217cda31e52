/* SPDX-License-Identifier: Apache-2.0 */
#include "results/roundtrip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "results/stats.h"

/* Trips kept for the quantiles. When there are more, every second one is forgotten and from then on only every second
 * one kept, and so on: a systematic sample, the same for the same records. */
#define KEPT_MAX 65536

struct follower {
	struct roundtrip_stats *stats;
	bool open;
	double parts[ROUNDTRIP_PARTS]; /* of the open trip */
	uint64_t exits;                /* of L1 in the open trip */
	uint64_t exits_sum;
	double sums[ROUNDTRIP_PARTS];
	double *kept; /* ROUNDTRIP_PARTS rows of KEPT_MAX */
	size_t kept_count;
	uint64_t stride, to_skip;
};

const char *roundtrip_part_name(enum roundtrip_part part)
{
	static const char *const names[ROUNDTRIP_PARTS] = {"L2", "reflect", "L1", "L1's exits", "merge", "total"};

	return part < ROUNDTRIP_PARTS ? names[part] : "unknown";
}

static double *row(const struct follower *f, int part)
{
	return f->kept + (size_t)part * KEPT_MAX;
}

static void halve(struct follower *f)
{
	for (int part = 0; part < ROUNDTRIP_PARTS; part++)
		for (size_t i = 0; i < KEPT_MAX / 2; i++)
			row(f, part)[i] = row(f, part)[2 * i];
	f->kept_count = KEPT_MAX / 2;
	f->stride *= 2;
}

static int finish_trip(struct follower *f)
{
	/* Most cells have no round trip: room only when the first one is there. */
	if (!f->kept)
		f->kept = malloc(sizeof(double) * KEPT_MAX * ROUNDTRIP_PARTS);
	if (!f->kept)
		return -ENOMEM;
	f->open = false;
	for (int part = 0; part < ROUNDTRIP_TOTAL; part++)
		f->parts[ROUNDTRIP_TOTAL] += f->parts[part];
	for (int part = 0; part < ROUNDTRIP_PARTS; part++)
		f->sums[part] += f->parts[part];
	f->stats->trips++;
	f->exits_sum += f->exits;
	if (f->to_skip) {
		f->to_skip--;
		return 0;
	}
	if (f->kept_count == KEPT_MAX)
		halve(f);
	for (int part = 0; part < ROUNDTRIP_PARTS; part++)
		row(f, part)[f->kept_count] = f->parts[part];
	f->kept_count++;
	f->to_skip = f->stride - 1;
	return 0;
}

/* An L2 exit that is reflected begins a trip; any other record behind which L1 does not run does not. */
static void begin_trip(struct follower *f, const struct ledger_record *record)
{
	/* A trip was open: between a reflection and the entry behind it only L1 exits, so records are missing. */
	f->stats->broken += f->open;
	f->open = record->phase == LEDGER_MEASURED && record->level == 2 && record->handler == LEDGER_BY_L1 &&
	          !(record->flags & LEDGER_FLAG_MARK);
	memset(f->parts, 0, sizeof(f->parts));
	f->exits = 0;
	f->parts[ROUNDTRIP_L2] = record->guest_ticks;
	f->parts[ROUNDTRIP_REFLECT] = record->l0_ticks;
}

static int follow(struct follower *f, const struct ledger_record *record)
{
	if (record->phase != LEDGER_MEASURED || record->level != 1 || record->flags & LEDGER_FLAG_MARK) {
		begin_trip(f, record);
		return 0;
	}
	if (!f->open)
		return 0;
	f->exits++;
	f->parts[ROUNDTRIP_L1] += record->guest_ticks;
	if (!(record->flags & LEDGER_FLAG_ENTERS_L2)) {
		f->parts[ROUNDTRIP_L1_EXITS] += record->l0_ticks;
		return 0;
	}
	f->parts[ROUNDTRIP_MERGE] = record->l0_ticks;
	return finish_trip(f);
}

static int each(void *ctx, const struct ledger_record *records, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++)
		err = follow(ctx, &records[i]);
	return err;
}

static void describe(struct follower *f)
{
	struct roundtrip_stats *stats = f->stats;

	stats->median_of = f->kept_count;
	if (!stats->trips)
		return;
	stats->l1_exits = (double)f->exits_sum / (double)stats->trips;
	for (int part = 0; part < ROUNDTRIP_PARTS; part++) {
		stats->mean[part] = f->sums[part] / (double)stats->trips;
		stats_sort(row(f, part), f->kept_count);
		stats->q1[part] = stats_quantile(row(f, part), f->kept_count, 0.25);
		stats->median[part] = stats_quantile(row(f, part), f->kept_count, 0.5);
		stats->q3[part] = stats_quantile(row(f, part), f->kept_count, 0.75);
	}
}

int roundtrip_cell(struct roundtrip_stats *stats, struct reader *reader, size_t cell_index)
{
	struct follower f = {.stats = stats, .stride = 1};
	int err;

	memset(stats, 0, sizeof(*stats));
	err = reader_records(reader, cell_index, each, &f);
	stats->broken += f.open;
	if (!err)
		describe(&f);
	free(f.kept);
	return err;
}
