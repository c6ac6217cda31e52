/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `testudo export --format trace`: exits as a timeline for Perfetto and chrome://tracing.
 *
 *   process = cell, which begins at 0        |<- guest_ticks ->|<- l0_ticks ->|
 *     track L2   slices: L2 runs             [ L2              ]!
 *     track L1   slices: L1 runs                                ^ tsc: the exit, an instant on the guest's track
 *     track L0   slices: L0 handles an exit                    [ L0: reason   ]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "cli/export.h"
#include "shadowvmcs/exit_reasons.h"

static const char *const handlers[] = {"L0", "L1", "engine", "EPT02"};
static const char *const phases[] = {"setup", "control", "measured"};

struct trace {
	FILE *out;
	const struct trace_options *options;
	struct cell_result *result; /* of the cell at hand */
	uint64_t pid;
	uint64_t written; /* exits of the cell */
	uint64_t origin;  /* time stamp that is 0 */
	uint64_t end;     /* ticks since then: where the last slice ended */
	bool comma;
};

static void separate(struct trace *trace)
{
	fputs(trace->comma ? ",\n" : "\n", trace->out);
	trace->comma = true;
}

static void print_string(FILE *out, const char *text)
{
	json_t *string = json_string(text);

	if (!string || json_dumpf(string, out, JSON_ENCODE_ANY))
		fputs("\"?\"", out);
	json_decref(string);
}

/* Nanoseconds; instructions, and ticks of unknown length, are drawn as one each. Begin and end are both rounded down,
 * so that slices which touch do not overlap. */
static uint64_t to_ns(const struct trace *trace, uint64_t ticks)
{
	if (trace->result->instruction_clock || trace->result->virtual_time || !trace->result->tsc_khz)
		return ticks;
	return (uint64_t)((unsigned __int128)ticks * 1000000 / trace->result->tsc_khz);
}

/* The format wants microseconds. */
static void print_time(const struct trace *trace, const char *key, uint64_t ns)
{
	fprintf(trace->out, ",\"%s\":%" PRIu64 ".%03u", key, ns / 1000, (unsigned)(ns % 1000));
}

static void print_slice(struct trace *trace, int level, uint64_t begin, uint64_t end, const char *reason)
{
	const uint64_t from = to_ns(trace, begin);

	separate(trace);
	fprintf(trace->out, "{\"ph\":\"X\",\"pid\":%" PRIu64 ",\"tid\":%d,\"name\":\"L%d%s%s\"", trace->pid, level,
	        level, reason ? ": " : "", reason ? reason : "");
	print_time(trace, "ts", from);
	print_time(trace, "dur", to_ns(trace, end) - from);
	fputc('}', trace->out);
}

static void print_exit(struct trace *trace, const struct ledger_record *record, uint64_t at)
{
	separate(trace);
	fprintf(trace->out, "{\"ph\":\"i\",\"s\":\"t\",\"pid\":%" PRIu64 ",\"tid\":%u,\"name\":\"%s\",\"cat\":\"exit\"",
	        trace->pid, record->level, exit_reason_name(record->reason));
	print_time(trace, "ts", to_ns(trace, at));
	/* As text: JSON's numbers lose bits beyond 53. */
	fprintf(trace->out,
	        ",\"args\":{\"reason\":%u,\"detail\":\"0x%" PRIx64
	        "\",\"handler\":\"%s\",\"phase\":\"%s\",\"sample\":%u"
	        ",\"mark\":%s,\"entry_failure\":%s,\"enters_l2\":%s,\"guest_ticks\":%" PRIu32 ",\"l0_ticks\":%" PRIu32
	        "}}",
	        record->reason, record->detail, record->handler < 4 ? handlers[record->handler] : "?",
	        record->phase < 3 ? phases[record->phase] : "?", record->sample,
	        record->flags & LEDGER_FLAG_MARK ? "true" : "false",
	        record->flags & LEDGER_FLAG_ENTRY_FAILURE ? "true" : "false",
	        record->flags & LEDGER_FLAG_ENTERS_L2 ? "true" : "false", record->guest_ticks, record->l0_ticks);
}

static void print_record(struct trace *trace, const struct ledger_record *record)
{
	const uint64_t begin_tsc = record->tsc - record->guest_ticks;
	uint64_t begin, at;

	/* A later round of the cell may count from 0 again (virtual time): it is drawn behind the one before. */
	if (!trace->written || begin_tsc - trace->origin < trace->end || begin_tsc < trace->origin)
		trace->origin = begin_tsc - trace->end;
	begin = begin_tsc - trace->origin;
	at = begin + record->guest_ticks;
	print_slice(trace, record->level, begin, at, NULL);
	print_exit(trace, record, at);
	trace->end = at + record->l0_ticks;
	if (record->l0_ticks)
		print_slice(trace, 0, at, trace->end, exit_reason_name(record->reason));
	trace->written++;
}

