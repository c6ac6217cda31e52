/* SPDX-License-Identifier: Apache-2.0 */
/** Random instructions of ring 3 whose outcome the SDM defines, with a state that lets most of them succeed. */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#include "isa_case.h"

#define FLAG_CF 0x1u
#define FLAG_AF 0x10u
#define FLAG_OF 0x800u
#define STATUS_FLAGS 0x8d5u
/** Flags a case starts with at random: the status flags, DF and ID. */
#define RANDOM_FLAGS (STATUS_FLAGS | 0x400u | 0x200000u)

static uint64_t below(uint64_t *rng, uint64_t limit)
{
	return (isa_random(rng) >> 11) % limit;
}
static bool chance(uint64_t *rng, unsigned percent)
{
	return below(rng, 100) < percent;
}

/* ---- values ---- */

static uint64_t data_pointer(uint64_t *rng)
{
	return ISA_DATA + below(rng, ISA_DATA_BYTES);
}

static uint64_t integer(uint64_t *rng)
{
	static const uint64_t corners[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
	        0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull, ~1ull};

	switch (below(rng, 4)) {
	case 0:
		return corners[below(rng, sizeof(corners) / sizeof(corners[0]))];
	case 1:
		return below(rng, 256) - 128;
	default:
		return isa_random(rng);
	}
}

/** Signed zeros, denormals, limits, infinities, both kinds of NaN; else anything. */
static uint32_t single(uint64_t *rng)
{
	static const uint32_t corners[] = {0, 1, 0x007fffff, 0x00800000, 0x3f800000, 0x3f800001, 0x4b000000, 0x4effffff,
	        0x4f000000, 0x5f000000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fc00000, 0x7fffffff, 0x00400000};
	const uint32_t sign = (uint32_t)below(rng, 2) << 31;

	if (chance(rng, 40))
		return sign | corners[below(rng, sizeof(corners) / sizeof(corners[0]))];
	if (chance(rng, 50)) /* near 1: sums and quotients that round */
		return sign | (uint32_t)(0x3e000000 + below(rng, 0x03000000));
	return (uint32_t)isa_random(rng);
}

static uint64_t twice(uint64_t *rng)
{
	static const uint64_t corners[] = {0, 1, 0x000fffffffffffff, 0x0010000000000000, 0x3ff0000000000000,
	        0x3ff0000000000001, 0x41dfffffffc00000, 0x41e0000000000000, 0x43e0000000000000, 0x47efffffe0000000,
	        0x47effffff0000000, 0x3810000000000000, 0x380fffffffffffff, 0x36a0000000000000, 0x7fefffffffffffff,
	        0x7ff0000000000000, 0x7ff0000000000001, 0x7ff8000000000000};
	const uint64_t sign = below(rng, 2) << 63;

	if (chance(rng, 40))
		return sign | corners[below(rng, sizeof(corners) / sizeof(corners[0]))];
	if (chance(rng, 50))
		return sign | (0x3fe0000000000000 + below(rng, 0x0060000000000000));
	return isa_random(rng);
}

static void vector(uint64_t *rng, union isa_xmm *value)
{
	switch (below(rng, 4)) {
	case 0:
		for (unsigned i = 0; i < 4; i++)
			value->u32[i] = single(rng);
		break;
	case 1:
		for (unsigned i = 0; i < 2; i++)
			value->u64[i] = twice(rng);
		break;
	default:
		for (unsigned i = 0; i < 2; i++)
			value->u64[i] = integer(rng);
	}
}

void isa_make_data(uint64_t seed, uint8_t data[ISA_DATA_BYTES])
{
	uint64_t rng = seed * 0x9e3779b97f4a7c15ull + 1;

	for (size_t at = 0; at < ISA_DATA_BYTES; at += 16) {
		union isa_xmm value;

		vector(&rng, &value);
		if (chance(&rng, 25))
			value.u64[0] = ISA_TARGETS + below(&rng, ISA_TARGETS_BYTES);
		if (chance(&rng, 25))
			value.u64[1] = data_pointer(&rng);
		memcpy(data + at, &value, 16);
	}
}

