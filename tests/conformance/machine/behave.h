/* SPDX-License-Identifier: Apache-2.0 */
/** Helpers of the machine conformance tests: cells and guests run in this process, and what came of them. */
#ifndef TESTUDO_TESTS_CONFORMANCE_BEHAVE_H
#define TESTUDO_TESTS_CONFORMANCE_BEHAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "l0/l0.h"
#include "l0/vmm.h"

/** Print why on standard output and exit with 77 unless the machine runs on this host. */
void behave_need(const char *machine);

/** A cell's outcome with its ledger. */
struct behave_cell {
	struct cell cell;
	struct cell_result result;
	struct ledger_shared *shared;
	/** Exits of the measured phase without marks, by level and basic reason; and by handler. */
	uint64_t by_reason[3][128];
	uint64_t by_handler[3][4];
	uint64_t exits[3];
	uint64_t enters_l2;
	uint64_t ops;
};
/** Settings as "key=value key=value"; whatever is not named keeps its default. Ends the test on an unknown key. */
void behave_set(struct cell *cell, const char *settings);
/** Run and count. Free with behave_free. */
void behave_run(struct behave_cell *b, const char *settings);
void behave_free(struct behave_cell *b);

/** Boot the test guest as `behaviour` at a level. Returns what l0_boot returns; console gets what it printed. */
int behave_boot(const char *machine, unsigned level, const char *behaviour, char *console, size_t console_bytes,
        struct refusal *why);

/** Paths of the images, from the test's arguments. */
extern const char *behave_guest_path, *behave_l1_path;

/** Count a check; prints the sentence when it fails. */
void behave_check(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Exit status of the test: 0 when every check held. Prints how many there were. */
int behave_finish(void);

#endif
