/* SPDX-License-Identifier: Apache-2.0 */
/* L1's linear addresses: a walk of its own page tables, as its CPU would do for a supervisor. SDM vol. 3, chapter 4. */
#include <string.h>

#include "insn.h"

/* Page-fault error code, 4.7. */
#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_RESERVED 8u

/* Table entries, 4.3 to 4.5. */
#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE (1ull << 1)
#define PTE_USER (1ull << 2)
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY (1ull << 6)
#define PTE_LARGE (1ull << 7)
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define CR4_PSE (1ull << 4)
#define CR4_SMAP (1ull << 21)
#define RFLAGS_AC (1ull << 18)

/* One of the three formats of page tables. */
struct paging {
	unsigned levels;
	unsigned index_bits;
	unsigned entry_bytes;
	bool large_pages;
	bool pdptes; /**< the top level is PAE's page-directory-pointer table: rights and accessed flag do not exist */
	bool no_execute;
	uint64_t root;
};

static bool paging_of(const struct nested *nested, struct paging *paging)
{
	const uint64_t cr3 = insn_l1_field(nested, VMCS_GUEST_CR3);
	const uint64_t cr4 = insn_l1_field(nested, VMCS_GUEST_CR4);
	const uint64_t efer = insn_l1_field(nested, VMCS_GUEST_IA32_EFER);
	const bool nx = efer & EFER_NXE;

	if (!(insn_l1_field(nested, VMCS_GUEST_CR0) & CR0_PG))
		return false;
	if (efer & EFER_LMA)
		*paging = (struct paging){4, 9, 8, true, false, nx, cr3 & PTE_ADDRESS};
	else if (cr4 & CR4_PAE)
		*paging = (struct paging){3, 9, 8, true, true, nx, cr3 & 0xffffffe0};
	else
		*paging = (struct paging){2, 10, 4, cr4 & CR4_PSE, false, true, cr3 & 0xfffff000};
	return true;
}

static uint8_t *memory_at(const struct nested *nested, uint64_t gpa)
{
	uint8_t *page = nested->config.ops.l1_page(nested->config.ops.ctx, gpa);

	return page ? page + (gpa & 0xfff) : NULL;
}

