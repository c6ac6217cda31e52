/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Differential test of ring-3 instructions: a case is one instruction and the state it meets; it is executed by the
 * soft CPU and by the host's, and everything that the SDM defines must be the same.
 *
 * Both sides see the same linear addresses:
 *
 *   ISA_CODE  two pages of INT3 with the instruction in them; the page after them is not mapped. What follows the
 *             instruction, and wherever a branch goes, is an INT3: so every case ends with an exception.
 *   ISA_DATA  two writable pages, a read-only page, a page that is not mapped
 *
 * isa_generate.c makes cases, isa_soft.c and isa_native.c execute them, isa_diff.c compares.
 */
#ifndef TESTUDO_TESTS_ISA_CASE_H
#define TESTUDO_TESTS_ISA_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISA_PAGE 4096ull
#define ISA_CODE 0x10000000ull
#define ISA_CODE_PAGES 2
#define ISA_DATA 0x20000000ull
#define ISA_WRITABLE_PAGES 2
#define ISA_DATA_PAGES 3
#define ISA_DATA_BYTES (ISA_DATA_PAGES * ISA_PAGE)
#define ISA_WRITABLE_BYTES (ISA_WRITABLE_PAGES * ISA_PAGE)
/** Branch targets in registers and memory lie here, where no instruction is ever put. */
#define ISA_TARGETS (ISA_CODE + 0x100)
#define ISA_TARGETS_BYTES 0x600
/** A case must end within so many instructions. */
#define ISA_INSTRUCTION_LIMIT 64

union isa_xmm {
	uint64_t u64[2];
	uint32_t u32[4];
};

struct isa_state {
	uint64_t gpr[16], rip, rflags;
	union isa_xmm xmm[16];
	uint32_t mxcsr;
	/* Of the exception that ended it; 0 in the state before. */
	uint8_t vector;
	uint32_t error; /**< #PF only */
	uint64_t cr2;   /**< #PF only */
};

struct isa_case {
	uint8_t code[16];
	uint8_t length;
	uint64_t seed; /**< what state and data were made from */
	struct isa_state before;
	/* What need not be the same afterwards. */
	uint64_t undefined_flags;
	bool undefined_destination; /**< BSF and BSR of 0: the registers are not compared */
	bool partial_memory;        /**< ENTER: what a fault leaves written is not defined */
	bool amd_branch_fault; /**< a near branch to a non-canonical address: AMD faults at the target, Intel before */
};

/** xorshift64*: the same cases on every host. */
static inline uint64_t isa_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

/** The contents of the data pages, from the seed. */
void isa_make_data(uint64_t seed, uint8_t data[ISA_DATA_BYTES]);

/** Choose an instruction. False: what came out is not to be compared; take the next seed. */
bool isa_generate(uint64_t seed, const uint8_t data[ISA_DATA_BYTES], struct isa_case *c);
/** The state for an instruction already in c->code and c->length. False as above. */
bool isa_make_state(uint64_t seed, const uint8_t data[ISA_DATA_BYTES], struct isa_case *c);
/** The instruction as text. */
void isa_text(const struct isa_case *c, char *text, size_t size);

/* ---- executors: the case is executed on the data pages as they are; data is where to look at them ---- */

/** 0, or -errno. */
int isa_soft_open(void);
void isa_soft_close(void);
uint8_t *isa_soft_data(void);
/** False: it does not end within ISA_INSTRUCTION_LIMIT instructions. */
bool isa_soft_execute(const struct isa_case *c, struct isa_state *after);

/** 0; -ENOTSUP where the host is not x86-64. */
int isa_native_open(void);
uint8_t *isa_native_data(void);
/** Fill all data pages, the read-only one too. */
void isa_native_fill(const uint8_t data[ISA_DATA_BYTES]);
void isa_native_execute(const struct isa_case *c, struct isa_state *after);

#endif
