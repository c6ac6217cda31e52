/* SPDX-License-Identifier: Apache-2.0 */
/** MOV and its kin, PUSH and POP, CMOVcc and SETcc. */
#include "exec.h"
#include "flags.h"

/* ---- MOV between general registers, memory and immediates ---- */

SOFT_ALWAYS_INLINE void move(struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_form form, unsigned size)
{
	switch (form) {
	case SOFT_FORM_RR:
		soft_reg_set(cpu, insn->reg, size, soft_reg_get(cpu, insn->rm, size));
		break;
	case SOFT_FORM_RM:
		soft_reg_set(cpu, insn->reg, size, soft_mem_get(cpu, insn, size));
		break;
	case SOFT_FORM_MR:
		soft_mem_set(cpu, insn, size, soft_reg_get(cpu, insn->reg, size));
		break;
	case SOFT_FORM_RI:
		soft_reg_set(cpu, insn->reg, size, (uint64_t)insn->immediate);
		break;
	default:
		soft_mem_set(cpu, insn, size, (uint64_t)insn->immediate);
	}
}

#define MOVE_HANDLER(form, size)                                                                                       \
	static void move_##form##_##size(struct soft_cpu *cpu, const struct soft_insn *insn)                           \
	{                                                                                                              \
		move(cpu, insn, SOFT_FORM_##form, size);                                                               \
	}
#define MOVE_SIZES(each, form) each(form, 1) each(form, 2) each(form, 4) each(form, 8)
#define MOVE_ALL(each)                                                                                                 \
	MOVE_SIZES(each, RR) MOVE_SIZES(each, RM) MOVE_SIZES(each, MR) MOVE_SIZES(each, RI) MOVE_SIZES(each, MI)
MOVE_ALL(MOVE_HANDLER)

#define SIZE_INDEX_1 0
#define SIZE_INDEX_2 1
#define SIZE_INDEX_4 2
#define SIZE_INDEX_8 3
#define MOVE_ENTRY(form, size) [SOFT_FORM_##form][SIZE_INDEX_##size] = move_##form##_##size,

/* MOV to and from segment, control and debug registers: opcodes 8C, 8E; 0F 20 to 0F 23. */
#define OPCODE_MOV_FROM_SEGMENT 0x8c
#define OPCODE_MOV_TO_SEGMENT 0x8e
#define OPCODE_MOV_FROM_CR 0x20
#define OPCODE_MOV_TO_DR 0x23

soft_handler soft_select_mov(const struct soft_insn *insn, unsigned what)
{
	static const soft_handler handlers[SOFT_FORM_COUNT][4] = {MOVE_ALL(MOVE_ENTRY)};

	if (insn->opcode == OPCODE_MOV_FROM_SEGMENT)
		return soft_exec_mov_from_segment;
	if (insn->opcode == OPCODE_MOV_TO_SEGMENT)
		return soft_exec_mov_to_segment;
	if (insn->opcode >= OPCODE_MOV_FROM_CR && insn->opcode <= OPCODE_MOV_TO_DR)
		return soft_exec_mov_control;
	/* An 8-byte displacement occupies the field of the immediate; MOV with moffs has none. */
	return handlers[insn->form][__builtin_ctz(insn->size)];
}

/* ---- MOVZX, MOVSX, MOVSXD ---- */

SOFT_ALWAYS_INLINE void extend(
        struct soft_cpu *cpu, const struct soft_insn *insn, bool is_signed, bool memory, unsigned from, unsigned to)
{
	const uint64_t value = memory ? soft_mem_get(cpu, insn, from) : soft_reg_get(cpu, insn->rm, from);

	soft_reg_set(cpu, insn->reg, to, is_signed ? (uint64_t)soft_sign_extend(value, from) : value);
}

#define EXTEND_HANDLER(is_signed, memory, from, to)                                                                    \
	static void extend_##is_signed##_##memory##_##from##_##to(struct soft_cpu *cpu, const struct soft_insn *insn)  \
	{                                                                                                              \
		extend(cpu, insn, is_signed, memory, from, to);                                                        \
	}
#define EXTEND_ENTRY(is_signed, memory, from, to)                                                                      \
	[is_signed][memory][SIZE_INDEX_##from][SIZE_INDEX_##to] = extend_##is_signed##_##memory##_##from##_##to,
#define EXTEND_SIZES(each, is_signed, memory)                                                                          \
	each(is_signed, memory, 1, 2) each(is_signed, memory, 1, 4) each(is_signed, memory, 1, 8)                      \
	        each(is_signed, memory, 2, 2) each(is_signed, memory, 2, 4) each(is_signed, memory, 2, 8)              \
	                each(is_signed, memory, 4, 2) each(is_signed, memory, 4, 4) each(is_signed, memory, 4, 8)
#define EXTEND_ALL(each)                                                                                               \
	EXTEND_SIZES(each, 0, 0) EXTEND_SIZES(each, 0, 1) EXTEND_SIZES(each, 1, 0) EXTEND_SIZES(each, 1, 1)
EXTEND_ALL(EXTEND_HANDLER)

soft_handler soft_select_extend(const struct soft_insn *insn, unsigned is_signed)
{
	static const soft_handler handlers[2][2][4][4] = {EXTEND_ALL(EXTEND_ENTRY)};

	return handlers[is_signed][insn->form == SOFT_FORM_RM][__builtin_ctz(insn->source_size)]
	               [__builtin_ctz(insn->size)];
}

/* ---- LEA ---- */

static void lea_flat_8(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	cpu->gpr[insn->reg] = soft_linear(cpu, insn, 1, SOFT_READ);
}
static void lea_flat_4(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	cpu->gpr[insn->reg] = (uint32_t)soft_linear(cpu, insn, 1, SOFT_READ);
}
static void lea_general(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_reg_set(cpu, insn->reg, insn->size, soft_offset(cpu, insn));
}

soft_handler soft_select_lea(const struct soft_insn *insn, unsigned what)
{
	if (!(insn->flags & SOFT_INSN_FLAT))
		return lea_general;
	return insn->size == 8 ? lea_flat_8 : insn->size == 4 ? lea_flat_4 : lea_general;
}

/* ---- PUSH, POP ---- */

static void push_r64(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t value = cpu->gpr[insn->reg], top = cpu->gpr[GPR_RSP] - 8;
	uint8_t *host = soft_tlb_lookup_write(cpu, top, 8);

	if (SOFT_LIKELY(host != NULL))
		memcpy(host, &value, 8);
	else
		soft_store_slow(cpu, SOFT_SS, top, 8, value);
	cpu->gpr[GPR_RSP] = top;
}

static void pop_r64(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t top = cpu->gpr[GPR_RSP];
	const uint8_t *host = soft_tlb_lookup_read(cpu, top, 8);
	uint64_t value;

	if (SOFT_LIKELY(host != NULL))
		memcpy(&value, host, 8);
	else
		value = soft_load_slow(cpu, SOFT_SS, top, 8);
	/* POP RSP: the popped value stands. */
	cpu->gpr[GPR_RSP] = top + 8;
	cpu->gpr[insn->reg] = value;
}

static void push_general(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_push(cpu, insn->width, soft_source_get(cpu, insn, insn->width));
}

static void pop_register(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t value = soft_peek(cpu, insn->width, 0);

	soft_stack_add(cpu, insn->width);
	soft_reg_set(cpu, insn->reg, insn->width, value);
}

/** An address with RSP as base is computed after the increment (SDM vol. 2, POP). */
static void pop_memory(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t value = soft_peek(cpu, insn->width, 0), rsp = cpu->gpr[GPR_RSP];
	uint64_t linear;

	soft_stack_add(cpu, insn->width);
	linear = soft_offset(cpu, insn);
	cpu->gpr[GPR_RSP] = rsp; /* until the store has succeeded */
	linear = soft_segment_linear(cpu, insn->segment, linear, insn->width, SOFT_WRITE);
	soft_store_slow(cpu, insn->segment, linear, insn->width, value);
	soft_stack_add(cpu, insn->width);
}

/* PUSH and POP of segment registers have opcodes of their own: 06 0E 16 1E 0F A0 0F A8 and 07 17 1F 0F A1 0F A9. */
static bool is_segment_push(const struct soft_insn *insn)
{
	return (insn->opcode & ~0x18) == 0x06 || insn->opcode == 0xa0 || insn->opcode == 0xa8;
}
static bool is_segment_pop(const struct soft_insn *insn)
{
	return (insn->opcode & ~0x18) == 0x07 || insn->opcode == 0xa1 || insn->opcode == 0xa9;
}

soft_handler soft_select_push(const struct soft_insn *insn, unsigned what)
{
	if (is_segment_push(insn))
		return soft_exec_push_segment;
	return insn->form == SOFT_FORM_R && insn->width == 8 ? push_r64 : push_general;
}

soft_handler soft_select_pop(const struct soft_insn *insn, unsigned what)
{
	if (is_segment_pop(insn))
		return soft_exec_pop_segment;
	if (insn->form == SOFT_FORM_M)
		return pop_memory;
	return insn->width == 8 ? pop_r64 : pop_register;
}

/* ---- conditional ---- */

#define CONDITIONS(each)                                                                                               \
	each(0) each(1) each(2) each(3) each(4) each(5) each(6) each(7) each(8) each(9) each(10) each(11) each(12)     \
	        each(13) each(14) each(15)

#define SET_HANDLER(cc)                                                                                                \
	static void set_r_##cc(struct soft_cpu *cpu, const struct soft_insn *insn)                                     \
	{                                                                                                              \
		soft_reg_set(cpu, insn->reg, 1, soft_condition(cpu, cc));                                              \
	}                                                                                                              \
	static void set_m_##cc(struct soft_cpu *cpu, const struct soft_insn *insn)                                     \
	{                                                                                                              \
		soft_mem_set(cpu, insn, 1, soft_condition(cpu, cc));                                                   \
	}
CONDITIONS(SET_HANDLER)
#define SET_ENTRY(cc) [cc] = {set_r_##cc, set_m_##cc},

soft_handler soft_select_setcc(const struct soft_insn *insn, unsigned cc)
{
	static const soft_handler handlers[16][2] = {CONDITIONS(SET_ENTRY)};

	return handlers[cc][insn->form == SOFT_FORM_M];
}

/** The source is read, and a 32-bit destination's upper half cleared, whether the condition holds or not. */
SOFT_ALWAYS_INLINE void conditional_move(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned cc, unsigned size)
{
	const uint64_t value =
	        insn->form == SOFT_FORM_RM ? soft_mem_get(cpu, insn, size) : soft_reg_get(cpu, insn->rm, size);
	const uint64_t old = soft_reg_get(cpu, insn->reg, size);

	soft_reg_set(cpu, insn->reg, size, soft_condition(cpu, cc) ? value : old);
}

#define CMOV_HANDLER(cc)                                                                                               \
	static void cmov_2_##cc(struct soft_cpu *cpu, const struct soft_insn *insn)                                    \
	{                                                                                                              \
		conditional_move(cpu, insn, cc, 2);                                                                    \
	}                                                                                                              \
	static void cmov_4_##cc(struct soft_cpu *cpu, const struct soft_insn *insn)                                    \
	{                                                                                                              \
		conditional_move(cpu, insn, cc, 4);                                                                    \
	}                                                                                                              \
	static void cmov_8_##cc(struct soft_cpu *cpu, const struct soft_insn *insn)                                    \
	{                                                                                                              \
		conditional_move(cpu, insn, cc, 8);                                                                    \
	}
CONDITIONS(CMOV_HANDLER)
#define CMOV_ENTRY(cc) [cc] = {NULL, cmov_2_##cc, cmov_4_##cc, cmov_8_##cc},

soft_handler soft_select_cmov(const struct soft_insn *insn, unsigned cc)
{
	static const soft_handler handlers[16][4] = {CONDITIONS(CMOV_ENTRY)};

	return handlers[cc][__builtin_ctz(insn->size)];
}
