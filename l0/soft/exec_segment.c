/* SPDX-License-Identifier: Apache-2.0 */
/** Segment registers and descriptor tables. */
#include "exec.h"
#include "flags.h"
#include "internal.h"
#include "segment.h"

static void need_cpl0(struct soft_cpu *cpu)
{
	if (cpu->cpl)
		soft_fault(cpu, VECTOR_GP, true, 0);
}

/** CR4.UMIP keeps SGDT, SIDT, SLDT, STR and SMSW from CPL > 0. */
static void check_umip(struct soft_cpu *cpu)
{
	if (cpu->cpl && (cpu->cr4 & CR4_UMIP))
		soft_fault(cpu, VECTOR_GP, true, 0);
}

static void need_protected(struct soft_cpu *cpu)
{
	if (cpu->mode <= SOFT_MODE_V8086)
		soft_fault(cpu, VECTOR_UD, false, 0);
}

/* ---- MOV, PUSH, POP of segment registers; LDS and its kin ---- */

/** Loading SS holds off interrupts and debug traps for one instruction (SDM vol. 3, 6.8.3). */
static void loaded(struct soft_cpu *cpu, unsigned segment)
{
	if (segment == SOFT_SS) {
		cpu->interruptibility |= INTERRUPTIBILITY_MOV_SS;
		cpu->shadow_set = true;
		soft_attention(cpu);
	}
}

/** Memory takes 16 bits, a register the operand size. */
void soft_exec_mov_from_segment(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (insn->form == SOFT_FORM_MR)
		soft_mem_set(cpu, insn, 2, cpu->seg[insn->reg].selector);
	else
		soft_reg_set(cpu, insn->reg, insn->width, cpu->seg[insn->rm].selector);
}

void soft_exec_mov_to_segment(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (insn->reg == SOFT_CS)
		soft_fault(cpu, VECTOR_UD, false, 0);
	soft_load_segment(cpu, insn->reg,
	        (uint16_t)(insn->form == SOFT_FORM_RM ? soft_mem_get(cpu, insn, 2) : cpu->gpr[insn->rm]));
	loaded(cpu, insn->reg);
}

/** Processors write only the selector's 16 bits to the stack slot of a 32-bit push; here the rest is written as 0, as
 * older ones do. */
void soft_exec_push_segment(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_push(cpu, insn->width, cpu->seg[insn->reg].selector);
}

void soft_exec_pop_segment(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_load_segment(cpu, insn->reg, (uint16_t)soft_peek(cpu, insn->width, 0));
	soft_stack_add(cpu, insn->width);
	loaded(cpu, insn->reg);
}

static void load_far_pointer(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned segment)
{
	const uint64_t linear = soft_linear(cpu, insn, insn->width + 2, SOFT_READ);
	const uint64_t offset = soft_load_slow(cpu, insn->segment, linear, insn->width);
	const uint16_t selector = (uint16_t)soft_load_slow(cpu, insn->segment, linear + insn->width, 2);

	soft_load_segment(cpu, segment, selector);
	soft_reg_set(cpu, insn->reg, insn->width, offset);
}

void soft_exec_lds(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	load_far_pointer(cpu, insn, SOFT_DS);
}
void soft_exec_les(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	load_far_pointer(cpu, insn, SOFT_ES);
}
void soft_exec_lfs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	load_far_pointer(cpu, insn, SOFT_FS);
}
void soft_exec_lgs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	load_far_pointer(cpu, insn, SOFT_GS);
}
void soft_exec_lss(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	load_far_pointer(cpu, insn, SOFT_SS);
}

/* ---- GDTR, IDTR ---- */

enum table_intercept { TABLE_SGDT, TABLE_SIDT, TABLE_LGDT, TABLE_LIDT, TABLE_SLDT, TABLE_STR, TABLE_LLDT, TABLE_LTR };

static void store_table(
        struct soft_cpu *cpu, const struct soft_insn *insn, const struct soft_table *table, enum table_intercept which)
{
	const unsigned size = cpu->mode == SOFT_MODE_64 ? 8 : 4;
	uint8_t image[10];

	check_umip(cpu);
	soft_intercept_descriptor_table(cpu, which);
	memcpy(image, &table->limit, 2);
	memcpy(image + 2, &table->base, 8);
	soft_write_bytes(cpu, soft_linear(cpu, insn, 2 + size, SOFT_WRITE), image, 2 + size);
}

void soft_exec_sgdt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	store_table(cpu, insn, &cpu->gdtr, TABLE_SGDT);
}
void soft_exec_sidt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	store_table(cpu, insn, &cpu->idtr, TABLE_SIDT);
}

