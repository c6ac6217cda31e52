/* SPDX-License-Identifier: Apache-2.0 */
#include "counters.h"

#define COUNTER(id, unit, text)                                                                                        \
	_Static_assert(sizeof(unit) > 1, #id " has a unit");                                                           \
	_Static_assert(sizeof(text) > sizeof("x."), #id " has a sentence that says what it counts");
#include "counters.def"
#undef COUNTER

const struct counter_info counter_infos[COUNTER_COUNT] = {
#define COUNTER(id_, unit_, text_) [COUNTER_##id_] = {.name = #id_, .unit = (unit_), .text = (text_)},
#include "counters.def"
#undef COUNTER
};
