/* SPDX-License-Identifier: Apache-2.0 */
/**
 * One cell in a process of its own: whatever a guest does to L0 ends there.
 */
#ifndef TESTUDO_CLI_CELL_PROCESS_H
#define TESTUDO_CLI_CELL_PROCESS_H

#include <signal.h>

#include "results/cell.h"
#include "results/recorder.h"

/** Called about ten times a second while the cell runs. */
typedef void cell_tick_fn(void *ctx);

/** Memory for a result that a child process fills in; NULL when there is none. */
struct cell_result *cell_result_share(void);
void cell_result_unshare(struct cell_result *result);

/**
 * Run `cell` in a child and wait for it. `result` (from cell_result_share) then says how it went: a child that died,
 * hung longer than the cell's timeout or lost its recorder is CELL_FAILED with the reason. *stop: set from a signal
 * handler to end the cell early (CELL_FAILED, "interrupted"). recorder may be NULL. 0, or -errno when no child could be
 * made.
 */
int cell_process_run(const struct cell *cell, struct recorder *recorder, struct cell_result *result,
        volatile sig_atomic_t *stop, cell_tick_fn *tick, void *ctx);

#endif
