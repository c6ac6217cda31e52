/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instruction exits under which control (SDM vol. 3, 26.1), with exit qualification (28.2.1) and instruction
 * information (28.2.5). Faults that come before an exit (#UD by mode, CPL, CR4) are the instruction's own, except those
 * that a VMX control decides.
 */
#include "information.h"
#include "event.h"
#include "tlb.h"

static bool proc(const struct soft_cpu *cpu, uint32_t bit)
{
	return cpu->proc & bit;
}

static bool proc2(const struct soft_cpu *cpu, uint32_t bit)
{
	return cpu->proc2 & bit;
}

_Noreturn static void undefined(struct soft_cpu *cpu)
{
	soft_fault(cpu, VECTOR_UD, false, 0);
}

/** PAUSE: unconditionally, or in a loop at CPL 0 (26.1.3): PLE_Gap and PLE_Window in TSC ticks. */
static bool pause_exits(struct soft_cpu *cpu)
{
	const uint64_t now = cpu->retired;
	uint64_t since;

	if (proc(cpu, VMX_BIT(PROC_PAUSE_EXITING)))
		return true;
	if (!proc2(cpu, VMX_BIT(PROC2_PAUSE_LOOP_EXITING)) || cpu->cpl != 0)
		return false;
	since = now - cpu->ple_last;
	cpu->ple_last = now;
	if (since > vmcs_get(cpu->vmcs, VMCS_PLE_GAP)) {
		cpu->ple_first = now;
		return false;
	}
	return now - cpu->ple_first > vmcs_get(cpu->vmcs, VMCS_PLE_WINDOW);
}

/** Does the control behind a simple instruction exit ask for it? */
static bool simple_exits(struct soft_cpu *cpu, uint32_t reason)
{
	switch (reason) {
	case EXIT_REASON_CPUID:
	case EXIT_REASON_INVD:
	case EXIT_REASON_XSETBV:
	case EXIT_REASON_GETSEC:
	case EXIT_REASON_VMCALL:
		return true;
	case EXIT_REASON_HLT:
		return proc(cpu, VMX_BIT(PROC_HLT_EXITING));
	case EXIT_REASON_INVLPG:
	case EXIT_REASON_INVPCID:
		return proc(cpu, VMX_BIT(PROC_INVLPG_EXITING));
	case EXIT_REASON_RDPMC:
		return proc(cpu, VMX_BIT(PROC_RDPMC_EXITING));
	case EXIT_REASON_RDTSC:
	case EXIT_REASON_RDTSCP:
		return proc(cpu, VMX_BIT(PROC_RDTSC_EXITING));
	case EXIT_REASON_MWAIT:
		return proc(cpu, VMX_BIT(PROC_MWAIT_EXITING));
	case EXIT_REASON_MONITOR:
		return proc(cpu, VMX_BIT(PROC_MONITOR_EXITING));
	case EXIT_REASON_PAUSE:
		return pause_exits(cpu);
	case EXIT_REASON_WBINVD:
		return proc2(cpu, VMX_BIT(PROC2_WBINVD_EXITING));
	case EXIT_REASON_RDRAND:
		return proc2(cpu, VMX_BIT(PROC2_RDRAND_EXITING));
	case EXIT_REASON_RDSEED:
		return proc2(cpu, VMX_BIT(PROC2_RDSEED_EXITING));
	default:
		return false;
	}
}

/** Instructions that do not exist in non-root operation unless a control enables them (26.3). */
static void check_enabled(struct soft_cpu *cpu, uint32_t reason)
{
	uint32_t needed = 0;

	if (reason == EXIT_REASON_RDTSCP)
		needed = VMX_BIT(PROC2_ENABLE_RDTSCP);
	else if (reason == EXIT_REASON_INVPCID)
		needed = VMX_BIT(PROC2_ENABLE_INVPCID);
	if (needed && !proc2(cpu, needed))
		undefined(cpu);
}

void soft_intercept_simple(struct soft_cpu *cpu, uint32_t reason)
{
	struct soft_operands operands;

	check_enabled(cpu, reason);
	if (!simple_exits(cpu, reason))
		return;
	switch (reason) {
	case EXIT_REASON_INVLPG:
		soft_insn_operands(cpu->insn, &operands);
		soft_exit_instruction(cpu, reason, soft_operand_linear(cpu, &operands));
	case EXIT_REASON_INVPCID:
		soft_insn_operands(cpu->insn, &operands);
		soft_exit_with_information(
		        cpu, reason, soft_operand_displacement(cpu, &operands), soft_information_invalidate(&operands));
	case EXIT_REASON_RDRAND:
	case EXIT_REASON_RDSEED:
		soft_insn_operands(cpu->insn, &operands);
		soft_exit_with_information(cpu, reason, 0, soft_information_random(&operands));
	default:
		soft_exit_instruction(cpu, reason, 0);
	}
}

/** A bit of a bitmap page of L0's; a page that is none of its memory counts as all ones. */
static bool bitmap_bit(const struct soft_cpu *cpu, enum vmcs_field field, unsigned bit)
{
	const uint8_t *page = soft_host_page(cpu, vmcs_get(cpu->vmcs, field));

	return !page || (page[bit / 8] >> (bit % 8) & 1);
}

/** I/O bitmaps (25.6.4): any byte of the access, and any access that wraps around, exits. */
static bool io_exits(const struct soft_cpu *cpu, uint16_t port, unsigned size)
{
	if (!proc(cpu, VMX_BIT(PROC_USE_IO_BITMAPS)))
		return proc(cpu, VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING));
	if (port + size > 0x10000)
		return true;
	for (unsigned p = port; p < port + size; p++)
		if (bitmap_bit(cpu, p < 0x8000 ? VMCS_IO_BITMAP_A : VMCS_IO_BITMAP_B, p & 0x7fff))
			return true;
	return false;
}

