/* SPDX-License-Identifier: Apache-2.0 */
/** Far JMP, CALL and RET (SDM vol. 3, 5.8; vol. 2, JMP and CALL). IRET is in exec_iret.c. */
#include "exec.h"
#include "flags.h"
#include "internal.h"
#include "far.h"

static _Noreturn void fault(struct soft_cpu *cpu, uint8_t vector, uint16_t selector)
{
	soft_fault(cpu, vector, true, selector & ~3u);
}

/* Sources of a task switch in bits 31:30 of the exit qualification, SDM vol. 3, table 28-2. */
enum task_switch { TASK_CALL, TASK_IRET, TASK_JMP };

void soft_check_code_target(const struct soft_segment *code, struct soft_cpu *cpu, uint64_t offset)
{
	const bool wide = soft_long_mode(cpu) && (code->rights & AR_L);

	if (wide ? !x86_canonical(offset) : offset > code->limit)
		soft_fault(cpu, VECTOR_GP, true, 0);
}

void soft_enter_code(struct soft_cpu *cpu, const struct soft_segment *code, uint64_t offset, unsigned cpl)
{
	cpu->seg[SOFT_CS] = *code;
	cpu->seg[SOFT_CS].selector = (uint16_t)((code->selector & ~3u) | cpl);
	cpu->rip = offset;
	soft_update_mode(cpu);
	soft_tlb_context(cpu);
}

/** In real and virtual-8086 mode a far transfer just sets CS. */
static void transfer_real(struct soft_cpu *cpu, uint16_t selector, uint64_t offset)
{
	if (offset > cpu->seg[SOFT_CS].limit)
		soft_fault(cpu, VECTOR_GP, true, 0);
	cpu->seg[SOFT_CS].selector = selector;
	cpu->seg[SOFT_CS].base = (uint64_t)selector << 4;
	cpu->rip = offset;
	soft_update_mode(cpu);
}

/** A code segment as the target of a far JMP or CALL that keeps the CPL. */
static void check_same_level_code(struct soft_cpu *cpu, uint16_t selector, const struct soft_descriptor *descriptor)
{
	const uint32_t rights = soft_descriptor_rights(descriptor);
	const unsigned dpl = soft_descriptor_dpl(descriptor);

	if (rights & AR_TYPE_CONFORMING ? dpl > cpu->cpl : (selector & SELECTOR_RPL) > cpu->cpl || dpl != cpu->cpl)
		fault(cpu, VECTOR_GP, selector);
	if (soft_long_mode(cpu) && (rights & AR_L) && (rights & AR_DB))
		fault(cpu, VECTOR_GP, selector);
	if (!(rights & AR_P))
		fault(cpu, VECTOR_NP, selector);
}

struct gate {
	uint16_t selector;
	uint64_t offset;
	unsigned parameters;
	unsigned size; /**< bytes of what it pushes: 2, 4 or 8 */
	struct soft_descriptor code;
};

/** Read a call gate and the code segment it names, with the checks of 5.8.4. */
static void read_gate(
        struct soft_cpu *cpu, uint16_t selector, const struct soft_descriptor *descriptor, struct gate *gate)
{
	const unsigned type = soft_descriptor_rights(descriptor) & AR_TYPE_MASK;
	const unsigned dpl = soft_descriptor_dpl(descriptor);
	const bool long_mode = soft_long_mode(cpu);
	uint32_t rights;

	if (dpl < cpu->cpl || dpl < (selector & SELECTOR_RPL))
		fault(cpu, VECTOR_GP, selector);
	if (!(soft_descriptor_rights(descriptor) & AR_P))
		fault(cpu, VECTOR_NP, selector);
	gate->selector = (uint16_t)(descriptor->raw >> 16);
	gate->offset = (descriptor->raw & 0xffff) | (descriptor->raw >> 32 & 0xffff0000);
	gate->parameters = descriptor->raw >> 32 & 31;
	gate->size = long_mode ? 8 : type == SYSTEM_CALL_GATE ? 4 : 2;
	if (gate->size == 2)
		gate->offset &= 0xffff;
	if (long_mode) {
		const uint64_t upper = soft_read_system(cpu, descriptor->address + 8, 8);

		if (upper >> 40 & 0x1f)
			fault(cpu, VECTOR_GP, selector);
		gate->offset |= upper << 32;
		gate->parameters = 0;
	}
	soft_descriptor_need(cpu, gate->selector, VECTOR_GP, &gate->code);
	rights = soft_descriptor_rights(&gate->code);
	if ((rights & (AR_S | AR_TYPE_CODE)) != (AR_S | AR_TYPE_CODE) || soft_descriptor_dpl(&gate->code) > cpu->cpl)
		fault(cpu, VECTOR_GP, gate->selector);
	if (long_mode && (rights & (AR_L | AR_DB)) != AR_L)
		fault(cpu, VECTOR_GP, gate->selector);
	if (!(rights & AR_P))
		fault(cpu, VECTOR_NP, gate->selector);
}

