/* SPDX-License-Identifier: Apache-2.0 */
/** Text without a libc. */
#ifndef TESTUDO_WORKLOADS_TEXT_H
#define TESTUDO_WORKLOADS_TEXT_H

#include <stdbool.h>

static inline bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

#endif