/* ---- which instructions ---- */

static void init_decoder(ZydisDecoder *decoder)
{
	ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

static bool decode(const struct isa_case *c, ZydisDecodedInstruction *in, ZydisDecodedOperand *operands)
{
	ZydisDecoder decoder;

	init_decoder(&decoder);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, c->code, sizeof(c->code), in, operands));
}

/**
 * Not compared: what the two processors differ in by design (CPUID features, system registers, selectors, time), what
 * may set TF or AC, and the estimates.
 */
static bool comparable(const ZydisDecodedInstruction *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_PUSHF: /* IOPL, RF and the like stand in them, as the operating systems set them */
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_LFS:
	case ZYDIS_MNEMONIC_LGS:
	case ZYDIS_MNEMONIC_LSS:
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_PAUSE:
	case ZYDIS_MNEMONIC_INT3: /* that is how every case ends */
	case ZYDIS_MNEMONIC_UD0:  /* AMD's have no ModRM byte */
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_FXSAVE: /* pointers, MXCSR_MASK */
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_RCPPS:
	case ZYDIS_MNEMONIC_RCPSS:
	case ZYDIS_MNEMONIC_RSQRTPS:
	case ZYDIS_MNEMONIC_RSQRTSS:
		return false;
	default:
		break;
	}
	switch (in->meta.isa_ext) {
	case ZYDIS_ISA_EXT_BASE:
	case ZYDIS_ISA_EXT_LONGMODE:
		/* SYSRET, SWAPGS, HLT and their like are #GP in ring 3 on both. */
		return in->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR && in->meta.category != ZYDIS_CATEGORY_SYSRET;
	case ZYDIS_ISA_EXT_SSE:
	case ZYDIS_ISA_EXT_SSE2:
	case ZYDIS_ISA_EXT_BMI1:
	case ZYDIS_ISA_EXT_BMI2:
	case ZYDIS_ISA_EXT_LZCNT:
	case ZYDIS_ISA_EXT_MOVBE:
	case ZYDIS_ISA_EXT_CLFSH:
		return true;
	case ZYDIS_ISA_EXT_SSE4:
		return in->mnemonic == ZYDIS_MNEMONIC_POPCNT || in->mnemonic == ZYDIS_MNEMONIC_CRC32;
	default:
		return false;
	}
}

/** Registers that this CPU lacks, or that hold what differs; FS, whose base is the host's thread pointer. */
static bool operands_comparable(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operands)
{
	for (unsigned i = 0; i < in->operand_count; i++) {
		const ZydisDecodedOperand *operand = &operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY && operand->mem.segment == ZYDIS_REGISTER_FS)
			return false;
		if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER ||
		        operand->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			continue;
		switch (ZydisRegisterGetClass(operand->reg.value)) {
		case ZYDIS_REGCLASS_GPR8:
		case ZYDIS_REGCLASS_GPR16:
		case ZYDIS_REGCLASS_GPR32:
		case ZYDIS_REGCLASS_GPR64:
		case ZYDIS_REGCLASS_XMM:
			break;
		default:
			return false;
		}
	}
	return true;
}

/** Intel ignores an operand-size prefix on near branches, AMD obeys it; and a branch must not land in the instruction.
 */
static bool branch_comparable(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operands)
{
	if (in->meta.branch_type == ZYDIS_BRANCH_TYPE_NONE && in->meta.category != ZYDIS_CATEGORY_RET)
		return true;
	if (in->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)
		return false;
	if (operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operands[0].imm.is_relative)
		return operands[0].imm.value.s >= 0 || operands[0].imm.value.s < -64;
	return true;
}

static bool has_repeat_prefix(const ZydisDecodedInstruction *in)
{
	for (unsigned i = 0; i < in->raw.prefix_count; i++)
		if (in->raw.prefixes[i].value == 0xf2 || in->raw.prefixes[i].value == 0xf3)
			return true;
	return false;
}

