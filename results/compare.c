/* SPDX-License-Identifier: Apache-2.0 */
/* Which cells of two runs belong together, and what keeps them from being compared. */
#include "results/compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int compare_filter_add(struct compare_filter *filter, const char *text, char *why, size_t why_bytes)
{
	char copy[512], *rest = copy, *value;
	const char *name;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy) || !strchr(copy, '=')) {
		snprintf(why, why_bytes, "a filter is KEY=VALUE[,VALUE...], not \"%.80s\"", text);
		return -EINVAL;
	}
	name = strsep(&rest, "=");
	while ((value = strsep(&rest, ","))) {
		struct cell cell;
		int err, key = 0;

		cell_defaults(&cell);
		err = cell_set(&cell, name, value, why, why_bytes);
		if (err)
			return err;
		while (strcasecmp(cell_key_infos[key].name, name))
			key++;
		if (filter->values_count[key] == sizeof(filter->values[key]) / sizeof(filter->values[key][0])) {
			snprintf(why, why_bytes, "more than %zu values of %s",
			        sizeof(filter->values[key]) / sizeof(filter->values[key][0]), name);
			return -EINVAL;
		}
		memcpy(filter->values[key][filter->values_count[key]++], cell.value[key], CELL_VALUE_BYTES);
	}
	return 0;
}

bool compare_filter_matches(const struct compare_filter *filter, const struct cell *cell)
{
	bool level1 = !cell_is_nested(cell);

	for (int key = 0; key < CELL_KEY_COUNT; key++) {
		bool found = !filter->values_count[key];

		if (!found && level1 && cell_key_is_nested((enum cell_key)key))
			return false;
		for (uint64_t i = 0; i < filter->values_count[key] && !found; i++)
			found = !strcmp(filter->values[key][i], cell->value[key]);
		if (!found)
			return false;
	}
	return true;
}

static bool takes_part(
        const struct compare_side *side, const struct compare_filter *both, const struct summary_row *row)
{
	return compare_filter_matches(side->filter, &row->cell->cell) &&
	       (!both || compare_filter_matches(both, &row->cell->cell));
}

/* All settings agree but those named, and but how often was measured unless `strict`. */
static bool belong_together(const struct compare *compare, const struct cell *a, const struct cell *b, bool strict)
{
	for (int key = 0; key < CELL_KEY_COUNT; key++) {
		if (compare->named[key] || (!strict && (key == CELL_SAMPLES || key == CELL_TIMEOUT)))
			continue;
		if (strcmp(a->value[key], b->value[key]) != 0)
			return false;
	}
	return true;
}

static bool has_figures(const struct summary_row *row)
{
	return row->cell->status == CELL_OK && row->have_cost;
}

static void add_lone(struct compare *compare, const struct summary_row *row, bool of_b)
{
	struct compare_lone *lone = &compare->lone[compare->lone_count++];

	*lone = (struct compare_lone){.row = row, .of_b = of_b};
	if (has_figures(row))
		snprintf(lone->reason, sizeof(lone->reason), "%c has no such cell with figures", of_b ? 'A' : 'B');
	else
		snprintf(lone->reason, sizeof(lone->reason), "%s: %.200s", cell_status_name(row->cell->status),
		        row->reason);
}

static int add_pair(struct compare *compare, const struct summary_row *a, const struct summary_row *b)
{
	if ((compare->pair_count & (compare->pair_count + 1)) == 0) {
		struct compare_pair *more =
		        realloc(compare->pairs, (2 * compare->pair_count + 2) * sizeof(*compare->pairs));

		if (!more)
			return -ENOMEM;
		compare->pairs = more;
	}
	compare->pairs[compare->pair_count++] = (struct compare_pair){
	        .a = a, .b = b, .noise = a->between_rounds > b->between_rounds ? a->between_rounds : b->between_rounds};
	return 0;
}

/* Partners of a row of A in B; `paired` notes those of B. */
static int pair_row(struct compare *compare, const struct summary_row *row, const struct compare_side *b,
        const struct compare_filter *both, bool *paired)
{
	bool found = false;

	for (int strict = 1; strict >= 0 && !found; strict--) {
		for (size_t i = 0; i < b->summary->count; i++) {
			const struct summary_row *other = &b->summary->rows[i];

			if (!takes_part(b, both, other) || !has_figures(other) ||
			        !belong_together(compare, &row->cell->cell, &other->cell->cell, strict))
				continue;
			found = paired[i] = true;
			if (add_pair(compare, row, other))
				return -ENOMEM;
		}
	}
	if (!found)
		add_lone(compare, row, false);
	return 0;
}