/** What a system descriptor as a target means: a call gate to go through, or a task switch, which always exits. */
static void system_target(struct soft_cpu *cpu, uint16_t selector, const struct soft_descriptor *descriptor,
        enum task_switch source, struct gate *gate)
{
	const unsigned type = soft_descriptor_rights(descriptor) & AR_TYPE_MASK;

	if (type == SYSTEM_CALL_GATE || (type == SYSTEM_CALL_GATE_16 && !soft_long_mode(cpu))) {
		read_gate(cpu, selector, descriptor, gate);
		return;
	}
	if (!soft_long_mode(cpu) && (type == SYSTEM_TSS || type == SYSTEM_TSS_16 || type == SYSTEM_TASK_GATE)) {
		const unsigned dpl = soft_descriptor_dpl(descriptor);

		if (dpl < cpu->cpl || dpl < (selector & SELECTOR_RPL))
			fault(cpu, VECTOR_GP, selector);
		if (!(soft_descriptor_rights(descriptor) & AR_P))
			fault(cpu, VECTOR_NP, selector);
		if (type == SYSTEM_TASK_GATE)
			selector = (uint16_t)(descriptor->raw >> 16);
		soft_exit_instruction(cpu, EXIT_REASON_TASK_SWITCH, selector | (uint64_t)source << 30);
	}
	fault(cpu, VECTOR_GP, selector);
}

static void far_operand(struct soft_cpu *cpu, const struct soft_insn *insn, uint16_t *selector, uint64_t *offset)
{
	if (insn->flags & SOFT_INSN_MEMORY) {
		const uint64_t linear = soft_linear(cpu, insn, insn->width + 2, SOFT_READ);

		*offset = soft_load_slow(cpu, insn->segment, linear, insn->width);
		*selector = (uint16_t)soft_load_slow(cpu, insn->segment, linear + insn->width, 2);
	} else {
		*offset = (uint64_t)insn->immediate & soft_size_mask(insn->width);
		*selector = insn->selector;
	}
}

void soft_exec_jmp_far(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	struct soft_descriptor descriptor;
	struct soft_segment code;
	struct gate gate;
	uint16_t selector;
	uint64_t offset;

	far_operand(cpu, insn, &selector, &offset);
	if (cpu->mode <= SOFT_MODE_V8086) {
		transfer_real(cpu, selector, offset);
		return;
	}
	soft_descriptor_need(cpu, selector, VECTOR_GP, &descriptor);
	if (!(soft_descriptor_rights(&descriptor) & AR_S)) {
		system_target(cpu, selector, &descriptor, TASK_JMP, &gate);
		selector = (uint16_t)(gate.selector & ~3u);
		offset = gate.offset;
		descriptor = gate.code;
	}
	if (!(soft_descriptor_rights(&descriptor) & AR_TYPE_CODE))
		fault(cpu, VECTOR_GP, selector);
	check_same_level_code(cpu, selector, &descriptor);
	soft_descriptor_segment(&descriptor, selector, &code);
	soft_check_code_target(&code, cpu, offset);
	soft_descriptor_accessed(cpu, &descriptor);
	soft_enter_code(cpu, &code, offset, cpu->cpl);
}

/** The stack of `cpl` out of the TSS (7.2.1, 7.7). */
static uint64_t tss_stack(struct soft_cpu *cpu, unsigned cpl, struct soft_segment *ss)
{
	const struct soft_segment *tss = &cpu->seg[SOFT_TR];
	const bool long_mode = soft_long_mode(cpu), wide = tss->rights & 8;
	const uint32_t offset = long_mode || !wide ? (long_mode ? 4 + 8 * cpl : 2 + 4 * cpl) : 4 + 8 * cpl;
	const unsigned size = long_mode ? 8 : wide ? 4 : 2;
	uint64_t pointer;

	if (offset + size + (long_mode ? 0 : 2) - 1 > tss->limit)
		fault(cpu, VECTOR_TS, tss->selector);
	pointer = soft_read_system(cpu, tss->base + offset, size);
	if (long_mode)
		*ss = (struct soft_segment){.selector = (uint16_t)cpl, .rights = AR_UNUSABLE | cpl << AR_DPL_SHIFT};
	else
		soft_check_stack_segment(
		        cpu, (uint16_t)soft_read_system(cpu, tss->base + offset + size, 2), cpl, VECTOR_TS, ss);
	return pointer;
}

