/* SPDX-License-Identifier: Apache-2.0 */
/**
 * EPT12: walking the second-level page tables L1 made for L2 (SDM vol. 3, 29.3).
 */
#ifndef TESTUDO_SHADOWVMCS_EPT12_H
#define TESTUDO_SHADOWVMCS_EPT12_H

#include <stdbool.h>
#include <stdint.h>

struct nested;

/* EPT entry bits, SDM vol. 3, 29.3.2.
 *  63        52 51            12 11 9  8 7  6  5:3  2 1 0
 * | ignored   | address          | ign D/A|PS|IPAT|MT |X W R|      (A = bit 8, D = bit 9, PS = bit 7, IPAT = bit 6)
 */
#define EPT_READ (1ull << 0)
#define EPT_WRITE (1ull << 1)
#define EPT_EXECUTE (1ull << 2)
#define EPT_RWX (EPT_READ | EPT_WRITE | EPT_EXECUTE)
#define EPT_MEMORY_TYPE_SHIFT 3
#define EPT_MEMORY_TYPE_WB 6ull
#define EPT_IPAT (1ull << 6)
#define EPT_LARGE (1ull << 7)
#define EPT_ACCESSED (1ull << 8)
#define EPT_DIRTY (1ull << 9)
#define EPT_EXECUTE_USER (1ull << 10)
#define EPT_ADDRESS_MASK 0x000ffffffffff000ull

/* EPTP, SDM vol. 3, 25.6.11. */
#define EPTP_MEMORY_TYPE_MASK 7ull
#define EPTP_WALK_4 (3ull << 3)
#define EPTP_WALK_MASK (7ull << 3)
#define EPTP_AD (1ull << 6)

/* Exit qualification for EPT violations, SDM vol. 3, table 28-7. */
#define EPT_VIOLATION_READ (1ull << 0)
#define EPT_VIOLATION_WRITE (1ull << 1)
#define EPT_VIOLATION_FETCH (1ull << 2)
#define EPT_VIOLATION_ALLOWED_SHIFT 3 /* bits 5:3: R, W, X of the translation */
#define EPT_VIOLATION_LINEAR_VALID (1ull << 7)
#define EPT_VIOLATION_TRANSLATED (1ull << 8) /* the access was to the translation, not to a paging-structure entry */
#define EPT_VIOLATION_NMI_UNBLOCKING (1ull << 12)

enum ept12_result {
	EPT12_MAPPED,
	EPT12_NOT_PRESENT, /**< or the access is not allowed: an EPT violation by EPT12 */
	EPT12_MISCONFIGURED,
	EPT12_TABLE_NOT_RAM, /**< a table entry points outside L1's memory */
};

struct ept12_walk {
	enum ept12_result result;
	uint64_t l1_gpa;    /**< translation of the address (MAPPED) */
	uint64_t page_size; /**< of the leaf (4096, 2 MiB, 1 GiB), or the reach of the entry that ended the walk (also
	                       512 GiB) */
	uint64_t allowed;   /**< EPT_RWX bits ANDed over the walk (0 when not present) */
	bool dirty;         /**< MAPPED: the leaf's dirty bit is set, or EPT12 keeps none (A/D not enabled in eptp12) */
	uint8_t levels;     /**< table entries read: page-walk references */
};

/**
 * Walk the EPT12 rooted at eptp12 for l2_gpa. `access` is the EPT_RWX bits the access needs: an access the entries do
 * not allow ends as EPT12_NOT_PRESENT with `allowed` telling what they do allow. With `access` 0 nothing is checked but
 * presence. With set_accessed_dirty, and A/D enabled in eptp12, accessed bits (and dirty for a write) are set in L1's
 * tables.
 */
void ept12_walk(struct nested *nested, uint64_t eptp12, uint64_t l2_gpa, uint64_t access, bool set_accessed_dirty,
        struct ept12_walk *walk);

/** What one table entry is, at a level (4 = PML4E ... 1 = PTE). */
enum ept12_entry { EPT12_ENTRY_NOT_PRESENT, EPT12_ENTRY_MISCONFIGURED, EPT12_ENTRY_TABLE, EPT12_ENTRY_LEAF };
enum ept12_entry ept12_classify(const struct nested *nested, uint64_t entry, unsigned level);

/** The table of 512 entries at an entry's (or EPTP's) address bits, in L1's memory; NULL when that is no RAM. */
uint64_t *ept12_table(const struct nested *nested, uint64_t entry);

/** Bytes of L2-physical memory one entry of a level reaches: 4 KiB, 2 MiB, 1 GiB, 512 GiB for level 1 to 4. */
static inline uint64_t ept12_reach(unsigned level)
{
	return 1ull << (12 + 9 * (level - 1));
}

/** SDM vol. 3, 27.2.1.1: is this EPTP valid for VM entry with the offered capabilities? */
bool ept12_eptp_valid(const struct nested *nested, uint64_t eptp12);

#endif