static int pair_cells(struct compare *compare, const struct compare_side *a, const struct compare_side *b,
        const struct compare_filter *both)
{
	bool *paired = calloc(b->summary->count + 1, sizeof(*paired));
	int err = 0;

	compare->lone = calloc(a->summary->count + b->summary->count + 1, sizeof(*compare->lone));
	if (!paired || !compare->lone)
		err = -ENOMEM;
	for (size_t i = 0; i < a->summary->count && !err; i++) {
		const struct summary_row *row = &a->summary->rows[i];

		if (!takes_part(a, both, row))
			continue;
		if (has_figures(row))
			err = pair_row(compare, row, b, both, paired);
		else
			add_lone(compare, row, false);
	}
	for (size_t i = 0; i < b->summary->count && !err; i++) {
		const struct summary_row *row = &b->summary->rows[i];

		if (!paired[i] && takes_part(b, both, row))
			add_lone(compare, row, true);
	}
	free(paired);
	return err;
}

static const char *describe(const struct run_info *info, const char *key)
{
	const char *value = run_info_get(info, key);

	return value ? value : "not told";
}

static void note_difference(
        struct compare *compare, const char *key, const struct run_info *a, const struct run_info *b)
{
	const char *of_a = describe(a, key), *of_b = describe(b, key);

	if (strcmp(of_a, of_b) != 0 && compare->note_count < sizeof(compare->notes) / sizeof(compare->notes[0]))
		snprintf(compare->notes[compare->note_count++], sizeof(compare->notes[0]), "%s: A %s, B %s", key, of_a,
		        of_b);
}

/* What differs between the hosts' descriptions: another CPU or kind of time is another host, the rest is a note. */
static void compare_hosts(struct compare *compare, const struct run_info *a, const struct run_info *b)
{
	static const char *const host_keys[] = {"cpu", "family/model/step", "virtual", "time_unit"};
	static const char *const noted_keys[] = {"testudo", "kernel", "cpus", "memory", "kvm", "nested",
	        "enable_shadow_vmcs", "clocksource", "governor", "turbo", "smt"};

	for (size_t i = 0; i < sizeof(host_keys) / sizeof(host_keys[0]) && !compare->host[0]; i++) {
		const char *of_a = describe(a, host_keys[i]), *of_b = describe(b, host_keys[i]);

		if (strcmp(of_a, of_b) != 0)
			snprintf(compare->host, sizeof(compare->host), "%s is \"%.100s\" for A and \"%.100s\" for B",
			        host_keys[i], of_a, of_b);
	}
	for (size_t i = 0; i < sizeof(noted_keys) / sizeof(noted_keys[0]); i++)
		note_difference(compare, noted_keys[i], a, b);
	/* Mitigations, whichever of the two tells them. */
	for (uint32_t i = 0; i < a->pair_count; i++)
		if (!strncmp(a->pairs[i].key, "vuln.", 5))
			note_difference(compare, a->pairs[i].key, a, b);
	for (uint32_t i = 0; i < b->pair_count; i++)
		if (!strncmp(b->pairs[i].key, "vuln.", 5) && !run_info_get(a, b->pairs[i].key))
			note_difference(compare, b->pairs[i].key, a, b);
}

static bool is(const struct summary_row *row, enum cell_key key, const char *value)
{
	return !strcmp(row->cell->cell.value[key], value);
}

static bool differ(const struct compare_pair *pair, enum cell_key key)
{
	return !is(pair->a, key, pair->b->cell->cell.value[key]);
}

