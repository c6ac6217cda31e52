/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EPT (SDM vol. 3, 29.3): walk, rights, misconfigurations, accessed and dirty flags, page-modification log.
 */
#include "mmu.h"

#include <string.h>

#include "tlb.h"

/** The entries of one walk. */
struct walk {
	uint64_t *entry[4];
	unsigned depth;    /**< entries read */
	unsigned level;    /**< of the last one: 4 = PML4E ... 1 = PTE */
	uint64_t allowed;  /**< EPT_RWX ANDed over them */
	uint64_t page_hpa; /**< of the 4 KiB page that holds the address */
};

/** Reserved combinations of a present entry, 29.3.3.1 and table 29-6. */
static bool misconfigured(uint64_t entry, unsigned level)
{
	const bool leaf = level == 1 || (level < 4 && (entry & EPT_LARGE));
	const uint64_t type = entry >> EPT_MEMORY_TYPE_SHIFT & 7;

	if ((entry & (EPT_READ | EPT_WRITE)) == EPT_WRITE)
		return true;
	if (entry & EPT_ADDRESS_MASK & ~SOFT_PHYSICAL_MASK)
		return true;
	if (!leaf)
		return entry & (level == 4 ? 0xf8 : 0x78);
	if (type == 2 || type == 3 || type == 7)
		return true;
	return level > 1 && (entry & EPT_ADDRESS_MASK & (ept12_reach(level) - 1));
}

_Noreturn static void exit_misconfiguration(struct soft_cpu *cpu, uint64_t gpa)
{
	cpu->vmcs->field[VMCS_GUEST_PHYSICAL_ADDRESS] = gpa;
	soft_exit(cpu, EXIT_REASON_EPT_MISCONFIGURATION, 0);
}

/** Table 28-7. */
_Noreturn static void exit_violation(
        struct soft_cpu *cpu, uint64_t gpa, const struct soft_gpa_access *access, uint64_t allowed)
{
	uint64_t qualification = access->access | allowed << EPT_VIOLATION_ALLOWED_SHIFT;

	if (access->linear_valid)
		qualification |= EPT_VIOLATION_LINEAR_VALID;
	if (access->translated)
		qualification |= EPT_VIOLATION_TRANSLATED;
	cpu->vmcs->field[VMCS_GUEST_PHYSICAL_ADDRESS] = gpa;
	cpu->vmcs->field[VMCS_GUEST_LINEAR_ADDRESS] = access->linear_valid ? access->linear : 0;
	soft_exit(cpu, EXIT_REASON_EPT_VIOLATION, qualification);
}

static void walk_tables(struct soft_cpu *cpu, uint64_t gpa, const struct soft_gpa_access *access, struct walk *walk)
{
	uint64_t table = cpu->eptp & EPT_ADDRESS_MASK;

	walk->depth = 0;
	walk->allowed = EPT_RWX;
	for (walk->level = 4;; walk->level--) {
		uint64_t *entries = soft_host_page(cpu, table);
		uint64_t *entry, value;

		if (!entries)
			exit_misconfiguration(cpu, gpa);
		entry = &entries[gpa >> (12 + 9 * (walk->level - 1)) & 511];
		value = *entry;
		cpu->walk_references_2d++;
		walk->entry[walk->depth++] = entry;
		if (!(value & EPT_RWX))
			exit_violation(cpu, gpa, access, 0);
		if (misconfigured(value, walk->level))
			exit_misconfiguration(cpu, gpa);
		walk->allowed &= value;
		if (walk->level == 1 || (walk->level < 4 && (value & EPT_LARGE))) {
			const uint64_t inside = ept12_reach(walk->level) - 1;

			walk->page_hpa = ((value & EPT_ADDRESS_MASK & ~inside) | (gpa & inside)) & ~0xfffull;
			return;
		}
		table = value & EPT_ADDRESS_MASK;
	}
}