static void load_table(
        struct soft_cpu *cpu, const struct soft_insn *insn, struct soft_table *table, enum table_intercept which)
{
	const unsigned size = cpu->mode == SOFT_MODE_64 ? 8 : 4;
	uint8_t image[10] = {0};
	uint64_t base = 0;

	need_cpl0(cpu);
	soft_intercept_descriptor_table(cpu, which);
	soft_read_bytes(cpu, soft_linear(cpu, insn, 2 + size, SOFT_READ), image, 2 + size);
	memcpy(&base, image + 2, size);
	if (size == 8 && !x86_canonical(base))
		soft_fault(cpu, VECTOR_GP, true, 0);
	/* A 16-bit operand loads a base of 24 bits. */
	table->base = size == 4 && insn->width == 2 ? base & 0xffffff : base;
	memcpy(&table->limit, image, 2);
}

void soft_exec_lgdt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	load_table(cpu, insn, &cpu->gdtr, TABLE_LGDT);
}
void soft_exec_lidt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	load_table(cpu, insn, &cpu->idtr, TABLE_LIDT);
}

/* ---- LDTR, TR ---- */

static void store_selector(
        struct soft_cpu *cpu, const struct soft_insn *insn, unsigned segment, enum table_intercept which)
{
	need_protected(cpu);
	check_umip(cpu);
	soft_intercept_descriptor_table(cpu, which);
	if (insn->form == SOFT_FORM_M)
		soft_mem_set(cpu, insn, 2, cpu->seg[segment].selector);
	else
		soft_reg_set(cpu, insn->reg, insn->width, cpu->seg[segment].selector);
}

void soft_exec_sldt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	store_selector(cpu, insn, SOFT_LDTR, TABLE_SLDT);
}
void soft_exec_str(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	store_selector(cpu, insn, SOFT_TR, TABLE_STR);
}

/** The upper half of a 16-byte descriptor gives bits 63:32 of the base. */
static void load_system_segment(
        struct soft_cpu *cpu, const struct soft_descriptor *descriptor, uint16_t selector, struct soft_segment *segment)
{
	soft_descriptor_segment(descriptor, selector, segment);
	if (soft_long_mode(cpu)) {
		const uint32_t limit = selector & SELECTOR_TI ? 0 : cpu->gdtr.limit;
		uint64_t upper;

		if ((selector & ~7u) + 15 > limit)
			soft_fault(cpu, VECTOR_GP, true, selector & ~3u);
		upper = soft_read_system(cpu, descriptor->address + 8, 8);
		segment->base |= upper << 32;
		if (!x86_canonical(segment->base) || (upper >> 40 & 0x1f))
			soft_fault(cpu, VECTOR_GP, true, selector & ~3u);
	}
}

void soft_exec_lldt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	struct soft_descriptor descriptor;
	struct soft_segment ldt = {.rights = AR_UNUSABLE};
	uint16_t selector;

	need_protected(cpu);
	need_cpl0(cpu);
	soft_intercept_descriptor_table(cpu, TABLE_LLDT);
	selector = (uint16_t)soft_source_get(cpu, insn, 2);
	ldt.selector = selector;
	if (selector & ~3u) {
		if (selector & SELECTOR_TI)
			soft_fault(cpu, VECTOR_GP, true, selector & ~3u);
		soft_descriptor_need(cpu, selector, VECTOR_GP, &descriptor);
		if ((soft_descriptor_rights(&descriptor) & (AR_S | AR_TYPE_MASK)) != SYSTEM_LDT)
			soft_fault(cpu, VECTOR_GP, true, selector & ~3u);
		if (!(soft_descriptor_rights(&descriptor) & AR_P))
			soft_fault(cpu, VECTOR_NP, true, selector & ~3u);
		load_system_segment(cpu, &descriptor, selector, &ldt);
	}
	cpu->seg[SOFT_LDTR] = ldt;
}

void soft_exec_ltr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	struct soft_descriptor descriptor;
	struct soft_segment tss;
	uint16_t selector;
	uint32_t type;

	need_protected(cpu);
	need_cpl0(cpu);
	soft_intercept_descriptor_table(cpu, TABLE_LTR);
	selector = (uint16_t)soft_source_get(cpu, insn, 2);
	if (selector & SELECTOR_TI)
		soft_fault(cpu, VECTOR_GP, true, selector & ~3u);
	soft_descriptor_need(cpu, selector, VECTOR_GP, &descriptor);
	type = soft_descriptor_rights(&descriptor) & (AR_S | AR_TYPE_MASK);
	if (type != SYSTEM_TSS && (type != SYSTEM_TSS_16 || soft_long_mode(cpu)))
		soft_fault(cpu, VECTOR_GP, true, selector & ~3u);
	if (!(soft_descriptor_rights(&descriptor) & AR_P))
		soft_fault(cpu, VECTOR_NP, true, selector & ~3u);
	load_system_segment(cpu, &descriptor, selector, &tss);
	/* Busy, in the table and in the register. */
	soft_write_system(cpu, descriptor.address + 5, 1, (uint8_t)(descriptor.raw >> 40) | 2);
	tss.rights |= 2;
	cpu->seg[SOFT_TR] = tss;
}

