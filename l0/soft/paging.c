/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's own paging (SDM vol. 3, chapter 4): 4-level, PAE and 32-bit. Each entry's guest-physical address goes
 * through the EPT, so one walk of four levels reads up to 24 entries.
 */
#include "mmu.h"

#include <string.h>

struct entry {
	uint8_t *host; /**< where it is */
	uint64_t gpa;
	uint64_t value;
};

struct walk {
	struct soft_cpu *cpu;
	const struct soft_access_kind *kind;
	uint64_t linear;
	struct entry entry[4];
	unsigned depth;
	unsigned entry_bytes; /**< 8, or 4 with 32-bit paging */
	/* ANDed or ORed over the entries. */
	bool user, writable, execute_disable;
};

_Noreturn static void fault(const struct walk *walk, uint32_t error)
{
	const struct soft_cpu *cpu = walk->cpu;

	if (walk->kind->access == SOFT_WRITE)
		error |= PF_WRITE;
	if (walk->kind->user)
		error |= PF_USER;
	/* 4.7: the I/D flag is reported only where fetches can be told apart. */
	if (walk->kind->access == SOFT_FETCH &&
	        ((cpu->cr4 & CR4_SMEP) || ((cpu->cr4 & CR4_PAE) && (cpu->efer & EFER_NXE))))
		error |= PF_FETCH;
	soft_page_fault(walk->cpu, walk->linear, error);
}

/** With A/D flags in the EPT, reads of paging structures count as writes to their pages (29.3.3.2). */
static unsigned structure_access(const struct soft_cpu *cpu)
{
	return cpu->eptp & EPTP_AD ? SOFT_READ | SOFT_WRITE : SOFT_READ;
}

static uint64_t read_entry(struct walk *walk, uint64_t gpa)
{
	struct soft_cpu *cpu = walk->cpu;
	const struct soft_gpa_access access = {
	        .access = structure_access(cpu), .linear_valid = true, .linear = walk->linear};
	struct entry *entry = &walk->entry[walk->depth++];
	unsigned rights;

	entry->gpa = gpa;
	entry->host = soft_ept_translate(cpu, gpa, &access, &rights);
	entry->value = 0;
	memcpy(&entry->value, entry->host, walk->entry_bytes);
	if (cpu->eptp)
		cpu->walk_references_2d++;
	else
		cpu->walk_references_1d++;
	if (!(entry->value & PTE_PRESENT))
		fault(walk, 0);
	return entry->value;
}

static void accumulate(struct walk *walk, uint64_t value)
{
	walk->user = walk->user && (value & PTE_USER);
	walk->writable = walk->writable && (value & PTE_WRITE);
	walk->execute_disable = walk->execute_disable || (value & PTE_NX);
}

static void check_reserved(const struct walk *walk, uint64_t value, uint64_t reserved)
{
	if (!(walk->cpu->efer & EFER_NXE) && walk->entry_bytes == 8)
		reserved |= PTE_NX;
	if (value & reserved)
		fault(walk, PF_PRESENT | PF_RESERVED);
}

/** Levels of 9 bits from `level` down; returns the guest-physical address and the page's size. */
static uint64_t walk_8_byte(struct walk *walk, uint64_t table, unsigned level, uint64_t reserved, unsigned *shift)
{
	for (;; level--) {
		const unsigned position = 12 + 9 * (level - 1);
		const uint64_t value = read_entry(walk, table + (walk->linear >> position & 511) * 8);
		const bool leaf = level == 1 || (level <= 3 && (value & PTE_LARGE));
		uint64_t bad = reserved;

		if (level == 4)
			bad |= PTE_LARGE;
		if (leaf && level > 1)
			bad |= ((1ull << position) - 1) & ~0x1fffull; /* above the PAT bit */
		check_reserved(walk, value, bad);
		accumulate(walk, value);
		if (leaf) {
			const uint64_t inside = (1ull << position) - 1;

			*shift = position;
			return (value & PTE_ADDRESS_MASK & ~inside) | (walk->linear & inside);
		}
		table = value & PTE_ADDRESS_MASK;
	}
}

static uint64_t walk_pae(struct walk *walk, unsigned *shift)
{
	const uint64_t pdpte = walk->cpu->pdpte[walk->linear >> 30 & 3];

	if (!(pdpte & PTE_PRESENT))
		fault(walk, 0);
	/* Bits 62:52 are reserved with PAE paging, ignored with 4-level paging (table 4-10). */
	return walk_8_byte(walk, pdpte & PTE_ADDRESS_MASK, 2, PTE_RESERVED_ADDRESS | 0x7ff0000000000000ull, shift);
}

static uint64_t walk_32_bit(struct walk *walk, unsigned *shift)
{
	const uint64_t directory = walk->cpu->cr3 & 0xfffff000;
	uint64_t value = read_entry(walk, directory + (walk->linear >> 22 & 1023) * 4);

	if ((walk->cpu->cr4 & CR4_PSE) && (value & PTE_LARGE)) {
		/* Bits 20:13 are address bits 39:32 (PSE-36), bit 21 is reserved. */
		check_reserved(walk, value, 1ull << 21);
		accumulate(walk, value);
		*shift = 22;
		return (value & 0xffc00000) | (value >> 13 & 0xff) << 32 | (walk->linear & 0x3fffff);
	}
	accumulate(walk, value);
	value = read_entry(walk, (value & 0xfffff000) + (walk->linear >> 12 & 1023) * 4);
	accumulate(walk, value);
	*shift = 12;
	return (value & 0xfffff000) | (walk->linear & 0xfff);
}

