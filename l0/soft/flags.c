/* SPDX-License-Identifier: Apache-2.0 */
#include "flags.h"

uint64_t soft_flags_get(const struct soft_cpu *cpu)
{
	return (cpu->rflags & ~(uint64_t)FLAGS_STATUS) | RFLAGS_FIXED | soft_cf(cpu) | soft_pf(cpu) << 2 |
	       soft_af(cpu) << 4 | soft_zf(cpu) << 6 | soft_sf(cpu) << 7 | soft_of(cpu) << 11;
}

void soft_flags_set_status(struct soft_cpu *cpu, uint64_t flags)
{
	const uint64_t cf = flags & FLAG_CF, of = !!(flags & FLAG_OF);

	/* A result of 0x100 is neither zero nor negative, and its low byte has even parity. */
	cpu->flag_result = flags & FLAG_ZF ? 0 : 0x100;
	cpu->flag_delta = (flags & FLAG_SF ? 1ull << 63 : 0) | !(flags & FLAG_PF);
	cpu->flag_carries = cf << 63 | (cf ^ of) << 62 | (flags & FLAG_AF ? 8 : 0);
}

void soft_flags_set(struct soft_cpu *cpu, uint64_t rflags)
{
	cpu->rflags = (rflags & ~(uint64_t)FLAGS_STATUS) | RFLAGS_FIXED;
	soft_flags_set_status(cpu, rflags);
}