/** Page-modification logging, 29.3.6: before a dirty flag changes from 0 to 1. */
static void log_modification(struct soft_cpu *cpu, uint64_t gpa)
{
	const uint64_t index = vmcs_get(cpu->vmcs, VMCS_PML_INDEX);
	uint64_t *log = soft_host_page(cpu, vmcs_get(cpu->vmcs, VMCS_PML_ADDRESS));

	if (index > 511 || !log)
		soft_exit(cpu, EXIT_REASON_PAGE_MODIFICATION_LOG_FULL, 0);
	log[index] = gpa & ~0xfffull;
	vmcs_store(cpu->vmcs, VMCS_PML_INDEX, (index - 1) & 0xffff);
}

/** Flags of the entries used, 29.3.5; true: the page's dirty flag is set. */
static bool set_accessed_dirty(struct soft_cpu *cpu, uint64_t gpa, bool write, const struct walk *walk)
{
	uint64_t *leaf = walk->entry[walk->depth - 1];

	if (!(cpu->eptp & EPTP_AD))
		return true;
	if (write && !(*leaf & EPT_DIRTY)) {
		if (cpu->proc2 & VMX_BIT(PROC2_ENABLE_PML))
			log_modification(cpu, gpa);
		*leaf |= EPT_DIRTY;
	}
	for (unsigned i = 0; i < walk->depth; i++)
		if (!(*walk->entry[i] & EPT_ACCESSED))
			*walk->entry[i] |= EPT_ACCESSED;
	return *leaf & EPT_DIRTY;
}

/** Without EPT the guest-physical address is the host-physical one; only unit tests run so. */
static uint8_t *untranslated(struct soft_cpu *cpu, uint64_t gpa, const struct soft_gpa_access *access)
{
	if (gpa >= cpu->memory->ram_bytes)
		exit_violation(cpu, gpa, access, 0);
	return cpu->memory->base + gpa;
}

/** Remember a translation; `rights` are those that need no flag set and no log entry made. */
static void remember(struct soft_cpu *cpu, uint64_t gpa, const struct walk *walk, unsigned rights)
{
	struct soft_gpa_entry *entry = &cpu->tlb->gpa->entry[(gpa >> 12) % SOFT_GPA_ENTRIES];

	entry->page = gpa & SOFT_PAGE_MASK;
	entry->host = cpu->memory->base + walk->page_hpa;
	entry->rights = (uint8_t)rights;
	entry->levels = (uint8_t)walk->depth;
}

uint8_t *soft_ept_translate(struct soft_cpu *cpu, uint64_t gpa, const struct soft_gpa_access *access, unsigned *rights)
{
	const struct soft_gpa_entry *known;
	struct walk walk;

	*rights = SOFT_READ | SOFT_WRITE | SOFT_FETCH;
	if (cpu->mmio_bus && access->translated && !(access->access & SOFT_FETCH) &&
	        (gpa & ~0xfffull) == cpu->mmio_page_gpa)
		return NULL;
	if (!cpu->eptp)
		return untranslated(cpu, gpa, access);
	known = &cpu->tlb->gpa->entry[(gpa >> 12) % SOFT_GPA_ENTRIES];
	if (known->page == (gpa & SOFT_PAGE_MASK) && !(access->access & ~(unsigned)known->rights)) {
		cpu->walk_references_2d += known->levels;
		*rights = known->rights;
		return known->host + (gpa & 0xfff);
	}
	walk_tables(cpu, gpa, access, &walk);
	if (access->access & ~walk.allowed)
		exit_violation(cpu, gpa, access, walk.allowed & EPT_RWX);
	if (walk.page_hpa >= cpu->memory->bytes)
		exit_misconfiguration(cpu, gpa);
	*rights = (unsigned)walk.allowed & (SOFT_READ | SOFT_WRITE | SOFT_FETCH);
	if (!set_accessed_dirty(cpu, gpa, access->access & SOFT_WRITE, &walk))
		*rights &= ~(unsigned)SOFT_WRITE;
	remember(cpu, gpa, &walk, *rights);
	return cpu->memory->base + walk.page_hpa + (gpa & 0xfff);
}

uint64_t soft_read_physical(struct soft_cpu *cpu, uint64_t gpa, unsigned size)
{
	const struct soft_gpa_access access = {.access = cpu->eptp & EPTP_AD ? SOFT_READ | SOFT_WRITE : SOFT_READ};
	unsigned rights;
	uint64_t value = 0;

	memcpy(&value, soft_ept_translate(cpu, gpa, &access, &rights), size);
	return value;
}
