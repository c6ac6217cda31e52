/* SPDX-License-Identifier: Apache-2.0 */
/* `testudo export`: a run as CSV, JSON or timeline on standard output. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/export.h"
#include "results/aggregate.h"
#include "results/summary.h"
#include "shadowvmcs/counters.h"
#include "shadowvmcs/exit_reasons.h"

static const char *const handler_names[] = {"L0", "L1", "engine", "ept02"};
static const char *const phase_names[] = {"setup", "control", "measured"};

/* Numbers that do not exist are null, not 0. */
static json_t *number(double value)
{
	return isfinite(value) && value >= 0 ? json_real(value) : json_null();
}

static json_t *settings_json(const struct cell *cell)
{
	json_t *settings = json_object();

	for (int key = 0; key < CELL_KEY_COUNT; key++)
		json_object_set_new(settings, cell_key_infos[key].name, json_string(cell->value[key]));
	return settings;
}

static json_t *exits_json(struct reader *reader, size_t index)
{
	struct aggregate aggregate = {0};
	json_t *list = json_array();

	if (!aggregate_cell(&aggregate, reader, index)) {
		for (size_t i = 0; i < aggregate.count; i++) {
			const struct aggregate_row *row = &aggregate.rows[i];
			json_t *exits = json_pack("{s:s, s:i, s:s, s:s, s:b, s:I, s:I, s:I}", "phase",
			        row->phase < 3 ? phase_names[row->phase] : "?", "level", row->level, "reason",
			        exit_reason_name(row->reason), "handler",
			        row->handler < 4 ? handler_names[row->handler] : "?", "mark", row->mark, "count",
			        (json_int_t)row->count, "guest_ticks", (json_int_t)row->guest_ticks, "l0_ticks",
			        (json_int_t)row->l0_ticks);

			json_array_append_new(list, exits);
		}
	}
	aggregate_free(&aggregate);
	return list;
}

static json_t *samples_json(const struct cell_result *result)
{
	json_t *list = json_array();

	for (uint64_t i = 0; i < result->sample_count && i < CELL_SAMPLES_MAX; i++) {
		const struct cell_sample *sample = &result->samples[i];

		json_array_append_new(
		        list, json_pack("{s:I, s:I, s:I, s:I}", "ops", (json_int_t)sample->ops, "ticks",
		                      (json_int_t)sample->ticks, "control_ops", (json_int_t)sample->control_ops,
		                      "control_ticks", (json_int_t)sample->control_ticks));
	}
	return list;
}

/* L1's exit log, as it was read back. */
static json_t *log_json(const struct cell_result *result)
{
	json_t *list = json_array();

	for (uint64_t i = 0; i < result->log_count && i < CELL_LOG_MAX; i++) {
		const struct cell_log_entry *entry = &result->log[i];

		json_array_append_new(list,
		        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "reason", exit_reason_name(entry->reason),
		                "instruction_length", (json_int_t)entry->instruction_length, "qualification",
		                (json_int_t)entry->qualification, "guest_rip", (json_int_t)entry->guest_rip,
		                "interruption_info", (json_int_t)entry->interruption_info, "idt_vectoring_info",
		                (json_int_t)entry->idt_vectoring_info, "guest_physical_address",
		                (json_int_t)entry->guest_physical_address));
	}
	return list;
}

static json_t *counters_json(const struct cell_result *result)
{
	json_t *counters = json_object();

	for (int i = 0; i < COUNTER_COUNT; i++)
		json_object_set_new(counters, counter_infos[i].name, json_integer((json_int_t)result->counters[i]));
	return counters;
}

