/* SPDX-License-Identifier: Apache-2.0 */
/** Operands of SSE instructions. */
#ifndef TESTUDO_L0_SOFT_SSE_H
#define TESTUDO_L0_SOFT_SSE_H

#include "access.h"

#define CR4_OSFXSR_BIT (1ull << 9)
#define CR4_OSXMMEXCPT_BIT (1ull << 10)
#define VECTOR_NM 7
#define VECTOR_XM 19

/** #UD and #NM as SDM vol. 3, table 14-1 has them for SSE. */
void soft_sse_unavailable(struct soft_cpu *cpu);

SOFT_ALWAYS_INLINE void soft_sse_check(struct soft_cpu *cpu)
{
	if (SOFT_UNLIKELY((cpu->cr0 & (CR0_EM | CR0_TS)) || !(cpu->cr4 & CR4_OSFXSR_BIT)))
		soft_sse_unavailable(cpu);
}

/** 16 bytes; `aligned`: #GP(0) when the address is no multiple of 16. */
void soft_sse_load(struct soft_cpu *cpu, const struct soft_insn *insn, bool aligned, union soft_xmm *value);
void soft_sse_store(struct soft_cpu *cpu, const struct soft_insn *insn, bool aligned, const union soft_xmm *value);

/** The second operand: a register, or `size` bytes of memory (the rest is 0). Checks availability first. */
SOFT_ALWAYS_INLINE union soft_xmm soft_sse_source(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size)
{
	union soft_xmm value = {.u64 = {0, 0}};

	soft_sse_check(cpu);
	if (!(insn->flags & SOFT_INSN_MEMORY))
		return cpu->xmm[insn->rm];
	if (size == 16)
		soft_sse_load(cpu, insn, true, &value);
	else
		value.u64[0] = soft_mem_get(cpu, insn, size);
	return value;
}

#endif
