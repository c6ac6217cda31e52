/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What recording costs, on this host, now:
 *   1. the vCPU thread: ns an exit adds by being recorded; loops with and without a ring, in turn (limit: 40). Once
 * back to back, and once with 256 KiB of other memory touched between two exits, as a guest does: then the ring's line
 *      is not in the nearest cache
 *   2. the disk: bytes per exit, of records as a machine gives them (limit: 16)
 *   3. the recorder: exits per second it sustains from a producer that never pauses, the ring never full (limit: 5
 * million) Exit status 1 when a limit is broken. The producer's rate in 3 is raised until records are dropped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "results/reader.h"
#include "results/recorder.h"
#include "results/stats.h"

#define TURNS 15
#define TURN_RECORDS 200000
#define SPACED_RECORDS 2000
#define SUSTAIN_SECONDS 2.0
#define PATTERN 8192

static char path[128];
static struct cell_result *result;
static struct run_info *info;
static struct ledger_record pattern[PATTERN];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Nested cpuid round trips, every VMREAD and VMWRITE of L1 an exit; times with noise as on the kvm machine. */
static void make_pattern(void)
{
	uint64_t state = 42, tsc = 1000000;

	for (size_t i = 0; i < PATTERN; i++) {
		size_t step = i % 13;

		state = state * 6364136223846793005ull + 1442695040888963407ull;
		pattern[i] = (struct ledger_record){.guest_ticks = 18000 + (uint32_t)(state >> 33) % 2000,
		        .l0_ticks = 600 + (uint32_t)(state >> 50) % 300,
		        .detail = step && step < 12 ? 0x4400 + 2 * step : 0,
		        .reason = step == 0   ? 10
		                  : step < 12 ? 23
		                              : 24,
		        .level = step ? 1 : 2,
		        .handler = step ? LEDGER_BY_ENGINE : LEDGER_BY_L1,
		        .phase = LEDGER_MEASURED,
		        .flags = step == 12 ? LEDGER_FLAG_ENTERS_L2 : 0};
		tsc += pattern[i].guest_ticks;
		pattern[i].tsc = tsc;
		tsc += pattern[i].l0_ticks;
	}
}

static int fail(struct recorder *recorder, const char *what)
{
	fprintf(stderr, "bench_recorder: %s: %s\n", what, recorder_error(recorder));
	return 1;
}

static int begin(struct recorder *recorder)
{
	struct recorder_config config = {.path = path};
	struct cell cell;

	unlink(path);
	cell_defaults(&cell);
	if (recorder_start(recorder, &config) || recorder_begin_run(recorder, info) ||
	        recorder_begin_cell(recorder, &cell))
		return fail(recorder, "cannot begin");
	return 0;
}

/* Publish the pattern over and over: what the run loop does per exit, and nothing else. */
static double publish(struct ledger *ledger, size_t count)
{
	double begin_time = now();

	for (size_t i = 0; i < count; i++) {
		struct ledger_record record = pattern[i % PATTERN];

		ledger_write(ledger, &record);
		/* The compiler must not keep the ledger in registers: the run loop's calls would not let it. */
		__asm__ volatile("" ::: "memory");
	}
	return now() - begin_time;
}

static int measure_thread(void)
{
	struct ledger with, without;
	struct recorder recorder;
	double costs[TURNS], bare[TURNS];
	struct stats on, off;

	if (begin(&recorder))
		return 1;
	ledger_attach(&without, NULL, LEDGER_DROP);
	for (int turn = 0; turn < TURNS; turn++) {
		bare[turn] = publish(&without, TURN_RECORDS) / TURN_RECORDS * 1e9;
		/* What others wrote meanwhile is behind us; the ring is empty when the turn begins. */
		while (recorder.ring->tail != recorder.ring->head)
			usleep(1000);
		ledger_attach(&with, recorder.ring, LEDGER_DROP);
		costs[turn] = publish(&with, TURN_RECORDS) / TURN_RECORDS * 1e9;
	}
	if (recorder_end_cell(&recorder, result) || recorder_finish(&recorder))
		return fail(&recorder, "cannot end");
	stats_describe(&on, costs, TURNS);
	stats_describe(&off, bare, TURNS);
	printf("vCPU thread: %.1f ns per exit recorded, %.1f not recorded: recording adds %.1f ns (median of %d turns; "
	       "interval of the recorded ones %.1f to %.1f; limit 40)\n",
	        on.median, off.median, on.median - off.median, TURNS, on.ci_low, on.ci_high);
	return on.median - off.median > 40;
}

static uint64_t tsc(void)
{
	uint32_t low, high, aux;

	/* RDTSCP waits for what is before it, LFENCE holds back what is behind it. */
	__asm__ volatile("rdtscp\n\tlfence" : "=a"(low), "=d"(high), "=c"(aux)::"memory");
	return (uint64_t)high << 32 | low;
}

