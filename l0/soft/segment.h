/* SPDX-License-Identifier: Apache-2.0 */
/** Descriptors and segment registers as instructions load them (SDM vol. 3, chapters 3, 5 and 7). */
#ifndef TESTUDO_L0_SOFT_SEGMENT_H
#define TESTUDO_L0_SOFT_SEGMENT_H

#include "access.h"

/** Type bit 2 of segment descriptors: conforming code, or an expand-down data segment. */
#define AR_TYPE_CONFORMING 4u

/* Types of system descriptors, 3.5. */
enum system_type {
	SYSTEM_TSS_16 = 1,
	SYSTEM_LDT = 2,
	SYSTEM_CALL_GATE_16 = 4,
	SYSTEM_TASK_GATE = 5,
	SYSTEM_TSS = 9,
	SYSTEM_TSS_BUSY = 11,
	SYSTEM_CALL_GATE = 12
};

struct soft_descriptor {
	uint64_t raw;     /**< the 8 bytes; of a 16-byte descriptor the first half */
	uint64_t address; /**< linear */
};

/** Read the descriptor of `selector`; false: it lies beyond its table (or there is no LDT). Unwinds on faults. */
bool soft_descriptor_read(struct soft_cpu *cpu, uint16_t selector, struct soft_descriptor *descriptor);
/** As above, or #GP(selector) (or another vector). */
void soft_descriptor_need(struct soft_cpu *cpu, uint16_t selector, uint8_t vector, struct soft_descriptor *descriptor);
/** Set the accessed bit in memory when it is clear. */
void soft_descriptor_accessed(struct soft_cpu *cpu, const struct soft_descriptor *descriptor);

/** Rights in the VMCS's format, without the unusable bit. */
static inline uint32_t soft_descriptor_rights(const struct soft_descriptor *descriptor)
{
	return (uint32_t)(descriptor->raw >> 40) & 0xf0ff;
}
static inline unsigned soft_descriptor_dpl(const struct soft_descriptor *descriptor)
{
	return descriptor->raw >> 45 & 3;
}
void soft_descriptor_segment(const struct soft_descriptor *descriptor, uint16_t selector, struct soft_segment *segment);

/** MOV and POP to DS, ES, FS, GS or SS with all checks. Unwinds on faults; nothing is changed before. */
void soft_load_segment(struct soft_cpu *cpu, unsigned segment, uint16_t selector);
/** What MOV to a segment register does in real and virtual-8086 mode. */
void soft_load_segment_real(struct soft_cpu *cpu, unsigned segment, uint16_t selector);
/** The checks of SS for privilege level `cpl`; the segment to load goes to *ss. `vector` is #GP or #TS. */
void soft_check_stack_segment(
        struct soft_cpu *cpu, uint16_t selector, unsigned cpl, uint8_t vector, struct soft_segment *ss);

#endif
