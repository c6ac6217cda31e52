/* SPDX-License-Identifier: Apache-2.0 */
/**
 * L0 as others use it: run one cell, boot one stack, ask what this host can run.
 */
#ifndef TESTUDO_L0_L0_H
#define TESTUDO_L0_L0_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "l0/machine.h"
#include "results/cell.h"
#include "results/ledger.h"

/**
 * Run `cell` in this process and fill in `result`; status and reason say how it went. Blocks. The caller isolates it (a
 * process per cell) and ends it when it hangs. Never prints.
 */
void l0_run_cell(const struct cell *cell, struct ledger *ledger, struct cell_result *result);

/** Does the host's TSC count instructions? So in the lab, whose kernel's command line says it (lab/image.sh). */
bool l0_instruction_clock(void);

/** Could this cell run here? 0, or -errno with the sentence for "not available: ...". Cheap. */
int l0_check_cell(const struct cell *cell, struct refusal *why);

#define BOOT_MODULES 4
struct boot_options {
	const char *machine;
	const char *image;    /**< path of the L1 (or foreign) image: ELF64 own image, or multiboot ELF32/ELF64 */
	const char *l2_image; /**< path of the L2 image for an own L1; NULL = none */
	const char *append;   /**< command line for a multiboot image; NULL = none */
	/** Modules of a multiboot image, each "PATH" or "PATH ARGUMENTS"; none: the environment text of test kernels.
	 */
	const char *modules[BOOT_MODULES];
	unsigned module_count;
	uint64_t memory_bytes;
	uint64_t instruction_limit; /**< soft: stop after so many retired instructions; 0 = none */
	FILE *console;              /**< where guest console output goes */
	bool trace;                 /**< print each exit to stderr, one line */
};
/**
 * Boot an image with its console. Returns the guest's exit status (0-255: the value written to the test device, or to
 * the debug-exit port 0xf4), or -errno with the reason.
 */
int l0_boot(const struct boot_options *options, struct refusal *why);

#endif
