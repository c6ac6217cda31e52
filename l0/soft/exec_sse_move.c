/* SPDX-License-Identifier: Apache-2.0 */
/** SSE and SSE2: moves, shuffles, and what reaches general registers without arithmetic. */
#include "exec.h"
#include "sse.h"

void soft_sse_unavailable(struct soft_cpu *cpu)
{
	if ((cpu->cr0 & CR0_EM) || !(cpu->cr4 & CR4_OSFXSR_BIT))
		soft_fault(cpu, VECTOR_UD, false, 0);
	soft_fault(cpu, VECTOR_NM, false, 0);
}

void soft_sse_load(struct soft_cpu *cpu, const struct soft_insn *insn, bool aligned, union soft_xmm *value)
{
	const uint64_t linear = soft_linear(cpu, insn, 16, SOFT_READ);
	const uint8_t *host;

	if (aligned && linear & 15)
		soft_fault(cpu, VECTOR_GP, true, 0);
	host = soft_tlb_lookup_read(cpu, linear, 16);
	if (SOFT_LIKELY(host != NULL)) {
		memcpy(value, host, 16);
		return;
	}
	if (insn->segment == SOFT_SS && (!x86_canonical(linear) || !x86_canonical(linear + 15)))
		soft_fault(cpu, VECTOR_SS, true, 0);
	soft_read_bytes(cpu, linear, value, 16);
}

void soft_sse_store(struct soft_cpu *cpu, const struct soft_insn *insn, bool aligned, const union soft_xmm *value)
{
	const uint64_t linear = soft_linear(cpu, insn, 16, SOFT_WRITE);
	uint8_t *host;

	if (aligned && linear & 15)
		soft_fault(cpu, VECTOR_GP, true, 0);
	host = soft_tlb_lookup_write(cpu, linear, 16);
	if (SOFT_LIKELY(host != NULL)) {
		memcpy(host, value, 16);
		return;
	}
	if (insn->segment == SOFT_SS && (!x86_canonical(linear) || !x86_canonical(linear + 15)))
		soft_fault(cpu, VECTOR_SS, true, 0);
	soft_write_bytes(cpu, linear, value, 16);
}

/* ---- whole registers ---- */

static void move_16(struct soft_cpu *cpu, const struct soft_insn *insn, bool aligned)
{
	union soft_xmm value;

	soft_sse_check(cpu);
	if (insn->form == SOFT_FORM_MR) {
		soft_sse_store(cpu, insn, aligned, &cpu->xmm[insn->reg]);
	} else if (insn->form == SOFT_FORM_RM) {
		soft_sse_load(cpu, insn, aligned, &value);
		cpu->xmm[insn->reg] = value;
	} else {
		cpu->xmm[insn->reg] = cpu->xmm[insn->rm];
	}
}

void soft_exec_movaps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	move_16(cpu, insn, true);
}
void soft_exec_movups(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	move_16(cpu, insn, false);
}

/* ---- scalars: a load clears the rest of the register, a move between registers keeps it ---- */

SOFT_ALWAYS_INLINE void move_scalar(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size)
{
	soft_sse_check(cpu);
	if (insn->form == SOFT_FORM_MR) {
		soft_mem_set(cpu, insn, size, cpu->xmm[insn->reg].u64[0]);
	} else if (insn->form == SOFT_FORM_RM) {
		const uint64_t value = soft_mem_get(cpu, insn, size);

		cpu->xmm[insn->reg].u64[0] = value;
		cpu->xmm[insn->reg].u64[1] = 0;
	} else if (size == 8) {
		cpu->xmm[insn->reg].u64[0] = cpu->xmm[insn->rm].u64[0];
	} else {
		cpu->xmm[insn->reg].u32[0] = cpu->xmm[insn->rm].u32[0];
	}
}

void soft_exec_movss(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	move_scalar(cpu, insn, 4);
}
static void movsd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	move_scalar(cpu, insn, 8);
}

/* MOVSD and CMPSD are string instructions too; those have other opcodes. */
#define OPCODE_CMPPS 0xc2

