/* SPDX-License-Identifier: Apache-2.0 */
/** Exchanges, conversions, flag instructions, stack frames: the rest of the integer instructions. */
#include "exec.h"
#include "flags.h"

void soft_exec_nop(struct soft_cpu *cpu, const struct soft_insn *insn) {}

void soft_exec_xchg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->size;

	if (insn->form == SOFT_FORM_RR) {
		const uint64_t a = soft_reg_get(cpu, insn->reg, size), b = soft_reg_get(cpu, insn->rm, size);

		soft_reg_set(cpu, insn->reg, size, b);
		soft_reg_set(cpu, insn->rm, size, a);
	} else {
		struct soft_rmw rmw;
		const uint64_t value = soft_rmw_get(cpu, insn, size, &rmw);

		soft_rmw_set(cpu, &rmw, size, soft_reg_get(cpu, insn->reg, size));
		soft_reg_set(cpu, insn->reg, size, value);
	}
}

void soft_exec_bswap(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t value = cpu->gpr[insn->reg];

	if (insn->size == 8)
		cpu->gpr[insn->reg] = __builtin_bswap64(value);
	else if (insn->size == 4)
		cpu->gpr[insn->reg] = __builtin_bswap32((uint32_t)value);
	else /* undefined by the SDM; processors clear the register's low half */
		soft_reg_set(cpu, insn->reg, 2, 0);
}

void soft_exec_movbe(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->width;
	const uint64_t value = __builtin_bswap64(soft_source_get(cpu, insn, size)) >> (64 - 8 * size);

	soft_destination_put(cpu, insn, size, value);
}

void soft_exec_movnti(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_mem_set(cpu, insn, insn->size, soft_reg_get(cpu, insn->reg, insn->size));
}

/* ---- widening within the accumulator ---- */

void soft_exec_cbw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_reg_set(cpu, GPR_RAX, 2, (uint64_t)(int8_t)cpu->gpr[GPR_RAX]);
}
void soft_exec_cwde(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_reg_set(cpu, GPR_RAX, 4, (uint64_t)(int16_t)cpu->gpr[GPR_RAX]);
}
void soft_exec_cdqe(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_reg_set(cpu, GPR_RAX, 8, (uint64_t)(int32_t)cpu->gpr[GPR_RAX]);
}
void soft_exec_cwd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_reg_set(cpu, GPR_RDX, 2, cpu->gpr[GPR_RAX] & 0x8000 ? 0xffff : 0);
}
void soft_exec_cdq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_reg_set(cpu, GPR_RDX, 4, cpu->gpr[GPR_RAX] & 0x80000000u ? 0xffffffffu : 0);
}
void soft_exec_cqo(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_reg_set(cpu, GPR_RDX, 8, cpu->gpr[GPR_RAX] >> 63 ? ~0ull : 0);
}

/** AL from segment:[rBX + AL]. */
void soft_exec_xlat(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t offset = (cpu->gpr[GPR_RBX] + (uint8_t)cpu->gpr[GPR_RAX]) & soft_size_mask(insn->address_size);
	const uint64_t linear = soft_segment_linear(cpu, insn->segment, offset, 1, SOFT_READ);

	soft_reg_set(cpu, GPR_RAX, 1, soft_load_slow(cpu, insn->segment, linear, 1));
}

/* ---- flags ---- */

void soft_exec_clc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_set_cf(cpu, 0);
}
void soft_exec_stc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_set_cf(cpu, 1);
}
void soft_exec_cmc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_set_cf(cpu, !soft_cf(cpu));
}
void soft_exec_cld(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	cpu->rflags &= ~(uint64_t)FLAG_DF;
}
void soft_exec_std(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	cpu->rflags |= FLAG_DF;
}

void soft_exec_lahf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_reg_set(cpu, 1, 1, soft_flags_get(cpu)); /* AH */
}

void soft_exec_sahf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t of = soft_of(cpu);

	soft_flags_set_status(cpu, soft_reg_get(cpu, 1, 1));
	soft_set_of(cpu, of);
}

/** In virtual-8086 mode PUSHF, POPF, CLI and STI need IOPL 3 (SDM vol. 3, 21.2.7; VME is not offered). */
static void check_v8086_iopl(struct soft_cpu *cpu)
{
	if (cpu->mode == SOFT_MODE_V8086 && (cpu->rflags & FLAG_IOPL) != FLAG_IOPL)
		soft_fault(cpu, VECTOR_GP, true, 0);
}

void soft_exec_pushf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	check_v8086_iopl(cpu);
	soft_push(cpu, insn->width, soft_flags_get(cpu) & ~(uint64_t)(FLAG_RF | FLAG_VM));
}

void soft_exec_popf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned iopl = (unsigned)(cpu->rflags & FLAG_IOPL) >> 12;
	uint64_t may_change = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT;
	uint64_t value;

	check_v8086_iopl(cpu);
	if (insn->width > 2)
		may_change |= FLAG_AC | FLAG_ID;
	if (cpu->cpl == 0)
		may_change |= FLAG_IOPL;
	if (cpu->cpl <= iopl)
		may_change |= FLAG_IF;
	value = soft_peek(cpu, insn->width, 0);
	soft_stack_add(cpu, insn->width);
	soft_flags_set(cpu, (soft_flags_get(cpu) & ~(may_change | FLAG_RF)) | (value & may_change));
	if (cpu->cr0 & CR0_AM) /* AC may have changed */
		soft_tlb_context(cpu);
	soft_attention(cpu);
}

