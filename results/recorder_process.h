/* SPDX-License-Identifier: Apache-2.0 */
/** What the two sides of the recorder (recorder.c, recorder_process.c) share; not for others. */
#ifndef TESTUDO_RESULTS_RECORDER_PROCESS_H
#define TESTUDO_RESULTS_RECORDER_PROCESS_H

#include <stdatomic.h>
#include <stdint.h>

#include "results/cell.h"
#include "results/ledger.h"
#include "results/run_info.h"

enum recorder_message_type {
	RECORDER_BEGIN_RUN = 1,
	RECORDER_BEGIN_CELL,
	RECORDER_END_CELL,
	RECORDER_HOST,
	RECORDER_FINISH,
};

/** One packet each way; the body is in the mail. */
struct recorder_message {
	uint32_t type; /**< enum recorder_message_type; the acknowledgement repeats it */
	int32_t error; /**< acknowledgement: 0 or -errno of a write */
};

/** Shared memory beside the ring. The caller fills a body, sends the message and waits, so there is one writer. */
struct recorder_mail {
	_Atomic int32_t error; /**< set by the recorder as soon as a write failed, between messages too */
	char io[128];          /**< set before BEGIN_RUN is acknowledged */
	struct run_info info;
	struct cell cell;
	struct cell_result result;
	char end_reason[RUN_VALUE_BYTES]; /**< why the run is not complete; empty: it is */
};

/** What the child gets. */
struct recorder_process {
	int socket, fd;
	struct ledger_shared *ring;
	struct recorder_mail *mail;
	uint64_t offset;     /**< where the first frame goes */
	uint64_t first_cell; /**< number of the first cell */
};

/** The recorder's life; returns the exit status of its process: 0, or 1 after a failed write. */
int recorder_process_run(const struct recorder_process *given);

#endif