soft_handler soft_select_sse(const struct soft_insn *insn, unsigned what)
{
	return insn->opcode == OPCODE_CMPPS ? soft_exec_cmpsd : movsd;
}

/* MOVD and MOVQ between XMM and general registers or memory: opcode 6E in, 7E out. */
#define OPCODE_MOVD_IN 0x6e

SOFT_ALWAYS_INLINE void move_general(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size)
{
	soft_sse_check(cpu);
	if (insn->opcode == OPCODE_MOVD_IN) {
		const uint64_t value =
		        insn->form == SOFT_FORM_RM ? soft_mem_get(cpu, insn, size) : soft_reg_get(cpu, insn->rm, size);

		cpu->xmm[insn->reg].u64[0] = value;
		cpu->xmm[insn->reg].u64[1] = 0;
	} else if (insn->form == SOFT_FORM_MR) {
		soft_mem_set(cpu, insn, size, cpu->xmm[insn->reg].u64[0]);
	} else {
		soft_reg_set(cpu, insn->reg, size, cpu->xmm[insn->rm].u64[0]);
	}
}

void soft_exec_movd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	move_general(cpu, insn, 4);
}
static void movq_general(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	move_general(cpu, insn, 8);
}

/** Among XMM registers and memory MOVQ clears the upper half, whatever the form. */
static void movq_xmm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (insn->form == SOFT_FORM_RR) {
		soft_sse_check(cpu);
		cpu->xmm[insn->reg].u64[0] = cpu->xmm[insn->rm].u64[0];
		cpu->xmm[insn->reg].u64[1] = 0;
	} else {
		move_scalar(cpu, insn, 8);
	}
}

/** 66 REX.W 0F 6E and 7E reach general registers; F3 0F 7E and 66 0F D6 do not. The XMM operand has 16 bytes. */
soft_handler soft_select_movq(const struct soft_insn *insn, unsigned what)
{
	if (insn->opcode == OPCODE_MOVD_IN || (insn->opcode == 0x7e && insn->size == 8))
		return movq_general;
	return movq_xmm;
}

static void move_half(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned half)
{
	soft_sse_check(cpu);
	if (insn->form == SOFT_FORM_MR)
		soft_mem_set(cpu, insn, 8, cpu->xmm[insn->reg].u64[half]);
	else
		cpu->xmm[insn->reg].u64[half] = soft_mem_get(cpu, insn, 8);
}

void soft_exec_movlps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	move_half(cpu, insn, 0);
}
void soft_exec_movhps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	move_half(cpu, insn, 1);
}
void soft_exec_movhlps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_sse_check(cpu);
	cpu->xmm[insn->reg].u64[0] = cpu->xmm[insn->rm].u64[1];
}
void soft_exec_movlhps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_sse_check(cpu);
	cpu->xmm[insn->reg].u64[1] = cpu->xmm[insn->rm].u64[0];
}

/** Bytes whose mask byte has its top bit set, to DS:RDI. */
void soft_exec_maskmovdqu(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t offset = cpu->gpr[GPR_RDI] & soft_size_mask(insn->address_size);
	const union soft_xmm *mask = &cpu->xmm[insn->rm];
	uint64_t linear;

	soft_sse_check(cpu);
	linear = soft_segment_linear(cpu, insn->segment, offset, 16, SOFT_WRITE);
	/* Processors check the whole 16 bytes; which fault a masked byte meets is theirs to define. */
	soft_probe_write(cpu, linear, 16);
	for (unsigned i = 0; i < 16; i++)
		if (mask->i8[i] < 0)
			soft_store_slow(cpu, insn->segment, linear + i, 1, cpu->xmm[insn->reg].u8[i]);
}

/* ---- sign masks, words ---- */

void soft_exec_movmskps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm *a = &cpu->xmm[insn->rm];
	uint64_t mask = 0;

	soft_sse_check(cpu);
	for (unsigned i = 0; i < 4; i++)
		mask |= (uint64_t)(a->u32[i] >> 31) << i;
	cpu->gpr[insn->reg] = mask;
}

