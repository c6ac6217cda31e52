/* SPDX-License-Identifier: Apache-2.0 */
/* When two cells may be called different. */
#include <math.h>
#include <stdio.h>

#include "results/stats.h"

static bool overlap(const struct stats *a, const struct stats *b)
{
	return a->ci_low <= b->ci_high && b->ci_low <= a->ci_high;
}

static void compare_exact(struct stats_comparison *c, double a, double b)
{
	c->p = a == b ? 1 : 0;
	c->overlap = a == b;
	if (a == b) {
		snprintf(c->text, sizeof(c->text), "equal, both %g (virtual time: exact)", a);
		return;
	}
	c->verdict = a < b ? STATS_A_IS_LESS : STATS_B_IS_LESS;
	snprintf(c->text, sizeof(c->text), "b is %.3f times a (virtual time: exact)", c->ratio);
}

/* Why the two cannot be told apart; NULL: they can. */
static const char *refusal(const struct stats_comparison *c, double noise)
{
	bool beyond_noise = c->ratio > 0 && (c->ratio > 1 + noise || 1 / c->ratio > 1 + noise);

	if (c->p >= 1 - STATS_CONFIDENCE)
		return "the rank test finds no difference";
	if (c->overlap)
		return "the intervals overlap";
	if (noise > 0 && !beyond_noise)
		return "the difference is within the session-to-session noise";
	return NULL;
}

void stats_compare(struct stats_comparison *comparison, const struct cell_stats *a, const struct cell_stats *b,
        double noise, bool exact)
{
	struct stats_comparison *c = comparison;
	const char *why;

	*c = (struct stats_comparison){.verdict = STATS_NOT_DISTINGUISHABLE, .p = 1, .overlap = true};
	c->ratio = a->op.median != 0 ? b->op.median / a->op.median : NAN;
	if (exact) {
		compare_exact(c, a->op.median, b->op.median);
		return;
	}
	c->p = stats_rank_test(a->values, a->op.n, b->values, b->op.n);
	c->overlap = overlap(&a->op, &b->op);
	why = refusal(c, noise);
	if (why) {
		snprintf(c->text, sizeof(c->text), "not distinguishable: %s (ratio %.3f, p = %.2g)", why, c->ratio,
		        c->p);
		return;
	}
	c->verdict = a->op.median < b->op.median ? STATS_A_IS_LESS : STATS_B_IS_LESS;
	snprintf(c->text, sizeof(c->text), "b is %.3f times a (p = %.2g, intervals apart)", c->ratio, c->p);
}

double stats_noise(const double *medians, size_t n)
{
	struct stats stats;

	if (n < 2 || stats_describe(&stats, medians, n) || stats.median == 0)
		return 0;
	return (stats.max - stats.min) / 2 / fabs(stats.median);
}