static bool encoding_comparable(const ZydisDecodedInstruction *in)
{
	/* BSWAP of 16 bits is undefined. */
	if (in->mnemonic == ZYDIS_MNEMONIC_BSWAP && in->operand_width == 16)
		return false;
	/* 0F 0D with a register is a NOP on Intel's processors and #UD on AMD's. */
	if (in->mnemonic == ZYDIS_MNEMONIC_NOP && in->opcode == 0x0d)
		return false;
	/* F2 and F3 turn the condition of LOOPcc around on AMD's processors; the SDM does not define them there. */
	if ((in->mnemonic == ZYDIS_MNEMONIC_LOOPE || in->mnemonic == ZYDIS_MNEMONIC_LOOPNE) && has_repeat_prefix(in))
		return false;
	/* AMD lets LOCK MOV CR0 stand for CR8. */
	if (in->mnemonic == ZYDIS_MNEMONIC_MOV && (in->attributes & ZYDIS_ATTRIB_HAS_LOCK))
		return false;
	return true;
}

static void random_code(uint64_t *rng, uint8_t code[16])
{
	static const uint8_t legacy[] = {0x66, 0x66, 0x66, 0xf2, 0xf2, 0xf3, 0xf3, 0x67, 0x65, 0x3e, 0xf0};
	unsigned n = 0;

	for (unsigned i = 0; i < 16; i++)
		code[i] = (uint8_t)isa_random(rng);
	while (n < 3 && chance(rng, 30))
		code[n++] = legacy[below(rng, sizeof(legacy))];
	if (chance(rng, 4)) { /* VEX, map 2 or 3, 128 bits: BMI */
		code[n++] = 0xc4;
		code[n] = (uint8_t)((code[n] & 0xe0) | (chance(rng, 80) ? 2 : 3));
		code[n + 1] &= 0xfb;
		code[n + 2] |= 0xf0;
		return;
	}
	if (chance(rng, 50))
		code[n++] = (uint8_t)(0x40 | below(rng, 16));
	if (chance(rng, 55)) {
		code[n++] = 0x0f;
		if (chance(rng, 3))
			code[n++] = 0x38;
	}
}

/* ---- state ---- */

static uint64_t *general(struct isa_case *c, ZydisRegister reg)
{
	const ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (ZydisRegisterGetClass(wide) != ZYDIS_REGCLASS_GPR64)
		return NULL;
	return &c->before.gpr[ZydisRegisterGetId(wide)];
}

/** Where a memory operand of `bytes` shall lie: mostly where it is allowed, sometimes across the edges. */
static uint64_t choose_target(uint64_t *rng, unsigned bytes)
{
	uint64_t target;

	switch (below(rng, 20)) {
	case 0:
	case 1: /* across the two writable pages */
		return ISA_DATA + ISA_PAGE - 1 - below(rng, bytes ? bytes : 1);
	case 2: /* into the read-only page */
		return ISA_DATA + 2 * ISA_PAGE - 1 - below(rng, bytes ? bytes : 1);
	case 3: /* off the end, into the page that is not mapped */
		return ISA_DATA + 3 * ISA_PAGE - below(rng, bytes + 1ull);
	case 4:
		return ISA_DATA + 2 * ISA_PAGE + below(rng, ISA_PAGE - 64);
	case 5:
		return isa_random(rng);
	default:
		target = ISA_DATA + 512 + below(rng, ISA_WRITABLE_BYTES - 1024);
		return chance(rng, 70) ? target & ~15ull : target;
	}
}

