/* SPDX-License-Identifier: Apache-2.0 */
#include "papers/shape.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct judge {
	const struct paper_shape *shape;
	paper_measure_fn *measure;
	void *ctx;
	struct paper_verdict *verdict;
	size_t held, failed, open;
};

const char *paper_outcome_name(enum paper_outcome outcome)
{
	static const char *const names[] = {"holds", "does not hold", "cannot tell", "not available"};

	return names[outcome];
}

__attribute__((format(printf, 2, 3))) static void say(struct paper_verdict *verdict, const char *format, ...)
{
	const size_t used = strlen(verdict->text);
	va_list arguments;

	snprintf(verdict->text + used, sizeof(verdict->text) - used, "%s", used ? "; " : "");
	va_start(arguments, format);
	vsnprintf(verdict->text + strlen(verdict->text), sizeof(verdict->text) - strlen(verdict->text), format,
	        arguments);
	va_end(arguments);
}

/* Cell i of the statement; its row is `row` where it names none. */
static bool get(struct judge *judge, size_t i, const struct paper_place *row, struct paper_measure *measure)
{
	const struct paper_figure *figure = judge->shape->figure;
	const char *name = judge->shape->cells[i].row;

	row = *name ? paper_place_find(figure->rows, figure->row_count, name) : row;
	judge->measure(judge->ctx, figure, row,
	        paper_place_find(figure->series, figure->series_count, judge->shape->cells[i].series), measure);
	return measure->known;
}

static void count(struct judge *judge, enum paper_outcome outcome)
{
	judge->held += outcome == PAPER_HOLDS;
	judge->failed += outcome == PAPER_FAILS;
	judge->open += outcome == PAPER_OPEN;
}

/* One that fails refutes the statement; one that is open leaves it open. */
static void conclude(struct judge *judge)
{
	judge->verdict->outcome = judge->failed ? PAPER_FAILS
	                          : judge->open ? PAPER_OPEN
	                          : judge->held ? PAPER_HOLDS
	                                        : PAPER_UNAVAILABLE;
}

static enum paper_outcome is_less(const struct paper_measure *a, const struct paper_measure *b)
{
	if (a->high < b->low)
		return PAPER_HOLDS;
	return a->low >= b->high ? PAPER_FAILS : PAPER_OPEN;
}

static void judge_ascending(struct judge *judge)
{
	const struct paper_shape *shape = judge->shape;
	struct paper_measure before, now;

	for (size_t i = 0; i < shape->cell_count; i++) {
		enum paper_outcome outcome;

		if (!get(judge, i, NULL, &now)) {
			judge->verdict->text[0] = '\0';
			judge->verdict->outcome = PAPER_UNAVAILABLE;
			say(judge->verdict, "%s: %s", shape->cells[i].row, now.why);
			return;
		}
		if (i > 0) {
			outcome = is_less(&before, &now);
			count(judge, outcome);
			if (outcome != PAPER_HOLDS)
				say(judge->verdict, "\"%s\" (%.0f) is not %s \"%s\" (%.0f)", shape->cells[i - 1].row,
				        before.value, outcome == PAPER_OPEN ? "told apart from" : "below",
				        shape->cells[i].row, now.value);
		}
		before = now;
	}
	conclude(judge);
}

/* Rows without numbers do not count, but they are named. */
static void judge_less(struct judge *judge)
{
	const struct paper_figure *figure = judge->shape->figure;
	char missing[160] = "";

	for (size_t i = 0; i < figure->row_count; i++) {
		struct paper_measure less, more;
		enum paper_outcome outcome;

		if (!get(judge, 0, &figure->rows[i], &less) || !get(judge, 1, &figure->rows[i], &more)) {
			const size_t used = strlen(missing);

			snprintf(
			        missing + used, sizeof(missing) - used, "%s%s", used ? ", " : "", figure->rows[i].name);
			continue;
		}
		outcome = is_less(&less, &more);
		count(judge, outcome);
		if (outcome != PAPER_HOLDS)
			say(judge->verdict, "%s: %.0f and %.0f %s", figure->rows[i].name, less.value, more.value,
			        outcome == PAPER_OPEN ? "are not told apart" : "are the other way round");
	}
	say(judge->verdict, "in %zu of %zu rows", judge->held, figure->row_count);
	if (*missing)
		say(judge->verdict, "no numbers for %s", missing);
	conclude(judge);
}

static void judge_pair(struct judge *judge)
{
	const struct paper_shape *shape = judge->shape;
	struct paper_measure a, b, ratio;
	static const struct paper_figure plain;
	double low, high;

	if (!get(judge, 0, NULL, &a) || !get(judge, 1, NULL, &b)) {
		judge->verdict->outcome = PAPER_UNAVAILABLE;
		say(judge->verdict, "%s", a.known ? b.why : a.why);
		return;
	}
	paper_ratio(&plain, &b, &a, &ratio);
	if (!ratio.known) {
		judge->verdict->outcome = PAPER_UNAVAILABLE;
		say(judge->verdict, "the first cell costs nothing: there is no ratio");
		return;
	}
	low = ratio.low - 1;
	high = ratio.high - 1;
	if (shape->kind == PAPER_AT_LEAST)
		count(judge, ratio.low >= shape->limit   ? PAPER_HOLDS
		             : ratio.high < shape->limit ? PAPER_FAILS
		                                         : PAPER_OPEN);
	else
		count(judge, low >= -shape->limit && high <= shape->limit ? PAPER_HOLDS
		             : low > shape->limit || high < -shape->limit ? PAPER_FAILS
		                                                          : PAPER_OPEN);
	say(judge->verdict, "%.3g times (%.3g to %.3g)", ratio.value, ratio.low, ratio.high);
	conclude(judge);
}

static void judge_equal(struct judge *judge)
{
	struct paper_measure measure;

	if (!get(judge, 0, NULL, &measure)) {
		judge->verdict->outcome = PAPER_UNAVAILABLE;
		say(judge->verdict, "%s", measure.why);
		return;
	}
	count(judge, fabs(measure.value - judge->shape->limit) <= 1e-9 ? PAPER_HOLDS : PAPER_FAILS);
	say(judge->verdict, "%.6g", measure.value);
	conclude(judge);
}

void paper_shape_judge(
        const struct paper_shape *shape, paper_measure_fn *measure, void *ctx, struct paper_verdict *verdict)
{
	struct judge judge = {.shape = shape, .measure = measure, .ctx = ctx, .verdict = verdict};

	memset(verdict, 0, sizeof(*verdict));
	switch (shape->kind) {
	case PAPER_ASCENDING:
		judge_ascending(&judge);
		break;
	case PAPER_LESS:
		judge_less(&judge);
		break;
	case PAPER_AT_LEAST:
	case PAPER_WITHIN:
		judge_pair(&judge);
		break;
	case PAPER_EQUAL:
		judge_equal(&judge);
		break;
	}
}

/* "kvm, lab kvm" */
bool paper_shape_concerns(const struct paper_shape *shape, const char *source)
{
	char text[sizeof(shape->only)], *rest = text, *word;

	if (!shape->only[0])
		return true;
	snprintf(text, sizeof(text), "%s", shape->only);
	while ((word = strsep(&rest, ","))) {
		word += strspn(word, " ");
		if (!strcmp(word, source))
			return true;
	}
	return false;
}