void soft_intercept_io(
        struct soft_cpu *cpu, uint16_t port, unsigned size, bool in, bool string, bool rep, bool immediate)
{
	uint64_t qualification;
	struct soft_operands operands;
	uint32_t information = 0;

	if (!io_exits(cpu, port, size))
		return;
	/* Table 28-5. */
	qualification = (size - 1) | (uint64_t)in << 3 | (uint64_t)string << 4 | (uint64_t)rep << 5 |
	                (uint64_t)immediate << 6 | (uint64_t)port << 16;
	if (string) {
		soft_insn_operands(cpu->insn, &operands);
		cpu->vmcs->field[VMCS_GUEST_LINEAR_ADDRESS] = soft_string_linear(cpu, &operands, in);
		information = soft_information_string(&operands, in);
	}
	soft_exit_with_information(cpu, EXIT_REASON_IO_INSTRUCTION, qualification, information);
}

/** MSR bitmaps (25.6.9): read low, read high, write low, write high, 1 KiB each. */
static bool msr_exits(const struct soft_cpu *cpu, uint32_t msr, bool write)
{
	unsigned bit = msr & 0x1fff;

	if (!proc(cpu, VMX_BIT(PROC_USE_MSR_BITMAPS)))
		return true;
	if (msr >= 0xc0000000u && msr <= 0xc0001fffu)
		bit += 0x2000;
	else if (msr > 0x1fff)
		return true;
	return bitmap_bit(cpu, VMCS_MSR_BITMAP, bit + (write ? 0x4000 : 0));
}

void soft_intercept_msr(struct soft_cpu *cpu, uint32_t msr, bool write)
{
	if (msr_exits(cpu, msr, write))
		soft_exit_instruction(cpu, write ? EXIT_REASON_WRMSR : EXIT_REASON_RDMSR, 0);
}

void soft_intercept_descriptor_table(struct soft_cpu *cpu, unsigned which)
{
	struct soft_operands operands;

	if (!proc2(cpu, VMX_BIT(PROC2_DESCRIPTOR_TABLE_EXITING)))
		return;
	soft_insn_operands(cpu->insn, &operands);
	soft_exit_with_information(cpu, which < 4 ? EXIT_REASON_GDTR_OR_IDTR_ACCESS : EXIT_REASON_LDTR_OR_TR_ACCESS,
	        soft_operand_displacement(cpu, &operands), soft_information_table(&operands, which));
}

void soft_intercept_dr(struct soft_cpu *cpu, unsigned dr, unsigned gpr, bool read)
{
	if (proc(cpu, VMX_BIT(PROC_MOV_DR_EXITING)))
		soft_exit_instruction(cpu, EXIT_REASON_MOV_DR, dr | (uint64_t)read << 4 | (uint64_t)gpr << 8);
	if (cpu->dr[7] & DR7_GD)
		soft_debug_fault(cpu, DR6_BD);
}

/* ---- control registers: table 28-3 ---- */
enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

_Noreturn static void exit_cr(struct soft_cpu *cpu, unsigned cr, enum cr_access access, unsigned gpr, uint64_t more)
{
	soft_exit_instruction(
	        cpu, EXIT_REASON_CONTROL_REGISTER_ACCESS, cr | (uint64_t)access << 4 | (uint64_t)gpr << 8 | more);
}

/** CR0 and CR4 (25.6.6): a masked bit that would differ from the read shadow exits, others of them stay. */
static uint64_t masked_write(struct soft_cpu *cpu, unsigned cr, unsigned gpr, uint64_t value)
{
	const uint64_t mask = vmcs_get(cpu->vmcs, cr == 0 ? VMCS_CR0_GUEST_HOST_MASK : VMCS_CR4_GUEST_HOST_MASK);
	const uint64_t shadow = vmcs_get(cpu->vmcs, cr == 0 ? VMCS_CR0_READ_SHADOW : VMCS_CR4_READ_SHADOW);

	if ((value ^ shadow) & mask)
		exit_cr(cpu, cr, CR_MOV_TO, gpr, 0);
	return (value & ~mask) | ((cr == 0 ? cpu->cr0 : cpu->cr4) & mask);
}

