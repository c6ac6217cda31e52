/* SPDX-License-Identifier: Apache-2.0 */
/* A comparison as text and as CSV. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "results/compare.h"

/* "shadow", or "trap|shadow" where the two differ. */
static void setting(const struct compare_pair *pair, int key, char *text, size_t bytes)
{
	const char *a = pair->a->cell->cell.value[key], *b = pair->b->cell->cell.value[key];
	bool same = !strcmp(a, b);

	snprintf(text, bytes, "%s%s%s", a, same ? "" : "|", same ? "" : b);
}

void compare_name(const struct compare_pair *pair, char *text, size_t bytes)
{
	char machine[64], level[64], workload[64], value[64];
	size_t used;

	setting(pair, CELL_MACHINE, machine, sizeof(machine));
	setting(pair, CELL_LEVEL, level, sizeof(level));
	setting(pair, CELL_WORKLOAD, workload, sizeof(workload));
	used = (size_t)snprintf(text, bytes, "%s level %s %s", machine, level, workload);
	for (int key = CELL_WORKLOAD + 1; key < CELL_KEY_COUNT && used < bytes; key++) {
		bool nested = strcmp(level, "1") != 0;

		setting(pair, key, value, sizeof(value));
		/* How often was measured is not what was. */
		if ((key == CELL_SAMPLES || key == CELL_TIMEOUT) && !strchr(value, '|'))
			continue;
		if ((nested && (key == CELL_VMCS || key == CELL_PROFILE)) ||
		        strcmp(value, cell_key_infos[key].default_value) != 0)
			used += (size_t)snprintf(text + used, bytes - used, " %s=%s", cell_key_infos[key].name, value);
	}
}

enum { NAME_WIDTH_MIN = 20, NUMBER_WIDTH = 12, NAME_BYTES = 384 };

static void format_cost(double cost, char *text, size_t bytes)
{
	snprintf(text, bytes, fabs(cost) < 99.95 ? "%.1f" : fabs(cost) < 1e7 ? "%.0f" : "%.4g", cost);
}

static void format_difference(const struct stats_comparison *c, char *text, size_t bytes)
{
	if (isnan(c->difference))
		snprintf(text, bytes, "-");
	else if (isnan(c->low) || c->exact)
		snprintf(text, bytes, "%+.2f %%", 100 * c->difference);
	else
		snprintf(text, bytes, "%+.2f %% [%+.2f, %+.2f]", 100 * c->difference, 100 * c->low, 100 * c->high);
}

static void format_p(const struct stats_comparison *c, char *text, size_t bytes)
{
	if (isnan(c->p))
		snprintf(text, bytes, "-");
	else if (c->exact)
		snprintf(text, bytes, "exact");
	else
		snprintf(text, bytes, c->p_family < 0.0001 ? "<0.0001" : "%.4f", c->p_family);
}

static void print_pair(FILE *out, const struct compare_pair *pair, int width, bool colours)
{
	static const char *const paint[] = {"", "", "\033[32m", "\033[31m"};
	const struct stats_comparison *c = &pair->c;
	char name[NAME_BYTES], a[24], b[24], difference[64], p[16], delta[16] = "-";
	bool painted = colours && paint[c->verdict][0];

	compare_name(pair, name, sizeof(name));
	format_cost(pair->a->stats.op.median, a, sizeof(a));
	format_cost(pair->b->stats.op.median, b, sizeof(b));
	format_difference(c, difference, sizeof(difference));
	format_p(c, p, sizeof(p));
	if (!isnan(c->p))
		snprintf(delta, sizeof(delta), "%+.2f", c->delta);
	fprintf(out, "%-*s %*s %*s  %-28s %6s %8s  %s%s%s%s%s\n", width, name, NUMBER_WIDTH, a, NUMBER_WIDTH, b,
	        difference, delta, p, painted ? paint[c->verdict] : "", stats_verdict_name(c->verdict),
	        painted ? "\033[0m" : "", c->reason[0] ? ": " : "", c->reason);
}

/* The unit if all pairs share one. */
static const char *unit_of(const struct compare *compare)
{
	const char *unit = compare->pair_count ? compare->pairs[0].a->unit : "cost";

	for (size_t i = 0; i < compare->pair_count; i++)
		if (strcmp(unit, compare->pairs[i].a->unit) != 0 || strcmp(unit, compare->pairs[i].b->unit) != 0)
			return "cycles or instructions";
	return unit;
}

