/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The run of fuzz_engine.c as its requirements (fuzz_engine_require.c) see it. Each aborts when it does not hold.
 */
#ifndef TESTUDO_TESTS_FUZZ_FUZZ_ENGINE_H
#define TESTUDO_TESTS_FUZZ_FUZZ_ENGINE_H

#include <stdbool.h>

#include "tests/unit/shadowvmcs/fixture.h"

struct engine_run {
	struct fixture *f;
	struct nested *nested;
	/** The machine leaves only what a processor could in vmcs02, so checks that held go on holding. */
	bool tame;
	/** L1 has written its memory by hand, perhaps the mask of fields that are still in the machine: which of those
	 * it gets back is then its own affair. */
	bool scribbled;
	struct vmcs first01; /**< vmcs01 as L0 made it for this run */
};

/** vmcs02: host state, L0's controls, bitmaps, lists and VPID, EPT02. */
void require_l0s_part(const struct engine_run *run);

/** Incremental checks let through only what all checks let through. */
void require_all_checks(const struct engine_run *run);

/** An incremental merge leaves what a whole one makes. False: not comparable, an MSR list was loaded after the merge.
 */
bool require_same_as_whole_merge(const struct engine_run *run);

/** After an exit or a failed entry L1 goes on at the host state of vmcs12. */
void require_l1_at_host_state(const struct engine_run *run);

/** vmcs01's controls and host state are L0's whatever L1 does; only windows, shadowing and L1's mode change. */
void require_vmcs01(const struct engine_run *run);

#endif
