/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The ledger: one 32-byte record per VM exit, written by the vCPU thread into a ring in shared memory and drained by
 * the recorder process. Single producer, single consumer, no locks, no syscalls.
 */
#ifndef TESTUDO_RESULTS_LEDGER_H
#define TESTUDO_RESULTS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Who handled an exit. */
enum ledger_handler {
	LEDGER_BY_L0 = 0,     /**< L0 emulated it for the guest that exited (an L1 exit, or an L0-only L2 exit) */
	LEDGER_BY_L1 = 1,     /**< reflected to L1 */
	LEDGER_BY_ENGINE = 2, /**< a VMX instruction of L1, emulated by the engine */
	LEDGER_BY_EPT02 = 3,  /**< an L2 fault repaired from EPT12 alone */
};

/** Which part of the cell an exit belongs to. */
enum ledger_phase { LEDGER_SETUP = 0, LEDGER_CONTROL = 1, LEDGER_MEASURED = 2 };

enum {
	LEDGER_FLAG_ENTRY_FAILURE = 1, /**< bit 31 of the exit reason was set, or VMLAUNCH/VMRESUME failed a check */
	LEDGER_FLAG_MARK = 2,          /**< the exit is the workload's own mark, not part of what is measured */
	LEDGER_FLAG_ENTERS_L2 = 4,     /**< after this L1 exit L0 enters L2 (VMLAUNCH, VMRESUME that succeeded) */
};

/** One exit. Times are TSC ticks of L0 (retired instructions on a virtual-time machine); 32-bit ones saturate. */
struct ledger_record {
	uint64_t tsc;    /**< when L0 saw the exit */
	uint64_t detail; /**< exit qualification; VMREAD, VMWRITE: the field's encoding; RDMSR, WRMSR: the MSR; EPT: the
	                    address */
	uint32_t guest_ticks; /**< from L0's enter to the exit: switch, guest, switch */
	uint32_t l0_ticks;    /**< from the exit to L0's next enter: all L0 did for it (0 on a virtual-time machine) */
	uint16_t reason;      /**< basic exit reason, SDM vol. 3 appendix C */
	uint16_t sample;      /**< sample number within the phase */
	uint8_t level;        /**< level of the guest that exited */
	uint8_t handler;      /**< enum ledger_handler */
	uint8_t phase;        /**< enum ledger_phase */
	uint8_t flags;        /**< LEDGER_FLAG_* */
};
_Static_assert(sizeof(struct ledger_record) == 32, "half a cache line; FORMAT.md documents the columns");

#define LEDGER_MAGIC 0x4c445354u /* "TSDL" */
#define LEDGER_CACHE_LINE 64

/** The shared memory: this header, then `capacity` records. capacity is a power of two. */
struct ledger_shared {
	uint32_t magic;
	uint32_t record_bytes;
	uint64_t capacity;
	_Atomic uint32_t closed; /**< set when nobody drains any more: a waiting producer then drops instead */
	_Alignas(LEDGER_CACHE_LINE) _Atomic uint64_t head; /**< records published by the producer since start */
	_Atomic uint64_t dropped;                          /**< records not written because the ring was full */
	_Alignas(LEDGER_CACHE_LINE) _Atomic uint64_t tail; /**< records taken by the consumer */
	_Alignas(LEDGER_CACHE_LINE) struct ledger_record records[];
};

/** What the vCPU thread does when the ring is full. */
enum ledger_when_full {
	LEDGER_DROP, /**< count the record as dropped: never disturb what is measured */
	LEDGER_WAIT, /**< wait for the recorder: virtual-time machines, whose files must be bit-identical */
};

/** The producer's side; private to the vCPU thread. */
struct ledger {
	struct ledger_shared *shared; /**< NULL: nothing is recorded (record = off) */
	uint64_t head;                /**< private copy of shared->head */
	uint64_t tail_seen;           /**< last value read of shared->tail */
	uint64_t mask;
	enum ledger_when_full when_full;
	uint64_t counted; /**< records offered, whether written or dropped */
};

/** Bytes of a ring; 0: capacity is no power of two, or too large. */
size_t ledger_shared_bytes(uint64_t capacity);
/** A ring in anonymous memory that processes forked from here on share, initialised. 0; -EINVAL: capacity; -ENOMEM. */
int ledger_shared_map(struct ledger_shared **shared, uint64_t capacity);
void ledger_shared_unmap(struct ledger_shared *shared);
/** Memory of ledger_shared_bytes becomes an empty ring. */
void ledger_shared_init(struct ledger_shared *shared, uint64_t capacity);
/** Nobody drains any more (the recorder died). */
void ledger_shared_close(struct ledger_shared *shared);

/** Become the producer; goes on where the last one stopped. shared NULL: count only, record nothing. */
void ledger_attach(struct ledger *ledger, struct ledger_shared *shared, enum ledger_when_full when_full);

/** The slow path of ledger_write: look at the tail again, then wait or drop. False: dropped, and counted. */
bool ledger_full(struct ledger *ledger);

/** The consumer's side: records published and not yet taken, contiguous in memory (so a ring that wraps needs two
 * calls). 0 = none. */
size_t ledger_peek(const struct ledger_shared *shared, const struct ledger_record **records);
/** Give the first `count` of them back to the producer. */
void ledger_take(struct ledger_shared *shared, size_t count);

/** Publish one record. */
static inline void ledger_write(struct ledger *ledger, const struct ledger_record *record)
{
	struct ledger_shared *shared = ledger->shared;

	ledger->counted++;
	if (!shared)
		return;
	if (ledger->head - ledger->tail_seen > ledger->mask && !ledger_full(ledger))
		return;
	shared->records[ledger->head & ledger->mask] = *record;
	/* Release: the consumer that sees the new head must see the record's bytes. */
	atomic_store_explicit(&shared->head, ++ledger->head, memory_order_release);
}

#endif
