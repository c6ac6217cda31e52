/* SPDX-License-Identifier: Apache-2.0 */
/** What the exit handlers share. Part of exits.c: compiled once per VMCS access and profile. */
#ifndef TESTUDO_L1_EXIT_COMMON_H
#define TESTUDO_L1_EXIT_COMMON_H

#include "profile.h"
#include "shadowvmcs/nested.h"
#include "shadowvmcs/x86.h"

/** Handlers of rare or long paths stay out of line, so that the short ones need no stack frame. */
#define EXIT_OUTLINE static __attribute__((noinline))

/** Bytes of the exiting instruction, where its opcode has one length only: the VMCS need not be asked. */
ACCESS_INLINE uint64_t exit_length(unsigned fixed, const bool log)
{
	if (profile_reads(VMCS_VM_EXIT_INSTRUCTION_LENGTH))
		return field_get(VMCS_VM_EXIT_INSTRUCTION_LENGTH, log);
	return fixed;
}

/**
 * Go on behind the instruction. The shadow of STI and MOV SS ends with it; profile minimal, which does not touch the
 * interruptibility state, leaves that to the handlers of exits that come in such a shadow (HLT).
 */
ACCESS_INLINE void exit_skip(uint64_t length)
{
	profile_cache[VMCS_GUEST_RIP] += length;
	if (profile_reads(VMCS_GUEST_INTERRUPTIBILITY_STATE) && profile_writes(VMCS_GUEST_INTERRUPTIBILITY_STATE))
		profile_cache[VMCS_GUEST_INTERRUPTIBILITY_STATE] &=
		        ~(uint64_t)(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
}

/** Inject on the next entry. */
ACCESS_INLINE void exit_inject(enum intr_type type, unsigned vector)
{
	field_set(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION,
	        INTR_INFO_VALID | (unsigned)type << INTR_INFO_TYPE_SHIFT | vector);
}

ACCESS_INLINE void exit_inject_error(unsigned vector, uint32_t error)
{
	field_set(VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, error);
	field_set(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION,
	        INTR_INFO_VALID | INTR_INFO_ERROR_CODE | INTR_TYPE_HARDWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT | vector);
}

/** An exit while L2 was taking an event: `information` is the IDT-vectoring information. */
ACCESS_INLINE bool exit_came_in_event(uint64_t information)
{
	return information & INTR_INFO_VALID;
}

/** What made the exit is repaired: L2 takes its event again (SDM vol. 3, 28.2.4; the formats are the same but for bit
 * 12). */
EXIT_OUTLINE void exit_inject_again(uint64_t information, const bool log)
{
	const unsigned type = (information & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT;

	if (information & INTR_INFO_ERROR_CODE)
		field_set(VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, field_get(VMCS_IDT_VECTORING_ERROR_CODE, log));
	if (type == INTR_TYPE_SOFTWARE_INTERRUPT || type == INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION ||
	        type == INTR_TYPE_SOFTWARE_EXCEPTION)
		field_set(VMCS_VM_ENTRY_INSTRUCTION_LENGTH, field_get(VMCS_VM_EXIT_INSTRUCTION_LENGTH, log));
	field_set(VMCS_VM_ENTRY_INTERRUPTION_INFORMATION,
	        information & (INTR_INFO_VALID | INTR_INFO_ERROR_CODE | INTR_INFO_TYPE_MASK | INTR_INFO_VECTOR_MASK));
}

/** A general register takes a value of 1, 2, 4 or 8 bytes: the narrow ones keep the rest (SDM vol. 1, 3.4.1.1). */
ACCESS_INLINE void exit_register_set(uint64_t *gpr, unsigned bytes, uint64_t value)
{
	if (bytes == 1)
		*gpr = (*gpr & ~0xffull) | (value & 0xff);
	else if (bytes == 2)
		*gpr = (*gpr & ~0xffffull) | (value & 0xffff);
	else
		*gpr = bytes == 4 ? (uint32_t)value : value;
}

#endif