/* Ticks of `count` single writes, other memory being used between them. */
static uint64_t publish_spaced(struct ledger *ledger, size_t count)
{
	static volatile uint8_t others[256 << 10];
	uint64_t ticks = 0;

	for (size_t i = 0; i < count; i++) {
		struct ledger_record record = pattern[i % PATTERN];
		uint64_t before;

		for (size_t at = 0; at < sizeof(others); at += 64)
			others[at]++;
		before = tsc();
		ledger_write(ledger, &record);
		ticks += tsc() - before;
	}
	return ticks;
}

static int measure_spaced(void)
{
	struct ledger with, without;
	struct recorder recorder;
	double added[TURNS], begin_time, ns_per_tick;
	uint64_t begin_tsc;
	struct stats stats;

	if (begin(&recorder))
		return 1;
	ledger_attach(&without, NULL, LEDGER_DROP);
	ledger_attach(&with, recorder.ring, LEDGER_DROP);
	begin_time = now();
	begin_tsc = tsc();
	for (int turn = 0; turn < TURNS; turn++) {
		double bare = (double)publish_spaced(&without, SPACED_RECORDS);

		added[turn] = ((double)publish_spaced(&with, SPACED_RECORDS) - bare) / SPACED_RECORDS;
	}
	ns_per_tick = (now() - begin_time) * 1e9 / (double)(tsc() - begin_tsc);
	if (recorder_end_cell(&recorder, result) || recorder_finish(&recorder))
		return fail(&recorder, "cannot end");
	for (int turn = 0; turn < TURNS; turn++)
		added[turn] *= ns_per_tick;
	stats_describe(&stats, added, TURNS);
	printf("vCPU thread, caches used between exits: recording adds %.1f ns per exit (median of %d turns, interval "
	       "%.1f to %.1f; limit 40)\n",
	        stats.median, TURNS, stats.ci_low, stats.ci_high);
	return stats.median > 40;
}

static int measure_disk(void)
{
	struct recorder recorder;
	struct ledger ledger;
	struct stat status;
	size_t count = 1000000;
	double bytes;

	if (begin(&recorder))
		return 1;
	ledger_attach(&ledger, recorder.ring, LEDGER_WAIT);
	publish(&ledger, count);
	if (recorder_end_cell(&recorder, result) || recorder_finish(&recorder))
		return fail(&recorder, "cannot end");
	if (stat(path, &status))
		return 1;
	bytes = (double)status.st_size / (double)count;
	printf("disk: %.2f bytes per exit in run.tdo (limit 16; %.0f %% of the 32 in the ring)\n", bytes, bytes / 0.32);
	return bytes > 16;
}

/* Publish at `rate` for a while, in groups of 1,000 paced by the clock; false when anything was dropped. */
static int try_rate(double rate, double *achieved, uint64_t *dropped)
{
	struct recorder recorder;
	struct ledger ledger;
	uint64_t published = 0;
	double begin_time, elapsed;

	if (begin(&recorder))
		return -1;
	ledger_attach(&ledger, recorder.ring, LEDGER_DROP);
	begin_time = now();
	while ((elapsed = now() - begin_time) < SUSTAIN_SECONDS) {
		if ((double)published > elapsed * rate)
			continue;
		publish(&ledger, 1000);
		published += 1000;
	}
	/* Until the last record is in the file: the ring hides nothing. */
	if (recorder_end_cell(&recorder, result))
		return fail(&recorder, "cannot end the cell"), -1;
	*achieved = (double)(ledger.head) / (now() - begin_time);
	*dropped = recorder.ring->dropped;
	if (recorder_finish(&recorder))
		return fail(&recorder, "cannot end"), -1;
	return 0;
}

static int measure_rate(void)
{
	static const double rates[] = {5.2e6, 10e6, 15e6, 20e6, 30e6};
	double best = 0;

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		uint64_t dropped;
		double achieved;

		if (try_rate(rates[i], &achieved, &dropped))
			return 1;
		printf("recorder: offered %.1f million exits/s for %.0f s: %.2f million/s in the file, %llu dropped\n",
		        rates[i] / 1e6, SUSTAIN_SECONDS, achieved / 1e6, (unsigned long long)dropped);
		if (dropped)
			break;
		best = achieved;
	}
	printf("recorder: sustains %.2f million exits/s without a drop (limit 5)\n", best / 1e6);
	return best < 5e6;
}

int main(void)
{
	char folder[] = "/tmp/testudo-bench-XXXXXX";
	int broken;

	result = calloc(1, sizeof(*result));
	info = calloc(1, sizeof(*info));
	if (!mkdtemp(folder) || !result || !info)
		return 1;
	snprintf(path, sizeof(path), "%s/run.tdo", folder);
	result->status = CELL_OK;
	make_pattern();
	broken = measure_thread();
	broken |= measure_spaced();
	broken |= measure_disk();
	broken |= measure_rate();
	unlink(path);
	rmdir(folder);
	free(result);
	free(info);
	return broken;
}
