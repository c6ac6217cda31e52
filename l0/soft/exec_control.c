/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Control and debug registers, MSRs, time, translations, waiting: instructions whose work is checks, then an intercept,
 * then a few lines. Faults by CPL and CR4 come before VM exits (SDM vol. 3, 26.1.1).
 */
#include "cpuid.h"
#include "exec.h"
#include "flags.h"
#include "internal.h"

static _Noreturn void undefined(struct soft_cpu *cpu)
{
	soft_fault(cpu, VECTOR_UD, false, 0);
}

static _Noreturn void protection_fault(struct soft_cpu *cpu)
{
	soft_fault(cpu, VECTOR_GP, true, 0);
}

static void need_cpl0(struct soft_cpu *cpu)
{
	if (cpu->cpl)
		protection_fault(cpu);
}

static uint64_t edx_eax(const struct soft_cpu *cpu)
{
	return cpu->gpr[GPR_RDX] << 32 | (uint32_t)cpu->gpr[GPR_RAX];
}

static void put_edx_eax(struct soft_cpu *cpu, uint64_t value)
{
	cpu->gpr[GPR_RAX] = (uint32_t)value;
	cpu->gpr[GPR_RDX] = value >> 32;
}

/* ---- MOV CR, MOV DR (opcodes 0F 20 .. 0F 23) ---- */

static void write_control(struct soft_cpu *cpu, unsigned cr, unsigned gpr)
{
	const uint64_t raw = cpu->mode == SOFT_MODE_64 ? cpu->gpr[gpr] : (uint32_t)cpu->gpr[gpr];
	const uint64_t value = soft_intercept_cr_write(cpu, cr, gpr, raw);

	switch (cr) {
	case 0:
		soft_write_cr0(cpu, value);
		break;
	case 2:
		cpu->cr2 = value;
		break;
	case 3:
		soft_write_cr3(cpu, value);
		break;
	case 4:
		soft_write_cr4(cpu, value);
		break;
	default:
		if (value >> 4)
			protection_fault(cpu);
		cpu->cr8 = value;
	}
	soft_attention(cpu);
}

/** DR4 and DR5 are DR6 and DR7 unless CR4.DE says they do not exist (18.2.2). */
static unsigned debug_register(struct soft_cpu *cpu, unsigned dr)
{
	if (dr > 7 || (dr >> 1 == 2 && (cpu->cr4 & CR4_DE)))
		undefined(cpu);
	return dr >> 1 == 2 ? dr + 2 : dr;
}

static void write_debug(struct soft_cpu *cpu, unsigned dr, unsigned gpr)
{
	const uint64_t value = cpu->mode == SOFT_MODE_64 ? cpu->gpr[gpr] : (uint32_t)cpu->gpr[gpr];

	dr = debug_register(cpu, dr);
	need_cpl0(cpu);
	soft_intercept_dr(cpu, dr, gpr, false);
	if (dr >= 6 && value >> 32)
		protection_fault(cpu);
	if (dr == 6)
		cpu->dr[6] = (value & 0xe00f) | DR6_FIXED;
	else if (dr == 7)
		cpu->dr[7] = (value & 0xffff2bff) | DR7_FIXED;
	else
		cpu->dr[dr] = value;
	/* Data breakpoints take accesses off the fast path. */
	soft_tlb_context(cpu);
	soft_attention(cpu);
}

void soft_exec_mov_control(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = cpu->mode == SOFT_MODE_64 ? 8 : 4;

	switch (insn->opcode) {
	case 0x20:
		need_cpl0(cpu);
		soft_reg_set(cpu, insn->reg, size, soft_intercept_cr_read(cpu, insn->rm, insn->reg));
		break;
	case 0x21: {
		const unsigned dr = debug_register(cpu, insn->rm);

		need_cpl0(cpu);
		soft_intercept_dr(cpu, dr, insn->reg, true);
		soft_reg_set(cpu, insn->reg, size, cpu->dr[dr]);
		break;
	}
	case 0x22:
		need_cpl0(cpu);
		write_control(cpu, insn->reg, insn->rm);
		break;
	default:
		write_debug(cpu, insn->reg, insn->rm);
	}
}

void soft_exec_clts(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	need_cpl0(cpu);
	if (soft_intercept_clts(cpu))
		cpu->cr0 &= ~CR0_TS;
}

