/* SPDX-License-Identifier: Apache-2.0 */
#include "exit_reasons.h"

#define EXIT_REASON(number, name, who, group, text)                                                                    \
	_Static_assert((number) < EXIT_REASON_LIMIT, #name " fits tables of EXIT_REASON_LIMIT entries");               \
	_Static_assert(sizeof(text) > sizeof("x."), #name " has a sentence");
#include "exit_reasons.def"
#undef EXIT_REASON

const struct exit_reason_info exit_reason_infos[EXIT_REASON_LIMIT] = {
#define EXIT_REASON(number_, name_, who_, group_, text_)                                                               \
	[number_] = {.name = #name_, .text = (text_), .owner = EXIT_OWNER_##who_, .group = EXIT_GROUP_##group_},
#include "exit_reasons.def"
#undef EXIT_REASON
};

const char *exit_reason_name(uint32_t basic_reason)
{
	if (basic_reason >= EXIT_REASON_LIMIT || !exit_reason_infos[basic_reason].name)
		return "UNKNOWN";
	return exit_reason_infos[basic_reason].name;
}
