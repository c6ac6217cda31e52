/* SPDX-License-Identifier: Apache-2.0 */
/** Basic exit reasons (SDM vol. 3, appendix C), expanded from exit_reasons.def. */
#ifndef TESTUDO_SHADOWVMCS_EXIT_REASONS_H
#define TESTUDO_SHADOWVMCS_EXIT_REASONS_H

#include <stdint.h>

enum exit_reason {
#define EXIT_REASON(number, name, who, group, text) EXIT_REASON_##name = (number),
#include "exit_reasons.def"
#undef EXIT_REASON
	EXIT_REASON_LIMIT = 80 /**< one more than the largest basic exit reason; the size of tables */
};
/** Bit 31 of the exit reason field: VM-entry failure. */
#define EXIT_REASON_ENTRY_FAILURE 0x80000000u

enum exit_owner { EXIT_OWNER_L0, EXIT_OWNER_L1, EXIT_OWNER_BOTH };

enum exit_group {
	EXIT_GROUP_EVENT,
	EXIT_GROUP_INSTRUCTION,
	EXIT_GROUP_CONTROL,
	EXIT_GROUP_MSR,
	EXIT_GROUP_IO,
	EXIT_GROUP_MEMORY,
	EXIT_GROUP_VMX,
	EXIT_GROUP_ENTRY,
	EXIT_GROUP_OTHER,
	EXIT_GROUP_COUNT
};

struct exit_reason_info {
	const char *name; /**< "CPUID"; NULL where the SDM defines no such reason */
	const char *text;
	uint8_t owner; /**< enum exit_owner */
	uint8_t group; /**< enum exit_group */
};
extern const struct exit_reason_info exit_reason_infos[EXIT_REASON_LIMIT];

/** Name of a basic exit reason; "UNKNOWN" where there is none. Never NULL. */
const char *exit_reason_name(uint32_t basic_reason);

#endif
