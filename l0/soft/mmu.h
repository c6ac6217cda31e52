/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Translation in two steps, shared by mmu.c (accesses), paging.c (linear -> guest-physical) and ept.c
 * (guest-physical -> host-physical).
 */
#ifndef TESTUDO_L0_SOFT_MMU_H
#define TESTUDO_L0_SOFT_MMU_H

#include "internal.h"

/** Who accesses (SDM vol. 3, 4.6.1). */
struct soft_access_kind {
	enum soft_access access;
	bool user;     /**< a user-mode access: explicit, at CPL 3 */
	bool implicit; /**< an implicit supervisor-mode access: RFLAGS.AC does not lift SMAP */
};

struct soft_mapping {
	uint64_t gpa;    /**< of the byte at the linear address */
	unsigned rights; /**< enum soft_access bits that need no further look at the guest's tables */
	uint8_t page_shift;
	bool global;
};

/** Walk the guest's tables, set accessed and dirty flags. Unwinds with #PF or an EPT exit. */
void soft_paging_walk(
        struct soft_cpu *cpu, const struct soft_access_kind *kind, uint64_t linear, struct soft_mapping *mapping);

/** PAE paging: load the four PDPTEs from `cr3` (SDM vol. 3, 4.4.1). False: a reserved bit is set (#GP). */
bool soft_paging_load_pdptes(struct soft_cpu *cpu, uint64_t cr3);

/** What an EPT violation reports of an access beside its address. */
struct soft_gpa_access {
	unsigned access;   /**< enum soft_access bits */
	bool linear_valid; /**< bit 7 of the qualification */
	bool translated;   /**< bit 8: the access itself, not one to a paging structure */
	uint64_t linear;
};

/**
 * L0's pointer to the byte at gpa; *rights gets the accesses that need no further look at the EPT. NULL: the page is
 * the one L0 completes an MMIO access to. Unwinds with an EPT violation, misconfiguration or page-modification-log
 * exit.
 */
uint8_t *soft_ept_translate(struct soft_cpu *cpu, uint64_t gpa, const struct soft_gpa_access *access, unsigned *rights);

/** Write at the privilege level an event is delivered to. */
void soft_write_as(struct soft_cpu *cpu, uint64_t linear, const void *buffer, unsigned size, bool user);

/** soft_translate for any kind of access, past the TLB. */
uint8_t *soft_translate_as(struct soft_cpu *cpu, const struct soft_access_kind *kind, uint64_t linear);

#endif
