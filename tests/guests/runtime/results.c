/* SPDX-License-Identifier: Apache-2.0 */
/* The serial console, and checks that print there. */
#include <stdarg.h>

#include "guest.h"

#define COM1 0x3f8
#define PORT_EXIT 0xf4

int results_status(void);

static unsigned checks, failures;

static void put(char c)
{
	while (!(in8(COM1 + 5) & 0x20))
		;
	out8(COM1, (u8)c);
}

static void put_number(u64 value, unsigned base)
{
	char digits[24];
	unsigned count = 0;

	do
		digits[count++] = "0123456789abcdef"[value % base];
	while (value /= base);
	if (base == 16) {
		put('0');
		put('x');
	}
	while (count)
		put(digits[--count]);
}

static void print_list(const char *format, va_list args)
{
	for (; *format; format++) {
		if (*format != '%') {
			put(*format);
			continue;
		}
		switch (*++format) {
		case 's':
			for (const char *s = va_arg(args, const char *); *s; s++)
				put(*s);
			break;
		case 'c':
			put((char)va_arg(args, int));
			break;
		case 'd':
		case 'u':
			put_number(va_arg(args, u64), 10);
			break;
		case 'x':
			put_number(va_arg(args, u64), 16);
			break;
		default:
			put('%');
		}
	}
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_list(format, args);
	va_end(args);
}

void check(bool good, const char *format, ...)
{
	va_list args;

	checks++;
	failures += !good;
	print(good ? "ok: " : "FAILED: ");
	va_start(args, format);
	print_list(format, args);
	va_end(args);
	put('\n');
}

void check_equal(u64 got, u64 wanted, const char *what)
{
	if (got == wanted)
		check(true, "%s", what);
	else
		check(false, "%s: %x, wanted %x", what, got, wanted);
}

_Noreturn void finish(int status)
{
	out32(PORT_EXIT, (u32)status);
	for (;;)
		asm volatile("cli; hlt");
}

_Noreturn void give_up(const char *why)
{
	print("FAILED: %s\n", why);
	finish(1);
}

/** 0: there were checks, and none failed. */
int results_status(void)
{
	print("%u checks, %u failed\n", (u64)checks, (u64)failures);
	return checks && !failures ? 0 : 1;
}