/* What makes two figures incomparable whatever their noise; empty: nothing. */
static void refuse_kinds(const struct compare *compare, struct compare_pair *pair, bool across_hosts)
{
	const struct summary_row *a = pair->a, *b = pair->b;
	char *why = pair->c.reason;
	size_t bytes = sizeof(pair->c.reason);

	if (strcmp(a->unit, b->unit) != 0)
		snprintf(why, bytes, "different units: A in %s, B in %s", a->unit, b->unit);
	else if (a->cell->virtual_time != b->cell->virtual_time)
		snprintf(why, bytes, "different clocks: %s counts the guest's instructions, %s all of them",
		        a->cell->virtual_time ? "A" : "B", a->cell->virtual_time ? "B" : "A");
	else if (a->cell->virtual_time && differ(pair, CELL_LEVEL))
		snprintf(why, bytes, "L0's work takes no virtual time: compare exits");
	else if (a->cell->virtual_time && differ(pair, CELL_VMCS) &&
	         (is(a, CELL_VMCS, "trap") || is(b, CELL_VMCS, "trap")))
		snprintf(why, bytes, "virtual time leaves out VMREAD and VMWRITE that exit: compare exits");
	else if (compare->host[0] && !across_hosts && !a->cell->virtual_time)
		snprintf(why, bytes, "different hosts");
}

/* Pairs whose verdict rests on a p are Holm's family; the others are decided without one. */
static bool is_tested(const struct compare_pair *pair)
{
	const struct stats_comparison *c = &pair->c;

	return !c->reason[0] && !c->exact && !isnan(c->low) && c->a_n >= STATS_SAMPLES_MIN &&
	       c->b_n >= STATS_SAMPLES_MIN;
}

/* Each cell is a session of its own. Counted instructions do not change from one to the next as times do. */
static void find_noise(struct compare_pair *pair, double assumed)
{
	const struct summary_row *a = pair->a, *b = pair->b;

	pair->noise = a->between_rounds > b->between_rounds ? a->between_rounds : b->between_rounds;
	if (pair->c.exact || strcmp(a->unit, "cycles") != 0 || (a->cell->rounds > 1 && b->cell->rounds > 1) ||
	        assumed <= pair->noise)
		return;
	pair->noise = assumed;
	pair->noise_assumed = true;
}

static int compare_pairs(struct compare *compare, const struct compare_options *options)
{
	double *p = malloc((compare->pair_count + 1) * sizeof(*p));
	int err = p ? 0 : -ENOMEM;
	size_t tested = 0;

	for (size_t i = 0; i < compare->pair_count && !err; i++) {
		struct compare_pair *pair = &compare->pairs[i];
		struct stats_comparison *c = &pair->c;

		err = stats_compare(c, &pair->a->stats, &pair->b->stats,
		        pair->a->cell->virtual_time && pair->b->cell->virtual_time);
		refuse_kinds(compare, pair, options->across_hosts);
		find_noise(pair, options->assumed_noise);
		if (c->reason[0]) {
			c->verdict = STATS_CANNOT_TELL;
			c->difference = c->low = c->high = c->p = c->p_family = NAN;
		} else if (is_tested(pair)) {
			p[compare->tests++] = c->p;
		}
	}
	if (!err)
		err = stats_holm(p, compare->tests);
	for (size_t i = 0; i < compare->pair_count && !err; i++) {
		struct compare_pair *pair = &compare->pairs[i];

		if (pair->c.reason[0])
			continue;
		if (is_tested(pair))
			pair->c.p_family = p[tested++];
		stats_judge(&pair->c, pair->noise, pair->noise_assumed);
	}
	free(p);
	return err;
}

int compare_runs(struct compare *compare, const struct compare_side *a, const struct compare_side *b,
        const struct compare_options *options)
{
	int err;

	memset(compare, 0, sizeof(*compare));
	for (int key = 0; key < CELL_KEY_COUNT; key++)
		compare->named[key] = a->filter->values_count[key] || b->filter->values_count[key];
	compare_hosts(compare, a->info, b->info);
	err = pair_cells(compare, a, b, &options->both);
	if (!err)
		err = compare_pairs(compare, options);
	if (err)
		compare_free(compare);
	return err;
}

void compare_free(struct compare *compare)
{
	free(compare->pairs);
	free(compare->lone);
	memset(compare, 0, sizeof(*compare));
}

size_t compare_count(const struct compare *compare, enum stats_verdict verdict)
{
	size_t count = 0;

	for (size_t i = 0; i < compare->pair_count; i++)
		count += compare->pairs[i].c.verdict == verdict;
	return count;
}