/** Set the registers (or the displacement) of a memory operand so that it lies at the target. */
static void aim(
        uint64_t *rng, struct isa_case *c, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operand)
{
	const uint64_t target = choose_target(rng, operand->size / 8);
	const ZydisDecodedOperandMem *mem = &operand->mem;
	uint64_t *base = general(c, mem->base), *index = general(c, mem->index);
	uint64_t rest = target - (uint64_t)mem->disp.value;

	if (base && base == index) {
		*base = rest / (1 + mem->scale);
	} else if (base) {
		*base = rest - (index ? *index * mem->scale : 0);
	} else if (index) {
		*index = rest / mem->scale;
	} else if (in->raw.disp.size == 32) {
		const uint64_t from = mem->base == ZYDIS_REGISTER_RIP ? c->before.rip + in->length : 0;
		const uint32_t disp = (uint32_t)(target - from);

		memcpy(c->code + in->raw.disp.offset, &disp, 4);
	} else if (in->raw.disp.size == 64) {
		memcpy(c->code + in->raw.disp.offset, &target, 8);
	}
}

/** Where the instruction lies: within a page, across two, or across the end of the code. */
static uint64_t choose_rip(uint64_t *rng, unsigned length)
{
	switch (below(rng, 16)) {
	case 0:
		return ISA_CODE + ISA_PAGE - below(rng, length + 1ull);
	case 1:
		return ISA_CODE + 2 * ISA_PAGE - 1 - below(rng, length);
	default:
		return ISA_CODE + 0x800 + below(rng, 0x100);
	}
}

static void bias_operands(uint64_t *rng, struct isa_case *c, const ZydisDecodedInstruction *in)
{
	uint64_t *gpr = c->before.gpr;

	if (in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
		gpr[1] = chance(rng, 90) ? below(rng, 24) : below(rng, 3000);
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
		if (chance(rng, 70))
			gpr[2] = in->mnemonic == ZYDIS_MNEMONIC_IDIV && gpr[0] >> 63 ? ~0ull : below(rng, 4);
		break;
	default:
		break;
	}
}

static bool is_shift(ZydisMnemonic mnemonic)
{
	return mnemonic == ZYDIS_MNEMONIC_SHL || mnemonic == ZYDIS_MNEMONIC_SHR || mnemonic == ZYDIS_MNEMONIC_SAR;
}
static bool is_rotate(ZydisMnemonic mnemonic)
{
	return mnemonic == ZYDIS_MNEMONIC_ROL || mnemonic == ZYDIS_MNEMONIC_ROR || mnemonic == ZYDIS_MNEMONIC_RCL ||
	       mnemonic == ZYDIS_MNEMONIC_RCR;
}

/** What depends on the count: see SDM vol. 2, SAL/SAR/SHL/SHR, RCL, SHLD. False: the result itself is undefined. */
static bool shift_undefined(struct isa_case *c, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operands)
{
	const bool twofold = in->mnemonic == ZYDIS_MNEMONIC_SHLD || in->mnemonic == ZYDIS_MNEMONIC_SHRD;
	const ZydisDecodedOperand *by = &operands[twofold ? 2 : 1];
	const unsigned bits = operands[0].size, mask = bits == 64 ? 63 : 31;
	const unsigned count =
	        (by->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? (unsigned)by->imm.value.u : (unsigned)c->before.gpr[1]) &
	        mask;

	if (!twofold && !is_shift(in->mnemonic) && !is_rotate(in->mnemonic))
		return true;
	c->undefined_flags = 0;
	if (count > 1)
		c->undefined_flags |= FLAG_OF;
	if (count && !is_rotate(in->mnemonic))
		c->undefined_flags |= FLAG_AF;
	if (is_shift(in->mnemonic) && in->mnemonic != ZYDIS_MNEMONIC_SAR && count >= bits)
		c->undefined_flags |= FLAG_CF;
	return !(twofold && count > bits);
}

