/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The recorder: a process of its own that drains the ledger's ring, encodes the records and writes run.tdo.
 *
 *      run scheduler                      recorder process                    cell's process (forked per cell)
 *   recorder_start ───── fork ──────────▶ open, wait
 *   recorder_begin_run ─── message ─────▶ RUN frame
 *   recorder_begin_cell ── message ─────▶ drain, CELL frame                   ledger_attach(&ledger, recorder.ring, …)
 *         (forks the cell) ─────────────────────────────────────────────────▶ ledger_write … ledger_write
 *                                         drain, RECORDS frames ◀──────────── ring in shared memory
 *   recorder_end_cell ──── message ─────▶ drain, CELL_END frame, wait for the disk
 *   recorder_finish ────── message ─────▶ END frame, exit
 *
 * Each message is acknowledged only after the ring was drained, so a record belongs to the cell between whose begin
 * and end it was published. One thread of one process talks to the recorder; processes forked from it (the cells) only
 * write to the ring. They keep the message socket open, and that is wanted: when the scheduler is killed, the recorder
 * goes on draining until the last process that could publish is gone, then says so in the END frame.
 *
 * The recorder ignores SIGINT, SIGTERM, SIGHUP and SIGQUIT: it ends when its owners end, so that nothing is lost when a
 * terminal or a service manager signals the whole group.
 *
 * All functions return 0 or -errno, never print, never exit; recorder_error() is the sentence behind the last -errno.
 */
#ifndef TESTUDO_RESULTS_RECORDER_H
#define TESTUDO_RESULTS_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "results/cell.h"
#include "results/ledger.h"
#include "results/run_info.h"

/** Records in the ring when recorder_config.ring_records is 0: 8 MiB, 50 ms at 5 million exits a second. */
#define RECORDER_RING_RECORDS (1u << 18)

struct recorder_config {
	const char *path;      /**< the file to write, usually "<run>/run.tdo" */
	bool append;           /**< go on behind what a file holds (run --resume); false: the file must not exist */
	uint64_t ring_records; /**< capacity of the ring, a power of two; 0 = RECORDER_RING_RECORDS */
	struct ledger_shared *ring; /**< a ring in memory shared with the caller's children; NULL = make one */
};

struct recorder_mail;

struct recorder {
	struct ledger_shared *ring; /**< what cells attach to */
	pid_t pid;                  /**< the recorder's process; 0 once it was waited for */
	int socket;
	bool ring_ours; /**< made by recorder_start */
	struct recorder_mail *mail;
	uint64_t first_cell; /**< cells the file held before (append); the first cell of this session has this number */
	char path[256];
	char io[128];
	char error[512];
};

/**
 * Open the file and fork the recorder. -EEXIST: the file is there and append is false; -EINVAL: append to something
 * that is not a run file, or ring_records is no power of two; else what open, mmap, socketpair or fork said.
 * Fork only: call it before the process has threads.
 */
int recorder_start(struct recorder *recorder, const struct recorder_config *config);

/** Each waits for its acknowledgement. -EPIPE: the recorder is dead; -EPROTO: end without begin; otherwise the errno of
 * a failed write (-ENOSPC, -EIO, …), which every later call returns again. */
int recorder_begin_run(struct recorder *recorder, const struct run_info *info);
int recorder_begin_cell(struct recorder *recorder, const struct cell *cell);
int recorder_end_cell(struct recorder *recorder, const struct cell_result *result);
/** The host's state at this moment (the pairs of info alone), as often as wanted between begin_run and finish. */
int recorder_host(struct recorder *recorder, const struct run_info *info);

/** The run ends before it is complete: the END frame that recorder_finish() writes shall say why. */
void recorder_incomplete(struct recorder *recorder, const char *reason);
/** Write the END frame, sync the file, wait for the process and free everything; also after errors (then -errno). */
int recorder_finish(struct recorder *recorder);

/**
 * Is the recorder well? 0; -EPIPE: it died (the ring is closed, so that no producer waits for it any more); other
 * -errno: a write failed. Cheap (no message); for the scheduler's loop while a cell runs.
 */
int recorder_check(struct recorder *recorder);

/** The sentence behind the last -errno, for people. Valid after recorder_finish too. Never NULL. */
const char *recorder_error(const struct recorder *recorder);

/** "io_uring", or "pwrite (io_uring refused: Operation not permitted)". Known after recorder_begin_run. */
const char *recorder_io(const struct recorder *recorder);

#endif
