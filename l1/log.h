/* SPDX-License-Identifier: Apache-2.0 */
/** The exit log and the time stamps of a nested round trip (abi/boot_info.h). */
#ifndef TESTUDO_L1_LOG_H
#define TESTUDO_L1_LOG_H

#include <stdint.h>

/** With BOOT_FLAG_STAMPS: L1's exit handler begins, and ends. */
void log_stamp_begin(void);
void log_stamp_end(void);

/** With BOOT_FLAG_EXIT_LOG: append the exit whose fields (by index) are in `fields`. */
void log_exit(const uint64_t *fields);

#endif
