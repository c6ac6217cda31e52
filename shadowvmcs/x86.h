/* SPDX-License-Identifier: Apache-2.0 */
/** Architectural bits of registers that VMCS fields hold. SDM volume 3; section numbers beside each group. */
#ifndef TESTUDO_SHADOWVMCS_X86_H
#define TESTUDO_SHADOWVMCS_X86_H

#include <stdbool.h>
#include <stdint.h>

/* CR0, 2.5. */
#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

/* CR4, 2.5. */
#define CR4_PAE (1ull << 5)
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_VMXE (1ull << 13)
#define CR4_PCIDE (1ull << 17)
#define CR4_CET (1ull << 23)

/* IA32_EFER, 2.2.1. */
#define EFER_SCE (1ull << 0)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFER_NXE (1ull << 11)

/* RFLAGS, 2.3. */
#define RFLAGS_CF (1ull << 0)
#define RFLAGS_FIXED (1ull << 1)
#define RFLAGS_TF (1ull << 8)
#define RFLAGS_IF (1ull << 9)
#define RFLAGS_VM (1ull << 17)

/* DR7 after reset and after a VM exit; 18.2.4. */
#define DR7_INITIAL 0x400ull

/*
 * Access rights as a VMCS holds them, 25.4.1 (table 25-2):
 *  31..17   16     15 14  13  12  11..8  7  6..5  4  3..0
 * | 0 0 0 |unusable| G|D/B| L |AVL|  0  | P| DPL | S|type |
 */
#define AR_TYPE_MASK 0xfu
#define AR_TYPE_ACCESSED 1u
#define AR_TYPE_WRITABLE 2u /* data; readable for code */
#define AR_TYPE_CODE 8u
#define AR_S (1u << 4)
#define AR_DPL_SHIFT 5
#define AR_P (1u << 7)
#define AR_L (1u << 13)
#define AR_DB (1u << 14)
#define AR_G (1u << 15)
#define AR_UNUSABLE (1u << 16)
#define AR_RESERVED 0xfffe0f00u

/* Selector, 3.4.2. */
#define SELECTOR_RPL 3u
#define SELECTOR_TI 4u

/* Interruptibility state, 25.4.2 (table 25-3). */
#define INTERRUPTIBILITY_STI (1u << 0)
#define INTERRUPTIBILITY_MOV_SS (1u << 1)
#define INTERRUPTIBILITY_SMI (1u << 2)
#define INTERRUPTIBILITY_NMI (1u << 3)
#define INTERRUPTIBILITY_ENCLAVE (1u << 4)

enum activity_state { ACTIVITY_ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_FOR_SIPI };

/* Exceptions, 6.15. */
enum x86_vector {
	VECTOR_DE = 0,
	VECTOR_DB = 1,
	VECTOR_NMI = 2,
	VECTOR_BP = 3,
	VECTOR_OF = 4,
	VECTOR_UD = 6,
	VECTOR_DF = 8,
	VECTOR_TS = 10,
	VECTOR_NP = 11,
	VECTOR_SS = 12,
	VECTOR_GP = 13,
	VECTOR_PF = 14,
	VECTOR_AC = 17
};

/* MSRs that VMCS fields hold; volume 4. */
#define MSR_IA32_SYSENTER_CS 0x174u
#define MSR_IA32_SYSENTER_ESP 0x175u
#define MSR_IA32_SYSENTER_EIP 0x176u
#define MSR_IA32_DEBUGCTL 0x1d9u
#define MSR_IA32_PAT 0x277u
#define MSR_IA32_PERF_GLOBAL_CTRL 0x38fu
#define MSR_IA32_BNDCFGS 0xd90u
#define MSR_IA32_EFER 0xc0000080u
#define MSR_IA32_FS_BASE 0xc0000100u
#define MSR_IA32_GS_BASE 0xc0000101u

/** 48-bit canonical form; 3.3.7.1 of volume 1. */
static inline bool x86_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/** Each byte of IA32_PAT is a memory type: UC 0, WC 1, WT 4, WP 5, WB 6, UC- 7; 12.12.4. */
static inline bool x86_pat_valid(uint64_t pat)
{
	for (int i = 0; i < 8; i++, pat >>= 8) {
		const unsigned type = pat & 0xff;
		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

#endif
