/* SPDX-License-Identifier: Apache-2.0 */
/* The harness of the micro workloads: for each sample a control loop, then the measured loop, cut out by marks. */
#include "workload.h"

#define MSR_IA32_TIME_STAMP_COUNTER 0x10

bool workload_clock_by_msr;

static inline uint64_t clock_ticks(void)
{
	return workload_clock_by_msr ? cpu_rdmsr(MSR_IA32_TIME_STAMP_COUNTER) : cpu_rdtsc();
}

static void measure_part(
        enum testdev_mark begin, enum testdev_mark end, void (*loop)(uint64_t ops), uint64_t sample, uint64_t ops)
{
	io_mark(begin, sample, ops, 0);
	uint64_t from = clock_ticks();
	loop(ops);
	uint64_t to = clock_ticks();
	io_mark(end, sample, ops, to - from);
}

void workload_check_boot(const struct boot_info *info)
{
	if (info->magic != BOOT_INFO_MAGIC || info->version != BOOT_INFO_VERSION || info->size != sizeof(*info))
		print_and_end(TESTDEV_END_REFUSED,
		        "Boot info at %x has magic %x, version %u, size %u, not %x, %u, %u: this image and its L0 are "
		        "of "
		        "different builds.",
		        (unsigned long)info, (unsigned long)info->magic, (unsigned long)info->version,
		        (unsigned long)info->size, (unsigned long)BOOT_INFO_MAGIC, (unsigned long)BOOT_INFO_VERSION,
		        sizeof(*info));
}

void workload_measure(const struct workload *workload)
{
	uint64_t ops = workload_boot->ops_per_sample;
	uint64_t warmup = workload_boot->warmup_ops;

	if (workload->setup)
		workload->setup();
	if (workload->ops_limit) {
		uint64_t limit = workload->ops_limit();
		ops = ops < limit ? ops : limit;
		warmup = warmup < limit ? warmup : limit;
	}
	if (!ops || !workload_boot->samples)
		print_and_end(TESTDEV_END_REFUSED,
		        "Boot info asks for %u samples of %u operations: ask for at least one of each.",
		        workload_boot->samples, workload_boot->ops_per_sample);
	/* At least one operation, so that whatever the loops touch first has been touched before it counts. */
	workload->control(1);
	if (workload->before)
		workload->before();
	workload->measured(warmup ? warmup : 1);
	if (workload->after)
		workload->after(warmup ? warmup : 1);
	/* `before` may cost second-level mappings (the first-touch workloads' INVEPT). The control loop, which lies in
	 * the same pages as the measured one (guest.ld), brings back those that are not the measured loop's own. */
	for (uint64_t sample = 0; sample < workload_boot->samples; sample++) {
		if (workload->before)
			workload->before();
		measure_part(TESTDEV_MARK_CONTROL_BEGIN, TESTDEV_MARK_CONTROL_END, workload->control, sample, ops);
		measure_part(TESTDEV_MARK_SAMPLE_BEGIN, TESTDEV_MARK_SAMPLE_END, workload->measured, sample, ops);
		if (workload->after)
			workload->after(ops);
	}
	io_end(TESTDEV_END_OK);
}
