/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Floating-point state: FXSAVE, XSAVE, MXCSR, and the control instructions of the x87. x87 arithmetic is not there: it
 * ends the cell (soft_exec_unsupported).
 */
#include "exec.h"
#include "float.h"
#include "sse.h"

#define CR4_OSXSAVE_BIT (1ull << 18)

/* FXSAVE image, SDM vol. 1, table 10-2. struct soft_cpu.x87 holds bytes 0..159 but for MXCSR. */
#define IMAGE_BYTES 512
#define IMAGE_CONTROL 0
#define IMAGE_STATUS 2
#define IMAGE_TAGS 4
#define IMAGE_MXCSR 24
#define IMAGE_MXCSR_MASK 28
#define IMAGE_ST 32
#define IMAGE_XMM 160

/* XSAVE area: a header of 64 bytes after the image; SDM vol. 1, 13.4. */
#define XSAVE_HEADER 512
#define XSAVE_BYTES 576
#define XCR0_X87 1u
#define XCR0_SSE 2u

static void check_x87(struct soft_cpu *cpu)
{
	if (cpu->cr0 & (CR0_EM | CR0_TS))
		soft_fault(cpu, VECTOR_NM, false, 0);
}

static void init_x87(uint8_t *image)
{
	memset(image, 0, IMAGE_XMM);
	image[IMAGE_CONTROL] = 0x7f;
	image[IMAGE_CONTROL + 1] = 0x03;
}

void soft_exec_fninit(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint8_t st[IMAGE_XMM - IMAGE_ST];

	check_x87(cpu);
	/* The registers keep their bits; they are tagged empty. */
	memcpy(st, cpu->x87 + IMAGE_ST, sizeof(st));
	init_x87(cpu->x87);
	memcpy(cpu->x87 + IMAGE_ST, st, sizeof(st));
}

void soft_exec_fldcw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint64_t value;

	check_x87(cpu);
	/* Bit 6 is always 1, bits 7 and 13 to 15 always 0. */
	value = (soft_mem_get(cpu, insn, 2) & 0x1f7f) | 0x40;
	memcpy(cpu->x87 + IMAGE_CONTROL, &value, 2);
}

static uint64_t word(const struct soft_cpu *cpu, unsigned at)
{
	return cpu->x87[at] | (uint64_t)cpu->x87[at + 1] << 8;
}

void soft_exec_fnstcw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	check_x87(cpu);
	soft_mem_set(cpu, insn, 2, word(cpu, IMAGE_CONTROL));
}

void soft_exec_fnstsw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	check_x87(cpu);
	if (insn->flags & SOFT_INSN_MEMORY)
		soft_mem_set(cpu, insn, 2, word(cpu, IMAGE_STATUS));
	else
		soft_reg_set(cpu, GPR_RAX, 2, word(cpu, IMAGE_STATUS));
}

void soft_exec_fnclex(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	check_x87(cpu);
	cpu->x87[IMAGE_STATUS] = 0;
	cpu->x87[IMAGE_STATUS + 1] &= 0x7f;
}

/** No x87 exception can be pending: nothing here computes. */
void soft_exec_fwait(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
		soft_fault(cpu, VECTOR_NM, false, 0);
}

/** What kernels provoke #NM with. */
void soft_exec_fnop(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	check_x87(cpu);
}

/* ---- MXCSR ---- */

void soft_exec_ldmxcsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint64_t value;

	soft_sse_check(cpu);
	value = soft_mem_get(cpu, insn, 4);
	if (value & ~(uint64_t)MXCSR_ALLOWED)
		soft_fault(cpu, VECTOR_GP, true, 0);
	cpu->mxcsr = (uint32_t)value;
}

void soft_exec_stmxcsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	soft_sse_check(cpu);
	soft_mem_set(cpu, insn, 4, cpu->mxcsr);
}

/* ---- FXSAVE, XSAVE ---- */

/** Outside 64-bit mode only XMM0 to XMM7 exist. */
static size_t xmm_bytes(const struct soft_cpu *cpu)
{
	return cpu->mode == SOFT_MODE_64 ? 256 : 128;
}

static void image_put_x87(const struct soft_cpu *cpu, uint8_t *image)
{
	memcpy(image, cpu->x87, IMAGE_MXCSR);
	memcpy(image + IMAGE_ST, cpu->x87 + IMAGE_ST, IMAGE_XMM - IMAGE_ST);
}

static void image_put_mxcsr(const struct soft_cpu *cpu, uint8_t *image)
{
	const uint32_t mask = MXCSR_ALLOWED;

	memcpy(image + IMAGE_MXCSR, &cpu->mxcsr, 4);
	memcpy(image + IMAGE_MXCSR_MASK, &mask, 4);
}

