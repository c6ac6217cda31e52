/* SPDX-License-Identifier: Apache-2.0 */
/* The noise report as text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/noise.h"
#include "results/stats.h"

static double spread(const struct noise_row *row)
{
	return row->spread;
}

static double control_spread(const struct noise_row *row)
{
	return row->control_spread;
}

static double autocorrelation(const struct noise_row *row)
{
	return row->autocorrelation;
}

static double between_rounds(const struct noise_row *row)
{
	return row->row->between_rounds;
}

static double outliers(const struct noise_row *row)
{
	return (double)row->outliers;
}

/* The row where a measure is largest, and the measure's median over all rows. The null loop's cost is near 0, so a
 * share of it says nothing: it is left out of those. */
static const struct noise_row *worst(
        const struct noise *noise, double (*of)(const struct noise_row *), bool with_null, double *middle)
{
	double *values = malloc((noise->count + 1) * sizeof(*values));
	const struct noise_row *largest = NULL;
	size_t n = 0;

	*middle = 0;
	for (size_t i = 0; i < noise->count && values; i++) {
		const struct noise_row *row = &noise->rows[i];

		if (row->control && !with_null)
			continue;
		values[n++] = of(row);
		if (!largest || of(row) > of(largest))
			largest = row;
	}
	if (n) {
		stats_sort(values, n);
		*middle = stats_quantile(values, n, 0.5);
	}
	free(values);
	return largest;
}

static const char *name_of(const struct noise_row *row)
{
	static _Thread_local char name[256];

	cell_name(&row->row->cell->cell, name, sizeof(name));
	return name;
}

static void print_share(FILE *out, const struct noise *noise, const char *what, double (*of)(const struct noise_row *),
        bool with_null, const char *sentence)
{
	double middle;
	const struct noise_row *row = worst(noise, of, with_null, &middle);

	if (row)
		fprintf(out, "  %-16s %s%.1f %% (median of rows), at most %.1f %% (%s)\n", what, sentence, 100 * middle,
		        100 * of(row), name_of(row));
}

/* Rows of workload null: how many intervals hold 0, and the row that is farthest from it. */
static void print_null_rows(FILE *out, const struct noise *noise)
{
	const struct noise_row *farthest = NULL;
	size_t rows = 0, hold = 0;

	for (size_t i = 0; i < noise->count; i++) {
		const struct stats *op = &noise->rows[i].row->stats.op;

		if (!noise->rows[i].control)
			continue;
		rows++;
		hold += op->ci_low <= 0 && op->ci_high >= 0;
		if (!farthest || fabs(op->median) > fabs(farthest->row->stats.op.median))
			farthest = &noise->rows[i];
	}
	if (farthest)
		fprintf(out, "  %-16s 0 is right and in %zu of %zu intervals; farthest %.1f %s (%s)\n", "control row",
		        hold, rows, farthest->row->stats.op.median, farthest->row->unit, name_of(farthest));
}

static void print_drift(FILE *out, const struct noise *noise)
{
	size_t drifting = 0, rounds = 0;

	for (size_t i = 0; i < noise->count; i++) {
		const struct noise_row *row = &noise->rows[i];

		rounds = row->row->cell->rounds > rounds ? row->row->cell->rounds : rounds;
		if (!row->drifts)
			continue;
		drifting++;
		fprintf(out, "  %-16s %+.1f %% from the first half of its samples to the second (tau %.2f): %s\n",
		        "drift", 100 * row->shift, row->tau, name_of(row));
	}
	if (!drifting)
		fprintf(out, "  %-16s in no row do samples rise or fall with their order\n", "drift");
	if (rounds < 2) {
		fprintf(out, "  %-16s 1: how much a cell differs from itself later is not known (run --interleave)\n",
		        "rounds");
		return;
	}
	print_share(out, noise, "rounds", between_rounds, false, "medians of one cell differ by ±");
	fprintf(out, "  %-16s %+.1f %% from the run's first half to its second (tau %.2f, p %.2g)\n", "",
	        100 * noise->run_shift, noise->run_tau, noise->run_p);
}

static const char *told(const struct run_info *info, const char *key)
{
	const char *value = run_info_get(info, key);

	return value ? value : "not told";
}

/* "performance", or "performance, at the end powersave". */
static void print_state(FILE *out, const struct noise *noise, const char *key, const char *separator)
{
	const char *start = told(&noise->start, key), *end = told(&noise->end, key);

	fprintf(out, "%s %s", key, start);
	if (noise->have_end && strcmp(start, end) != 0)
		fprintf(out, ", at the end %s", end);
	fputs(separator, out);
}

static void print_host(FILE *out, const struct noise *noise)
{
	size_t mitigations = 0;

	fprintf(out, "  %-16s kvm %s, virtual %s; ", "host", told(&noise->start, "kvm"),
	        told(&noise->start, "virtual"));
	print_state(out, noise, "governor", ", ");
	print_state(out, noise, "turbo", ", ");
	print_state(out, noise, "smt", "\n");
	fprintf(out, "  %-16s %s at the start, ", "load", told(&noise->start, "load"));
	if (noise->have_end)
		fprintf(out, "%s at the end", told(&noise->end, "load"));
	else
		fputs("the end is not known", out);
	fprintf(out, "; %s CPUs", told(&noise->start, "cpus"));
	if (noise->busy >= 0)
		fprintf(out, ", %.0f %% busy, %.1f %% steal", 100 * noise->busy, 100 * noise->steal);
	if (noise->others >= 0)
		fprintf(out, "; other programs took %.2f CPUs", noise->others);
	fputc('\n', out);
	fprintf(out, "  %-16s ", "mitigations");
	for (uint32_t i = 0; i < noise->start.pair_count; i++) {
		const struct run_pair *pair = &noise->start.pairs[i];

		if (!strncmp(pair->key, "vuln.", 5))
			fprintf(out, "%s%s%s", mitigations++ ? ", " : "", pair->key + 5,
			        strncmp(pair->value, "Vulnerable", 10) ? "" : " (vulnerable)");
	}
	fputs(mitigations ? "\n" : "none told\n", out);
}

