/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What the files of the processor system share beneath cpu.h: architectural bits and small helpers.
 */
#ifndef TESTUDO_L0_SOFT_INTERNAL_H
#define TESTUDO_L0_SOFT_INTERNAL_H

#include "cpu.h"
#include "l0/machine.h"
#include "shadowvmcs/ept12.h"
#include "shadowvmcs/exit_reasons.h"
#include "shadowvmcs/nested.h"
#include "shadowvmcs/x86.h"

/* CR4, SDM vol. 3, 2.5. */
#define CR4_VME (1ull << 0)
#define CR4_PVI (1ull << 1)
#define CR4_TSD (1ull << 2)
#define CR4_DE (1ull << 3)
#define CR4_PSE (1ull << 4)
#define CR4_MCE (1ull << 6)
#define CR4_PGE (1ull << 7)
#define CR4_PCE (1ull << 8)
#define CR4_UMIP (1ull << 11)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)

/* RFLAGS, 2.3. */
#define RFLAGS_IOPL (3ull << 12)
#define RFLAGS_NT (1ull << 14)
#define RFLAGS_RF (1ull << 16)
#define RFLAGS_AC (1ull << 18)

/* Page-fault error code, 4.7. */
#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_USER 4u
#define PF_RESERVED 8u
#define PF_FETCH 16u

/* Paging-structure entries, 4.5. */
#define PTE_PRESENT (1ull << 0)
#define PTE_WRITE (1ull << 1)
#define PTE_USER (1ull << 2)
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY (1ull << 6)
#define PTE_LARGE (1ull << 7)
#define PTE_GLOBAL (1ull << 8)
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS_MASK 0x000ffffffffff000ull

/** MAXPHYADDR of this CPU; bits 51:46 of addresses in tables are reserved. */
#define SOFT_PHYSICAL_BITS VMX_PHYSICAL_ADDRESS_BITS
#define SOFT_PHYSICAL_MASK ((1ull << SOFT_PHYSICAL_BITS) - 1)
#define PTE_RESERVED_ADDRESS (PTE_ADDRESS_MASK & ~SOFT_PHYSICAL_MASK)

/* Debug registers, 18.2. */
#define DR6_FIXED 0xffff0ff0ull
#define DR6_BS (1ull << 14)
#define DR6_BD (1ull << 13)
#define DR7_GD (1ull << 13)
#define DR7_FIXED 0x400ull
/** Pending debug exceptions, 25.4.2: bits 3:0, BS = 14, enabled breakpoint = 12. */
#define PENDING_DEBUG_ENABLED (1ull << 12)
#define DEBUGCTL_BTF (1ull << 1)

static inline bool soft_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static inline bool soft_long_mode(const struct soft_cpu *cpu)
{
	return cpu->efer & EFER_LMA;
}

static inline uint16_t soft_pcid(const struct soft_cpu *cpu)
{
	return cpu->cr4 & CR4_PCIDE ? cpu->cr3 & 0xfff : 0;
}

/** Are accesses of this code checked for alignment (SDM vol. 3, 6.15, #AC)? */
static inline bool soft_alignment_checked(const struct soft_cpu *cpu)
{
	return cpu->cpl == 3 && (cpu->cr0 & CR0_AM) && (cpu->rflags & RFLAGS_AC);
}

/** Is a data or I/O breakpoint enabled in DR7? Enable bits are pairs at 7:0, the kind at 17:16 + 4n (0 = code). */
static inline bool soft_data_breakpoints(const struct soft_cpu *cpu)
{
	if (!(cpu->dr[7] & 0xff))
		return false;
	for (unsigned n = 0; n < 4; n++)
		if (cpu->dr[7] >> (2 * n) & 3 && cpu->dr[7] >> (16 + 4 * n) & 3)
			return true;
	return false;
}

/* ---- tlb.c ---- */
/** INVLPG, INVPCID and MOV to CR3 or CR4, within the current VPID. */
enum soft_invalidate {
	SOFT_INVALIDATE_PAGE,         /**< one page, one PCID, no globals of others */
	SOFT_INVALIDATE_PAGE_GLOBAL,  /**< one page, every PCID */
	SOFT_INVALIDATE_PCID,         /**< one PCID, but global translations */
	SOFT_INVALIDATE_KEEP_GLOBALS, /**< every PCID, but global translations */
	SOFT_INVALIDATE_ALL,
};
void soft_tlb_invalidate(struct soft_cpu *cpu, enum soft_invalidate what, uint16_t pcid, uint64_t linear);

/* ---- control.c ---- */
/** CR4 bits a guest may set: machine_caps.cr4_fixed1. */
extern const uint64_t soft_cr4_allowed;

/* ---- mmu.c ---- */
/** A guest-physical access by the CPU itself, not through a linear address. Unwinds with an EPT exit. */
uint64_t soft_read_physical(struct soft_cpu *cpu, uint64_t gpa, unsigned size);
/** L0's pointer to the host-physical page of a VMCS address field, or NULL when it is none of L0's memory. */
void *soft_host_page(const struct soft_cpu *cpu, uint64_t hpa);

/** The VMX-preemption timer counts once every 2^SOFT_TIMER_SHIFT TSC ticks (IA32_VMX_MISC bits 4:0). */
#define SOFT_TIMER_SHIFT 5

/* ---- vmexit.c ---- */
/** soft_exit_instruction with the VM-exit instruction-information field. */
_Noreturn void soft_exit_with_information(
        struct soft_cpu *cpu, uint32_t reason, uint64_t qualification, uint32_t information);
/** Exit information common to all exits, without unwinding. */
void soft_exit_record(struct soft_cpu *cpu, uint32_t reason, uint64_t qualification);

#endif
