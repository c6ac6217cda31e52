/* SPDX-License-Identifier: Apache-2.0 */
/** IRET, INT n, SYSCALL and SYSENTER with their returns. */
#include "exec.h"
#include "far.h"
#include "flags.h"
#include "internal.h"

#define STAR_SYSCALL_SHIFT 32
#define STAR_SYSRET_SHIFT 48

/* ---- IRET ---- */

/** Flags an IRET may load at the CPL it started from (SDM vol. 2, IRET). */
static uint64_t loadable_flags(const struct soft_cpu *cpu, unsigned size)
{
	uint64_t mask = FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT;

	if (size > 2)
		mask |= FLAG_RF | FLAG_AC | FLAG_ID;
	if (cpu->cpl <= (cpu->rflags & FLAG_IOPL) >> 12)
		mask |= FLAG_IF;
	if (cpu->cpl == 0)
		mask |= FLAG_IOPL | (size > 2 ? FLAG_VIF | FLAG_VIP : 0);
	return mask;
}

static void load_flags(struct soft_cpu *cpu, uint64_t mask, uint64_t value)
{
	soft_flags_set(cpu, (soft_flags_get(cpu) & ~mask) | (value & mask));
	/* RF must outlive this instruction. */
	cpu->resume_flag_set = true;
	if (cpu->cr0 & CR0_AM) /* AC may have changed */
		soft_tlb_context(cpu);
	soft_attention(cpu);
}

static void iret_real(struct soft_cpu *cpu, unsigned size)
{
	const uint64_t offset = soft_peek(cpu, size, 0), flags = soft_peek(cpu, size, 2 * size);
	const uint16_t selector = (uint16_t)soft_peek(cpu, size, size);
	uint64_t mask =
	        FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_IF | (size > 2 ? FLAG_RF | FLAG_AC | FLAG_ID : 0);

	if (cpu->mode == SOFT_MODE_V8086) {
		if ((cpu->rflags & FLAG_IOPL) != FLAG_IOPL)
			soft_fault(cpu, VECTOR_GP, true, 0);
	} else {
		mask |= FLAG_IOPL;
	}
	if (offset > cpu->seg[SOFT_CS].limit)
		soft_fault(cpu, VECTOR_GP, true, 0);
	soft_stack_add(cpu, 3 * size);
	cpu->seg[SOFT_CS].selector = selector;
	cpu->seg[SOFT_CS].base = (uint64_t)selector << 4;
	cpu->rip = offset;
	load_flags(cpu, mask, flags);
	soft_update_mode(cpu);
}

/** From CPL 0 with VM set in the flags image: nine words, and every segment real-mode like. */
static void iret_to_v8086(struct soft_cpu *cpu, uint64_t offset, uint16_t selector, uint64_t flags)
{
	static const uint8_t order[] = {SOFT_SS, SOFT_ES, SOFT_DS, SOFT_FS, SOFT_GS};
	const uint64_t pointer = soft_peek(cpu, 4, 12);
	uint16_t selectors[5];

	for (unsigned i = 0; i < 5; i++)
		selectors[i] = (uint16_t)soft_peek(cpu, 4, 16 + 4 * i);
	load_flags(cpu, loadable_flags(cpu, 4) | FLAG_VM, flags);
	cpu->mode = SOFT_MODE_V8086;
	for (unsigned i = 0; i < 5; i++)
		soft_load_segment_real(cpu, order[i], selectors[i]);
	soft_load_segment_real(cpu, SOFT_CS, selector);
	cpu->gpr[GPR_RSP] = pointer;
	cpu->rip = offset & 0xffff;
	soft_update_mode(cpu);
	soft_tlb_context(cpu);
}