void soft_exec_lmsw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const bool memory = insn->form == SOFT_FORM_M;
	uint16_t source;

	need_cpl0(cpu);
	source = (uint16_t)soft_source_get(cpu, insn, 2);
	soft_write_cr0(
	        cpu, soft_intercept_lmsw(cpu, source, memory, memory ? soft_linear(cpu, insn, 2, SOFT_READ) : 0));
	soft_attention(cpu);
}

void soft_exec_smsw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint64_t value;

	if (cpu->cpl && (cpu->cr4 & CR4_UMIP))
		protection_fault(cpu);
	value = soft_intercept_cr_read(cpu, 0, 0);
	if (insn->form == SOFT_FORM_M)
		soft_mem_set(cpu, insn, 2, value);
	else
		soft_reg_set(cpu, insn->reg, insn->width, value);
}

void soft_exec_xgetbv(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (!(cpu->cr4 & CR4_OSXSAVE))
		undefined(cpu);
	if ((uint32_t)cpu->gpr[GPR_RCX] != 0)
		protection_fault(cpu);
	put_edx_eax(cpu, cpu->xcr0);
}

void soft_exec_xsetbv(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (!(cpu->cr4 & CR4_OSXSAVE))
		undefined(cpu);
	need_cpl0(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_XSETBV);
}

/* ---- MSRs, time ---- */

void soft_exec_rdmsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint32_t msr = (uint32_t)cpu->gpr[GPR_RCX];
	uint64_t value;

	need_cpl0(cpu);
	soft_intercept_msr(cpu, msr, false);
	if (!soft_read_msr(cpu, msr, &value))
		protection_fault(cpu);
	put_edx_eax(cpu, value);
}

void soft_exec_wrmsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint32_t msr = (uint32_t)cpu->gpr[GPR_RCX];

	need_cpl0(cpu);
	soft_intercept_msr(cpu, msr, true);
	if (!soft_write_msr(cpu, msr, edx_eax(cpu)))
		protection_fault(cpu);
	soft_attention(cpu);
}

void soft_exec_rdtsc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (cpu->cpl && (cpu->cr4 & CR4_TSD))
		protection_fault(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_RDTSC);
	put_edx_eax(cpu, soft_read_tsc(cpu));
}

void soft_exec_rdtscp(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (!(cpu->proc2 & VMX_BIT(PROC2_ENABLE_RDTSCP)))
		undefined(cpu);
	if (cpu->cpl && (cpu->cr4 & CR4_TSD))
		protection_fault(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_RDTSCP);
	put_edx_eax(cpu, soft_read_tsc(cpu));
	cpu->gpr[GPR_RCX] = (uint32_t)cpu->tsc_aux;
}

/** CPUID leaf 0AH shows no counter, so there is none to read. */
void soft_exec_rdpmc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (cpu->cpl && !(cpu->cr4 & CR4_PCE))
		protection_fault(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_RDPMC);
	protection_fault(cpu);
}

/** The generator is SplitMix64 from a fixed seed: the same numbers in each run. */
static uint64_t next_random(struct soft_cpu *cpu)
{
	uint64_t z = cpu->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void random_number(struct soft_cpu *cpu, const struct soft_insn *insn, uint32_t reason)
{
	soft_intercept_simple(cpu, reason);
	soft_reg_set(cpu, insn->reg, insn->size, next_random(cpu));
	soft_flags_set_status(cpu, FLAG_CF);
}

void soft_exec_rdrand(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	random_number(cpu, insn, EXIT_REASON_RDRAND);
}
void soft_exec_rdseed(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	random_number(cpu, insn, EXIT_REASON_RDSEED);
}

void soft_exec_cpuid(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	struct soft_cpuid out;

	soft_intercept_simple(cpu, EXIT_REASON_CPUID);
	soft_cpuid((uint32_t)cpu->gpr[GPR_RAX], (uint32_t)cpu->gpr[GPR_RCX], &out);
	cpu->gpr[GPR_RAX] = out.eax;
	cpu->gpr[GPR_RBX] = out.ebx;
	cpu->gpr[GPR_RCX] = out.ecx;
	cpu->gpr[GPR_RDX] = out.edx;
}

/* ---- waiting ---- */

void soft_exec_hlt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	need_cpl0(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_HLT);
	cpu->activity = ACTIVITY_HLT;
	soft_attention(cpu);
}