static bool smap_forbids(const struct soft_cpu *cpu, const struct soft_access_kind *kind)
{
	return (cpu->cr4 & CR4_SMAP) && (kind->implicit || !(cpu->rflags & RFLAGS_AC));
}

/** Access rights, 4.6.1. */
static bool allowed(const struct walk *walk)
{
	const struct soft_cpu *cpu = walk->cpu;
	const struct soft_access_kind *kind = walk->kind;

	if (kind->access == SOFT_FETCH && walk->execute_disable)
		return false;
	if (kind->user) {
		if (!walk->user)
			return false;
		return kind->access != SOFT_WRITE || walk->writable;
	}
	if (kind->access == SOFT_FETCH)
		return !(walk->user && (cpu->cr4 & CR4_SMEP));
	if (walk->user && smap_forbids(cpu, kind))
		return false;
	return kind->access != SOFT_WRITE || walk->writable || !(cpu->cr0 & CR0_WP);
}

/** Set flag bits of an entry in guest memory; the EPT must allow the write (a read and a write: 29.3.3.2). */
static void set_flags(struct walk *walk, struct entry *entry, uint64_t flags)
{
	const struct soft_gpa_access access = {
	        .access = SOFT_READ | SOFT_WRITE, .linear_valid = true, .linear = walk->linear};
	unsigned rights;

	if ((entry->value & flags) == flags)
		return;
	soft_ept_translate(walk->cpu, entry->gpa, &access, &rights);
	entry->value |= flags;
	memcpy(entry->host, &entry->value, walk->entry_bytes);
	if (walk->cpu->memory->code_pages[(entry->host - walk->cpu->memory->base) >> 12])
		soft_code_invalidate(walk->cpu, (uint64_t)(entry->host - walk->cpu->memory->base), walk->entry_bytes);
}

/** What later accesses to the page may do without coming here: see tlb.h. */
static unsigned cacheable(const struct walk *walk, bool dirty)
{
	const struct soft_cpu *cpu = walk->cpu;
	unsigned rights = 0;

	if (walk->kind->user) {
		if (!walk->user)
			return 0;
		rights = SOFT_READ | (walk->writable && dirty ? SOFT_WRITE : 0);
	} else if (!(walk->user && (cpu->cr4 & CR4_SMAP))) {
		/* With SMAP the right to user pages hangs on RFLAGS.AC, which changes without telling the TLB. */
		rights = SOFT_READ;
		if (dirty && (walk->writable || !(cpu->cr0 & CR0_WP)))
			rights |= SOFT_WRITE;
	}
	if (!walk->execute_disable && (walk->kind->user || !(walk->user && (cpu->cr4 & CR4_SMEP))))
		rights |= SOFT_FETCH;
	return rights;
}

void soft_paging_walk(
        struct soft_cpu *cpu, const struct soft_access_kind *kind, uint64_t linear, struct soft_mapping *mapping)
{
	struct walk walk = {.cpu = cpu, .kind = kind, .linear = linear, .user = true, .writable = true};
	const bool write = kind->access == SOFT_WRITE;
	unsigned shift = 12;
	uint64_t leaf;

	*mapping = (struct soft_mapping){.gpa = (uint32_t)linear, .page_shift = 12};
	if (!(cpu->cr0 & CR0_PG)) {
		mapping->rights = SOFT_READ | SOFT_WRITE | SOFT_FETCH;
		return;
	}
	walk.entry_bytes = cpu->cr4 & CR4_PAE ? 8 : 4;
	if (soft_long_mode(cpu))
		mapping->gpa = walk_8_byte(&walk, cpu->cr3 & PTE_ADDRESS_MASK, 4, PTE_RESERVED_ADDRESS, &shift);
	else if (cpu->cr4 & CR4_PAE)
		mapping->gpa = walk_pae(&walk, &shift);
	else
		mapping->gpa = walk_32_bit(&walk, &shift);
	if (!allowed(&walk))
		fault(&walk, PF_PRESENT);
	for (unsigned i = 0; i + 1 < walk.depth; i++)
		set_flags(&walk, &walk.entry[i], PTE_ACCESSED);
	set_flags(&walk, &walk.entry[walk.depth - 1], write ? PTE_ACCESSED | PTE_DIRTY : PTE_ACCESSED);
	leaf = walk.entry[walk.depth - 1].value;
	mapping->page_shift = (uint8_t)shift;
	mapping->global = (leaf & PTE_GLOBAL) && (cpu->cr4 & CR4_PGE);
	mapping->rights = cacheable(&walk, leaf & PTE_DIRTY);
}

bool soft_paging_load_pdptes(struct soft_cpu *cpu, uint64_t cr3)
{
	/* Table 4-8: bits 2:1, 8:5 and those above MAXPHYADDR are reserved in a present PDPTE. */
	const uint64_t reserved = 0x1e6 | ~SOFT_PHYSICAL_MASK;
	uint64_t pdpte[4];

	for (unsigned i = 0; i < 4; i++) {
		pdpte[i] = soft_read_physical(cpu, (cr3 & 0xffffffe0) + i * 8, 8);
		if ((pdpte[i] & PTE_PRESENT) && (pdpte[i] & reserved))
			return false;
	}
	memcpy(cpu->pdpte, pdpte, sizeof(pdpte));
	return true;
}
