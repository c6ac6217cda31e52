/* SPDX-License-Identifier: Apache-2.0 */
/** Every handler and selector that insn.def names. */
#ifndef TESTUDO_L0_SOFT_EXEC_H
#define TESTUDO_L0_SOFT_EXEC_H

#include "decode.h"

/** Chooses the handler for the operands of *insn; `what` tells the instructions of a group apart (insn.def). */
typedef soft_handler soft_selector(const struct soft_insn *insn, unsigned what);

#define SOFT_INSN(mnemonic, handler, flags) void handler(struct soft_cpu *cpu, const struct soft_insn *insn);
#define SOFT_SELECT(mnemonic, selector, what, flags) soft_selector selector;
#include "insn.def"
#undef SOFT_INSN
#undef SOFT_SELECT

/* Chosen by the selectors of MOV, PUSH, POP, JMP, CALL, RET and MOVSD (which see SSE2's MOVSD and CMPSD too). */
void soft_exec_mov_from_segment(struct soft_cpu *cpu, const struct soft_insn *insn);
void soft_exec_mov_to_segment(struct soft_cpu *cpu, const struct soft_insn *insn);
void soft_exec_mov_control(struct soft_cpu *cpu, const struct soft_insn *insn);
void soft_exec_push_segment(struct soft_cpu *cpu, const struct soft_insn *insn);
void soft_exec_pop_segment(struct soft_cpu *cpu, const struct soft_insn *insn);
void soft_exec_jmp_far(struct soft_cpu *cpu, const struct soft_insn *insn);
void soft_exec_call_far(struct soft_cpu *cpu, const struct soft_insn *insn);
void soft_exec_ret_far(struct soft_cpu *cpu, const struct soft_insn *insn);
void soft_exec_cmpsd(struct soft_cpu *cpu, const struct soft_insn *insn);
soft_selector soft_select_sse;

/* Not instructions: what undecodable bytes execute as. */
void soft_exec_undefined(struct soft_cpu *cpu, const struct soft_insn *insn);   /* #UD */
void soft_exec_too_long(struct soft_cpu *cpu, const struct soft_insn *insn);    /* #GP(0) */
void soft_exec_unsupported(struct soft_cpu *cpu, const struct soft_insn *insn); /* ends the cell */

/** The instructions of soft_select_alu, in the order of their opcodes; CMP and TEST only set flags. */
enum soft_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST, ALU_COUNT };
enum soft_unary { UNARY_INC, UNARY_DEC, UNARY_NEG, UNARY_NOT, UNARY_COUNT };
/** In the order of ModRM.reg of opcodes C0, D0. */
enum soft_shift { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAR = 7, SHIFT_COUNT };

#endif