void soft_exec_pause(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_intercept_simple(cpu, EXIT_REASON_PAUSE);
}

void soft_exec_monitor(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint64_t offset;

	if (cpu->cpl)
		undefined(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_MONITOR);
	if ((uint32_t)cpu->gpr[GPR_RCX])
		protection_fault(cpu);
	offset = cpu->gpr[GPR_RAX] & soft_size_mask(insn->address_size);
	soft_load_slow(cpu, insn->segment, soft_segment_linear(cpu, insn->segment, offset, 1, SOFT_READ), 1);
}

/** An MWAIT may end at any time for implementation-dependent reasons: it ends at once. */
void soft_exec_mwait(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (cpu->cpl)
		undefined(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_MWAIT);
	if ((uint32_t)cpu->gpr[GPR_RCX] & ~1u)
		protection_fault(cpu);
}

/* ---- caches and translations ---- */

void soft_exec_invd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	need_cpl0(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_INVD);
}
void soft_exec_wbinvd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	need_cpl0(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_WBINVD);
}

void soft_exec_clflush(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	/* Checked as a load of one byte. */
	soft_mem_get(cpu, insn, 1);
}

void soft_exec_invlpg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const struct soft_segment *seg = &cpu->seg[insn->segment];
	uint64_t linear = soft_offset(cpu, insn);

	need_cpl0(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_INVLPG);
	/* No segment check: only an address is named. */
	if (cpu->mode != SOFT_MODE_64)
		linear = (uint32_t)(linear + seg->base);
	else if (insn->segment == SOFT_FS || insn->segment == SOFT_GS)
		linear += seg->base;
	if (x86_canonical(linear))
		soft_tlb_flush_page(cpu, linear);
}

void soft_exec_invpcid(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint64_t descriptor[2];

	if (!(cpu->proc2 & VMX_BIT(PROC2_ENABLE_INVPCID)))
		undefined(cpu);
	if (cpu->mode <= SOFT_MODE_V8086 && cpu->mode != SOFT_MODE_REAL)
		protection_fault(cpu);
	need_cpl0(cpu);
	soft_intercept_simple(cpu, EXIT_REASON_INVPCID);
	soft_read_bytes(cpu, soft_linear(cpu, insn, 16, SOFT_READ), descriptor, 16);
	soft_invpcid(cpu, soft_reg_get(cpu, insn->reg, cpu->mode == SOFT_MODE_64 ? 8 : 4), descriptor);
}

/* ---- FS and GS bases, SMAP ---- */

void soft_exec_swapgs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t base = cpu->seg[SOFT_GS].base;

	if (cpu->mode != SOFT_MODE_64)
		undefined(cpu);
	need_cpl0(cpu);
	cpu->seg[SOFT_GS].base = cpu->kernel_gs_base;
	cpu->kernel_gs_base = base;
}

static void need_fsgsbase(struct soft_cpu *cpu)
{
	if (cpu->mode != SOFT_MODE_64 || !(cpu->cr4 & CR4_FSGSBASE))
		undefined(cpu);
}

static void read_base(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned segment)
{
	need_fsgsbase(cpu);
	soft_reg_set(cpu, insn->reg, insn->size, cpu->seg[segment].base);
}

static void write_base(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned segment)
{
	const uint64_t base = soft_reg_get(cpu, insn->reg, insn->size);

	need_fsgsbase(cpu);
	if (!x86_canonical(base))
		protection_fault(cpu);
	cpu->seg[segment].base = base;
}

void soft_exec_rdfsbase(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	read_base(cpu, insn, SOFT_FS);
}
void soft_exec_rdgsbase(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	read_base(cpu, insn, SOFT_GS);
}
void soft_exec_wrfsbase(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	write_base(cpu, insn, SOFT_FS);
}
void soft_exec_wrgsbase(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	write_base(cpu, insn, SOFT_GS);
}

void soft_exec_stac(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (cpu->cpl)
		undefined(cpu);
	cpu->rflags |= FLAG_AC;
}
void soft_exec_clac(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (cpu->cpl)
		undefined(cpu);
	cpu->rflags &= ~(uint64_t)FLAG_AC;
}
