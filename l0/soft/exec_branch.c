/* SPDX-License-Identifier: Apache-2.0 */
/** Near branches. cpu->rip is already that of the next instruction when a handler runs. */
#include "exec.h"
#include "flags.h"

void soft_jump(struct soft_cpu *cpu, uint64_t target, unsigned width)
{
	if (cpu->mode == SOFT_MODE_64) {
		if (!x86_canonical(target))
			soft_fault(cpu, VECTOR_GP, true, 0);
	} else {
		target &= soft_size_mask(width);
		if (target > cpu->seg[SOFT_CS].limit)
			soft_fault(cpu, VECTOR_GP, true, 0);
	}
	cpu->rip = target;
}

/** In 64-bit mode every near branch has a 64-bit operand, so the width tells the two apart. */
SOFT_ALWAYS_INLINE void jump_relative(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t target = cpu->rip + (uint64_t)insn->immediate;

	if (SOFT_LIKELY(insn->width == 8 && x86_canonical(target)))
		cpu->rip = target;
	else
		soft_jump(cpu, target, insn->width);
}

#define JUMP_HANDLER(cc)                                                                                               \
	static void jump_if_##cc(struct soft_cpu *cpu, const struct soft_insn *insn)                                   \
	{                                                                                                              \
		if (soft_condition(cpu, cc))                                                                           \
			jump_relative(cpu, insn);                                                                      \
	}
#define CONDITIONS(each)                                                                                               \
	each(0) each(1) each(2) each(3) each(4) each(5) each(6) each(7) each(8) each(9) each(10) each(11) each(12)     \
	        each(13) each(14) each(15)
CONDITIONS(JUMP_HANDLER)
#define JUMP_ENTRY(cc) [cc] = jump_if_##cc,

soft_handler soft_select_jcc(const struct soft_insn *insn, unsigned cc)
{
	static const soft_handler handlers[16] = {CONDITIONS(JUMP_ENTRY)};

	return handlers[cc];
}

static void jump_direct(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	jump_relative(cpu, insn);
}

static void jump_register(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_jump(cpu, soft_reg_get(cpu, insn->reg, insn->width), insn->width);
}

static void jump_memory(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_jump(cpu, soft_mem_get(cpu, insn, insn->width), insn->width);
}

/* Far forms of JMP and CALL: opcodes EA and 9A, and FF with ModRM.reg odd. */
static bool is_far(const struct soft_insn *insn)
{
	return insn->opcode == 0xea || insn->opcode == 0x9a || (insn->opcode == 0xff && insn->modrm_reg & 1);
}

soft_handler soft_select_jmp(const struct soft_insn *insn, unsigned what)
{
	if (is_far(insn))
		return soft_exec_jmp_far;
	switch (insn->form) {
	case SOFT_FORM_R:
		return jump_register;
	case SOFT_FORM_M:
		return jump_memory;
	default:
		return jump_direct;
	}
}

/* ---- CALL, RET ---- */

/** Jump first: a bad target faults before anything is pushed. A push that faults leaves RIP to the fault. */
SOFT_ALWAYS_INLINE void call(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t target)
{
	const uint64_t next = cpu->rip;

	soft_jump(cpu, target, insn->width);
	if (SOFT_LIKELY(insn->width == 8)) {
		const uint64_t top = cpu->gpr[GPR_RSP] - 8;
		uint8_t *host = soft_tlb_lookup_write(cpu, top, 8);

		if (SOFT_LIKELY(host != NULL))
			memcpy(host, &next, 8);
		else
			soft_store_slow(cpu, SOFT_SS, top, 8, next);
		cpu->gpr[GPR_RSP] = top;
	} else {
		soft_push(cpu, insn->width, next);
	}
}

static void call_direct(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	call(cpu, insn, cpu->rip + (uint64_t)insn->immediate);
}

static void call_register(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	call(cpu, insn, soft_reg_get(cpu, insn->reg, insn->width));
}

static void call_memory(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	call(cpu, insn, soft_mem_get(cpu, insn, insn->width));
}

soft_handler soft_select_call(const struct soft_insn *insn, unsigned what)
{
	if (is_far(insn))
		return soft_exec_call_far;
	switch (insn->form) {
	case SOFT_FORM_R:
		return call_register;
	case SOFT_FORM_M:
		return call_memory;
	default:
		return call_direct;
	}
}

static void return_64(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t top = cpu->gpr[GPR_RSP];
	const uint8_t *host = soft_tlb_lookup_read(cpu, top, 8);
	uint64_t target;

	if (SOFT_LIKELY(host != NULL))
		memcpy(&target, host, 8);
	else
		target = soft_load_slow(cpu, SOFT_SS, top, 8);
	soft_jump(cpu, target, 8);
	cpu->gpr[GPR_RSP] = top + 8 + (uint16_t)insn->immediate;
}

static void return_general(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_jump(cpu, soft_peek(cpu, insn->width, 0), insn->width);
	soft_stack_add(cpu, insn->width + (uint16_t)insn->immediate);
}

/* RET near is C2 and C3, RET far CA and CB. */
soft_handler soft_select_ret(const struct soft_insn *insn, unsigned what)
{
	if (insn->opcode & 8)
		return soft_exec_ret_far;
	return insn->width == 8 ? return_64 : return_general;
}

/* ---- LOOPcc, JCXZ: the counter has the address size ---- */

static void loop_if(struct soft_cpu *cpu, const struct soft_insn *insn, bool condition)
{
	const uint64_t count = (cpu->gpr[GPR_RCX] - 1) & soft_size_mask(insn->address_size);

	if (count && condition)
		jump_relative(cpu, insn);
	soft_reg_set(cpu, GPR_RCX, insn->address_size, count);
}

void soft_exec_loop(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	loop_if(cpu, insn, true);
}
void soft_exec_loope(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	loop_if(cpu, insn, soft_zf(cpu));
}
void soft_exec_loopne(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	loop_if(cpu, insn, !soft_zf(cpu));
}
void soft_exec_jcxz(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (!soft_reg_get(cpu, GPR_RCX, insn->address_size))
		jump_relative(cpu, insn);
}
