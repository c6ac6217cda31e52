/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "results/stats.h"

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A terminal that can erase a line. */
static bool can_erase(FILE *out)
{
	const char *term = getenv("TERM");

	return isatty(fileno(out)) && term && strcmp(term, "dumb");
}

static int columns_of(FILE *out)
{
	struct winsize size;

	return ioctl(fileno(out), TIOCGWINSZ, &size) || !size.ws_col ? 80 : size.ws_col;
}

void progress_begin(struct progress *progress, FILE *out, bool quiet, const struct cell *cells, size_t count)
{
	memset(progress, 0, sizeof(*progress));
	progress->out = out;
	progress->terminal = can_erase(out);
	progress->quiet = quiet;
	progress->cells = cells;
	progress->count = count;
	progress->started_ns = now_ns();
}

static struct progress_class *class_of(struct progress *progress, const struct cell *cell)
{
	struct progress_class *class;

	for (size_t i = 0; i < progress->class_count; i++) {
		class = &progress->classes[i];
		if (!strcmp(class->machine, cell->value[CELL_MACHINE]) &&
		        !strcmp(class->level, cell->value[CELL_LEVEL]))
			return class;
	}
	if (progress->class_count == sizeof(progress->classes) / sizeof(progress->classes[0]))
		return &progress->classes[0];
	class = &progress->classes[progress->class_count++];
	memcpy(class->machine, cell->value[CELL_MACHINE], CELL_VALUE_BYTES);
	memcpy(class->level, cell->value[CELL_LEVEL], CELL_VALUE_BYTES);
	return class;
}

double progress_seconds_left(const struct progress *progress, uint64_t now)
{
	uint64_t finished = 0, total_ns = 0;
	double left_ns = 0;

	for (size_t i = 0; i < progress->class_count; i++) {
		finished += progress->classes[i].finished;
		total_ns += progress->classes[i].total_ns;
	}
	if (!finished)
		return -1;
	for (size_t i = progress->done; i < progress->count; i++) {
		const struct progress_class *class = class_of((struct progress *)progress, &progress->cells[i]);
		double expected_ns = class->finished ? (double)class->total_ns / (double)class->finished
		                                     : (double)total_ns / (double)finished;

		if (i == progress->done && progress->cell_started_ns) {
			double spent_ns = (double)(now - progress->cell_started_ns);

			expected_ns = spent_ns < expected_ns ? expected_ns - spent_ns : 0;
		}
		left_ns += expected_ns;
	}
	return left_ns / 1e9;
}

static void format_seconds(double seconds, char *text, size_t bytes)
{
	unsigned whole = (unsigned)(seconds + 0.5);

	snprintf(text, bytes, "%u:%02u", whole / 60, whole % 60);
}

static void draw(struct progress *progress)
{
	uint64_t now = now_ns();
	double left = progress_seconds_left(progress, now);
	char elapsed[16], remaining[16] = "?", name[160] = "", line[256];

	if (!progress->terminal || progress->quiet)
		return;
	format_seconds((double)(now - progress->started_ns) / 1e9, elapsed, sizeof(elapsed));
	if (left >= 0)
		format_seconds(left, remaining, sizeof(remaining));
	if (progress->done < progress->count)
		cell_name(&progress->cells[progress->done], name, sizeof(name));
	snprintf(line, sizeof(line), "[%zu/%zu] %s elapsed, %s left  %s", progress->done + 1, progress->count, elapsed,
	        remaining, name);
	/* The next one could not erase a line that wraps. */
	fprintf(progress->out, "\r\033[K%.*s", columns_of(progress->out) - 1, line);
	fflush(progress->out);
}

void progress_cell_begin(struct progress *progress)
{
	progress->cell_started_ns = now_ns();
	draw(progress);
}

void progress_tick(void *progress)
{
	draw(progress);
}

static void print_cost(FILE *out, const struct cell_result *result)
{
	static struct cell_stats stats;

	if (stats_cell(&stats, result))
		return;
	fprintf(out, "  %.*f %s", stats.op.median < 100 ? 1 : 0, stats.op.median,
	        result->instruction_clock ? "instructions" : "cycles");
	if (stats.op.ci_high > stats.op.ci_low && stats.op.median > 0)
		fprintf(out, " ±%.1f %%", 50 * (stats.op.ci_high - stats.op.ci_low) / stats.op.median);
}

void progress_cell_end(struct progress *progress, const struct cell_result *result)
{
	const struct cell *cell = &progress->cells[progress->done];
	struct progress_class *class = class_of(progress, cell);
	char name[160];

	if (result->status != CELL_REFUSED) {
		class->finished++;
		class->total_ns += now_ns() - progress->cell_started_ns;
	}
	progress->done++;
	progress->cell_started_ns = 0;
	if (progress->quiet)
		return;
	cell_name(cell, name, sizeof(name));
	if (progress->terminal)
		fputs("\r\033[K", progress->out);
	fprintf(progress->out, "[%zu/%zu] %-7s %s", progress->done, progress->count,
	        cell_status_name((enum cell_status)result->status), name);
	if (result->status == CELL_OK)
		print_cost(progress->out, result);
	else
		fprintf(progress->out, "  %s", result->reason);
	fputc('\n', progress->out);
	fflush(progress->out);
}

void progress_end(struct progress *progress)
{
	if (progress->terminal && !progress->quiet) {
		fputs("\r\033[K", progress->out);
		fflush(progress->out);
	}
}
