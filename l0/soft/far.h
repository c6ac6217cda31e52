/* SPDX-License-Identifier: Apache-2.0 */
/** What far transfers and IRET share. */
#ifndef TESTUDO_L0_SOFT_FAR_H
#define TESTUDO_L0_SOFT_FAR_H

#include "segment.h"

/** #GP(0) when `offset` is not canonical (64-bit code) or beyond the limit of the segment. */
void soft_check_code_target(const struct soft_segment *code, struct soft_cpu *cpu, uint64_t offset);

/** Load CS and RIP; SS is that of the new CPL already. Mode and translations follow. */
void soft_enter_code(struct soft_cpu *cpu, const struct soft_segment *code, uint64_t offset, unsigned cpl);

/** The code segment that RET and IRET return to, with its checks. */
void soft_return_code(struct soft_cpu *cpu, uint16_t selector, struct soft_segment *code);

/** The stack segment of a return to less privileged code (or of a 64-bit IRET). */
void soft_return_stack(
        struct soft_cpu *cpu, uint16_t selector, const struct soft_segment *code, struct soft_segment *ss);

/** After a return outward: data segments that the new CPL may not see become null (SDM vol. 3, 5.8.6). */
void soft_drop_segments(struct soft_cpu *cpu);

#endif
