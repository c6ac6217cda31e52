/* SPDX-License-Identifier: Apache-2.0 */
/** Sentences on the test device's console. One port write a character: for failures only, never in a measured part. */
#ifndef TESTUDO_WORKLOADS_PRINT_H
#define TESTUDO_WORKLOADS_PRINT_H

#include "abi/testdev.h"

/** Conversions: %s, %u and %x (64-bit values: pass unsigned long), %%. Nothing else. */
void print(const char *format, ...);

/** Print a sentence and end this guest with `status`. */
void __attribute__((noreturn)) print_and_end(enum testdev_status status, const char *format, ...);

#endif
