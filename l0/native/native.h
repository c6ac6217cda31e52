/* SPDX-License-Identifier: Apache-2.0 */
/** Between machine.c and system.c. */
#ifndef TESTUDO_L0_NATIVE_H
#define TESTUDO_L0_NATIVE_H

#include <setjmp.h>
#include <stdbool.h>

/** Make regions, file and timer. 0 or -errno. */
int native_system_begin(void);
void native_system_end(void);

/** Where sys_fail() goes, and what it said. */
extern jmp_buf native_failed;
extern const char *native_sentence;

#endif
