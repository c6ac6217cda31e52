/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Where the time of a nested round trip goes, from the ledger alone.
 *
 *            L2 exits (reflected)                            VMRESUME
 *   ── L2 run ──┤├── reflect ──┤├─ L1 ─┤├ own exit ┤├─ L1 ─┤├── merge ──┤├── next L2 run ──
 *    guest_ticks    l0_ticks    guest_   l0_ticks    guest_   l0_ticks
 *    of the L2 exit             ticks                ticks    of the exit with LEDGER_FLAG_ENTERS_L2
 *
 * guest_ticks run from L0's enter to the exit, so the switches between levels are part of "L2 run" and "L1".
 */
#ifndef TESTUDO_RESULTS_ROUNDTRIP_H
#define TESTUDO_RESULTS_ROUNDTRIP_H

#include <stddef.h>
#include <stdint.h>

#include "results/reader.h"

enum roundtrip_part {
	ROUNDTRIP_L2,       /**< switch L0 to L2, L2, switch L2 to L0 */
	ROUNDTRIP_REFLECT,  /**< L0: vmcs02 to vmcs12, and preparing to run L1 */
	ROUNDTRIP_L1,       /**< all of L1's segments, with their switches */
	ROUNDTRIP_L1_EXITS, /**< L0: exits of L1 while it handled the L2 exit, except the one that enters L2 */
	ROUNDTRIP_MERGE,    /**< L0: vmcs12 to vmcs02, and preparing to run L2 */
	ROUNDTRIP_TOTAL,
	ROUNDTRIP_PARTS
};
/** "L2", "reflect", "L1", "L1's exits", "merge", "total". */
const char *roundtrip_part_name(enum roundtrip_part part);

/** Per part, in ticks of the cell (see cell_result.virtual_time, tsc_khz). */
struct roundtrip_stats {
	uint64_t trips;     /**< complete ones in the measured phase, marks excluded */
	uint64_t broken;    /**< begun but not seen to their end (the cell or phase ended, records were dropped) */
	uint64_t median_of; /**< trips behind the medians: all, or every 2^n-th of very many */
	double l1_exits;    /**< mean number of L1's exits in a trip, the one that enters L2 included */
	double mean[ROUNDTRIP_PARTS];
	double median[ROUNDTRIP_PARTS];
	double q1[ROUNDTRIP_PARTS], q3[ROUNDTRIP_PARTS];
};

/** Round trips of a cell. 0 (trips may be 0) or -errno. */
int roundtrip_cell(struct roundtrip_stats *stats, struct reader *reader, size_t cell_index);

#endif
