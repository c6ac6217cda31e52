/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What a macro workload is, and the system it runs on: workloads/kernel in a guest (ring 3 under a small kernel), Linux
 * at level 0 (workloads/native). The same source file serves both.
 */
#ifndef TESTUDO_WORKLOADS_MACRO_H
#define TESTUDO_WORKLOADS_MACRO_H

#include <stdbool.h>
#include <stdint.h>

struct macro {
	const char *name; /**< as in macros.def */
	/** Once, before anything is measured. May be NULL. */
	void (*prepare)(void);
	/** Do `ops` operations, each the same. Returns the checksum of one: equal at every level, on every machine.
	 * Ends itself with sys_fail() when a result is wrong. */
	uint64_t (*run)(uint64_t ops);
};

/** All of them, in the order of macros.def; NULL ends the table. */
extern const struct macro *const macro_table[];

/** Two regions of memory that is not there before its first use; zeros then. Pages of 4 KiB and of 2 MiB. */
#define SYS_REGION_BYTES (8ull << 20)
uint8_t *sys_region(void);
uint8_t *sys_region_large(void);
/** Give pages of a region back. */
void sys_release(void *base, uint64_t bytes);

/** A system call that does nothing. */
void sys_null(void);
/** A new process with regions of its own; it runs when its parent waits. Returns its number. */
uint64_t sys_spawn(uint64_t (*entry)(uint64_t argument), uint64_t argument);
/** Wait for a process to return, and take its value. */
uint64_t sys_wait(uint64_t process);
/** Let another process run. */
void sys_yield(void);
/** Read `bytes` of the system's file (SYS_FILE_BYTES of it, the same everywhere) from `offset` on. */
#define SYS_FILE_BYTES 65536
void sys_read(void *to, uint64_t offset, uint64_t bytes);
/** One timer interrupt after about this many microseconds; sys_timer_count() tells how many came. */
void sys_timer_arm(uint64_t microseconds);
uint64_t sys_timer_count(void);
/** End with a sentence. */
void __attribute__((noreturn)) sys_fail(const char *sentence);

/** Content of the system's file. */
static inline uint8_t sys_file_byte(uint64_t offset)
{
	return (uint8_t)(offset * 2654435761u >> 24 ^ offset);
}

/** Checksums are built from 64-bit words by this step (FNV-1a on words). */
#define MACRO_HASH_START 0xcbf29ce484222325ull
static inline uint64_t macro_hash(uint64_t hash, uint64_t word)
{
	return (hash ^ word) * 0x100000001b3ull;
}

/** The bits of a double, for a checksum. */
static inline uint64_t macro_bits(double value)
{
	union {
		double value;
		uint64_t bits;
	} both = {value};

	return both.bits;
}

/** Deterministic numbers (xorshift64*). */
static inline uint64_t macro_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

#endif
