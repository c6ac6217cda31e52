/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Decoded instructions: what Zydis found, boiled down to what a handler needs, and the handler that executes it.
 *
 * Zydis runs once per instruction and mode; struct soft_insn is then kept in a cached run (code.h). A handler is
 * chosen for the kinds and sizes of the operands wherever that pays (insn.def names them all).
 */
#ifndef TESTUDO_L0_SOFT_DECODE_H
#define TESTUDO_L0_SOFT_DECODE_H

#include "cpu.h"

/** Register numbers of struct soft_cpu.gpr beyond the sixteen. */
#define SOFT_GPR_ZERO 16
#define SOFT_GPR_RIP 17

/** Longest instruction; SDM vol. 2, 2.3.11. */
#define SOFT_INSN_MAX_BYTES 15

struct soft_insn;
typedef void (*soft_handler)(struct soft_cpu *cpu, const struct soft_insn *insn);

/** Kinds of the first two operands, destination first. A third is an immediate, CL or (VEX forms) a register. */
enum soft_form {
	SOFT_FORM_NONE,
	SOFT_FORM_R,
	SOFT_FORM_M,
	SOFT_FORM_I,
	SOFT_FORM_RR,
	SOFT_FORM_RM,
	SOFT_FORM_MR,
	SOFT_FORM_RI,
	SOFT_FORM_MI,
	SOFT_FORM_COUNT
};

/* soft_insn.flags */
#define SOFT_INSN_FLAT 0x01   /* the linear address is base + index * scale + displacement: 64-bit, no FS or GS */
#define SOFT_INSN_LOCK 0x02   /* LOCK prefix; XCHG with memory too */
#define SOFT_INSN_REP 0x04    /* F3 */
#define SOFT_INSN_REPNE 0x08  /* F2 */
#define SOFT_INSN_MOFFS 0x10  /* the displacement is in `immediate` (64 bits) */
#define SOFT_INSN_IMM 0x20    /* the last operand is an immediate */
#define SOFT_INSN_ENDS 0x40   /* the last instruction of its run: it may change RIP, mode or translations */
#define SOFT_INSN_MEMORY 0x80 /* base, index, scale, displacement and segment hold a memory operand */

struct soft_insn {
	soft_handler handler;
	int64_t immediate; /**< immediate (sign-extended as the instruction does), branch displacement, far offset */
	int32_t displacement;
	uint16_t mnemonic; /**< ZydisMnemonic */
	uint8_t length;
	uint8_t size;         /**< bytes of the first operand */
	uint8_t source_size;  /**< bytes of the second operand */
	uint8_t width;        /**< bytes of the effective operand size: 2, 4, 8 */
	uint8_t address_size; /**< bytes of an address: 2, 4, 8 */
	uint8_t form;         /**< enum soft_form */
	/** Register operands: number of a general, segment, control, debug or XMM register; for 1-byte registers the
	 * byte offset in gpr (AH = 1). `reg` is the first register operand, `rm` the second. */
	uint8_t reg, rm, third;
	uint8_t base, index, scale; /**< registers of the address; scale as a shift count */
	uint8_t segment;            /**< enum soft_segment_index, overrides applied */
	uint8_t flags;
	uint8_t opcode;
	uint8_t modrm_reg, modrm_rm; /**< with the REX bits */
	uint16_t selector;           /**< of a direct far pointer */
};

/** Does the first operand lie in memory? */
static inline bool soft_insn_memory_first(const struct soft_insn *insn)
{
	return insn->form == SOFT_FORM_M || insn->form == SOFT_FORM_MR || insn->form == SOFT_FORM_MI;
}

/**
 * Decode one instruction for `mode`. 0, or -EAGAIN when it goes on beyond `available` bytes. Bytes that are no
 * instruction of this CPU decode to one that raises #UD (or #GP(0) beyond 15 bytes) when executed.
 */
int soft_decode(const uint8_t *bytes, size_t available, enum soft_mode mode, struct soft_insn *insn);

/** The instruction in Intel syntax, for messages. */
void soft_disassemble(
        const uint8_t *bytes, size_t available, enum soft_mode mode, uint64_t rip, char *text, size_t size);

#endif
