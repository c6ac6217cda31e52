/* SPDX-License-Identifier: Apache-2.0 */
/** The engine's counters, expanded from counters.def. */
#ifndef TESTUDO_SHADOWVMCS_COUNTERS_H
#define TESTUDO_SHADOWVMCS_COUNTERS_H

enum counter {
#define COUNTER(id, unit, text) COUNTER_##id,
#include "counters.def"
#undef COUNTER
	COUNTER_COUNT
};

struct counter_info {
	const char *name;
	const char *unit;
	const char *text;
};
extern const struct counter_info counter_infos[COUNTER_COUNT];

#endif