void compare_print(FILE *out, const struct compare *compare, bool colours)
{
	int width = NAME_WIDTH_MIN;

	if (compare->host[0])
		fprintf(out, "different hosts: %s\n", compare->host);
	for (size_t i = 0; i < compare->note_count; i++)
		fprintf(out, "note: %s\n", compare->notes[i]);
	for (size_t i = 0; i < compare->pair_count; i++) {
		char name[NAME_BYTES];

		compare_name(&compare->pairs[i], name, sizeof(name));
		width = (int)strlen(name) > width ? (int)strlen(name) : width;
	}
	fprintf(out, "%s per operation: medians, B against A with its 95 %% interval, Cliff's delta, p%s\n",
	        unit_of(compare), compare->tests > 1 ? " after Holm" : "");
	fprintf(out, "%-*s %*s %*s  %-28s %6s %8s  %s\n", width, "cell", NUMBER_WIDTH, "A", NUMBER_WIDTH, "B",
	        "difference", "delta", "p", "B is");
	for (size_t i = 0; i < compare->pair_count; i++)
		print_pair(out, &compare->pairs[i], width, colours);
	for (size_t i = 0; i < compare->lone_count; i++) {
		char name[NAME_BYTES];

		cell_name(&compare->lone[i].row->cell->cell, name, sizeof(name));
		fprintf(out, "only in %c: %s: %s\n", compare->lone[i].of_b ? 'B' : 'A', name, compare->lone[i].reason);
	}
	fprintf(out, "%zu pairs: %zu faster, %zu slower, %zu equal, %zu cannot tell", compare->pair_count,
	        compare_count(compare, STATS_FASTER), compare_count(compare, STATS_SLOWER),
	        compare_count(compare, STATS_EQUAL), compare_count(compare, STATS_CANNOT_TELL));
	fprintf(out, compare->lone_count ? "; %zu cells without a partner\n" : "\n", compare->lone_count);
}

static void put_number(FILE *out, double value)
{
	fputc(',', out);
	if (isfinite(value))
		fprintf(out, "%.6g", value);
}

static void put_text(FILE *out, const char *text)
{
	fputc(',', out);
	summary_write_field(out, text);
}

int compare_write_csv(FILE *out, const struct compare *compare)
{
	errno = 0;
	fputs("cell,cell_a,cell_b,unit,samples_a,samples_b,median_a,median_b,difference,difference_low,difference_high,"
	      "cliff_delta,p,p_holm,autocorrelation,drift,noise,noise_assumed,verdict,reason\n",
	        out);
	for (size_t i = 0; i < compare->pair_count; i++) {
		const struct compare_pair *pair = &compare->pairs[i];
		const struct stats_comparison *c = &pair->c;
		char name[NAME_BYTES];

		compare_name(pair, name, sizeof(name));
		summary_write_field(out, name);
		fprintf(out, ",%" PRIu64 ",%" PRIu64, pair->a->cell->number, pair->b->cell->number);
		put_text(out, pair->a->unit);
		fprintf(out, ",%zu,%zu", c->a_n, c->b_n);
		put_number(out, pair->a->stats.op.median);
		put_number(out, pair->b->stats.op.median);
		put_number(out, c->difference);
		put_number(out, c->low);
		put_number(out, c->high);
		put_number(out, isnan(c->p) ? NAN : c->delta);
		put_number(out, c->p);
		put_number(out, c->p_family);
		put_number(out, c->autocorrelation);
		put_number(out, c->drift);
		put_number(out, pair->noise);
		fprintf(out, ",%d", pair->noise_assumed);
		put_text(out, stats_verdict_name(c->verdict));
		put_text(out, c->reason);
		fputc('\n', out);
	}
	for (size_t i = 0; i < compare->lone_count; i++) {
		const struct compare_lone *lone = &compare->lone[i];
		char name[NAME_BYTES];

		cell_name(&lone->row->cell->cell, name, sizeof(name));
		summary_write_field(out, name);
		fprintf(out, lone->of_b ? ",,%" PRIu64 : ",%" PRIu64 ",", lone->row->cell->number);
		fputs(",,,,,,,,,,,,,,,,unmatched", out);
		put_text(out, lone->reason);
		fputc('\n', out);
	}
	if (fflush(out) || ferror(out))
		return errno ? -errno : -EIO;
	return 0;
}