static void iret_protected(struct soft_cpu *cpu, unsigned size)
{
	const uint64_t offset = soft_peek(cpu, size, 0), flags = soft_peek(cpu, size, 2 * size);
	const uint16_t selector = (uint16_t)soft_peek(cpu, size, size);
	const uint64_t mask = loadable_flags(cpu, size);
	const bool from_64 = cpu->mode == SOFT_MODE_64;
	const unsigned rpl = selector & SELECTOR_RPL;
	struct soft_segment code, ss;

	if (size == 4 && (flags & FLAG_VM) && cpu->cpl == 0 && !soft_long_mode(cpu)) {
		iret_to_v8086(cpu, offset, selector, flags);
		return;
	}
	soft_return_code(cpu, selector, &code);
	soft_check_code_target(&code, cpu, offset);
	if (rpl == cpu->cpl && !from_64) {
		soft_stack_add(cpu, 3 * size);
		soft_enter_code(cpu, &code, offset, rpl);
	} else {
		/* To an outer level, and always from 64-bit mode: RSP and SS come off the stack too. */
		const bool outward = rpl != cpu->cpl;
		const uint64_t pointer = soft_peek(cpu, size, 3 * size);

		soft_return_stack(cpu, (uint16_t)soft_peek(cpu, size, 4 * size), &code, &ss);
		cpu->seg[SOFT_SS] = ss;
		soft_enter_code(cpu, &code, offset, rpl);
		soft_reg_set(cpu, GPR_RSP, soft_stack_size(cpu) == 2 ? 2 : size == 8 ? 8 : 4, pointer);
		if (outward)
			soft_drop_segments(cpu);
	}
	load_flags(cpu, mask, flags);
}

void soft_exec_iret(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (cpu->mode <= SOFT_MODE_V8086) {
		soft_unblock_nmi(cpu);
		iret_real(cpu, insn->width);
		return;
	}
	if (cpu->rflags & FLAG_NT) {
		/* A return to the previous task: a task switch, which always exits; IA-32e mode has none. */
		if (soft_long_mode(cpu))
			soft_fault(cpu, VECTOR_GP, true, 0);
		soft_exit_instruction(
		        cpu, EXIT_REASON_TASK_SWITCH, soft_read_system(cpu, cpu->seg[SOFT_TR].base, 2) | 1ull << 30);
	}
	soft_unblock_nmi(cpu);
	iret_protected(cpu, insn->width);
}

/* ---- INT n, INT3, INTO, INT1 ---- */

void soft_exec_int(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (cpu->mode == SOFT_MODE_V8086 && (cpu->rflags & FLAG_IOPL) != FLAG_IOPL)
		soft_fault(cpu, VECTOR_GP, true, 0);
	soft_software_interrupt(cpu, (uint8_t)insn->immediate, INTR_TYPE_SOFTWARE_INTERRUPT);
	cpu->event_delivered = true;
}

void soft_exec_int3(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_software_interrupt(cpu, VECTOR_BP, INTR_TYPE_SOFTWARE_EXCEPTION);
	cpu->event_delivered = true;
}

void soft_exec_into(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (soft_of(cpu)) {
		soft_software_interrupt(cpu, VECTOR_OF, INTR_TYPE_SOFTWARE_EXCEPTION);
		cpu->event_delivered = true;
	}
}

void soft_exec_int1(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_software_interrupt(cpu, VECTOR_DB, INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION);
	cpu->event_delivered = true;
}

/* ---- SYSCALL, SYSRET, SYSENTER, SYSEXIT: flat segments that no table is asked for ---- */

#define FLAT_RIGHTS (AR_P | AR_S | AR_G | AR_TYPE_WRITABLE | AR_TYPE_ACCESSED)

static struct soft_segment flat_code(uint16_t selector, unsigned dpl, bool wide)
{
	return (struct soft_segment){.selector = selector,
	        .limit = 0xffffffff,
	        .rights = FLAT_RIGHTS | AR_TYPE_CODE | dpl << AR_DPL_SHIFT | (wide ? AR_L : AR_DB)};
}

static struct soft_segment flat_stack(uint16_t selector, unsigned dpl)
{
	return (struct soft_segment){
	        .selector = selector, .limit = 0xffffffff, .rights = FLAT_RIGHTS | AR_DB | dpl << AR_DPL_SHIFT};
}