static json_t *cell_json(struct reader *reader, const struct summary_row *row, struct cell_result *result)
{
	json_t *cell = json_object();
	uint32_t digest;

	json_object_set_new(cell, "settings", settings_json(&row->cell->cell));
	json_object_set_new(cell, "status", json_string(cell_status_name(row->cell->status)));
	json_object_set_new(cell, "reason", json_string(row->reason));
	json_object_set_new(cell, "unit", row->unit ? json_string(row->unit) : json_null());
	if (row->have_cost) {
		json_object_set_new(cell, "ops", json_integer((json_int_t)row->stats.ops));
		json_object_set_new(cell, "cost", number(row->stats.op.median));
		json_object_set_new(cell, "ci_low", number(row->stats.op.ci_low));
		json_object_set_new(cell, "ci_high", number(row->stats.op.ci_high));
		json_object_set_new(cell, "control", number(row->stats.control));
		json_object_set_new(cell, "rounds", json_integer((json_int_t)row->cell->rounds));
		json_object_set_new(
		        cell, "between_rounds", row->cell->rounds > 1 ? number(row->between_rounds) : json_null());
	}
	if (row->have_exits) {
		json_object_set_new(cell, "l2_exits_per_op", number(summary_per_op(row, row->l2_exits)));
		json_object_set_new(cell, "l1_exits_per_op", number(summary_per_op(row, row->l1_exits)));
		json_object_set_new(cell, "reflected_per_op", number(summary_per_op(row, row->reflected)));
		json_object_set_new(cell, "multiplication", number(summary_multiplication(row)));
	}
	if (row->have_checksum) {
		char text[20];

		snprintf(text, sizeof(text), "%016" PRIx64, row->checksum);
		json_object_set_new(cell, "checksum", json_string(text));
	}
	if (row->modelled >= 0)
		json_object_set_new(cell, "modelled_cycles", number(row->modelled));
	if (!reader_cell_digest(reader, row->index, &digest))
		json_object_set_new(cell, "digest", json_integer((json_int_t)digest));
	json_object_set_new(cell, "exits", exits_json(reader, row->index));
	if (!reader_result(reader, row->index, result)) {
		json_object_set_new(cell, "samples", samples_json(result));
		json_object_set_new(cell, "counters", counters_json(result));
		if (result->log_count)
			json_object_set_new(cell, "exit_log", log_json(result));
	}
	return cell;
}

static int export_json(struct reader *reader, const struct summary *summary)
{
	const struct reader_overview *overview = reader_overview(reader);
	struct cell_result *result = calloc(1, sizeof(*result));
	struct run_info *info = calloc(1, sizeof(*info));
	json_t *root = json_object(), *host = json_object(), *cells = json_array(), *benchmarks = json_array();
	int status = -ENOMEM;

	if (result && info && root) {
		if (!reader_run_info(reader, 0, info))
			for (uint32_t i = 0; i < info->pair_count; i++)
				json_object_set_new(host, info->pairs[i].key, json_string(info->pairs[i].value));
		for (size_t i = 0; i < summary->count; i++) {
			json_array_append_new(cells, cell_json(reader, &summary->rows[i], result));
			export_benchmark_add(benchmarks, &summary->rows[i]);
		}
		json_object_set_new(root, "context", export_benchmark_context(info));
		json_object_set(root, "benchmarks", benchmarks);
		json_object_set(root, "host", host);
		json_object_set_new(root, "finished", json_boolean(overview->finished));
		json_object_set_new(root, "records", json_integer((json_int_t)overview->records));
		json_object_set_new(root, "dropped", json_integer((json_int_t)overview->dropped));
		json_object_set(root, "cells", cells);
		status = json_dumpf(root, stdout, JSON_INDENT(1)) ? -EIO : 0;
		putchar('\n');
	}
	json_decref(host);
	json_decref(benchmarks);
	json_decref(cells);
	json_decref(root);
	free(info);
	free(result);
	return status;
}

struct export_options {
	const char *format;
	struct trace_options trace;
	bool traces_only; /* an option that only --format trace has */
};

