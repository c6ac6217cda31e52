/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int refuse(struct refusal *why, int error, const char *format, ...)
{
	va_list args;

	if (why) {
		va_start(args, format);
		vsnprintf(why->text, sizeof(why->text), format, args);
		va_end(args);
	}
	return error;
}

const struct machine_ops *machine_find(const char *name)
{
	for (const struct machine_ops *const *ops = machines; *ops; ops++) {
		if (!strcmp((*ops)->name, name))
			return *ops;
	}
	return NULL;
}
