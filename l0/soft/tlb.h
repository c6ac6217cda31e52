/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Cached translations of the soft CPU (SDM vol. 3, 4.10 and 29.4).
 *
 * A *context* holds the combined mappings of one EPT root, VPID and PCID under one setting of the control bits that
 * decide rights (CR0.PG/WP, CR4.PSE/PAE/PGE/SMEP/SMAP/PCIDE, EFER.LMA/NXE). Each context has two direct-mapped tables:
 * one for CPL < 3 and one for CPL 3. cpu->tlb_fast points to the table in force, so VM entries and exits, MOV CR3 with
 * PCIDs and changes of CPL switch tables instead of emptying them.
 *
 * An entry's tags are linear page addresses, one per kind of access: a tag is there only when that access needs no
 * further work (rights are there, accessed and dirty flags are set in the guest's tables and in the EPT, no
 * modification log entry is due). Everything else goes through mmu.c.
 */
#ifndef TESTUDO_L0_SOFT_TLB_H
#define TESTUDO_L0_SOFT_TLB_H

#include <string.h>

#include "cpu.h"

#define SOFT_TLB_BITS 9
#define SOFT_TLB_ENTRIES (1u << SOFT_TLB_BITS)
#define SOFT_TLB_CONTEXTS 16
#define SOFT_PAGE_MASK (~0xfffull)
/** A tag that no page has. */
#define SOFT_TLB_INVALID (~0ull)

struct soft_tlb_entry {
	uint64_t read, write, fetch; /**< linear page address, or SOFT_TLB_INVALID */
	uintptr_t addend;            /**< host pointer = linear address + addend (modulo 2^64) */
};

/** Fast lookups for `size` bytes that do not cross a page, at the current CPL; NULL: take the slow path (soft_read,
 * soft_write, soft_translate_fetch). */
static inline uint8_t *soft_tlb_lookup_read(const struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	const struct soft_tlb_entry *entry = &cpu->tlb_fast[(linear >> 12) % SOFT_TLB_ENTRIES];

	if (__builtin_expect(entry->read != (linear & SOFT_PAGE_MASK) || (linear & 0xfff) > 4096 - size, 0))
		return NULL;
	return (uint8_t *)(uintptr_t)(linear + entry->addend);
}

/** Also NULL when decoded code was cached from the page: the slow path drops it. */
static inline uint8_t *soft_tlb_lookup_write(const struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	const struct soft_tlb_entry *entry = &cpu->tlb_fast[(linear >> 12) % SOFT_TLB_ENTRIES];
	uint8_t *host;

	if (__builtin_expect(entry->write != (linear & SOFT_PAGE_MASK) || (linear & 0xfff) > 4096 - size, 0))
		return NULL;
	host = (uint8_t *)(uintptr_t)(linear + entry->addend);
	if (__builtin_expect(cpu->memory->code_pages[(uint64_t)(host - cpu->memory->base) >> 12], 0))
		return NULL;
	return host;
}

/** Host-physical address of the code byte at `linear`, or ~0: take soft_translate_fetch. */
static inline uint64_t soft_tlb_lookup_fetch(const struct soft_cpu *cpu, uint64_t linear)
{
	const struct soft_tlb_entry *entry = &cpu->tlb_fast[(linear >> 12) % SOFT_TLB_ENTRIES];

	if (__builtin_expect(entry->fetch != (linear & SOFT_PAGE_MASK), 0))
		return ~0ull;
	return (uint64_t)((uint8_t *)(uintptr_t)(linear + entry->addend) - cpu->memory->base);
}

/** Data accesses of instructions at the current CPL; size is 1, 2, 4 or 8. Unwind as soft_read and soft_write do. */
static inline uint64_t soft_load(struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	const uint8_t *host = soft_tlb_lookup_read(cpu, linear, size);
	uint64_t value = 0;

	if (__builtin_expect(!host, 0))
		return soft_read(cpu, linear, size);
	memcpy(&value, host, size);
	return value;
}

static inline void soft_store(struct soft_cpu *cpu, uint64_t linear, unsigned size, uint64_t value)
{
	uint8_t *host = soft_tlb_lookup_write(cpu, linear, size);

	if (__builtin_expect(!host, 0)) {
		soft_write(cpu, linear, size, value);
		return;
	}
	memcpy(host, &value, size);
}

/** What a context's mappings hold for. */
struct soft_tlb_key {
	uint64_t eptp; /**< EPT root and A/D enable; 0 = no EPT */
	uint32_t mode; /**< SOFT_TLB_MODE_*: control bits that decide rights */
	uint16_t vpid;
	uint16_t pcid;
};

/** Beside each entry, for the flushes. */
struct soft_tlb_info {
	uint8_t page_shift; /**< of the guest's page: 12, 21, 22, 30; the combined mapping is always of 4 KiB */
	uint8_t global;
};

struct soft_tlb_table {
	struct soft_tlb_entry entry[SOFT_TLB_ENTRIES];
	struct soft_tlb_info info[SOFT_TLB_ENTRIES];
	uint64_t used[SOFT_TLB_ENTRIES / 64]; /**< entries a flush must look at */
	uint64_t version;                     /**< see soft_tlb.generation */
};

struct soft_tlb_context {
	bool valid;
	struct soft_tlb_key key;
	uint64_t last_used;
	struct soft_tlb_table table[2]; /**< supervisor, user */
};

/**
 * Guest-physical mappings (SDM vol. 3, 29.4.1): what walks of one EPT found, for the accesses of later walks of guest
 * tables. Flushes of linear translations leave them, INVEPT does not.
 */
#define SOFT_GPA_ENTRIES 512
#define SOFT_GPA_CACHES 4
struct soft_gpa_entry {
	uint64_t page;  /**< guest-physical page address, or SOFT_TLB_INVALID */
	uint8_t *host;  /**< L0's pointer to it */
	uint8_t rights; /**< enum soft_access bits that need no further look at the EPT */
	uint8_t levels; /**< entries a walk reads: cached or not, they count as references */
};
struct soft_gpa_cache {
	uint64_t eptp; /**< 0 = free */
	uint64_t last_used;
	struct soft_gpa_entry entry[SOFT_GPA_ENTRIES];
};

struct soft_tlb {
	struct soft_tlb_context *current;
	struct soft_gpa_cache *gpa; /**< of the EPT in force; NULL without EPT */
	/** Identifies the table in force and the translations withdrawn from it so far. When it has a value it had
	 * before, a linear code address leads to the same host-physical byte as then, with the same right to fetch:
	 * going back to a table no one flushed gives its old value back. */
	uint64_t generation;
	uint64_t clock;
	uint64_t versions;           /**< the last value given out */
	struct soft_tlb_table empty; /**< in force when no access may take the fast path */
	struct soft_tlb_context context[SOFT_TLB_CONTEXTS];
	struct soft_gpa_cache gpa_cache[SOFT_GPA_CACHES];
};

/** A new, empty TLB; NULL when there is no memory. */
struct soft_tlb *soft_tlb_create(void);
void soft_tlb_destroy(struct soft_tlb *tlb);

/** Enter a 4 KiB translation for `access` (enum soft_access bits) into the current context. */
void soft_tlb_fill(struct soft_cpu *cpu, uint64_t linear, uint8_t *host_page, unsigned access, bool user,
        unsigned page_shift, bool global);

/** The table of the current context for accesses as user or supervisor, whatever the CPL. */
struct soft_tlb_table *soft_tlb_table(struct soft_cpu *cpu, bool user);

#endif