void soft_exec_cli(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (cpu->cpl > (cpu->rflags & FLAG_IOPL) >> 12)
		soft_fault(cpu, VECTOR_GP, true, 0);
	cpu->rflags &= ~(uint64_t)FLAG_IF;
}

void soft_exec_sti(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (cpu->cpl > (cpu->rflags & FLAG_IOPL) >> 12)
		soft_fault(cpu, VECTOR_GP, true, 0);
	if (!(cpu->rflags & FLAG_IF)) {
		cpu->rflags |= FLAG_IF;
		cpu->interruptibility |= INTERRUPTIBILITY_STI;
		cpu->shadow_set = true;
		soft_attention(cpu);
	}
}

/* ---- stack frames ---- */

void soft_exec_leave(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned stack_size = soft_stack_size(cpu);
	const uint64_t top = cpu->gpr[GPR_RBP] & soft_size_mask(stack_size);
	const uint64_t linear = soft_segment_linear(cpu, SOFT_SS, top, insn->width, SOFT_READ);
	const uint64_t value = soft_load_slow(cpu, SOFT_SS, linear, insn->width);

	soft_reg_set(cpu, GPR_RSP, stack_size, top + insn->width);
	soft_reg_set(cpu, GPR_RBP, insn->width, value);
}

/** Operands: bytes of the frame, then (in `third`) the nesting level. */
void soft_exec_enter(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->width, stack_size = soft_stack_size(cpu);
	const uint64_t mask = soft_size_mask(stack_size), rsp = cpu->gpr[GPR_RSP], rbp = cpu->gpr[GPR_RBP];
	const unsigned level = insn->third & 31, frame_bytes = (uint16_t)insn->immediate;
	uint64_t frame, link = rbp;

	/* Nothing may be committed before the last access has succeeded; the pushes move RSP, so put it back. */
	soft_push(cpu, size, rbp);
	frame = cpu->gpr[GPR_RSP];
	for (unsigned i = 1; i <= level; i++) {
		uint64_t value = frame, linear, top = cpu->gpr[GPR_RSP];

		if (i < level) {
			link = (link - size) & mask;
			cpu->gpr[GPR_RSP] = rsp;
			linear = soft_segment_linear(cpu, SOFT_SS, link, size, SOFT_READ);
			value = soft_load_slow(cpu, SOFT_SS, linear, size);
			cpu->gpr[GPR_RSP] = top;
		}
		top = (top - size) & mask;
		cpu->gpr[GPR_RSP] = rsp;
		linear = soft_segment_linear(cpu, SOFT_SS, top, size, SOFT_WRITE);
		soft_store_slow(cpu, SOFT_SS, linear, size, value);
		soft_reg_set(cpu, GPR_RSP, stack_size, top);
	}
	/* The new top must be writable (SDM vol. 2, ENTER), though nothing is written there. */
	{
		const uint64_t top = (cpu->gpr[GPR_RSP] - frame_bytes) & mask;

		cpu->gpr[GPR_RSP] = rsp;
		soft_probe_write(cpu, soft_segment_linear(cpu, SOFT_SS, top, size, SOFT_WRITE), size);
		soft_reg_set(cpu, GPR_RSP, stack_size, top);
	}
	soft_reg_set(cpu, GPR_RBP, size, frame);
}

void soft_exec_pusha(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t rsp = cpu->gpr[GPR_RSP];
	const unsigned size = insn->width, stack_size = soft_stack_size(cpu);

	for (unsigned i = 0; i < 8; i++) {
		const uint64_t top = (rsp - (i + 1) * size) & soft_size_mask(stack_size);
		const uint64_t linear = soft_segment_linear(cpu, SOFT_SS, top, size, SOFT_WRITE);

		soft_store_slow(cpu, SOFT_SS, linear, size, soft_reg_get(cpu, i, size));
	}
	soft_stack_add(cpu, -8 * (int64_t)size);
}

void soft_exec_popa(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->width;
	uint64_t values[8];

	for (unsigned i = 0; i < 8; i++)
		values[i] = soft_peek(cpu, size, i * size);
	for (unsigned i = 0; i < 8; i++)
		if (7 - i != GPR_RSP)
			soft_reg_set(cpu, 7 - i, size, values[i]);
	soft_stack_add(cpu, 8 * size);
}

/** Beyond its bounds is #BR (5). Bounds are signed. */
void soft_exec_bound(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->width;
	const uint64_t linear = soft_linear(cpu, insn, 2 * size, SOFT_READ);
	const int64_t lower = soft_sign_extend(soft_read(cpu, linear, size), size);
	const int64_t upper = soft_sign_extend(soft_read(cpu, linear + size, size), size);
	const int64_t index = soft_sign_extend(soft_reg_get(cpu, insn->reg, size), size);

	if (index < lower || index > upper)
		soft_fault(cpu, 5, false, 0);
}
