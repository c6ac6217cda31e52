/* SPDX-License-Identifier: Apache-2.0 */
#include "print.h"

#include <stdarg.h>

#include "io.h"

static void print_char(char c)
{
	io_out8(TESTDEV_PORT_CONSOLE, (uint8_t)c);
}

static void print_number(unsigned long value, unsigned base)
{
	char digits[24];
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (count)
		print_char(digits[--count]);
}

static void print_list(const char *format, va_list list)
{
	for (; *format; format++) {
		if (*format != '%') {
			print_char(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			for (const char *text = va_arg(list, const char *); *text; text++)
				print_char(*text);
			break;
		case 'u':
			print_number(va_arg(list, unsigned long), 10);
			break;
		case 'x':
			print_char('0');
			print_char('x');
			print_number(va_arg(list, unsigned long), 16);
			break;
		default:
			print_char(*format);
		}
	}
}

void print(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	print_list(format, list);
	va_end(list);
}

void print_and_end(enum testdev_status status, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	print_list(format, list);
	va_end(list);
	print_char('\n');
	io_end(status);
}