static bool is_cr3_target(const struct soft_cpu *cpu, uint64_t value)
{
	const uint64_t count = vmcs_get(cpu->vmcs, VMCS_CR3_TARGET_COUNT);

	for (unsigned i = 0; i < 4 && i < count; i++)
		if (vmcs_get(cpu->vmcs, VMCS_CR3_TARGET_VALUE0 + i) == value)
			return true;
	return false;
}

/** The virtual TPR: byte 80H of the virtual-APIC page, or NULL. */
static uint8_t *virtual_tpr(const struct soft_cpu *cpu)
{
	uint8_t *page = soft_host_page(cpu, vmcs_get(cpu->vmcs, VMCS_VIRTUAL_APIC_ADDRESS));

	return page && proc(cpu, VMX_BIT(PROC_TPR_SHADOW)) ? page + 0x80 : NULL;
}

bool soft_tpr_below_threshold(const struct soft_cpu *cpu)
{
	const uint8_t *tpr = virtual_tpr(cpu);

	return tpr && *tpr >> 4 < (vmcs_get(cpu->vmcs, VMCS_TPR_THRESHOLD) & 15);
}

uint64_t soft_intercept_cr_write(struct soft_cpu *cpu, unsigned cr, unsigned gpr, uint64_t value)
{
	uint8_t *tpr;

	switch (cr) {
	case 0:
	case 4:
		return masked_write(cpu, cr, gpr, value);
	case 3:
		if (proc(cpu, VMX_BIT(PROC_CR3_LOAD_EXITING)) && !is_cr3_target(cpu, value))
			exit_cr(cpu, 3, CR_MOV_TO, gpr, 0);
		return value;
	case 8:
		if (proc(cpu, VMX_BIT(PROC_CR8_LOAD_EXITING)))
			exit_cr(cpu, 8, CR_MOV_TO, gpr, 0);
		tpr = virtual_tpr(cpu);
		if (tpr && value <= 15) {
			*tpr = (uint8_t)(value << 4);
			cpu->tpr_check = true;
			soft_attention(cpu);
		}
		return value;
	default:
		return value;
	}
}

uint64_t soft_intercept_cr_read(struct soft_cpu *cpu, unsigned cr, unsigned gpr)
{
	const struct vmcs *vmcs = cpu->vmcs;
	const uint8_t *tpr;
	uint64_t mask;

	switch (cr) {
	case 0:
		mask = vmcs_get(vmcs, VMCS_CR0_GUEST_HOST_MASK);
		return (cpu->cr0 & ~mask) | (vmcs_get(vmcs, VMCS_CR0_READ_SHADOW) & mask);
	case 4:
		mask = vmcs_get(vmcs, VMCS_CR4_GUEST_HOST_MASK);
		return (cpu->cr4 & ~mask) | (vmcs_get(vmcs, VMCS_CR4_READ_SHADOW) & mask);
	case 3:
		if (proc(cpu, VMX_BIT(PROC_CR3_STORE_EXITING)))
			exit_cr(cpu, 3, CR_MOV_FROM, gpr, 0);
		return cpu->cr3;
	case 8:
		if (proc(cpu, VMX_BIT(PROC_CR8_STORE_EXITING)))
			exit_cr(cpu, 8, CR_MOV_FROM, gpr, 0);
		tpr = virtual_tpr(cpu);
		return tpr ? *tpr >> 4 : cpu->cr8;
	default:
		return cpu->cr2;
	}
}

bool soft_intercept_clts(struct soft_cpu *cpu)
{
	const uint64_t mask = vmcs_get(cpu->vmcs, VMCS_CR0_GUEST_HOST_MASK);

	if (!(mask & CR0_TS))
		return true;
	if (vmcs_get(cpu->vmcs, VMCS_CR0_READ_SHADOW) & CR0_TS)
		exit_cr(cpu, 0, CR_CLTS, 0, 0);
	return false;
}

uint64_t soft_intercept_lmsw(struct soft_cpu *cpu, uint16_t source, bool memory, uint64_t linear)
{
	const uint64_t bits = CR0_MP | CR0_EM | CR0_TS;
	const uint64_t mask = vmcs_get(cpu->vmcs, VMCS_CR0_GUEST_HOST_MASK);
	const uint64_t shadow = vmcs_get(cpu->vmcs, VMCS_CR0_READ_SHADOW);
	const uint64_t set_pe = source & CR0_PE;

	/* LMSW can set PE but not clear it. */
	if (((source ^ shadow) & mask & bits) || (set_pe & mask & ~shadow)) {
		cpu->vmcs->field[VMCS_GUEST_LINEAR_ADDRESS] = memory ? linear : 0;
		exit_cr(cpu, 0, CR_LMSW, 0, (uint64_t)memory << 6 | (uint64_t)source << 16);
	}
	return (cpu->cr0 & (~bits | mask)) | ((source & bits) & ~mask) | (set_pe & ~mask);
}