static uint64_t entry_read(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

/* Where a 4 MiB page of 32-bit paging has bits 39:32 of its address in bits 20:13 (PSE-36, 4.3). */
static uint64_t page_base(const struct paging *paging, uint64_t entry, uint64_t size)
{
	if (paging->entry_bytes == 4 && size > 4096)
		return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
	return entry & PTE_ADDRESS & ~(size - 1);
}

/* Bits that must be 0 in a present entry. */
static bool reserved_bits(
        const struct nested *nested, const struct paging *paging, unsigned level, bool leaf, uint64_t entry)
{
	const uint64_t beyond = PTE_ADDRESS & ~caps_physical_mask(&nested->config.machine);

	if (paging->entry_bytes == 4) /* PSE-36 reserves bit 21; bits 20:13 beyond the physical width too */
		return leaf && level == 2 &&
		       ((entry & 1u << 21) ||
		               (page_base(paging, entry, 4u << 20) & ~caps_physical_mask(&nested->config.machine)));
	if (entry & beyond)
		return true;
	if (paging->pdptes && level == 3)
		return entry & (PTE_NX | 0x1e6);
	if (!paging->no_execute && (entry & PTE_NX))
		return true;
	if (level == 4 || (level > 1 && !leaf))
		return level == 4 && (entry & PTE_LARGE);
	/* Address bits of a large page below its size, except PAT (bit 12). */
	return level > 1 && (entry & ((1ull << (12 + 9 * (level - 1))) - 1) & ~0x1fffull);
}

/* SDM vol. 3, 4.6.1: what a supervisor may do with a translation of these rights. */
static bool rights_allow(const struct nested *nested, uint64_t rights, bool write)
{
	if (write && !(rights & PTE_WRITE) && (insn_l1_field(nested, VMCS_GUEST_CR0) & CR0_WP))
		return false;
	return !(rights & PTE_USER) || !(insn_l1_field(nested, VMCS_GUEST_CR4) & CR4_SMAP) ||
	       (insn_l1_field(nested, VMCS_GUEST_RFLAGS) & RFLAGS_AC);
}

bool nested_l1_translate(struct nested *nested, uint64_t linear, bool write, uint64_t *gpa, uint32_t *error)
{
	struct paging paging;
	uint8_t *used[4];
	uint64_t table, rights = PTE_WRITE | PTE_USER, size = 0, entry = 0;
	unsigned level;

	if (!paging_of(nested, &paging)) {
		*gpa = linear & 0xffffffff;
		return true;
	}
	table = paging.root;
	for (level = paging.levels; level > 0; level--) {
		const unsigned shift = 12 + paging.index_bits * (level - 1);
		const uint64_t index =
		        linear >> shift & ((1u << paging.index_bits) - 1) & (paging.pdptes && level == 3 ? 3 : ~0u);
		const bool may_be_large = paging.large_pages && !(paging.pdptes && level == 3);
		bool leaf;

		used[level - 1] = memory_at(nested, table + index * paging.entry_bytes);
		entry = used[level - 1] ? entry_read(used[level - 1], paging.entry_bytes) : 0;
		if (!(entry & PTE_PRESENT)) {
			*error = write ? PF_WRITE : 0;
			return false;
		}
		leaf = level == 1 || (level < 4 && may_be_large && (entry & PTE_LARGE));
		if (reserved_bits(nested, &paging, level, leaf, entry)) {
			*error = PF_PRESENT | PF_RESERVED | (write ? PF_WRITE : 0);
			return false;
		}
		if (!(paging.pdptes && level == 3))
			rights &= entry;
		size = 1ull << shift;
		if (leaf)
			break;
		table = entry & PTE_ADDRESS;
	}
	if (!rights_allow(nested, rights, write)) {
		*error = PF_PRESENT | (write ? PF_WRITE : 0);
		return false;
	}
	/* 4.8: the accessed flags of the walk and the dirty flag of the page; byte 0 holds both. */
	for (unsigned i = level; i <= paging.levels; i++) {
		if (!(paging.pdptes && i == 3))
			*used[i - 1] |= (uint8_t)(PTE_ACCESSED | (i == level && write ? PTE_DIRTY : 0));
	}
	*gpa = page_base(&paging, entry, size) | (linear & (size - 1));
	return true;
}

/* Up to two pieces of host memory behind [linear, +size). A page without RAM gives NULL. */
struct pieces {
	uint8_t *at[2];
	unsigned length[2];
};

static bool pieces_of(struct nested *nested, uint64_t linear, unsigned size, bool write, struct pieces *pieces,
        struct vmx_outcome *outcome)
{
	const uint64_t wrap = insn_l1_is_64bit(nested) ? ~0ull : 0xffffffff;
	const unsigned to_end = 4096 - (unsigned)(linear & 0xfff);

	pieces->length[0] = size < to_end ? size : to_end;
	pieces->length[1] = size - pieces->length[0];
	pieces->at[1] = NULL;
	for (unsigned i = 0; i < 2 && pieces->length[i] > 0; i++) {
		const uint64_t address = (linear + (i ? pieces->length[0] : 0)) & wrap;
		uint64_t gpa;
		uint32_t error = 0;

		if (!nested_l1_translate(nested, address, write, &gpa, &error)) {
			insn_fault(outcome, VECTOR_PF, error);
			outcome->cr2 = address;
			return false;
		}
		pieces->at[i] = memory_at(nested, gpa);
	}
	return true;
}

bool insn_l1_read(struct nested *nested, uint64_t linear, void *data, unsigned size, struct vmx_outcome *outcome)
{
	struct pieces pieces = {0};
	uint8_t *to = data;

	if (!pieces_of(nested, linear, size, false, &pieces, outcome))
		return false;
	for (unsigned i = 0; i < 2; to += pieces.length[i], i++) {
		if (pieces.at[i])
			memcpy(to, pieces.at[i], pieces.length[i]);
		else
			memset(to, 0xff, pieces.length[i]); /* nothing answers on the bus */
	}
	return true;
}

bool insn_l1_write(struct nested *nested, uint64_t linear, const void *data, unsigned size, struct vmx_outcome *outcome)
{
	struct pieces pieces = {0};
	const uint8_t *from = data;

	if (!pieces_of(nested, linear, size, true, &pieces, outcome))
		return false;
	for (unsigned i = 0; i < 2; from += pieces.length[i], i++) {
		if (pieces.at[i])
			memcpy(pieces.at[i], from, pieces.length[i]);
	}
	return true;
}
