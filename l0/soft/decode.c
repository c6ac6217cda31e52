/* SPDX-License-Identifier: Apache-2.0 */
#include "decode.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "exec.h"
#include "shadowvmcs/regs.h"

struct entry {
	soft_handler handler;
	soft_selector *select;
	uint8_t what;
	uint8_t flags;
};

/** What each mnemonic does, from insn.def. */
static const struct entry entries[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#define SOFT_INSN(mnemonic, function, more) [ZYDIS_MNEMONIC_##mnemonic] = {.handler = function, .flags = more},
#define SOFT_SELECT(mnemonic, selector, number, more)                                                                  \
	[ZYDIS_MNEMONIC_##mnemonic] = {.select = selector, .what = number, .flags = more},
#include "insn.def"
#undef SOFT_INSN
#undef SOFT_SELECT
};

static const struct {
	ZydisMachineMode machine;
	ZydisStackWidth stack;
} modes[] = {
        [SOFT_MODE_REAL] = {ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
        [SOFT_MODE_V8086] = {ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16},
        [SOFT_MODE_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
        [SOFT_MODE_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
        [SOFT_MODE_COMPAT_16] = {ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16},
        [SOFT_MODE_COMPAT_32] = {ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32},
        [SOFT_MODE_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
};

/** The decoder of a mode; set up once per thread. */
static const ZydisDecoder *decoder_of(enum soft_mode mode)
{
	static _Thread_local ZydisDecoder decoders[SOFT_MODE_64 + 1];
	static _Thread_local bool ready[SOFT_MODE_64 + 1];
	ZydisDecoder *decoder = &decoders[mode];

	/* Encodings that are NOPs, or older instructions, on a CPU whose CPUID does not show these features. */
	static const ZydisDecoderMode absent[] = {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET,
	        ZYDIS_DECODER_MODE_WBNOINVD, ZYDIS_DECODER_MODE_CLDEMOTE};

	if (ready[mode])
		return decoder;
	ZydisDecoderInit(decoder, modes[mode].machine, modes[mode].stack);
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		ZydisDecoderEnableMode(decoder, absent[i], ZYAN_FALSE);
	ready[mode] = true;
	return decoder;
}

/**
 * Is an instruction that insn.def lacks one that the CPU claims to have (CPUID, exec_cpuid.c)? Then executing it ends
 * the cell; any other is #UD, as on a CPU without the feature.
 */
static bool claimed(const ZydisDecodedInstruction *in)
{
	switch (in->meta.isa_ext) {
	case ZYDIS_ISA_EXT_BASE:
	case ZYDIS_ISA_EXT_LONGMODE:
	case ZYDIS_ISA_EXT_X87:
	case ZYDIS_ISA_EXT_SSE:
	case ZYDIS_ISA_EXT_SSE2:
	case ZYDIS_ISA_EXT_XSAVE:
	case ZYDIS_ISA_EXT_BMI1:
	case ZYDIS_ISA_EXT_BMI2:
		return in->mnemonic != ZYDIS_MNEMONIC_UD0 && in->mnemonic != ZYDIS_MNEMONIC_UD1 &&
		       in->mnemonic != ZYDIS_MNEMONIC_UD2 && in->mnemonic != ZYDIS_MNEMONIC_RSM;
	default:
		return false;
	}
}

static uint8_t register_number(ZydisRegister reg)
{
	const unsigned id = (unsigned)ZydisRegisterGetId(reg);

	if (ZydisRegisterGetClass(reg) != ZYDIS_REGCLASS_GPR8)
		return (uint8_t)id;
	/* Zydis counts AL CL DL BL AH CH DH BH SPL BPL SIL DIL R8B...; here: the byte's offset in gpr[]. */
	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		return (uint8_t)((reg - ZYDIS_REGISTER_AH) * 8 + 1);
	if (reg >= ZYDIS_REGISTER_SPL)
		return (uint8_t)((reg - ZYDIS_REGISTER_SPL + GPR_RSP) * 8);
	return (uint8_t)((reg - ZYDIS_REGISTER_AL) * 8);
}

static uint8_t address_register(ZydisRegister reg)
{
	switch (reg) {
	case ZYDIS_REGISTER_NONE:
		return SOFT_GPR_ZERO;
	case ZYDIS_REGISTER_RIP:
	case ZYDIS_REGISTER_EIP:
	case ZYDIS_REGISTER_IP:
		return SOFT_GPR_RIP;
	default:
		return register_number(reg);
	}
}

static uint8_t segment_number(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_ES && reg <= ZYDIS_REGISTER_GS ? (uint8_t)(reg - ZYDIS_REGISTER_ES) : SOFT_DS;
}

static void set_memory(struct soft_insn *insn, const ZydisDecodedOperandMem *mem, const ZydisDecodedInstruction *in,
        enum soft_mode mode)
{
	static const uint8_t shift[] = {[0] = 0, [1] = 0, [2] = 1, [4] = 2, [8] = 3};

	/* Zydis 4.0 names R13D as the base, and leaves the displacement out, in a form with a 32-bit address that has
	 * no base (mod = 0, SIB base = 5, REX.B = 1; SDM vol. 2, table 2-3). */
	const bool no_base = in->raw.sib.base == 5 && in->raw.modrm.mod == 0 && in->raw.modrm.rm == 4 &&
	                     in->raw.disp.size == 32 && mem->base != ZYDIS_REGISTER_NONE;
	const int64_t displacement = no_base ? in->raw.disp.value : mem->disp.value;

	insn->flags |= SOFT_INSN_MEMORY;
	insn->base = no_base ? SOFT_GPR_ZERO : address_register(mem->base);
	insn->index = address_register(mem->index);
	insn->scale = shift[mem->scale];
	insn->segment = segment_number(mem->segment);
	if (mem->base == ZYDIS_REGISTER_NONE && mem->index == ZYDIS_REGISTER_NONE &&
	        displacement != (int32_t)displacement) {
		insn->flags |= SOFT_INSN_MOFFS;
		insn->immediate = displacement;
	} else {
		insn->displacement = (int32_t)displacement;
	}
	if (mode == SOFT_MODE_64 && in->address_width == 64 && insn->segment != SOFT_FS && insn->segment != SOFT_GS &&
	        !(insn->flags & SOFT_INSN_MOFFS))
		insn->flags |= SOFT_INSN_FLAT;
}

/** Override of the segment of implicit operands (string instructions, XLAT). */
static uint8_t implicit_segment(ZydisInstructionAttributes attributes)
{
	static const struct {
		ZydisInstructionAttributes attribute;
		uint8_t segment;
	} overrides[] = {
	        {ZYDIS_ATTRIB_HAS_SEGMENT_CS, SOFT_CS},
	        {ZYDIS_ATTRIB_HAS_SEGMENT_SS, SOFT_SS},
	        {ZYDIS_ATTRIB_HAS_SEGMENT_ES, SOFT_ES},
	        {ZYDIS_ATTRIB_HAS_SEGMENT_FS, SOFT_FS},
	        {ZYDIS_ATTRIB_HAS_SEGMENT_GS, SOFT_GS},
	};

	for (size_t i = 0; i < sizeof(overrides) / sizeof(overrides[0]); i++)
		if (attributes & overrides[i].attribute)
			return overrides[i].segment;
	return SOFT_DS;
}

enum kind { KIND_NONE, KIND_REGISTER, KIND_MEMORY, KIND_IMMEDIATE, KIND_COUNT };

/** The form of the first two operands' kinds; SOFT_FORM_NONE (0) where there is no such form. */
static const uint8_t forms[KIND_COUNT][KIND_COUNT] = {
        [KIND_REGISTER] = {SOFT_FORM_R, SOFT_FORM_RR, SOFT_FORM_RM, SOFT_FORM_RI},
        [KIND_MEMORY] = {SOFT_FORM_M, SOFT_FORM_MR, SOFT_FORM_NONE, SOFT_FORM_MI},
        [KIND_IMMEDIATE] = {SOFT_FORM_I},
};

/** False when a register operand is of a kind that this CPU lacks (MMX, AVX, ...). */
static bool set_operands(struct soft_insn *insn, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *operands,
        enum soft_mode mode)
{
	enum kind kinds[2] = {KIND_NONE, KIND_NONE};
	unsigned registers = 0;

	for (unsigned i = 0; i < in->operand_count_visible; i++) {
		const ZydisDecodedOperand *operand = &operands[i];
		enum kind kind = KIND_NONE;

		switch (operand->type) {
		case ZYDIS_OPERAND_TYPE_REGISTER:
			switch (ZydisRegisterGetClass(operand->reg.value)) {
			case ZYDIS_REGCLASS_GPR8:
			case ZYDIS_REGCLASS_GPR16:
			case ZYDIS_REGCLASS_GPR32:
			case ZYDIS_REGCLASS_GPR64:
			case ZYDIS_REGCLASS_X87:
			case ZYDIS_REGCLASS_XMM:
			case ZYDIS_REGCLASS_SEGMENT:
			case ZYDIS_REGCLASS_CONTROL:
			case ZYDIS_REGCLASS_DEBUG:
				break;
			default:
				return false;
			}
			*(registers == 0         ? &insn->reg
			        : registers == 1 ? &insn->rm
			                         : &insn->third) = register_number(operand->reg.value);
			registers++;
			kind = KIND_REGISTER;
			break;
		case ZYDIS_OPERAND_TYPE_MEMORY:
			set_memory(insn, &operand->mem, in, mode);
			kind = KIND_MEMORY;
			break;
		case ZYDIS_OPERAND_TYPE_IMMEDIATE:
			/* Only ENTER has two. */
			if (insn->flags & SOFT_INSN_IMM)
				insn->third = (uint8_t)operand->imm.value.u;
			else
				insn->immediate = operand->imm.value.s;
			insn->flags |= SOFT_INSN_IMM;
			kind = KIND_IMMEDIATE;
			break;
		case ZYDIS_OPERAND_TYPE_POINTER:
			insn->immediate = operand->ptr.offset;
			insn->selector = operand->ptr.segment;
			kind = KIND_IMMEDIATE;
			break;
		default:
			break;
		}
		if (i < 2)
			kinds[i] = kind;
		if (i == 0)
			insn->size = (uint8_t)(operand->size / 8);
		else if (i == 1)
			insn->source_size = (uint8_t)(operand->size / 8);
	}
	insn->form = forms[kinds[0]][kinds[1]];
	return true;
}

static int set_undecodable(struct soft_insn *insn, ZyanStatus status, size_t available)
{
	if (status == ZYDIS_STATUS_NO_MORE_DATA && available < SOFT_INSN_MAX_BYTES)
		return -EAGAIN;
	insn->length = 1;
	insn->flags = SOFT_INSN_ENDS;
	insn->handler = status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || status == ZYDIS_STATUS_NO_MORE_DATA
	                        ? soft_exec_too_long
	                        : soft_exec_undefined;
	return 0;
}

int soft_decode(const uint8_t *bytes, size_t available, enum soft_mode mode, struct soft_insn *insn)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	const struct entry *entry;
	ZyanStatus status;

	memset(insn, 0, sizeof(*insn));
	status = ZydisDecoderDecodeFull(decoder_of(mode), bytes,
	        available < SOFT_INSN_MAX_BYTES ? available : SOFT_INSN_MAX_BYTES, &in, operands);
	if (!ZYAN_SUCCESS(status))
		return set_undecodable(insn, status, available);

	insn->mnemonic = (uint16_t)in.mnemonic;
	insn->length = in.length;
	insn->opcode = in.opcode;
	insn->modrm_reg = (uint8_t)(in.raw.modrm.reg | in.raw.rex.R << 3);
	insn->modrm_rm = (uint8_t)(in.raw.modrm.rm | in.raw.rex.B << 3);
	insn->width = in.operand_width / 8;
	insn->address_size = in.address_width / 8;
	insn->base = insn->index = SOFT_GPR_ZERO;
	insn->segment = implicit_segment(in.attributes);
	if (in.attributes & ZYDIS_ATTRIB_HAS_LOCK)
		insn->flags |= SOFT_INSN_LOCK;
	if (in.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		insn->flags |= SOFT_INSN_REP;
	if (in.attributes & ZYDIS_ATTRIB_HAS_REPNE)
		insn->flags |= SOFT_INSN_REPNE;
	entry = &entries[in.mnemonic];
	if (in.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && !entry->handler && !entry->select) {
		insn->handler = soft_exec_undefined;
	} else if (!set_operands(insn, &in, operands, mode)) {
		insn->handler = soft_exec_undefined;
	} else {
		insn->flags |= entry->flags;
		insn->handler = entry->select ? entry->select(insn, entry->what) : entry->handler;
		if (!insn->handler)
			insn->handler = claimed(&in) ? soft_exec_unsupported : soft_exec_undefined;
	}
	if (insn->handler == soft_exec_undefined || insn->handler == soft_exec_unsupported)
		insn->flags |= SOFT_INSN_ENDS;
	return 0;
}

void soft_insn_operands(const struct soft_insn *insn, struct soft_operands *operands)
{
	const bool memory = insn->flags & SOFT_INSN_MEMORY;

	*operands = (struct soft_operands){
	        .memory = memory,
	        .segment = insn->segment,
	        .base = insn->base < SOFT_GPR_ZERO ? insn->base : SOFT_NO_REGISTER,
	        .index = insn->index < SOFT_GPR_ZERO ? insn->index : SOFT_NO_REGISTER,
	        .scale = insn->scale,
	        .displacement = insn->flags & SOFT_INSN_MOFFS ? insn->immediate : insn->displacement,
	        .rip_relative = insn->base == SOFT_GPR_RIP,
	        .address_bits = (uint8_t)(insn->address_size * 8),
	        .operand_bits = (uint8_t)(insn->width * 8),
	        .reg1 = insn->modrm_rm,
	        .reg2 = insn->modrm_reg,
	};
}

void soft_disassemble(
        const uint8_t *bytes, size_t available, enum soft_mode mode, uint64_t rip, char *text, size_t size)
{
	ZydisFormatter formatter;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder_of(mode), bytes, available, &in, operands)) ||
	        !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
	                &formatter, &in, operands, in.operand_count_visible, text, size, rip, NULL)))
		snprintf(text, size, "(not an instruction)");
}
