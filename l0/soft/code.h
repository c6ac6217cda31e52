/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Cached runs of decoded instructions.
 *
 * A run is a straight piece of code: up to SOFT_RUN_MAX instructions of one page, ended by a branch or by anything that
 * may change mode, translations or pending events. It is keyed by the host-physical address of its first byte and the
 * decoding mode, so L0, L1 and L2 share it, and a write to that memory by any of them drops it. memory->code_pages says
 * which pages have runs; every store asks it.
 *
 *   RIP --jump cache--> run                    while translations and code stand still (one compare)
 *   RIP --TLB--> host-physical --hash--> run   else
 *
 * An instruction that crosses a page belongs to no page: it is kept in a small table of its own and its bytes are
 * compared each time.
 */
#ifndef TESTUDO_L0_SOFT_CODE_H
#define TESTUDO_L0_SOFT_CODE_H

#include "decode.h"

#define SOFT_RUN_MAX 48

struct soft_run {
	uint64_t hpa; /**< of the first byte */
	struct soft_run *next_in_bucket, *next_in_page;
	uint16_t count;
	uint8_t mode; /**< enum soft_mode */
	struct soft_insn insn[];
};

#define SOFT_JUMP_ENTRIES 4096u

/** A different one means that RIP may lead elsewhere now. */
struct soft_jump_tag {
	uint64_t generation; /**< of the TLB */
	uint64_t epoch;      /**< of the code cache */
};

struct soft_jump {
	uint64_t rip;
	struct soft_jump_tag tag; /**< when the entry was made */
	struct soft_run *run;
};

struct soft_code_cache;

/** A new, empty cache; NULL when there is no memory. */
struct soft_code_cache *soft_code_create(void);
void soft_code_destroy(struct soft_code_cache *code);

/** The run at CS:RIP. Unwinds with #PF, #GP(0) or an EPT exit of the fetch. */
struct soft_run *soft_code_find(struct soft_cpu *cpu);

/** Forget which RIP leads to which run (CS or the mode changed). */
void soft_code_forget_jumps(struct soft_cpu *cpu);

/** Read up to `size` code bytes at linear address `linear` for a message; returns how many could be read. Never
 * faults: bytes that no cached translation leads to are left out. */
size_t soft_code_peek(struct soft_cpu *cpu, uint64_t linear, uint8_t *bytes, size_t size);

#endif
