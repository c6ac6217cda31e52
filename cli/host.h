/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What there is to say about the host a run was made on. Goes into run.tdo and into `testudo doctor`.
 */
#ifndef TESTUDO_CLI_HOST_H
#define TESTUDO_CLI_HOST_H

#include "results/run_info.h"

/** Describe: testudo, date, kernel, cpu, cpus, memory, virtual, kvm, nested, clocksource, and host_state(). Unknown
 * ones are left out. */
void host_describe(struct run_info *info);

/** The state of the host at this moment, part of what host_describe() tells: results/FORMAT.md, HOST, has the keys. */
void host_state(struct run_info *info);

/** CPU time of this process and of its children that ended: how much of the host's was the run's own. */
void host_own_time(struct run_info *info);

/** Can this process use io_uring? 0 or -errno. */
int host_probe_io_uring(void);
/** Path of gnuplot in PATH (TESTUDO_GNUPLOT replaces it), or NULL. */
const char *host_find_gnuplot(void);

#endif
