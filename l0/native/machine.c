/* SPDX-License-Identifier: Apache-2.0 */
/* The native machine: samples of a macro workload in this process. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "l0/l0.h"
#include "l0/machine.h"
#include "l0/native/native.h"
#include "results/cell.h"
#include "workloads/macro/macro.h"

#define CALIBRATION_NS 10000000

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return now_ns();
#endif
}

/* Ticks in a millisecond, measured once: the processor does not say. */
static uint64_t ticks_khz(void)
{
	static uint64_t known;
	const uint64_t from_ns = now_ns(), from = ticks();
	uint64_t ns;

	if (known)
		return known;
	while ((ns = now_ns() - from_ns) < CALIBRATION_NS)
		;
	known = (ticks() - from) * 1000000 / ns;
	return known;
}

static int native_probe(struct refusal *why)
{
	(void)why;
	return 0;
}

static const struct macro *find(const char *workload)
{
	for (size_t i = 0; macro_table[i]; i++)
		if (!strcmp(macro_table[i]->name, workload))
			return macro_table[i];
	return NULL;
}

/* A call that does nothing: the control loop. */
static uint64_t run_nothing(uint64_t ops)
{
	return ops;
}

static uint64_t timed(uint64_t (*run)(uint64_t ops), uint64_t ops, uint64_t *checksum)
{
	uint64_t (*volatile opaque)(uint64_t) = run;
	const uint64_t from = ticks();

	*checksum = opaque(ops);
	return ticks() - from;
}

static int take_samples(
        const struct macro *macro, uint64_t samples, uint64_t ops, struct cell_result *result, struct refusal *why)
{
	uint64_t ignored;

	if (macro->prepare)
		macro->prepare();
	result->checksum = macro->run(1);
	result->have_checksum = true;
	for (uint64_t i = 0; i < samples && i < CELL_SAMPLES_MAX; i++) {
		struct cell_sample *sample = &result->samples[i];
		uint64_t checksum;

		*sample = (struct cell_sample){.ops = ops, .control_ops = ops};
		sample->control_ticks = timed(run_nothing, ops, &ignored);
		sample->ticks = timed(macro->run, ops, &checksum);
		result->sample_count = i + 1;
		if (checksum != result->checksum)
			return refuse(why, -EIO, "%s: one sample's checksum is %#" PRIx64 ", another's %#" PRIx64,
			        macro->name, result->checksum, checksum);
	}
	return 0;
}

/* sys_fail() comes back here. */
static int take_samples_or_sentence(
        const struct macro *macro, uint64_t samples, uint64_t ops, struct cell_result *result, struct refusal *why)
{
	if (setjmp(native_failed))
		return refuse(why, -EIO, "%s", native_sentence);
	return take_samples(macro, samples, ops, result, why);
}

static int run_native(
        const char *workload, uint64_t samples, uint64_t ops, struct cell_result *result, struct refusal *why)
{
	const struct macro *macro = find(workload);
	int error;

	if (!macro)
		return refuse(why, -ENOENT, "there is no macro workload %s", workload);
	result->sample_count = 0;
	result->tsc_khz = ticks_khz();
	result->instruction_clock = l0_instruction_clock();
	error = native_system_begin();
	if (error)
		refuse(why, error, "the host does not give a process what the workload needs: %s", strerror(-error));
	else
		error = take_samples_or_sentence(macro, samples, ops, result, why);
	native_system_end();
	return error;
}

const struct machine_ops machine_native = {.name = "native", .probe = native_probe, .run_native = run_native};
