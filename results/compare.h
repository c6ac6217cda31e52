/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Two runs, or two parts of one, cell by cell: which cells of A and B belong together, how they differ, and whether the
 * noise allows to say so (stats_compare.h has the rule).
 */
#ifndef TESTUDO_RESULTS_COMPARE_H
#define TESTUDO_RESULTS_COMPARE_H

#include <stdio.h>

#include "results/run_info.h"
#include "results/stats_compare.h"
#include "results/summary.h"

/** Which cells: all whose settings have one of the values given, for each key that is given. */
struct compare_filter {
	uint64_t values_count[CELL_KEY_COUNT];
	char values[CELL_KEY_COUNT][16][CELL_VALUE_BYTES];
};
/** Add "key=value,value". 0; -EINVAL or -ENOENT: `why` gets a sentence. */
int compare_filter_add(struct compare_filter *filter, const char *text, char *why, size_t why_bytes);
/** A filter on a setting of level 2 takes no cell of level 1. */
bool compare_filter_matches(const struct compare_filter *filter, const struct cell *cell);

/** One of the two sides. */
struct compare_side {
	const struct summary *summary;
	const struct run_info *info;         /**< of its first session */
	const struct compare_filter *filter; /**< this side's own: the two sides' cells may differ in its keys */
};

struct compare_pair {
	const struct summary_row *a, *b;
	double noise;       /**< session-to-session: between rounds, the larger of the two, or what is assumed */
	bool noise_assumed; /**< one of the two has no rounds that would tell it */
	struct stats_comparison c;
};

/** Cells without a partner. */
struct compare_lone {
	const struct summary_row *row;
	bool of_b;
	char reason[CELL_REASON_BYTES]; /**< "B has no such cell", "failed: …" */
};

struct compare {
	struct compare_pair *pairs;
	size_t pair_count;
	struct compare_lone *lone;
	size_t lone_count;
	size_t tests;               /**< pairs that were tested: Holm's family */
	bool named[CELL_KEY_COUNT]; /**< settings in which A and B differ by their filters */
	char host[320];             /**< why measured times cannot be compared: empty = one host */
	char notes[40][RUN_KEY_BYTES + 2 * RUN_VALUE_BYTES + 16]; /**< other differences of the hosts' descriptions */
	size_t note_count;
};

/** Session-to-session noise of measured times that is assumed where no rounds tell it (results/README.md: how it was
 * found). */
#define COMPARE_NOISE 0.03

struct compare_options {
	struct compare_filter both; /**< of both sides */
	bool across_hosts;          /**< measured times of different hosts are compared all the same */
	double assumed_noise;       /**< usually COMPARE_NOISE */
};

/**
 * Pair and compare. Cells belong together when all settings agree but those
 * that the sides' own filters name, and samples and timeout where there is no better partner. 0 or -ENOMEM; free it
 * with compare_free() before the summaries.
 */
int compare_runs(struct compare *compare, const struct compare_side *a, const struct compare_side *b,
        const struct compare_options *options);
void compare_free(struct compare *compare);

/** How many pairs have this verdict. */
size_t compare_count(const struct compare *compare, enum stats_verdict verdict);
/** The name of a pair: what both have in common, and "vmcs=trap|shadow" where they differ. */
void compare_name(const struct compare_pair *pair, char *text, size_t bytes);

/** The table for people. */
void compare_print(FILE *out, const struct compare *compare, bool colours);
/** One line for each pair and each lone cell, with a header. 0 or -errno. */
int compare_write_csv(FILE *out, const struct compare *compare);

#endif