static void image_get_x87(struct soft_cpu *cpu, const uint8_t *image)
{
	memcpy(cpu->x87, image, IMAGE_MXCSR);
	memcpy(cpu->x87 + IMAGE_ST, image + IMAGE_ST, IMAGE_XMM - IMAGE_ST);
}

/** MXCSR of an image, or #GP(0) for reserved bits. */
static uint32_t image_mxcsr(struct soft_cpu *cpu, const uint8_t *image)
{
	uint32_t value;

	memcpy(&value, image + IMAGE_MXCSR, 4);
	if (value & ~MXCSR_ALLOWED)
		soft_fault(cpu, VECTOR_GP, true, 0);
	return value;
}

static uint64_t area_linear(
        struct soft_cpu *cpu, const struct soft_insn *insn, unsigned alignment, enum soft_access access)
{
	const uint64_t linear = soft_linear(cpu, insn, alignment == 64 ? XSAVE_BYTES : IMAGE_BYTES, access);

	if (linear & (alignment - 1))
		soft_fault(cpu, VECTOR_GP, true, 0);
	return linear;
}

void soft_exec_fxsave(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint8_t image[IMAGE_BYTES];
	uint64_t linear;

	check_x87(cpu);
	linear = area_linear(cpu, insn, 16, SOFT_WRITE);
	/* Bytes that FXSAVE does not define stay as they are in memory. */
	soft_probe_write(cpu, linear, 1);
	soft_read_bytes(cpu, linear, image, IMAGE_BYTES);
	image_put_x87(cpu, image);
	image_put_mxcsr(cpu, image);
	memcpy(image + IMAGE_XMM, cpu->xmm, xmm_bytes(cpu));
	soft_write_bytes(cpu, linear, image, IMAGE_BYTES);
}

void soft_exec_fxrstor(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint8_t image[IMAGE_BYTES];
	uint32_t mxcsr;

	check_x87(cpu);
	soft_read_bytes(cpu, area_linear(cpu, insn, 16, SOFT_READ), image, IMAGE_BYTES);
	mxcsr = image_mxcsr(cpu, image);
	image_get_x87(cpu, image);
	cpu->mxcsr = mxcsr;
	memcpy(cpu->xmm, image + IMAGE_XMM, xmm_bytes(cpu));
}

/** The components asked for: EDX:EAX and XCR0. */
static uint64_t components(struct soft_cpu *cpu)
{
	if (!(cpu->cr4 & CR4_OSXSAVE_BIT))
		soft_fault(cpu, VECTOR_UD, false, 0);
	if (cpu->cr0 & CR0_TS)
		soft_fault(cpu, VECTOR_NM, false, 0);
	return (cpu->gpr[GPR_RDX] << 32 | (uint32_t)cpu->gpr[GPR_RAX]) & cpu->xcr0;
}

void soft_exec_xsave(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t wanted = components(cpu);
	const uint64_t linear = area_linear(cpu, insn, 64, SOFT_WRITE);
	uint8_t image[XSAVE_BYTES];
	uint64_t present;

	soft_probe_write(cpu, linear, 1);
	soft_read_bytes(cpu, linear, image, XSAVE_BYTES);
	if (wanted & XCR0_X87)
		image_put_x87(cpu, image);
	if (wanted & XCR0_SSE) {
		image_put_mxcsr(cpu, image);
		memcpy(image + IMAGE_XMM, cpu->xmm, xmm_bytes(cpu));
	}
	memcpy(&present, image + XSAVE_HEADER, 8);
	present = (present & ~wanted) | wanted;
	memcpy(image + XSAVE_HEADER, &present, 8);
	soft_write_bytes(cpu, linear, image, XSAVE_BYTES);
}

void soft_exec_xrstor(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t wanted = components(cpu);
	const uint64_t linear = area_linear(cpu, insn, 64, SOFT_READ);
	static const uint8_t zeros[16];
	uint8_t image[XSAVE_BYTES];
	uint64_t present;
	uint32_t mxcsr = cpu->mxcsr;

	soft_read_bytes(cpu, linear, image, XSAVE_BYTES);
	memcpy(&present, image + XSAVE_HEADER, 8);
	if ((present & ~cpu->xcr0) || memcmp(image + XSAVE_HEADER + 8, zeros, 16))
		soft_fault(cpu, VECTOR_GP, true, 0);
	if (wanted & XCR0_SSE)
		mxcsr = image_mxcsr(cpu, image);
	if (wanted & XCR0_X87) {
		if (!(present & XCR0_X87))
			init_x87(image);
		image_get_x87(cpu, image);
	}
	if (wanted & XCR0_SSE) {
		cpu->mxcsr = mxcsr;
		if (present & XCR0_SSE)
			memcpy(cpu->xmm, image + IMAGE_XMM, xmm_bytes(cpu));
		else
			memset(cpu->xmm, 0, xmm_bytes(cpu));
	}
}
