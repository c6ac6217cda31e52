/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google Benchmark's layout ("context" and "benchmarks"), for compare.py and other tools that read it. Each sample is a
 * repetition. The layout knows units of time alone: instructions are given as ns, and label says so.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/export.h"

/* "soft level 2 cpuid vmcs=trap" is "soft/level:2/cpuid/vmcs:trap": names of that kind are Google Benchmark's own. */
static void benchmark_name(const struct cell *cell, char *text, size_t bytes)
{
	char name[256];
	char *level, *write = text;

	cell_name(cell, name, sizeof(name));
	level = strstr(name, " level ");
	if (level)
		level[6] = '=';
	for (const char *read = name; *read && write < text + bytes - 1; read++)
		*write++ = (char)(*read == ' ' ? '/' : *read == '=' ? ':' : *read);
	*write = 0;
}

json_t *export_benchmark_context(const struct run_info *info)
{
	const char *date = run_info_get(info, "date"), *cpus = run_info_get(info, "cpus");
	const char *load = run_info_get(info, "load"), *mhz = run_info_get(info, "mhz");
	const char *governor = run_info_get(info, "governor");
	json_t *context = json_object(), *loads = json_array();

	json_object_set_new(context, "date", json_string(date ? date : ""));
	json_object_set_new(context, "host_name", json_string("unknown"));
	json_object_set_new(context, "executable", json_string("testudo"));
	json_object_set_new(context, "num_cpus", json_integer(cpus ? strtol(cpus, NULL, 10) : 0));
	json_object_set_new(context, "mhz_per_cpu", json_integer(mhz ? strtol(mhz, NULL, 10) : 0));
	json_object_set_new(context, "cpu_scaling_enabled", json_boolean(governor && strcmp(governor, "performance")));
	json_object_set_new(context, "caches", json_array());
	for (char *end; load; load = end) {
		double value = strtod(load, &end);

		if (end == load)
			break;
		json_array_append_new(loads, json_real(value));
	}
	json_object_set_new(context, "load_avg", loads);
	json_object_set_new(context, "library_build_type", json_string("release"));
	return context;
}

struct benchmark {
	char name[256], label[96];
	size_t repetitions;
	double to_ns; /* of one tick */
	bool time;
};

/* Neither: a figure that is no time is not given as CPU time of its own. */
static json_t *entry(const struct benchmark *benchmark, const char *suffix, const char *run_type, double cost)
{
	json_t *json = json_object();
	char name[300];

	snprintf(name, sizeof(name), "%s%s", benchmark->name, suffix);
	json_object_set_new(json, "name", json_string(name));
	json_object_set_new(json, "run_name", json_string(benchmark->name));
	json_object_set_new(json, "run_type", json_string(run_type));
	json_object_set_new(json, "repetitions", json_integer((json_int_t)benchmark->repetitions));
	json_object_set_new(json, "threads", json_integer(1));
	json_object_set_new(json, "real_time", json_real(cost));
	json_object_set_new(json, "cpu_time", json_real(cost));
	json_object_set_new(json, "time_unit", json_string("ns"));
	json_object_set_new(json, "label", json_string(benchmark->label));
	return json;
}

static void add_aggregate(
        json_t *benchmarks, const struct benchmark *benchmark, const char *name, double cost, const char *unit)
{
	char suffix[24];
	json_t *json;

	if (!isfinite(cost))
		return;
	snprintf(suffix, sizeof(suffix), "_%s", name);
	json = entry(benchmark, suffix, "aggregate", cost);
	json_object_set_new(json, "aggregate_name", json_string(name));
	json_object_set_new(json, "aggregate_unit", json_string(unit));
	json_object_set_new(json, "iterations", json_integer((json_int_t)benchmark->repetitions));
	json_array_append_new(benchmarks, json);
}

void export_benchmark_add(json_t *benchmarks, const struct summary_row *row)
{
	const struct cell_stats *stats = &row->stats;
	const size_t n = stats->op.n;
	struct benchmark benchmark = {.repetitions = n, .to_ns = 1};
	double squares = 0, deviation;

	if (!row->have_cost || row->cell->status != CELL_OK)
		return;
	benchmark_name(&row->cell->cell, benchmark.name, sizeof(benchmark.name));
	benchmark.time = !strcmp(row->unit, "cycles") && row->tsc_khz;
	if (benchmark.time) {
		benchmark.to_ns = 1e6 / (double)row->tsc_khz;
		snprintf(benchmark.label, sizeof(benchmark.label), "control loop subtracted");
	} else
		snprintf(benchmark.label, sizeof(benchmark.label), "%s, not ns; control loop subtracted", row->unit);
	for (size_t i = 0; i < n; i++) {
		json_t *json = entry(&benchmark, "", "iteration", stats->values[i] * benchmark.to_ns);

		json_object_set_new(json, "repetition_index", json_integer((json_int_t)i));
		json_object_set_new(json, "iterations", json_integer((json_int_t)(stats->ops / n)));
		json_object_set_new(json, row->unit, json_real(stats->values[i]));
		json_array_append_new(benchmarks, json);
		squares += (stats->values[i] - stats->op.mean) * (stats->values[i] - stats->op.mean);
	}
	/* Google Benchmark's stddev is the sample's (n - 1), and 0 for one repetition. */
	deviation = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
	add_aggregate(benchmarks, &benchmark, "mean", stats->op.mean * benchmark.to_ns, "time");
	add_aggregate(benchmarks, &benchmark, "median", stats->op.median * benchmark.to_ns, "time");
	add_aggregate(benchmarks, &benchmark, "stddev", deviation * benchmark.to_ns, "time");
	if (stats->op.mean > 0)
		add_aggregate(benchmarks, &benchmark, "cv", deviation / stats->op.mean, "percentage");
}