void noise_print(FILE *out, const struct noise *noise)
{
	char warning[320];
	double middle;
	const struct noise_row *row;

	if (!noise->count)
		return;
	fprintf(out, "\nNoise of this run: %zu samples in %zu rows", noise->samples, noise->count);
	fprintf(out, noise->exact ? "; %zu more are exact (virtual time)\n" : "\n", noise->exact);
	print_share(out, noise, "spread", spread, true, "MAD of samples ");
	print_share(out, noise, "control loop", control_spread, true, "MAD of samples ");
	print_null_rows(out, noise);
	row = worst(noise, outliers, true, &middle);
	fprintf(out, "  %-16s %zu samples are more than %d quartile ranges beyond the quartiles", "outliers",
	        noise->outliers, NOISE_OUTLIER_RANGES);
	if (row && row->outliers)
		fprintf(out, ", most (%zu of %zu): %s", row->outliers, row->row->stats.op.n, name_of(row));
	fputc('\n', out);
	row = worst(noise, autocorrelation, true, &middle);
	if (row)
		fprintf(out, "  %-16s %.2f (median of rows), at most %.2f (%s)\n", "autocorrelation", middle,
		        row->autocorrelation, name_of(row));
	print_drift(out, noise);
	print_host(out, noise);
	for (size_t i = 0; noise_warning(noise, i, warning, sizeof(warning)); i++)
		fprintf(out, "  %-16s %s\n", "warning", warning);
}

void noise_print_rows(FILE *out, const struct noise *noise)
{
	fprintf(out, "\n%-56s %7s %8s %8s %8s %7s %7s %7s %8s\n", "noise by row", "samples", "spread", "control",
	        "outliers", "tau", "shift", "autoc.", "rounds");
	for (size_t i = 0; i < noise->count; i++) {
		const struct noise_row *row = &noise->rows[i];

		fprintf(out, "%-56s %7zu %6.1f %% %6.1f %% %8zu %6.2f%s %5.1f %% %7.2f ", name_of(row),
		        row->row->stats.op.n, 100 * row->spread, 100 * row->control_spread, row->outliers, row->tau,
		        row->drifts ? "*" : " ", 100 * row->shift, row->autocorrelation);
		if (row->row->cell->rounds > 1)
			fprintf(out, "%2llu ±%.1f %%\n", (unsigned long long)row->row->cell->rounds,
			        100 * row->row->between_rounds);
		else
			fputs("       1\n", out);
	}
	fputs("spread, control: MAD; tau with *: samples rise or fall with their order (p < 0.01 after Holm); "
	      "results/README.md\n",
	        out);
}

/* Other programs' share of one CPU that is worth a warning. */
#define OTHERS_MAX 0.2

/* The warnings in their order; each says whether it holds. */
static bool warn_others(const struct noise *noise, char *text, size_t bytes)
{
	const char *cpus = run_info_get(&noise->start, "cpus");
	double count = cpus ? strtod(cpus, NULL) : 0;

	if (noise->others >= OTHERS_MAX)
		snprintf(text, bytes, "the host had other work: it kept %.2f of %.0f CPUs busy while the run was made",
		        noise->others, count);
	if (noise->others >= 0)
		return noise->others >= OTHERS_MAX;
	/* Not told: what was there before. */
	if (count <= 0 || noise->load_start < 0 || noise->load_start <= fmax(0.5, count - 1))
		return false;
	snprintf(text, bytes, "the host had other work: load %.2f at the start on %.0f CPUs", noise->load_start, count);
	return true;
}

static bool warn_steal(const struct noise *noise, char *text, size_t bytes)
{
	if (noise->steal < 0.01)
		return false;
	snprintf(text, bytes, "%.1f %% of the CPU time was taken by other guests of this host", 100 * noise->steal);
	return true;
}

static bool warn_governor(const struct noise *noise, char *text, size_t bytes)
{
	const char *governor = run_info_get(&noise->start, "governor");

	if (!governor || !strcmp(governor, "performance"))
		return false;
	snprintf(text, bytes,
	        "the frequency governor is %.40s: the clock changes with the load (cpupower frequency-set -g "
	        "performance)",
	        governor);
	return true;
}

static bool warn_change(const struct noise *noise, char *text, size_t bytes)
{
	static const char *const keys[] = {"governor", "turbo", "smt"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && noise->have_end; i++) {
		const char *start = told(&noise->start, keys[i]), *end = told(&noise->end, keys[i]);

		if (!strcmp(start, end))
			continue;
		snprintf(text, bytes, "%s changed while the run was made: %.60s, then %.60s", keys[i], start, end);
		return true;
	}
	return false;
}

static bool warn_run_drift(const struct noise *noise, char *text, size_t bytes)
{
	if (!noise->run_points || noise->run_p >= 0.01)
		return false;
	snprintf(text, bytes,
	        "the whole run drifted by %+.1f %%: figures of early and late cells differ for that alone",
	        100 * noise->run_shift);
	return true;
}

bool noise_warning(const struct noise *noise, size_t index, char *text, size_t bytes)
{
	static bool (*const warnings[])(const struct noise *, char *, size_t) = {
	        warn_others, warn_steal, warn_governor, warn_change, warn_run_drift};

	for (size_t i = 0; i < sizeof(warnings) / sizeof(warnings[0]); i++)
		if (warnings[i](noise, text, bytes) && !index--)
			return true;
	return false;
}