void soft_exec_movmskpd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_sse_check(cpu);
	cpu->gpr[insn->reg] = cpu->xmm[insn->rm].u64[0] >> 63 | cpu->xmm[insn->rm].u64[1] >> 63 << 1;
}

void soft_exec_pmovmskb(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint64_t mask = 0;

	soft_sse_check(cpu);
	for (unsigned i = 0; i < 16; i++)
		mask |= (uint64_t)(cpu->xmm[insn->rm].u8[i] >> 7) << i;
	cpu->gpr[insn->reg] = mask;
}

/* PEXTRW to memory is SSE4.1's; SSE2's writes a register. */
#define OPCODE_PEXTRW 0xc5

static void pextrw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_sse_check(cpu);
	cpu->gpr[insn->reg] = cpu->xmm[insn->rm].u16[insn->immediate & 7];
}

soft_handler soft_select_pextrw(const struct soft_insn *insn, unsigned what)
{
	return insn->opcode == OPCODE_PEXTRW ? pextrw : NULL;
}

void soft_exec_pinsrw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint64_t value;

	soft_sse_check(cpu);
	value = insn->flags & SOFT_INSN_MEMORY ? soft_mem_get(cpu, insn, 2) : cpu->gpr[insn->rm];
	cpu->xmm[insn->reg].u16[insn->immediate & 7] = (uint16_t)value;
}

/* ---- shuffles ---- */

void soft_exec_pshufd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16);

	for (unsigned i = 0; i < 4; i++)
		cpu->xmm[insn->reg].u32[i] = b.u32[insn->immediate >> (2 * i) & 3];
}

static void shuffle_words(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned first)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16);
	union soft_xmm result = b;

	for (unsigned i = 0; i < 4; i++)
		result.u16[first + i] = b.u16[first + (insn->immediate >> (2 * i) & 3)];
	cpu->xmm[insn->reg] = result;
}

void soft_exec_pshuflw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	shuffle_words(cpu, insn, 0);
}
void soft_exec_pshufhw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	shuffle_words(cpu, insn, 4);
}

void soft_exec_shufps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16), a = cpu->xmm[insn->reg];
	const unsigned select = (unsigned)insn->immediate;

	cpu->xmm[insn->reg] = (union soft_xmm){
	        .u32 = {a.u32[select & 3], a.u32[select >> 2 & 3], b.u32[select >> 4 & 3], b.u32[select >> 6 & 3]}};
}

void soft_exec_shufpd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16), a = cpu->xmm[insn->reg];

	cpu->xmm[insn->reg] = (union soft_xmm){.u64 = {a.u64[insn->immediate & 1], b.u64[insn->immediate >> 1 & 1]}};
}

/** Interleave the low or high halves of two registers in elements of `size` bytes. */
SOFT_ALWAYS_INLINE void unpack(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, unsigned from)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16), a = cpu->xmm[insn->reg];
	union soft_xmm *result = &cpu->xmm[insn->reg];

	for (unsigned i = 0; i < 8 / size; i++) {
		memcpy(&result->u8[2 * i * size], &a.u8[from + i * size], size);
		memcpy(&result->u8[(2 * i + 1) * size], &b.u8[from + i * size], size);
	}
}

#define UNPACK(name, size, from)                                                                                       \
	void soft_exec_##name(struct soft_cpu *cpu, const struct soft_insn *insn)                                      \
	{                                                                                                              \
		unpack(cpu, insn, size, from);                                                                         \
	}
UNPACK(punpcklbw, 1, 0)
UNPACK(punpcklwd, 2, 0)
UNPACK(punpckldq, 4, 0)
UNPACK(punpcklqdq, 8, 0)
UNPACK(punpckhbw, 1, 8)
UNPACK(punpckhwd, 2, 8)
UNPACK(punpckhdq, 4, 8)
UNPACK(punpckhqdq, 8, 8)