/** Flags the SDM leaves undefined, from Zydis's tables, and what those do not know. */
static bool set_undefined(struct isa_case *c, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operands)
{
	c->undefined_flags = in->cpu_flags ? in->cpu_flags->undefined & STATUS_FLAGS : 0;
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_BSF:
	case ZYDIS_MNEMONIC_BSR:
		c->undefined_destination = true;
		c->undefined_flags = STATUS_FLAGS & ~0x40u;
		break;
	case ZYDIS_MNEMONIC_ENTER:
		c->partial_memory = true;
		break;
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		c->undefined_flags = STATUS_FLAGS & ~0x41u;
		break;
	case ZYDIS_MNEMONIC_MUL:
	case ZYDIS_MNEMONIC_IMUL:
		c->undefined_flags = STATUS_FLAGS & ~0x801u;
		break;
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
		c->undefined_flags = STATUS_FLAGS;
		break;
	case ZYDIS_MNEMONIC_LDMXCSR:
		/* Bit 17 exists on AMD only: a value that has it and nothing else wrong faults on one side. */
		return false;
	default:
		break;
	}
	c->amd_branch_fault = in->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || in->meta.category == ZYDIS_CATEGORY_RET;
	return shift_undefined(c, in, operands);
}

bool isa_make_state(uint64_t seed, const uint8_t data[ISA_DATA_BYTES], struct isa_case *c)
{
	uint64_t rng = seed * 0xd1342543de82ef95ull + 0x5851f42d4c957f2dull;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	if (!decode(c, &in, operands))
		return false;
	memset(&c->before, 0, sizeof(c->before));
	c->seed = seed;
	c->undefined_destination = c->partial_memory = false;
	for (unsigned i = 0; i < 16; i++) {
		c->before.gpr[i] = chance(&rng, 15) ? data_pointer(&rng) : integer(&rng);
		if (chance(&rng, 5))
			c->before.gpr[i] = ISA_TARGETS + below(&rng, ISA_TARGETS_BYTES);
		vector(&rng, &c->before.xmm[i]);
	}
	c->before.gpr[4] = (ISA_DATA + 512 + below(&rng, ISA_WRITABLE_BYTES - 1024)) & ~(chance(&rng, 80) ? 7ull : 0);
	c->before.rip = choose_rip(&rng, in.length);
	c->before.rflags = (isa_random(&rng) & RANDOM_FLAGS) | 0x202;
	/* Rounding mode, DAZ, FTZ and old flags at random; sometimes exceptions are unmasked. */
	c->before.mxcsr = ((uint32_t)isa_random(&rng) & 0xe07f) |
	                  (chance(&rng, 85) ? 0x1f80 : (uint32_t)isa_random(&rng) & 0x1f80);
	if (chance(&rng, 50))
		c->before.mxcsr &= ~0x8040u;
	bias_operands(&rng, c, &in);
	/* Bit strings: offsets of a few hundred bits, either way. */
	if ((in.mnemonic == ZYDIS_MNEMONIC_BT || in.mnemonic == ZYDIS_MNEMONIC_BTS ||
	            in.mnemonic == ZYDIS_MNEMONIC_BTR || in.mnemonic == ZYDIS_MNEMONIC_BTC) &&
	        operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
		*general(c, operands[1].reg.value) = below(&rng, 2048) - 1024;
	for (unsigned i = 0; i < in.operand_count; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY && in.mnemonic != ZYDIS_MNEMONIC_LEA &&
		        in.mnemonic != ZYDIS_MNEMONIC_NOP)
			aim(&rng, c, &in, &operands[i]);
	return set_undefined(c, &in, operands);
}

bool isa_generate(uint64_t seed, const uint8_t data[ISA_DATA_BYTES], struct isa_case *c)
{
	uint64_t rng = seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	isa_random(&rng);
	random_code(&rng, c->code);
	if (!decode(c, &in, operands) || !comparable(&in) || !operands_comparable(&in, operands) ||
	        !branch_comparable(&in, operands) || !encoding_comparable(&in))
		return false;
	c->length = in.length;
	memset(c->code + in.length, 0xcc, sizeof(c->code) - in.length);
	return isa_make_state(seed, data, c);
}

void isa_text(const struct isa_case *c, char *text, size_t size)
{
	ZydisFormatter formatter;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	if (!decode(c, &in, operands) || !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &in, operands,
	                                         in.operand_count_visible, text, size, c->before.rip, NULL)))
		snprintf(text, size, "(not decoded)");
}
