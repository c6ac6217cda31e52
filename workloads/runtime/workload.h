/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What a micro workload is: one file micro/<name>.c that defines one struct workload.
 *
 * The harness (measure.c) runs, for each sample, the control loop and then the measured loop. Both run the same code
 * but for the instruction under test, so that the difference of their ticks is that instruction's cost alone.
 */
#ifndef TESTUDO_WORKLOADS_WORKLOAD_H
#define TESTUDO_WORKLOADS_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/boot_info.h"
#include "abi/sites.h"
#include "io.h"
#include "print.h"

struct workload {
	const char *name; /**< as in workloads.def */
	/** Once, before anything is measured: prepare, and check by one operation that the right one answers. May be
	 * NULL. Ends the guest itself when something is wrong. */
	void (*setup)(void);
	/** Before each sample's control loop, outside both measured parts. May be NULL. */
	void (*before)(void);
	void (*control)(uint64_t ops);
	void (*measured)(uint64_t ops);
	/** After each measured loop, outside the measured part: check what it did. May be NULL. */
	void (*after)(uint64_t ops);
	/** Most operations one sample can do, known after setup; NULL = no limit. */
	uint64_t (*ops_limit)(void);
};

/** Puts a struct workload into the image's table: `WORKLOAD_DEFINE(pio) = {.name = "pio", ...};` */
#define WORKLOAD_DEFINE(identifier)                                                                                    \
	static const struct workload workload_##identifier                                                             \
	        __attribute__((section(".testudo.workloads"), used, aligned(8)))

/* The table, as the linker script collects it. */
extern const struct workload __workloads_begin[], __workloads_end[];

/** This image's boot info, and the level it runs at (1, 2, ...). */
extern struct boot_info *workload_boot;
extern unsigned workload_level;

/**
 * True: the harness reads its clock by RDMSR of IA32_TIME_STAMP_COUNTER, which "RDTSC exiting" leaves alone. Set by the
 * rdtsc workload, whose own clock readings would otherwise be operations, too.
 */
extern bool workload_clock_by_msr;

/** Ends the guest when the boot info is not of this build. */
void workload_check_boot(const struct boot_info *info);

/** Run the workload boot info names: samples, marks, checks. Does not return. */
void __attribute__((noreturn)) workload_measure(const struct workload *workload);

/** The loop of most workloads. `operation` is a static inline function known at compile time; with BOOT_FLAG_STAMPS
 *  each operation stands between two time stamps. */
static inline __attribute__((always_inline)) void workload_loop(uint64_t ops, void (*operation)(void))
{
	if (!(workload_boot->flags & BOOT_FLAG_STAMPS)) {
		for (; ops; ops--)
			operation();
		return;
	}
	struct boot_stamps *stamps = &workload_boot->stamps;
	for (; ops; ops--) {
		*(volatile uint64_t *)&stamps->l2_before = cpu_rdtsc();
		operation();
		*(volatile uint64_t *)&stamps->l2_after = cpu_rdtsc();
	}
}

#endif