static int parse_options(struct export_options *options, int argc, char **argv)
{
	static const struct option longs[] = {{"format", required_argument, NULL, 'f'},
	        {"cells", required_argument, NULL, 'c'}, {"limit", required_argument, NULL, 'n'}, {0}};
	char why[256], *end;
	int option;

	while ((option = getopt_long(argc, argv, ":f:c:n:", longs, NULL)) != -1) {
		options->traces_only |= option == 'c' || option == 'n';
		switch (option) {
		case 'f':
			options->format = optarg;
			break;
		case 'c':
			if (compare_filter_add(&options->trace.filter, optarg, why, sizeof(why)))
				return command_usage("export", "%s", why);
			break;
		case 'n':
			errno = 0;
			options->trace.limit = strtoull(optarg, &end, 10);
			if (errno || *end || *optarg < '0' || *optarg > '9')
				return command_usage(
				        "export", "--limit takes a number of exits, 0 for all, not \"%s\"", optarg);
			break;
		default:
			return command_bad_option("export", option, argv);
		}
	}
	if (strcmp(options->format, "csv") && strcmp(options->format, "json") && strcmp(options->format, "trace"))
		return command_usage("export", "there is no format \"%s\"; use csv, json or trace", options->format);
	if (options->traces_only && strcmp(options->format, "trace"))
		return command_usage("export", "--cells and --limit are for --format trace, not %s", options->format);
	if (argc - optind != 1)
		return command_usage("export", "give one run folder, such as results/runs/20261120-101500");
	return COMMAND_OK;
}

/* What is not in the trace is said where it does not disturb the JSON. */
static int write_trace(struct reader *reader, const struct summary *summary, const struct trace_options *options)
{
	struct trace_left_out left_out;
	const int status = export_trace(stdout, reader, summary, options, &left_out);

	if (left_out.records)
		fprintf(stderr,
		        "testudo export: %" PRIu64 " exits are left out, those behind the first %" PRIu64 " of %" PRIu64
		        " of the %" PRIu64 " cells; --limit 0 writes all, --cells KEY=VALUE fewer cells\n",
		        left_out.records, options->limit, left_out.cells, left_out.shown);
	if (!status && !left_out.shown)
		fputs("testudo export: the trace is empty: no cell with recorded exits matches\n", stderr);
	return status;
}

static int write_run(struct reader *reader, const struct summary *summary, const struct export_options *options)
{
	if (!strcmp(options->format, "csv"))
		return summary_write_csv(summary, stdout);
	if (!strcmp(options->format, "json"))
		return export_json(reader, summary);
	return write_trace(reader, summary, &options->trace);
}

static int run_export(int argc, char **argv)
{
	struct export_options options = {.format = "csv", .trace.limit = 10000};
	struct reader *reader;
	struct summary summary = {0};
	char path[4200], why[256];
	int status = parse_options(&options, argc, argv);

	if (status)
		return status;
	snprintf(path, sizeof(path), "%.4100s/run.tdo", argv[optind]);
	if (reader_open(&reader, path, why, sizeof(why)))
		return command_error("export", "%s", why);
	status = summary_compute(&summary, reader);
	if (!status)
		status = write_run(reader, &summary, &options);
	if (!status && (fflush(stdout) || ferror(stdout)))
		status = errno ? -errno : -EIO;
	summary_free(&summary);
	reader_close(reader);
	return status ? command_error("export", "%s cannot be exported: %s", path, strerror(-status)) : COMMAND_OK;
}

const struct command command_export = {
        .name = "export",
        .summary = "Write a run as CSV, JSON or timeline to standard output.",
        .synopsis = "[--format csv|json|trace] [--cells KEY=VALUE]... [--limit N] DIR",
        .help = "\n"
                "  -f, --format csv    one row per cell (default): the columns of summary.csv\n"
                "  -f, --format json   host, cells, samples, counters, and exits by phase, level, reason and handler; "
                "and\n"
                "                      \"context\" and \"benchmarks\" in Google Benchmark's layout, which its "
                "compare.py\n"
                "                      and other tools read as they are (ns; instructions where a label says so)\n"
                "  -f, --format trace  a timeline for ui.perfetto.dev and chrome://tracing: a process for each cell, "
                "tracks\n"
                "                      L2, L1 and L0, every exit with its reason and qualification; in ns, or "
                "instructions\n"
                "                      where the process's name says so\n"
                "  -c, --cells KEY=VALUES  trace: only cells with these settings; may be repeated\n"
                "  -n, --limit N       trace: only the first N exits of each cell (default 10000; 0: all)\n"
                "\n"
                "Examples:\n"
                "  testudo export results/runs/first > first.csv\n"
                "  testudo export --format json results/runs/first | jq '.cells[].cost'\n"
                "  compare.py benchmarks first.json second.json\n"
                "  testudo export --format trace --cells workload=cpuid results/runs/first > first.trace.json\n",
        .run = run_export,
};
