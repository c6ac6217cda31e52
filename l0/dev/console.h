/* SPDX-License-Identifier: Apache-2.0 */
/** The guest's console: characters from the test device or the serial port, kept and passed on. */
#ifndef TESTUDO_L0_DEV_CONSOLE_H
#define TESTUDO_L0_DEV_CONSOLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct console {
	char text[4096]; /**< the first characters, with a NUL behind them */
	size_t length;
	uint64_t bytes;    /**< all characters written */
	char line[200];    /**< the last line that was not empty */
	char current[200]; /**< the line being written */
	size_t current_length;
	FILE *out; /**< NULL = not passed on */
};

void console_put(struct console *console, char c);

/** The last line that was not empty, finished or not. Never NULL. */
const char *console_last_line(const struct console *console);

#endif
