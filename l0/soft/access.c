/* SPDX-License-Identifier: Apache-2.0 */
/** Addresses, segment checks (SDM vol. 3, 5.3 to 5.5), operands off the fast path, the stack. */
#include "access.h"

uint64_t soft_offset(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint64_t offset = cpu->gpr[insn->base] + (cpu->gpr[insn->index] << insn->scale);

	offset += insn->flags & SOFT_INSN_MOFFS ? (uint64_t)insn->immediate : (uint64_t)(int64_t)insn->displacement;
	return offset & soft_size_mask(insn->address_size);
}

static _Noreturn void segment_fault(struct soft_cpu *cpu, unsigned segment)
{
	soft_fault(cpu, segment == SOFT_SS ? VECTOR_SS : VECTOR_GP, true, 0);
}

/** Does [offset, offset + size) lie within the segment? Expand-down segments end where others begin. */
static bool within_limit(const struct soft_segment *segment, bool protected_mode, uint64_t offset, unsigned size)
{
	const uint64_t last = offset + size - 1;

	if (protected_mode && (segment->rights & (AR_TYPE_CODE | 4)) == 4)
		return offset > segment->limit && last <= (segment->rights & AR_DB ? 0xffffffffu : 0xffffu);
	return last <= segment->limit;
}

uint64_t soft_segment_linear(
        struct soft_cpu *cpu, unsigned segment, uint64_t offset, unsigned size, enum soft_access access)
{
	const struct soft_segment *seg = &cpu->seg[segment];
	const bool protected_mode = cpu->mode > SOFT_MODE_V8086;

	if (cpu->mode == SOFT_MODE_64)
		return segment == SOFT_FS || segment == SOFT_GS ? seg->base + offset : offset;
	if (protected_mode) {
		if (seg->rights & AR_UNUSABLE)
			segment_fault(cpu, segment);
		if (access & SOFT_WRITE) {
			if ((seg->rights & AR_TYPE_CODE) || !(seg->rights & AR_TYPE_WRITABLE))
				segment_fault(cpu, segment);
		} else if ((seg->rights & AR_TYPE_CODE) && !(seg->rights & AR_TYPE_WRITABLE)) {
			segment_fault(cpu, segment);
		}
	}
	if (!within_limit(seg, protected_mode, offset, size))
		segment_fault(cpu, segment);
	return (uint32_t)(seg->base + offset);
}

uint64_t soft_linear_slow(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, enum soft_access access)
{
	return soft_segment_linear(cpu, insn->segment, soft_offset(cpu, insn), size, access);
}

/** mmu.c raises #GP(0) for a non-canonical address; a stack reference gets #SS(0) (SDM vol. 1, 3.3.7.1). */
static void check_stack_canonical(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size)
{
	if (segment == SOFT_SS && (!x86_canonical(linear) || !x86_canonical(linear + size - 1)))
		soft_fault(cpu, VECTOR_SS, true, 0);
}

uint64_t soft_load_slow(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size)
{
	check_stack_canonical(cpu, segment, linear, size);
	return soft_read(cpu, linear, size);
}

void soft_store_slow(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size, uint64_t value)
{
	check_stack_canonical(cpu, segment, linear, size);
	soft_write(cpu, linear, size, value);
}

void soft_probe_operand(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size)
{
	check_stack_canonical(cpu, segment, linear, size);
	soft_probe_write(cpu, linear, size);
}

uint64_t soft_rmw_slow(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size)
{
	check_stack_canonical(cpu, segment, linear, size);
	/* A read-modify-write that may not write reports a write fault, whatever its read would have met. */
	soft_probe_write(cpu, linear, size);
	return soft_read(cpu, linear, size);
}

/* ---- operands of either kind ---- */

uint64_t soft_source_get(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size)
{
	switch (insn->form) {
	case SOFT_FORM_R:
	case SOFT_FORM_MR:
		return soft_reg_get(cpu, insn->reg, size);
	case SOFT_FORM_RR:
		return soft_reg_get(cpu, insn->rm, size);
	case SOFT_FORM_M:
	case SOFT_FORM_RM:
		return soft_mem_get(cpu, insn, size);
	default:
		return (uint64_t)insn->immediate & soft_size_mask(size);
	}
}

uint64_t soft_destination_get(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, struct soft_rmw *rmw)
{
	if (soft_insn_memory_first(insn))
		return soft_rmw_get(cpu, insn, size, rmw);
	return soft_reg_get(cpu, insn->reg, size);
}

void soft_destination_set(
        struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, const struct soft_rmw *rmw, uint64_t value)
{
	if (soft_insn_memory_first(insn))
		soft_rmw_set(cpu, rmw, size, value);
	else
		soft_reg_set(cpu, insn->reg, size, value);
}

void soft_destination_put(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, uint64_t value)
{
	if (soft_insn_memory_first(insn))
		soft_mem_set(cpu, insn, size, value);
	else
		soft_reg_set(cpu, insn->reg, size, value);
}

/* ---- the stack ---- */

void soft_stack_add(struct soft_cpu *cpu, int64_t bytes)
{
	soft_reg_set(cpu, GPR_RSP, soft_stack_size(cpu), cpu->gpr[GPR_RSP] + (uint64_t)bytes);
}

void soft_push(struct soft_cpu *cpu, unsigned size, uint64_t value)
{
	const unsigned stack_size = soft_stack_size(cpu);
	const uint64_t top = (cpu->gpr[GPR_RSP] - size) & soft_size_mask(stack_size);
	const uint64_t linear = soft_segment_linear(cpu, SOFT_SS, top, size, SOFT_WRITE);
	uint8_t *host = soft_tlb_lookup_write(cpu, linear, size);

	if (SOFT_LIKELY(host != NULL))
		memcpy(host, &value, size);
	else
		soft_store_slow(cpu, SOFT_SS, linear, size, value);
	soft_reg_set(cpu, GPR_RSP, stack_size, top);
}

uint64_t soft_peek(struct soft_cpu *cpu, unsigned size, uint64_t depth)
{
	const uint64_t top = (cpu->gpr[GPR_RSP] + depth) & soft_size_mask(soft_stack_size(cpu));
	const uint64_t linear = soft_segment_linear(cpu, SOFT_SS, top, size, SOFT_READ);
	const uint8_t *host = soft_tlb_lookup_read(cpu, linear, size);
	uint64_t value = 0;

	if (SOFT_UNLIKELY(!host))
		return soft_load_slow(cpu, SOFT_SS, linear, size);
	memcpy(&value, host, size);
	return value;
}