static void write_words(struct soft_cpu *cpu, const struct soft_segment *ss, uint64_t *pointer, unsigned size,
        const uint64_t *words, unsigned count)
{
	const uint64_t mask = soft_long_mode(cpu) ? ~0ull : ss->rights & AR_DB ? 0xffffffff : 0xffff;

	for (unsigned i = 0; i < count; i++) {
		*pointer = (*pointer - size) & mask;
		soft_write_system(cpu, ss->base + *pointer, size, words[i]);
	}
}

/** Through a gate to more privileged code: a new stack, with the old one and the parameters on it. */
static void call_inward(struct soft_cpu *cpu, const struct gate *gate, const struct soft_segment *code)
{
	const unsigned cpl = soft_descriptor_dpl(&gate->code);
	const uint64_t old[2] = {cpu->seg[SOFT_SS].selector, cpu->gpr[GPR_RSP]};
	const uint64_t back[2] = {cpu->seg[SOFT_CS].selector, cpu->rip};
	uint64_t parameters[31], pointer;
	struct soft_segment ss;

	for (unsigned i = 0; i < gate->parameters; i++)
		parameters[gate->parameters - 1 - i] = soft_peek(cpu, gate->size, i * gate->size);
	pointer = tss_stack(cpu, cpl, &ss);
	write_words(cpu, &ss, &pointer, gate->size, old, 2);
	write_words(cpu, &ss, &pointer, gate->size, parameters, gate->parameters);
	write_words(cpu, &ss, &pointer, gate->size, back, 2);
	cpu->seg[SOFT_SS] = ss;
	cpu->gpr[GPR_RSP] = pointer;
	soft_enter_code(cpu, code, gate->offset, cpl);
}

static void push_return(struct soft_cpu *cpu, unsigned size, uint64_t selector, uint64_t rip)
{
	const uint64_t rsp = cpu->gpr[GPR_RSP];

	/* The lower word first: if it can be written and the upper cannot, RSP has not moved yet. */
	soft_stack_add(cpu, -(int64_t)size);
	{
		const uint64_t mask = soft_size_mask(soft_stack_size(cpu));
		const uint64_t low = (cpu->gpr[GPR_RSP] - size) & mask, high = cpu->gpr[GPR_RSP] & mask;

		cpu->gpr[GPR_RSP] = rsp;
		soft_probe_write(cpu, soft_segment_linear(cpu, SOFT_SS, low, size, SOFT_WRITE), size);
		soft_store_slow(
		        cpu, SOFT_SS, soft_segment_linear(cpu, SOFT_SS, high, size, SOFT_WRITE), size, selector);
		soft_store_slow(cpu, SOFT_SS, soft_segment_linear(cpu, SOFT_SS, low, size, SOFT_WRITE), size, rip);
	}
	soft_stack_add(cpu, -2 * (int64_t)size);
}

void soft_exec_call_far(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	struct gate gate = {.size = insn->width};
	struct soft_descriptor descriptor;
	struct soft_segment code;
	uint16_t selector;
	uint64_t offset;
	const uint64_t next = cpu->rip;

	far_operand(cpu, insn, &selector, &offset);
	if (cpu->mode <= SOFT_MODE_V8086) {
		if (offset > cpu->seg[SOFT_CS].limit)
			soft_fault(cpu, VECTOR_GP, true, 0);
		push_return(cpu, insn->width, cpu->seg[SOFT_CS].selector, next);
		transfer_real(cpu, selector, offset);
		return;
	}
	soft_descriptor_need(cpu, selector, VECTOR_GP, &descriptor);
	if (!(soft_descriptor_rights(&descriptor) & AR_S)) {
		system_target(cpu, selector, &descriptor, TASK_CALL, &gate);
		selector = (uint16_t)(gate.selector & ~3u);
		offset = gate.offset;
		soft_descriptor_segment(&gate.code, selector, &code);
		soft_check_code_target(&code, cpu, offset);
		if (!(code.rights & AR_TYPE_CONFORMING) && soft_descriptor_dpl(&gate.code) < cpu->cpl) {
			call_inward(cpu, &gate, &code);
			return;
		}
		descriptor = gate.code;
	} else {
		if (!(soft_descriptor_rights(&descriptor) & AR_TYPE_CODE))
			fault(cpu, VECTOR_GP, selector);
		check_same_level_code(cpu, selector, &descriptor);
		soft_descriptor_segment(&descriptor, selector, &code);
		soft_check_code_target(&code, cpu, offset);
	}
	push_return(cpu, gate.size, cpu->seg[SOFT_CS].selector, next);
	soft_descriptor_accessed(cpu, &descriptor);
	soft_enter_code(cpu, &code, offset, cpu->cpl);
}

