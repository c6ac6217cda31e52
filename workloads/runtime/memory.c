/* SPDX-License-Identifier: Apache-2.0 */
/* The memory functions a freestanding compiler may call on its own accord (C11 clause 4, GCC manual "Standards").
 * String instructions, because one REP costs one instruction on machines that emulate ring 0. */
#include <stddef.h>

void *memset(void *destination, int value, size_t bytes);
void *memcpy(void *destination, const void *source, size_t bytes);

void *memset(void *destination, int value, size_t bytes)
{
	void *to = destination;
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return destination;
}

void *memcpy(void *destination, const void *source, size_t bytes)
{
	void *to = destination;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(source), "+c"(bytes) : : "memory");
	return destination;
}