/* ---- VERR VERW LAR LSL ARPL ---- */

static void set_zf(struct soft_cpu *cpu, bool zf)
{
	soft_flags_set_status(cpu, (soft_flags_get(cpu) & ~(uint64_t)FLAG_ZF) | (zf ? FLAG_ZF : 0));
}

/** Can `selector` be seen at the present CPL and its own RPL? Conforming code always can. */
static bool visible(struct soft_cpu *cpu, uint16_t selector, struct soft_descriptor *descriptor)
{
	const unsigned both = AR_TYPE_CODE | AR_TYPE_CONFORMING | AR_S;
	unsigned dpl;

	if (!(selector & ~3u) || !soft_descriptor_read(cpu, selector, descriptor))
		return false;
	dpl = soft_descriptor_dpl(descriptor);
	return (soft_descriptor_rights(descriptor) & both) == both ||
	       ((selector & SELECTOR_RPL) <= dpl && cpu->cpl <= dpl);
}

static void verify(struct soft_cpu *cpu, const struct soft_insn *insn, bool write)
{
	struct soft_descriptor descriptor;
	const uint16_t selector = (uint16_t)soft_source_get(cpu, insn, 2);
	bool ok = false;

	need_protected(cpu);
	if (visible(cpu, selector, &descriptor)) {
		const uint32_t rights = soft_descriptor_rights(&descriptor);
		const bool code = rights & AR_TYPE_CODE, bit = rights & AR_TYPE_WRITABLE;

		ok = (rights & AR_S) && (write ? !code && bit : !code || bit);
	}
	set_zf(cpu, ok);
}

void soft_exec_verr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	verify(cpu, insn, false);
}
void soft_exec_verw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	verify(cpu, insn, true);
}

/** SDM vol. 2, tables of LAR and LSL: the system types that count, outside and in IA-32e mode. */
static bool system_type_counts(const struct soft_cpu *cpu, uint32_t type, bool limit)
{
	const uint32_t legacy = limit ? 0x0a0e : 0x1a3e, long_mode = limit ? 0x0a04 : 0x1a04;

	return (soft_long_mode(cpu) ? long_mode : legacy) >> type & 1;
}

static void load_attribute(struct soft_cpu *cpu, const struct soft_insn *insn, bool limit)
{
	const uint16_t selector = (uint16_t)soft_source_get(cpu, insn, 2);
	struct soft_descriptor descriptor;
	bool ok;

	need_protected(cpu);
	ok = visible(cpu, selector, &descriptor);
	if (ok && !(soft_descriptor_rights(&descriptor) & AR_S))
		ok = system_type_counts(cpu, soft_descriptor_rights(&descriptor) & AR_TYPE_MASK, limit);
	if (ok) {
		struct soft_segment segment;

		soft_descriptor_segment(&descriptor, selector, &segment);
		soft_reg_set(cpu, insn->reg, insn->width,
		        limit ? segment.limit : descriptor.raw >> 32 & (insn->width == 2 ? 0xff00 : 0xf0ff00));
	}
	set_zf(cpu, ok);
}

void soft_exec_lar(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	load_attribute(cpu, insn, false);
}
void soft_exec_lsl(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	load_attribute(cpu, insn, true);
}

void soft_exec_arpl(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	struct soft_rmw rmw;
	uint64_t selector, rpl;

	need_protected(cpu);
	selector = soft_destination_get(cpu, insn, 2, &rmw);
	rpl = soft_reg_get(cpu, insn->form == SOFT_FORM_MR ? insn->reg : insn->rm, 2) & SELECTOR_RPL;
	if ((selector & SELECTOR_RPL) < rpl) {
		soft_destination_set(cpu, insn, 2, &rmw, (selector & ~(uint64_t)SELECTOR_RPL) | rpl);
		set_zf(cpu, true);
	} else {
		soft_destination_set(cpu, insn, 2, &rmw, selector);
		set_zf(cpu, false);
	}
}