static int print_records(void *context, const struct ledger_record *records, size_t count)
{
	struct trace *trace = context;

	for (size_t i = 0; i < count; i++) {
		if (trace->options->limit && trace->written >= trace->options->limit)
			return 1; /* no more: not an error */
		print_record(trace, &records[i]);
	}
	return ferror(trace->out) ? -EIO : 0;
}

static void print_name(struct trace *trace, const char *what, int tid, const char *name)
{
	separate(trace);
	fprintf(trace->out,
	        "{\"ph\":\"M\",\"pid\":%" PRIu64 ",\"tid\":%d,\"name\":\"%s\",\"args\":{\"name\":", trace->pid, tid,
	        what);
	print_string(trace->out, name);
	fputs("}}", trace->out);
}

/* The track's order in the process: L2 above L1 above L0. */
static void print_track(struct trace *trace, int level)
{
	static const char *const names[] = {"L0", "L1", "L2"};

	print_name(trace, "thread_name", level, names[level]);
	separate(trace);
	fprintf(trace->out,
	        "{\"ph\":\"M\",\"pid\":%" PRIu64
	        ",\"tid\":%d,\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%d}}",
	        trace->pid, level, 2 - level);
}

static const char *unit_of(const struct cell_result *result)
{
	if (result->instruction_clock || result->virtual_time)
		return "instructions";
	return result->tsc_khz ? "ns" : "ticks";
}

static int print_cell(struct trace *trace, struct reader *reader, const struct summary_row *row)
{
	const char *const unit = unit_of(trace->result);
	char name[256], title[320];
	int status;

	cell_name(&row->cell->cell, name, sizeof(name));
	snprintf(title, sizeof(title), "%s [%s]", name, unit);
	trace->pid = row->cell->number + 1; /* 0 is the idle process to some viewers */
	trace->written = trace->origin = trace->end = 0;
	print_name(trace, "process_name", 0, title);
	for (int level = cell_is_nested(&row->cell->cell) ? 2 : 1; level >= 0; level--)
		print_track(trace, level);
	status = reader_records(reader, row->index, print_records, trace);
	return status > 0 ? 0 : status;
}

static void print_other_data(FILE *out, struct reader *reader, const struct trace_options *options)
{
	struct run_info *info = calloc(1, sizeof(*info));

	fputs("\"otherData\":{\"time\":\"each cell begins at 0. Cells marked [ns]: TSC ticks as time. [instructions] "
	      "(virtual "
	      "time, the lab): one instruction is drawn as 1 ns; lengths are instructions, not time, and on machine "
	      "soft L0 "
	      "takes none. [ticks]: TSC of unknown frequency, one tick as 1 ns\"",
	        out);
	fprintf(out, ",\"first_exits_of_each_cell\":%" PRIu64, options->limit);
	if (info && !reader_run_info(reader, 0, info))
		for (uint32_t i = 0; i < info->pair_count; i++) {
			char key[RUN_KEY_BYTES + 8];

			snprintf(key, sizeof(key), "host.%s", info->pairs[i].key);
			fputc(',', out);
			print_string(out, key);
			fputc(':', out);
			print_string(out, info->pairs[i].value);
		}
	fputs("}", out);
	free(info);
}

int export_trace(FILE *out, struct reader *reader, const struct summary *summary, const struct trace_options *options,
        struct trace_left_out *left_out)
{
	struct trace trace = {.out = out, .options = options, .result = calloc(1, sizeof(*trace.result))};
	int status = trace.result ? 0 : -ENOMEM;

	*left_out = (struct trace_left_out){0};
	fputs("{\"displayTimeUnit\":\"ns\",", out);
	print_other_data(out, reader, options);
	fputs(",\n\"traceEvents\":[", out);
	for (size_t i = 0; i < summary->count && !status; i++) {
		const struct summary_row *row = &summary->rows[i];

		if (!row->cell->records || !compare_filter_matches(&options->filter, &row->cell->cell))
			continue;
		status = reader_result(reader, row->index, trace.result);
		if (status == -ENOENT)
			status = 0; /* no end: its clock is not known, and the trace says "ticks" */
		if (!status)
			status = print_cell(&trace, reader, row);
		left_out->shown++;
		left_out->cells += row->cell->records > trace.written;
		left_out->records += row->cell->records - trace.written;
	}
	fputs("\n]}\n", out);
	free(trace.result);
	return status;
}
