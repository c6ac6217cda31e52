/* SPDX-License-Identifier: Apache-2.0 */
/** The VM-exit instruction-information field and what goes with it (SDM vol. 3, 28.2.5, tables 28-8 to 28-14). */
#ifndef TESTUDO_L0_SOFT_INFORMATION_H
#define TESTUDO_L0_SOFT_INFORMATION_H

#include "internal.h"

/** Linear address of the memory operand. */
uint64_t soft_operand_linear(const struct soft_cpu *cpu, const struct soft_operands *operands);
/** The exit qualification of instructions with a memory operand: its displacement. */
uint64_t soft_operand_displacement(const struct soft_cpu *cpu, const struct soft_operands *operands);
/** Linear address of the string operand of INS (ES:RDI) or OUTS (segment:RSI). */
uint64_t soft_string_linear(const struct soft_cpu *cpu, const struct soft_operands *operands, bool in);

uint32_t soft_information_string(const struct soft_operands *operands, bool in);       /* 28-8 */
uint32_t soft_information_invalidate(const struct soft_operands *operands);            /* 28-9 */
uint32_t soft_information_table(const struct soft_operands *operands, unsigned which); /* 28-10, 28-11 */
uint32_t soft_information_random(const struct soft_operands *operands);                /* 28-12 */
uint32_t soft_information_pointer(const struct soft_operands *operands);               /* 28-13 */
uint32_t soft_information_vmread(const struct soft_operands *operands);                /* 28-14 */

#endif
