/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/dev/console.h"

#include <string.h>

static void end_line(struct console *console)
{
	if (console->current_length)
		memcpy(console->line, console->current, sizeof(console->line));
	console->current_length = 0;
	console->current[0] = 0;
}

void console_put(struct console *console, char c)
{
	console->bytes++;
	if (console->length + 1 < sizeof(console->text)) {
		console->text[console->length++] = c;
		console->text[console->length] = 0;
	}
	if (c == '\n' || c == '\r') {
		end_line(console);
	} else if (console->current_length + 1 < sizeof(console->current)) {
		console->current[console->current_length++] = c;
		console->current[console->current_length] = 0;
	}
	if (console->out) {
		putc(c, console->out);
		if (c == '\n')
			fflush(console->out);
	}
}

const char *console_last_line(const struct console *console)
{
	return console->current_length ? console->current : console->line;
}
