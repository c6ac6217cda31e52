/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Stamps: TSC readings inside one nested round trip, some by L0, some by L1 and L2 (struct boot_stamps), joined into
 * the parts of the trip. Only where every level's RDTSC gives L0's clock (machine.tsc_is_clock): nothing is estimated.
 *
 *   L2 before   L0 exit   L0 enter L1   L1 begin   L1 end   L0 exit   L0 enter L2   L2 after
 *      |---l2_to_l0--|--reflect--|--l0_to_l1--|-handler-|-l1_to_l0-|---merge---|--l0_to_l2--|
 */
#ifndef TESTUDO_L0_STAMPS_H
#define TESTUDO_L0_STAMPS_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/boot_info.h"
#include "results/cell.h"
#include "results/ledger.h"

/* Trips kept for the medians. When there are more, every second one is forgotten and from then on only every second one
 * kept, and so on. */
#define STAMPS_KEPT_MAX 2048

struct stamps {
	const struct boot_info *l1, *l2; /**< in guest memory */
	enum { STAMPS_IDLE, STAMPS_IN_L1, STAMPS_IN_L2 } state;
	uint64_t l2_before, l2_exit, enter_l1, l1_begin, l1_end, l1_exit, enter_l2;
	uint64_t count, sum[STAMP_PARTS]; /**< over complete trips */
	uint64_t kept_count, stride, to_skip;
	uint64_t kept[STAMP_PARTS][STAMPS_KEPT_MAX];
};

/** An exit was recorded; L0 enters the next guest at clock value `entered`. */
void stamps_note(struct stamps *stamps, const struct ledger_record *record, uint64_t entered);

/** Count, sums and medians. Sorts what was kept. */
void stamps_result(struct stamps *stamps, struct cell_result *result);

#endif