/* ---- returns ---- */

void soft_drop_segments(struct soft_cpu *cpu)
{
	static const uint8_t data[] = {SOFT_ES, SOFT_DS, SOFT_FS, SOFT_GS};

	for (unsigned i = 0; i < sizeof(data); i++) {
		struct soft_segment *seg = &cpu->seg[data[i]];
		const uint32_t both = AR_TYPE_CODE | AR_TYPE_CONFORMING;

		if (!(seg->rights & AR_UNUSABLE) && (seg->rights & both) != both &&
		        (seg->rights >> AR_DPL_SHIFT & 3) < cpu->cpl)
			*seg = (struct soft_segment){.rights = AR_UNUSABLE};
	}
}

void soft_return_code(struct soft_cpu *cpu, uint16_t selector, struct soft_segment *code)
{
	struct soft_descriptor descriptor;
	const unsigned rpl = selector & SELECTOR_RPL;
	uint32_t rights;

	soft_descriptor_need(cpu, selector, VECTOR_GP, &descriptor);
	rights = soft_descriptor_rights(&descriptor);
	if ((rights & (AR_S | AR_TYPE_CODE)) != (AR_S | AR_TYPE_CODE) || rpl < cpu->cpl)
		fault(cpu, VECTOR_GP, selector);
	if (rights & AR_TYPE_CONFORMING ? soft_descriptor_dpl(&descriptor) > rpl
	                                : soft_descriptor_dpl(&descriptor) != rpl)
		fault(cpu, VECTOR_GP, selector);
	if (soft_long_mode(cpu) && (rights & AR_L) && (rights & AR_DB))
		fault(cpu, VECTOR_GP, selector);
	if (!(rights & AR_P))
		fault(cpu, VECTOR_NP, selector);
	soft_descriptor_accessed(cpu, &descriptor);
	soft_descriptor_segment(&descriptor, selector, code);
}

void soft_return_stack(
        struct soft_cpu *cpu, uint16_t selector, const struct soft_segment *code, struct soft_segment *ss)
{
	const unsigned rpl = code->selector & SELECTOR_RPL;
	const bool to_64 = soft_long_mode(cpu) && (code->rights & AR_L);

	if (!(selector & ~3u) && to_64 && rpl != 3) {
		if ((selector & SELECTOR_RPL) != rpl)
			soft_fault(cpu, VECTOR_GP, true, 0);
		*ss = (struct soft_segment){.selector = selector, .rights = AR_UNUSABLE | rpl << AR_DPL_SHIFT};
		return;
	}
	soft_check_stack_segment(cpu, selector, rpl, VECTOR_GP, ss);
}

void soft_exec_ret_far(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->width;
	const uint16_t release = (uint16_t)insn->immediate;
	const uint64_t offset = soft_peek(cpu, size, 0);
	const uint16_t selector = (uint16_t)soft_peek(cpu, size, size);
	struct soft_segment code, ss;

	if (cpu->mode <= SOFT_MODE_V8086) {
		transfer_real(cpu, selector, offset);
		soft_stack_add(cpu, 2 * size + release);
		return;
	}
	soft_return_code(cpu, selector, &code);
	soft_check_code_target(&code, cpu, offset);
	if ((selector & SELECTOR_RPL) == cpu->cpl) {
		soft_stack_add(cpu, 2 * size + release);
		soft_enter_code(cpu, &code, offset, cpu->cpl);
	} else {
		const uint64_t pointer = soft_peek(cpu, size, 2 * size + release);

		soft_return_stack(cpu, (uint16_t)soft_peek(cpu, size, 3 * size + release), &code, &ss);
		cpu->seg[SOFT_SS] = ss;
		soft_enter_code(cpu, &code, offset, selector & SELECTOR_RPL);
		soft_reg_set(cpu, GPR_RSP, soft_stack_size(cpu) == 2 ? 2 : 8, pointer + release);
		soft_drop_segments(cpu);
	}
}