static void enter_flat(struct soft_cpu *cpu, uint16_t code, uint16_t stack, unsigned cpl, bool wide, uint64_t rip)
{
	const struct soft_segment cs = flat_code(code, cpl, wide);

	cpu->seg[SOFT_SS] = flat_stack(stack, cpl);
	soft_enter_code(cpu, &cs, rip, cpl);
}

void soft_exec_syscall(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint16_t selector = (uint16_t)(cpu->star >> STAR_SYSCALL_SHIFT);

	/* Intel's processors know it in 64-bit mode only. */
	if (!(cpu->efer & EFER_SCE) || cpu->mode != SOFT_MODE_64)
		soft_fault(cpu, VECTOR_UD, false, 0);
	cpu->gpr[GPR_RCX] = cpu->rip;
	cpu->gpr[GPR_R11] = soft_flags_get(cpu) & ~(uint64_t)FLAG_RF;
	soft_flags_set(cpu, soft_flags_get(cpu) & ~(cpu->sfmask | FLAG_RF));
	enter_flat(cpu, selector & 0xfffc, (uint16_t)(selector + 8), 0, true, cpu->lstar);
	soft_attention(cpu);
}

void soft_exec_sysret(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint16_t selector = (uint16_t)(cpu->star >> STAR_SYSRET_SHIFT);
	const bool wide = insn->width == 8;
	const uint64_t target = wide ? cpu->gpr[GPR_RCX] : (uint32_t)cpu->gpr[GPR_RCX];
	const uint64_t fixed = FLAG_RF | FLAG_VM;

	if (!(cpu->efer & EFER_SCE) || cpu->mode != SOFT_MODE_64)
		soft_fault(cpu, VECTOR_UD, false, 0);
	if (cpu->cpl || (wide && !x86_canonical(target)))
		soft_fault(cpu, VECTOR_GP, true, 0);
	soft_flags_set(cpu, (cpu->gpr[GPR_R11] & ~fixed & 0x3f7fd7) | RFLAGS_FIXED);
	enter_flat(cpu, (uint16_t)((selector + (wide ? 16 : 0)) | 3), (uint16_t)((selector + 8) | 3), 3, wide, target);
	soft_attention(cpu);
}

void soft_exec_sysenter(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint16_t selector = (uint16_t)(cpu->sysenter_cs & 0xfffc);
	const bool wide = soft_long_mode(cpu);

	if (cpu->mode == SOFT_MODE_REAL || !selector)
		soft_fault(cpu, VECTOR_GP, true, 0);
	cpu->rflags &= ~(uint64_t)(FLAG_VM | FLAG_IF | FLAG_RF);
	cpu->gpr[GPR_RSP] = wide ? cpu->sysenter_esp : (uint32_t)cpu->sysenter_esp;
	enter_flat(cpu, selector, (uint16_t)(selector + 8), 0, wide,
	        wide ? cpu->sysenter_eip : (uint32_t)cpu->sysenter_eip);
	soft_attention(cpu);
}

void soft_exec_sysexit(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint16_t selector = (uint16_t)cpu->sysenter_cs & 0xfffc;
	const bool wide = insn->width == 8;
	const uint64_t rsp = wide ? cpu->gpr[GPR_RCX] : (uint32_t)cpu->gpr[GPR_RCX];
	const uint64_t target = wide ? cpu->gpr[GPR_RDX] : (uint32_t)cpu->gpr[GPR_RDX];

	if (cpu->mode == SOFT_MODE_REAL || cpu->cpl || !selector)
		soft_fault(cpu, VECTOR_GP, true, 0);
	if (wide && (!x86_canonical(rsp) || !x86_canonical(target)))
		soft_fault(cpu, VECTOR_GP, true, 0);
	cpu->gpr[GPR_RSP] = rsp;
	enter_flat(cpu, (uint16_t)((selector + (wide ? 32 : 16)) | 3), (uint16_t)((selector + (wide ? 40 : 24)) | 3), 3,
	        wide, target);
}
