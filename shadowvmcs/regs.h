/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Registers that no VMCS holds: they pass unchanged through VM exits and entries and belong to whichever level runs.
 */
#ifndef TESTUDO_SHADOWVMCS_REGS_H
#define TESTUDO_SHADOWVMCS_REGS_H

#include <stdbool.h>
#include <stdint.h>

/** Order of x86 register numbers, as in exit qualifications and instruction information. */
enum gpr {
	GPR_RAX,
	GPR_RCX,
	GPR_RDX,
	GPR_RBX,
	GPR_RSP,
	GPR_RBP,
	GPR_RSI,
	GPR_RDI,
	GPR_R8,
	GPR_R9,
	GPR_R10,
	GPR_R11,
	GPR_R12,
	GPR_R13,
	GPR_R14,
	GPR_R15,
	GPR_COUNT
};

struct guest_regs {
	/** gpr says nothing: the machine has the general registers, or nobody needs them. Only a paravirtual L1's
	 * (abi/pv_vmx.h, PV_FRAME): set by L0 when it enters L1; left set after an exit by a machine that gives them
	 * when asked (fetch_registers). */
	bool kept;
	uint64_t gpr[GPR_COUNT]; /**< gpr[GPR_RSP] is unused: RSP, RIP and RFLAGS are in the VMCS */
	uint64_t cr2;
	uint64_t dr[4];
	uint64_t dr6;
};

#endif
