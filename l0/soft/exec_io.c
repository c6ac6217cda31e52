/* SPDX-License-Identifier: Apache-2.0 */
/** IN, OUT, INS, OUTS. A port that no control intercepts has nothing behind it: reads give ones. */
#include "exec.h"
#include "flags.h"
#include "internal.h"

/* Offset of the I/O map's base in a 32- or 64-bit TSS; SDM vol. 1, 19.5.2. */
#define TSS_IO_MAP_BASE 102

static unsigned port_size(const struct soft_insn *insn)
{
	return !(insn->opcode & 1) ? 1 : insn->width == 2 ? 2 : 4;
}

/** With CPL > IOPL, and always in virtual-8086 mode, the TSS's map must allow each byte of the port. */
static void check_permission(struct soft_cpu *cpu, uint16_t port, unsigned size)
{
	const struct soft_segment *tss = &cpu->seg[SOFT_TR];
	uint64_t map, bits;

	if (cpu->mode == SOFT_MODE_REAL)
		return;
	if (cpu->mode != SOFT_MODE_V8086 && cpu->cpl <= (cpu->rflags & FLAG_IOPL) >> 12)
		return;
	/* Only 32- and 64-bit TSSs (type bit 3) have a map. */
	if ((tss->rights & AR_UNUSABLE) || !(tss->rights & 8) || tss->limit < TSS_IO_MAP_BASE + 1)
		soft_fault(cpu, VECTOR_GP, true, 0);
	map = soft_read_system(cpu, tss->base + TSS_IO_MAP_BASE, 2) + port / 8;
	if (map + 1 > tss->limit)
		soft_fault(cpu, VECTOR_GP, true, 0);
	bits = soft_read_system(cpu, tss->base + map, 2) >> (port % 8);
	if (bits & ((1u << size) - 1))
		soft_fault(cpu, VECTOR_GP, true, 0);
}

/** The port is DX, or the immediate of opcodes E4 to E7. */
static uint16_t begin(struct soft_cpu *cpu, const struct soft_insn *insn, bool in)
{
	const bool immediate = insn->flags & SOFT_INSN_IMM;
	const uint16_t port = immediate ? (uint8_t)insn->immediate : (uint16_t)cpu->gpr[GPR_RDX];

	check_permission(cpu, port, port_size(insn));
	soft_intercept_io(cpu, port, port_size(insn), in, false, false, immediate);
	return port;
}

void soft_exec_in(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	begin(cpu, insn, true);
	soft_reg_set(cpu, GPR_RAX, port_size(insn), ~0ull);
}

void soft_exec_out(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	begin(cpu, insn, false);
}

/** One element at a time; a REP starts again at the same RIP while the counter is not 0. */
static void string(struct soft_cpu *cpu, const struct soft_insn *insn, bool in)
{
	const bool rep = insn->flags & (SOFT_INSN_REP | SOFT_INSN_REPNE);
	const unsigned size = port_size(insn), index = in ? GPR_RDI : GPR_RSI;
	const uint64_t count = soft_reg_get(cpu, GPR_RCX, insn->address_size);
	const uint64_t step = cpu->rflags & FLAG_DF ? -(uint64_t)size : size;
	const uint16_t port = (uint16_t)cpu->gpr[GPR_RDX];
	uint64_t linear;

	/* The permission is looked at even when there is nothing to do. */
	check_permission(cpu, port, size);
	if (rep && !count)
		return;
	soft_intercept_io(cpu, port, size, in, true, rep, false);
	linear = soft_segment_linear(cpu, in ? SOFT_ES : insn->segment,
	        cpu->gpr[index] & soft_size_mask(insn->address_size), size, in ? SOFT_WRITE : SOFT_READ);
	if (in)
		soft_write(cpu, linear, size, ~0ull);
	else
		soft_read(cpu, linear, size);
	soft_reg_set(cpu, index, insn->address_size, cpu->gpr[index] + step);
	if (!rep)
		return;
	soft_reg_set(cpu, GPR_RCX, insn->address_size, count - 1);
	if (count > 1) {
		cpu->rip = cpu->insn_rip;
		cpu->insn_end = NULL;
	}
}

void soft_exec_ins(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	string(cpu, insn, true);
}
void soft_exec_outs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	string(cpu, insn, false);
}
